use crate::server::{Etcd, is_missing, until};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use weir_fleet::Error;
use weir_fleet::etcd::{Compare, Link, Operation, Store, Transaction};

fn put(name: &str, value: &str) -> Operation {
    Operation::Put(name.into(), value.into())
}

fn value(store: &Store, name: &str) -> Option<String> {
    store.get(name).map(|entry| entry.text())
}

#[test]
fn the_copy_follows_what_others_do() {
    if is_missing("the_copy_follows_what_others_do") {
        return;
    }
    let etcd = Etcd::start();
    etcd.ctl(&["put", "/weir/policies/a", "default pass"]);
    etcd.ctl(&["put", "/weirdo", "not ours"]);
    let store = etcd.store();
    assert_eq!(value(&store, "policies/a").as_deref(), Some("default pass"));
    assert_eq!(store.list("").len(), 1);
    let (seen, start) = (store.change(), Instant::now());
    etcd.ctl(&["put", "/weir/policies/b", "default drop"]);
    store.wait(seen, Duration::from_secs(5));
    assert!(start.elapsed() < Duration::from_secs(2));
    until("b", || value(&store, "policies/b").as_deref() == Some("default drop"));
    etcd.ctl(&["del", "/weir/policies/a"]);
    until("a is gone", || store.get("policies/a").is_none());
    let names: Vec<String> = store.list("policies/").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn a_transaction_is_done_as_a_whole_if_its_conditions_hold() {
    if is_missing("a_transaction_is_done_as_a_whole_if_its_conditions_hold") {
        return;
    }
    let etcd = Etcd::start();
    let store = etcd.store();
    let absent = || vec![Compare::Absent("leader".into())];
    let first = Transaction { when: absent(), then: vec![put("leader", "a"), put("x", "1")] };
    assert!(store.transact(first).unwrap());
    until("it is there", || value(&store, "x").as_deref() == Some("1"));
    let second = Transaction { when: absent(), then: vec![put("leader", "b"), put("x", "2")] };
    assert!(!store.transact(second).unwrap());
    let made = store.get("leader").unwrap().made;
    let held = |made: i64, x: &str| Transaction {
        when: vec![Compare::Made("leader".into(), made)],
        then: vec![put("x", x), Operation::Delete("y".into())],
    };
    assert!(!store.transact(held(made - 1, "3")).unwrap());
    assert!(store.transact(held(made, "4")).unwrap());
    until("only the last", || value(&store, "x").as_deref() == Some("4"));
    assert_eq!(value(&store, "leader").as_deref(), Some("a"));
    // What etcd does not do is said, and ends nothing.
    let twice = Transaction { when: Vec::new(), then: vec![put("x", "5"), put("x", "6")] };
    let told = store.transact(twice).unwrap_err();
    assert!(matches!(&told, Error::Refused(why) if why.contains("duplicate key")), "{told}");
    assert_eq!(store.link(), Link::Up);
}

#[test]
fn what_is_lent_goes_with_its_owner() {
    if is_missing("what_is_lent_goes_with_its_owner") {
        return;
    }
    let etcd = Etcd::start();
    let (owner, other) = (etcd.store(), etcd.store());
    owner.lend("edges/a", b"one".to_vec());
    until("it is there", || value(&other, "edges/a").as_deref() == Some("one"));
    owner.lend("edges/a", b"two".to_vec());
    until("it is another", || value(&other, "edges/a").as_deref() == Some("two"));
    // Longer than the lease is.
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(value(&other, "edges/a").as_deref(), Some("two"));
    drop(owner);
    until("it is gone", || other.get("edges/a").is_none());
}

#[test]
fn a_lease_that_was_granted_lasts_as_long_as_somebody_keeps_it() {
    if is_missing("a_lease_that_was_granted_lasts_as_long_as_somebody_keeps_it") {
        return;
    }
    let etcd = Etcd::start();
    let (store, next) = (etcd.store(), etcd.store());
    let lease = store.grant(Duration::from_secs(2)).unwrap();
    store.keep([lease]);
    let hold = vec![Operation::Hold("mitigations/1".into(), b"drop x".to_vec(), lease)];
    assert!(store.transact(Transaction { when: Vec::new(), then: hold }).unwrap());
    std::thread::sleep(Duration::from_secs(5));
    assert!(next.get("mitigations/1").is_some());
    next.keep([lease]);
    drop(store);
    std::thread::sleep(Duration::from_secs(5));
    assert!(next.get("mitigations/1").is_some(), "the next one keeps it");
    next.keep([]);
    until("it is gone", || next.get("mitigations/1").is_none());
}

#[test]
fn an_etcd_that_is_killed_or_hangs_is_said_and_found_again() {
    if is_missing("an_etcd_that_is_killed_or_hangs_is_said_and_found_again") {
        return;
    }
    let mut etcd = Etcd::start();
    let store = etcd.store();
    store.lend("edges/a", b"one".to_vec());
    until("it is there", || store.get("edges/a").is_some());
    etcd.kill();
    until("it is lost", || matches!(store.link(), Link::Lost(_)));
    assert!(store.get("edges/a").is_some(), "the copy stays");
    let start = Instant::now();
    assert!(matches!(store.transact(Transaction::default()), Err(Error::Lost(_))));
    assert!(start.elapsed() < Duration::from_secs(1), "nobody waits for what is not there");
    store.lend("edges/a", b"two".to_vec());
    etcd.begin();
    until("it is back", || store.link() == Link::Up);
    until("what is lent is as it should be", || value(&store, "edges/a").as_deref() == Some("two"));
    etcd.signal(Signal::SIGSTOP);
    until("it hangs", || matches!(store.link(), Link::Lost(_)));
    etcd.signal(Signal::SIGCONT);
    until("it goes on", || store.link() == Link::Up);
    etcd.ctl(&["put", "/weir/x", "3"]);
    until("it is followed", || value(&store, "x").as_deref() == Some("3"));
    // Its lease ran out meanwhile: it has another one.
    until("it is lent again", || value(&store, "edges/a").as_deref() == Some("two"));
}

#[test]
fn history_that_is_compacted_meanwhile_is_not_missed() {
    if is_missing("history_that_is_compacted_meanwhile_is_not_missed") {
        return;
    }
    let etcd = Etcd::start();
    let store = etcd.store();
    for number in 0..200 {
        etcd.ctl(&["put", "/weir/x", &number.to_string()]);
        if number % 50 == 25 {
            etcd.ctl(&["compact", &(number + 1).to_string()]);
        }
    }
    until("the last", || value(&store, "x").as_deref() == Some("199"));
}

#[test]
fn large_values_and_any_bytes() {
    if is_missing("large_values_and_any_bytes") {
        return;
    }
    let etcd = Etcd::start();
    let store = etcd.store();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|number| (number * 7 % 256) as u8).collect();
    let then = vec![Operation::Put("files/a".into(), bytes.clone())];
    assert!(store.transact(Transaction { when: Vec::new(), then }).unwrap());
    until("it is there", || store.get("files/a").is_some_and(|entry| entry.value == bytes));
    // More than etcd takes.
    let then = vec![Operation::Put("files/b".into(), vec![0; 3_000_000])];
    assert!(matches!(store.transact(Transaction { when: Vec::new(), then }), Err(Error::Refused(_))));
}
