//! Pools step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use weir_pool::health::{Health, State};
use weir_pool::pool::{Admin, AllDown, Change, Endpoint, Pool, PoolError, Settings};
use weir_pool::ring::{NOBODY, RingError};
use weir_pool::slots::Word;

pub(super) const START: Duration = Duration::from_secs(1000);

pub(super) fn settings() -> Settings {
    Settings { size: 251, ..Settings::default() }
}

pub(super) fn at(nth: u8) -> Endpoint {
    Endpoint { address: IpAddr::from([10, 0, 1, nth]), port: 443 }
}

/// Backends 1 to `count` with weight 1.
pub(super) fn pool(count: u8, settings: Settings) -> Pool {
    let declared: Vec<(Endpoint, u16)> = (1..=count).map(|nth| (at(nth), 1)).collect();
    Pool::new(settings, &declared, START).expect("a pool")
}

pub(super) fn down(since: Duration) -> State {
    State { health: Health::Down, since, reason: Some("connection refused".to_owned()) }
}

fn seconds(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

fn shares(pool: &Pool) -> BTreeMap<u16, usize> {
    let mut shares = BTreeMap::new();
    for word in pool.slots().words() {
        *shares.entry(word.now()).or_default() += 1;
    }
    shares
}

/// Two backends have the slots, and none has two more than the other.
fn halves(pool: &Pool) -> Vec<u16> {
    let shares = shares(pool);
    assert!(shares.values().all(|share| [125, 126].contains(share)), "{shares:?}");
    shares.into_keys().collect()
}

fn texts(change: &Change) -> Vec<String> {
    change.events.iter().map(ToString::to_string).collect()
}

#[test]
fn endpoints_are_told_apart() {
    let v6 = |port| Endpoint { address: "2001:db8::1".parse().unwrap(), port };
    let all = [at(1), Endpoint { port: 0, ..at(1) }, v6(0), v6(443)];
    assert_eq!(
        all.map(|endpoint| endpoint.to_string()),
        ["10.0.1.1:443", "10.0.1.1", "2001:db8::1", "[2001:db8::1]:443"]
    );
    assert_eq!(at(1).identity(), [10, 0, 1, 1, 1, 187]);
    assert_eq!(all.iter().map(Endpoint::identity).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn who_dies_loses_flows_and_no_one_else_does() {
    let mut pool = pool(3, settings());
    let change = pool.report(vec![(at(2), down(seconds(1)))], seconds(1));
    assert_eq!(texts(&change), ["backend 10.0.1.2:443 is down: connection refused; 2 of 3 take new flows"]);
    assert!(!pool.is_alive(2));
    assert_eq!(halves(&pool), [1, 3]);
    assert_eq!(pool.report(vec![(at(2), down(seconds(2)))], seconds(2)), Change::default(), "still down");
    assert_eq!(pool.report(vec![(at(9), down(seconds(2)))], seconds(2)), Change::default(), "gone");
    let change = pool.report(vec![(at(2), State::up(seconds(3)))], seconds(3));
    assert_eq!(texts(&change), ["backend 10.0.1.2:443 is up; 3 of 3 take new flows"]);
    assert_eq!(shares(&pool), shares(&self::pool(3, settings())));
}

#[test]
fn a_drain_keeps_flows_until_its_deadline() {
    let mut pool = pool(2, settings());
    let was_of_one: Vec<usize> = (0..251).filter(|slot| pool.slots().words()[*slot].now() == 1).collect();
    let change = pool.drain(at(1), seconds(300), seconds(0)).unwrap();
    assert_eq!(texts(&change), ["backend 10.0.1.1:443 is draining; 1 of 2 take new flows"]);
    assert_eq!(change.updates.len(), was_of_one.len());
    assert_eq!(pool.due(), Some(seconds(300)));
    assert_eq!(pool.settle(seconds(299), |_, _| false), [], "its flows would move");
    assert_eq!(pool.advance(seconds(299)), Change::default());
    assert!(was_of_one.iter().all(|slot| pool.slots().words()[*slot].unknown() == 1));
    let change = pool.advance(seconds(300));
    assert_eq!(
        texts(&change),
        ["backend 10.0.1.1:443 was removed: the deadline of its drain has passed; 1 of 1 take new flows"]
    );
    assert_eq!(pool.due(), None);
    assert!(was_of_one.iter().all(|slot| pool.slots().words()[*slot].unknown() == 2));
    assert_eq!(pool.settle(seconds(300), |_, _| false).len(), was_of_one.len());
}

#[test]
fn a_drain_can_be_prolonged_and_taken_back() {
    let mut pool = pool(2, settings());
    pool.drain(at(1), seconds(10), seconds(0)).unwrap();
    pool.drain(at(1), seconds(20), seconds(0)).unwrap();
    assert_eq!(pool.backends()[&1].admin, Admin::Draining { deadline: seconds(20) });
    pool.undrain(at(1), seconds(10)).unwrap();
    assert_eq!(pool.undrain(at(1), seconds(10)), Err(PoolError::NotDraining { backend: at(1) }));
    assert_eq!(pool.advance(seconds(1000)), Change::default());
    assert_eq!(halves(&pool), [1, 2]);
}

#[test]
fn weights_count() {
    let mut pool = pool(2, settings());
    let change = pool.weigh(at(2), 4, seconds(0)).unwrap();
    assert_eq!(texts(&change), ["backend 10.0.1.2:443 has weight 4 instead of 1; 2 of 2 take new flows"]);
    assert_eq!(shares(&pool), BTreeMap::from([(1, 50), (2, 201)]));
    pool.weigh(at(1), 0, seconds(1)).unwrap();
    assert_eq!(shares(&pool), BTreeMap::from([(2, 251)]));
    assert!(pool.is_alive(1));
}

#[test]
fn who_comes_begins_slowly() {
    let slow = Duration::from_secs(40);
    let mut pool = pool(1, Settings { slow, ..settings() });
    let change = pool.add(at(2), 1, seconds(0)).unwrap();
    assert_eq!(texts(&change), ["backend 10.0.1.2:443 was added with weight 1; 2 of 2 take new flows"]);
    let mut steps = vec![(0, shares(&pool)[&2])];
    while let Some(due) = pool.due() {
        assert_eq!(pool.advance(due - Duration::from_nanos(1)), Change::default());
        assert_eq!(pool.advance(due).events.len(), 1);
        steps.push(((due - START).as_secs(), shares(&pool)[&2]));
    }
    assert_eq!(steps.pop().map(|(time, _)| time), Some(40));
    assert_eq!(halves(&pool), [1, 2]);
    // 1/6, 2/7, 3/8 and 4/9 of 251.
    assert_eq!(steps, [(0, 42), (10, 72), (20, 94), (30, 112)]);
}

#[test]
fn steps_that_were_missed_are_one() {
    let mut pool = pool(2, Settings { slow: Duration::from_secs(40), ..settings() });
    pool.report(vec![(at(1), down(seconds(0)))], seconds(0));
    pool.report(vec![(at(1), State::up(seconds(1)))], seconds(1));
    assert_eq!(shares(&pool)[&1], 42);
    let change = pool.advance(seconds(25));
    assert_eq!(
        texts(&change),
        ["backend 10.0.1.1:443 takes 3 of 5 parts of its weight; 2 of 2 take new flows"]
    );
    assert_eq!(pool.advance(seconds(1000)).events.len(), 1);
    assert_eq!(pool.due(), None);
    pool.report(vec![(at(1), down(seconds(1001)))], seconds(1001));
    assert_eq!(pool.due(), None, "who is down does not get warmer");
}

#[test]
fn all_down_uses_all() {
    let mut pool = pool(3, settings());
    pool.weigh(at(3), 0, seconds(0)).unwrap();
    let news = vec![(at(1), down(seconds(1))), (at(2), down(seconds(1)))];
    let before = pool.slots().words().to_vec();
    let change = pool.report(news, seconds(1));
    assert_eq!(change.updates, [], "more likely than two deaths at once is one checker in error");
    assert_eq!(
        texts(&change),
        [
            "backend 10.0.1.1:443 is down: connection refused; none of 3 is well, so all are used as if they were",
            "backend 10.0.1.2:443 is down: connection refused; none of 3 is well, so all are used as if they were",
        ]
    );
    assert_eq!(pool.slots().words(), before);
    assert!((1..=3).all(|number| pool.is_alive(number)));
    pool.report(vec![(at(1), State::up(seconds(2)))], seconds(2));
    assert_eq!(shares(&pool), BTreeMap::from([(1, 251)]));
    assert!(!pool.is_alive(2));
}

#[test]
fn all_down_uses_nobody() {
    for (all_down, text) in
        [(AllDown::Pass, "packets pass untouched"), (AllDown::Drop, "packets are dropped")]
    {
        let mut pool = pool(1, Settings { all_down, ..settings() });
        let change = pool.report(vec![(at(1), down(seconds(1)))], seconds(1));
        assert!(texts(&change)[0].ends_with(text), "{change:?}");
        assert_eq!(shares(&pool), BTreeMap::from([(NOBODY, 251)]));
        assert!(!pool.is_alive(1));
        pool.report(vec![(at(1), State::up(seconds(2)))], seconds(2));
        assert!(pool.slots().words().iter().all(|word| *word == Word::settled(1)));
    }
}

#[test]
fn numbers_are_not_reused_too_early() {
    let mut pool = pool(3, settings());
    pool.remove(at(2), seconds(0)).unwrap();
    pool.add(at(4), 1, seconds(1)).unwrap();
    assert_eq!(pool.number(at(4)), Ok(4), "entries of flows may name 2");
    pool.remove(at(4), seconds(2)).unwrap();
    pool.add(at(2), 1, seconds(3)).unwrap();
    assert_eq!(pool.number(at(2)), Ok(2), "its own flows do");
    assert_eq!(pool.retired(), &BTreeMap::from([(4, at(4))]));
    pool.release(4);
    pool.add(at(5), 1, seconds(4)).unwrap();
    assert_eq!(pool.number(at(5)), Ok(4));
}

#[test]
fn a_pool_of_none_is_refused() {
    let refused = |declared: &[(Endpoint, u16)]| Pool::new(settings(), declared, START).unwrap_err();
    assert_eq!(refused(&[]).to_string(), "a pool needs a backend with a weight above 0");
    assert_eq!(refused(&[(at(1), 0)]), PoolError::Empty);
    assert_eq!(
        refused(&[(at(1), 1), (at(2), 1), (at(1), 5)]).to_string(),
        "backend `10.0.1.1:443` is in the pool already: change its weight, or undrain it"
    );
    let even = Settings { size: 1000, ..settings() };
    let error = Pool::new(even, &[(at(1), 1)], START).unwrap_err();
    assert_eq!(error, PoolError::Ring(RingError::NotPrime { size: 1000 }));
}

#[test]
fn a_pool_has_an_end() {
    let many: Vec<(Endpoint, u16)> = (0..65_535_u32)
        .map(|nth| (Endpoint { address: IpAddr::from((0x0a00_0000 + nth).to_be_bytes()), port: 0 }, 1))
        .collect();
    assert_eq!(
        Pool::new(settings(), &many, START).unwrap_err(),
        PoolError::TooMany { most: weir_pool::ring::LAST_NUMBER }
    );
    let mut pool = Pool::new(settings(), &many[1..], START).unwrap();
    assert_eq!(pool.add(many[0].0, 1, START), Err(PoolError::TooMany { most: weir_pool::ring::LAST_NUMBER }));
    pool.remove(many[1].0, START).unwrap();
    assert_eq!(
        pool.add(many[0].0, 1, START),
        Err(PoolError::TooMany { most: weir_pool::ring::LAST_NUMBER }),
        "its flows may still be there"
    );
    pool.release(1);
    assert!(pool.add(many[0].0, 1, START).is_ok());
}

#[test]
fn the_last_backend_stays() {
    let mut pool = pool(2, settings());
    pool.drain(at(1), seconds(60), seconds(0)).unwrap();
    let last = PoolError::Last { backend: at(2) };
    assert_eq!(pool.drain(at(2), seconds(60), seconds(0)), Err(last.clone()));
    assert_eq!(pool.remove(at(2), seconds(0)), Err(last.clone()));
    assert_eq!(pool.weigh(at(2), 0, seconds(0)), Err(last.clone()));
    assert_eq!(
        last.to_string(),
        "backend `10.0.1.2:443` is the last one that takes new flows: add or undrain another one first"
    );
    assert!(pool.remove(at(1), seconds(0)).is_ok(), "it took none");
}

#[test]
fn who_is_not_there_is_named() {
    let mut pool = pool(2, settings());
    let other = Endpoint { port: 80, ..at(1) };
    assert_eq!(
        pool.remove(other, seconds(0)).unwrap_err().to_string(),
        "the pool has no backend `10.0.1.1:80`, but `10.0.1.1:443`"
    );
    assert_eq!(
        pool.undrain(at(9), seconds(0)).unwrap_err().to_string(),
        "the pool has no backend `10.0.1.9:443`"
    );
    assert_eq!(pool.add(at(1), 1, seconds(0)), Err(PoolError::Twice { backend: at(1) }));
}

/// Killed at any store: what was kept of the backends is new or old, and so is each slot.
#[test]
fn a_pool_is_resumed() {
    let mut pool = pool(3, settings());
    pool.drain(at(3), seconds(600), seconds(0)).unwrap();
    let mut words = pool.slots().words().to_vec();
    let change = pool.report(vec![(at(1), down(seconds(1)))], seconds(1));
    for update in &change.updates[..change.updates.len() / 2] {
        words[update.slot as usize] = update.word;
    }
    let kept = (pool.backends().clone(), pool.retired().clone());
    let (resumed, updates) =
        Pool::resume(settings(), kept.0.clone(), kept.1, words, seconds(2), seconds(2)).unwrap();
    assert_eq!(updates, change.updates[change.updates.len() / 2..]);
    assert_eq!(resumed.slots().words(), pool.slots().words());
    assert_eq!(resumed.slots().unsettled(), pool.slots().unsettled());

    let short = Pool::resume(settings(), kept.0, BTreeMap::new(), vec![Word(0); 7], seconds(2), seconds(2));
    assert_eq!(short.unwrap_err(), PoolError::Words { found: 7, size: 251 });
}
