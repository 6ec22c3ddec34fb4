//! Pools over random histories, with traffic and without.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weir_pool::health::State;
use weir_pool::pool::{AllDown, Change, Endpoint, Pool, Settings};
use weir_pool::ring::NOBODY;
use weir_pool::slots::Track;

use super::pool::{START, at, down, pool};
use super::traffic::{Traffic, View};

/// What is done to a pool, with backends 1 to 9.
#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u8, u16),
    Remove(u8),
    Drain(u8, u64),
    Undrain(u8),
    Weigh(u8, u16),
    Down(u8),
    Up(u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let nth = 1..10_u8;
    prop_oneof![
        (nth.clone(), 0..9_u16).prop_map(|(nth, weight)| Step::Add(nth, weight)),
        nth.clone().prop_map(Step::Remove),
        (nth.clone(), 0..200_u64).prop_map(|(nth, after)| Step::Drain(nth, after)),
        nth.clone().prop_map(Step::Undrain),
        (nth.clone(), 0..9_u16).prop_map(|(nth, weight)| Step::Weigh(nth, weight)),
        nth.clone().prop_map(Step::Down),
        nth.prop_map(Step::Up),
        (0..90_u64).prop_map(Step::Wait),
    ]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let all_down = prop::sample::select(vec![AllDown::All, AllDown::Pass]);
    (0..2_u64, all_down).prop_map(|(slow, all_down)| Settings {
        size: 31,
        slow: Duration::from_secs(slow * 20),
        all_down,
        ..Settings::default()
    })
}

/// A pool that is used, and the time.
struct Edge {
    pool: Pool,
    now: Duration,
}

impl Edge {
    fn new(settings: Settings) -> Edge {
        Edge { pool: pool(3, settings), now: START }
    }

    /// What a step does, or nothing if it is refused.
    fn step(&mut self, step: Step) -> Option<Change> {
        let Edge { pool, now } = self;
        match step {
            Step::Add(nth, weight) => pool.add(at(nth), weight, *now).ok(),
            Step::Remove(nth) => pool.remove(at(nth), *now).ok(),
            Step::Drain(nth, after) => pool.drain(at(nth), *now + Duration::from_secs(after), *now).ok(),
            Step::Undrain(nth) => pool.undrain(at(nth), *now).ok(),
            Step::Weigh(nth, weight) => pool.weigh(at(nth), weight, *now).ok(),
            Step::Down(nth) => Some(pool.report(vec![(at(nth), down(*now))], *now)),
            Step::Up(nth) => Some(pool.report(vec![(at(nth), State::up(*now))], *now)),
            Step::Wait(seconds) => {
                *now += Duration::from_secs(seconds);
                Some(pool.advance(*now))
            }
        }
    }

    /// Comes to hold these backends, all well and warm, and to rest.
    fn end_with(&mut self, backends: &BTreeMap<u8, u16>) {
        for (nth, weight) in backends {
            let _there = self.step(Step::Add(*nth, *weight));
            let _is_up = self.step(Step::Undrain(*nth));
            self.step(Step::Weigh(*nth, *weight)).expect("a weight");
            self.step(Step::Up(*nth));
        }
        for nth in (1..10).filter(|nth| !backends.contains_key(nth)) {
            let _gone = self.step(Step::Remove(nth));
        }
        // What is warm now, and then what settles.
        self.step(Step::Wait(1000));
        self.step(Step::Wait(1000));
        self.pool.settle(self.now, |_, _| false);
    }

    /// Where each slot's flows go.
    fn endpoints(&self) -> Vec<Endpoint> {
        let words = self.pool.slots().words().iter();
        words.map(|word| self.pool.backends()[&word.now()].endpoint).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// No state is shared: two edges agree as soon as their backends do.
    #[test]
    fn edges_agree_whatever_happened_before(
        settings in any_settings(),
        histories in [prop::collection::vec(step(), 0..40), prop::collection::vec(step(), 0..40)],
        last in prop::collection::btree_map(1..10_u8, 1..9_u16, 1..6),
    ) {
        let edges = histories.map(|steps| {
            let mut edge = Edge::new(settings);
            steps.into_iter().for_each(|step| drop(edge.step(step)));
            edge.end_with(&last);
            edge
        });
        prop_assert_eq!(edges[0].pool.slots().unsettled(), 0);
        prop_assert_eq!(edges[1].pool.slots().unsettled(), 0);
        prop_assert_eq!(edges[0].endpoints(), edges[1].endpoints());
        let declared: Vec<(Endpoint, u16)> = last.iter().map(|(nth, weight)| (at(*nth), *weight)).collect();
        let fresh = Edge { pool: Pool::new(settings, &declared, START).unwrap(), now: START };
        prop_assert_eq!(edges[0].endpoints(), fresh.endpoints());
    }

    /// Whatever is done to a pool: only flows of the dead move, and the rest of what a pool promises.
    #[test]
    fn only_the_dead_lose_flows(settings in any_settings(), steps in prop::collection::vec(step(), 0..60)) {
        let mut edge = Edge::new(settings);
        let mut memory = edge.pool.slots().words().to_vec();
        let mut owners: BTreeMap<u16, Endpoint> = BTreeMap::new();
        for step in steps {
            let before = memory.clone();
            let kept = edge.pool.backends().clone();
            match edge.step(step) {
                None => prop_assert_eq!(&kept, edge.pool.backends(), "refused, and yet changed"),
                Some(change) => change.updates.iter().for_each(|update| memory[update.slot as usize] = update.word),
            }
            let pool = &edge.pool;
            prop_assert_eq!(&memory, pool.slots().words());
            let taking = pool.summary().taking;
            for (old, new) in before.iter().zip(&memory) {
                prop_assert!(!pool.is_alive(old.unknown()) || old.unknown() == new.unknown(), "{step:?}");
                match pool.backends().get(&new.now()) {
                    Some(backend) if taking > 0 => prop_assert!(backend.takes()),
                    Some(backend) => prop_assert!(backend.is_wanted() && settings.all_down == AllDown::All),
                    None => prop_assert!(new.now() == NOBODY && taking == 0 && settings.all_down == AllDown::Pass),
                }
            }
            prop_assert!(pool.backends().values().any(|backend| backend.is_wanted()));
            prop_assert!(pool.due().is_none_or(|due| due > edge.now || !matches!(step, Step::Wait(_))));
            for (number, backend) in pool.backends() {
                // None was released.
                prop_assert_eq!(*owners.entry(*number).or_insert(backend.endpoint), backend.endpoint);
            }
            edge.pool.settle(edge.now, |_, _| false).iter().for_each(|update| memory[update.slot as usize] = update.word);
        }
    }
}

/// What traffic does between the steps of a history.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Begin(u32),
    Talk(usize, usize),
    Pool(Step),
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        4 => (0..31_u32).prop_map(Doing::Begin),
        2 => (1..4_usize, 0..4_usize).prop_map(|(each, from)| Doing::Talk(each, from)),
        4 => step().prop_map(Doing::Pool),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The whole of it: weights, drains, health, slow starts and nobody left, with packets in between.
    #[test]
    fn no_flow_moves_off_a_living_backend(
        settings in any_settings(),
        track in prop::sample::select(vec![Track::Changes, Track::All]),
        history in prop::collection::vec(doing(), 0..100),
    ) {
        let mut edge = Edge::new(settings);
        let mut traffic = Traffic::tracked(track);
        for doing in history {
            let alive = |number| edge.pool.is_alive(number);
            let view = View { words: edge.pool.slots().words(), alive: &alive, now: edge.now };
            match doing {
                Doing::Begin(slot) => traffic.begin(view, slot),
                Doing::Talk(each, from) => traffic.talk(view, each, from),
                Doing::Pool(step) => {
                    if let Step::Wait(after) = step {
                        traffic.talk_before(view, edge.now + Duration::from_secs(after), settings.settle);
                    }
                    edge.step(step);
                    traffic.mourn(&|number| edge.pool.is_alive(number));
                    let settled = edge.pool.settle(edge.now, |slot, word| traffic.holds(slot, word));
                    traffic.forget(&settled);
                }
            }
        }
    }
}
