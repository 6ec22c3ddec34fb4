//! What holds whatever happens.

use super::tests::proposal;
use super::{Command, Config, Mitigations, Stage, Written};
use crate::mine::{Prefix, Proof, Protected};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Propose {
        rest: u8,
        victim: u8,
        shown: bool,
        high: f64,
        share: f64,
        spares: bool,
    },
    Hit(u64, u64),
    Good(u64, u64, u64),
    Fell(u64),
    Pin(u64, bool),
    /// In shadow or not.
    Edit(u64, bool),
    Forbid(u64),
    Refused(u64),
    /// So many addresses are protected as victims.
    Protect(u8),
    /// Milliseconds, also backwards.
    Time(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1..12u64;
    prop_oneof![
        3 => (0..8u8, 0..8u8, any::<bool>(), 0.0..0.2, 0.0..0.01, prop::bool::weighted(0.8)).prop_map(
            |(rest, victim, shown, high, share, spares)| Step::Propose { rest, victim, shown, high, share, spares }
        ),
        4 => (id.clone(), 0..100_000u64).prop_map(|(id, packets)| Step::Hit(id, packets)),
        1 => (id.clone(), 0..200u64, 0..3u64).prop_map(|(id, good, matched)| Step::Good(id, good, matched)),
        1 => id.clone().prop_map(Step::Fell),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, pinned)| Step::Pin(id, pinned)),
        1 => (id.clone(), any::<bool>()).prop_map(|(id, in_shadow)| Step::Edit(id, in_shadow)),
        1 => id.clone().prop_map(Step::Forbid),
        1 => id.prop_map(Step::Refused),
        1 => (2..6u8).prop_map(Step::Protect),
        6 => prop_oneof![1..2000i64, -5000..0i64, Just(86_400_000)].prop_map(Step::Time),
    ]
}

fn config() -> Config {
    let prefix = |last: u8| Prefix::new([192, 0, 2, last].into(), 32);
    let protected = Protected { victims: vec![prefix(3), prefix(5)], sources: vec![prefix(99)], set: None };
    let (idle, longest) = (Duration::from_secs(5), Duration::from_secs(30));
    Config { protected, idle, longest, most: 3, ..Config::default() }
}

proptest! {
    #[test]
    fn nothing_outlives_its_reason_and_nothing_protected_is_touched(steps in prop::collection::vec(step(), 1..120)) {
        let mut config = config();
        let mut lives = Mitigations::new(config.clone());
        // The policy, as commands make it: whether each is in shadow.
        let mut policy: BTreeMap<u64, bool> = BTreeMap::new();
        let mut time = 1_000_000i64;
        for step in steps {
            match step {
                Step::Propose { rest, victim, shown, high, share, spares } => {
                    let proof = if shown { Proof::Shown } else { Proof::Thin };
                    let mut one = proposal(&format!("ip.len == {rest}"), proof, high);
                    one.victim = Prefix::new([192, 0, 2, victim].into(), 32).into();
                    one.collateral.share = share;
                    if spares {
                        one.spares = config.protected.clone();
                    }
                    let _ = lives.propose(one);
                }
                Step::Hit(id, packets) => lives.hit(id, packets),
                Step::Good(id, good, matched) => lives.looked_good(id, good, matched.min(good)),
                Step::Fell(id) => lives.fell(id),
                Step::Pin(id, pinned) => drop(lives.pin(id, pinned)),
                Step::Edit(id, in_shadow) => {
                    let spares = config.protected.clone();
                    let written = Written { verb: "drop".into(), rest: "when udp".into(), in_shadow, spares };
                    if lives.edit(id, &written).is_some() {
                        // It stands already.
                        policy.insert(id, in_shadow);
                    }
                }
                Step::Forbid(id) => drop(lives.forbid(id)),
                Step::Refused(id) => lives.refused(id),
                Step::Protect(last) => {
                    config.protected.victims[0] = Prefix::new([192, 0, 2, last].into(), 32);
                    lives.protect(config.protected.clone());
                }
                Step::Time(by) => time = (time + by).max(0),
            }
            for command in lives.tick(Duration::from_millis(time as u64)) {
                match command {
                    Command::Try(one) => prop_assert!(policy.insert(one.id, true).is_none()),
                    Command::Enforce(one) => {
                        let was = policy.insert(one.id, false);
                        let tried = config.shadow(&one.proposal);
                        prop_assert_eq!(was, (!tried.is_zero()).then_some(true));
                        prop_assert!(one.age(lives.now()) >= tried);
                    }
                    Command::Remove(one, _) => prop_assert!(policy.remove(&one.id).is_some()),
                }
            }
            let standing: BTreeMap<u64, bool> = lives.standing().map(|one| (one.id, one.in_shadow())).collect();
            prop_assert_eq!(&standing, &policy);
            prop_assert!(standing.len() <= config.most);
            for one in lives.standing() {
                let protected = &config.protected;
                prop_assert!(!protected.victims.iter().any(|prefix| one.proposal.victim.meets_prefix(prefix)));
                prop_assert_eq!(&one.proposal.spares, protected);
                prop_assert!(one.proposal.collateral.share <= config.max_collateral);
                prop_assert!(one.pinned || one.edited || one.age(lives.now()) < config.longest);
                prop_assert!(one.pinned || !one.hits.is_idle(config.idle, lives.now()));
                let harmful = one.harmed >= config.harmful_samples
                    && one.harmed as f64 > config.harmful_share * one.good as f64;
                prop_assert!(one.pinned || one.edited || !harmful);
                prop_assert!(!matches!(one.stage, Stage::Enforced) || one.edited || one.hits.packets > 0 || config.shadow(&one.proposal).is_zero());
            }
        }
    }
}
