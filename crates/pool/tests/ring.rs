//! Rings against the claims of the paper, and against what is asked of weights.

use proptest::prelude::*;
use weir_pool::ring::{LARGEST, LAST_NUMBER, Member, NOBODY, Ring, RingError, SIZE};

/// A backend by a number that says its address (port 443), and its weight.
type Backend = (u16, u32);

fn ring(backends: &[Backend], size: u32) -> Ring {
    let identities: Vec<Vec<u8>> = backends.iter().map(|(nth, _)| identity(*nth)).collect();
    let member = |((number, weight), identity): (&Backend, _)| (*number, *weight, identity);
    let named = backends.iter().zip(&identities).map(member);
    let members: Vec<Member<'_>> =
        named.map(|(number, weight, identity)| Member { identity, weight, number }).collect();
    Ring::build(&members, size).expect("a ring")
}

fn identity(nth: u16) -> Vec<u8> {
    [&(0x0a00_0000 + u32::from(nth)).to_be_bytes()[..], &443_u16.to_be_bytes()].concat()
}

fn alike(count: u16) -> Vec<Backend> {
    (1..=count).map(|nth| (nth, 1)).collect()
}

fn shares(ring: &Ring, backends: &[Backend]) -> Vec<usize> {
    let share = |(number, _): &Backend| ring.slots().iter().filter(|slot| *slot == number).count();
    backends.iter().map(share).collect()
}

/// Slots whose backend is another one.
fn moved(one: &Ring, other: &Ring) -> usize {
    one.slots().iter().zip(other.slots()).filter(|(one, other)| one != other).count()
}

/// Part of all slots that moved although they need not have: what must move is what some shares are larger than before.
fn needless(one: &Ring, other: &Ring) -> f64 {
    let share = |ring: &Ring, of: u16| ring.slots().iter().filter(|slot| **slot == of).count();
    let most = one.slots().iter().chain(other.slots()).max().copied().unwrap_or(NOBODY);
    let needed: usize = (1..=most).map(|of| share(other, of).saturating_sub(share(one, of))).sum();
    (moved(one, other) - needed) as f64 / one.slots().len() as f64
}

#[test]
fn one_backend_has_all_slots() {
    assert!(ring(&[(7, 3)], SIZE).slots().iter().all(|slot| *slot == 7));
}

#[test]
fn nobody_has_all_slots_of_an_empty_set() {
    for backends in [&[][..], &[(1, 0), (2, 0)]] {
        let ring = ring(backends, 251);
        assert_eq!(ring.slots(), [NOBODY; 251]);
    }
}

#[test]
fn shares_are_exact() {
    let of = |backends: &[Backend]| shares(&ring(backends, SIZE), backends);
    // 65,537 is 6 times 10,922 and 5: of the remainders 5/6, 4/6 and 3/6 the two largest get a slot.
    assert_eq!(of(&[(1, 1), (2, 2), (3, 3)]), [10_923, 21_846, 32_768]);
    assert_eq!(of(&[(1, 1), (2, 100)]), [649, 64_888]);
    assert_eq!(of(&[(1, 1), (2, 65_535)]), [1, 65_536]);
    assert_eq!(of(&[(1, 1), (2, u32::MAX)]), [1, 65_536]);
    // Of two equal remainders the backend that stands first by its hash has the slot.
    assert_eq!(of(&[(1, 5), (2, 0), (3, 5)]).into_iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    let equal = of(&alike(1000));
    assert!(equal.iter().all(|share| (65..=66).contains(share)));
    assert_eq!(equal.iter().sum::<usize>(), SIZE as usize);
}

/// The paper's claim, against the least possible: with some hundred slots or more for each backend, what moves although it
/// need not is below one in a hundred slots, whether one of two goes or one of a thousand.
#[test]
fn few_slots_move_without_need() {
    for (count, bound) in [(2, 0.001), (3, 0.001), (10, 0.003), (100, 0.008), (1000, 0.01)] {
        let all = ring(&alike(count), SIZE);
        for gone in (1..=count).step_by(usize::from(count).div_ceil(5)) {
            let others: Vec<Backend> = alike(count).into_iter().filter(|(nth, _)| *nth != gone).collect();
            let others = ring(&others, SIZE);
            for (what, needless) in [("goes", needless(&all, &others)), ("comes", needless(&others, &all))] {
                assert!(needless < bound, "{gone} of {count} {what}: {needless}");
            }
        }
    }
}

/// The same where weights differ, and when they change.
#[test]
fn weights_move_few_slots() {
    for weights in [&[1, 100][..], &[1, 2, 3, 4, 5, 6, 7, 8], &[1, 1, 1, 100, 100, 100]] {
        let all: Vec<Backend> = (1..).zip(weights.iter().copied()).collect();
        let before = ring(&all, SIZE);
        for nth in 0..all.len() {
            for weight in [0, all[nth].1 + 1] {
                let mut changed = all.clone();
                changed[nth].1 = weight;
                let needless = needless(&before, &ring(&changed, SIZE));
                assert!(needless < 0.003, "{weights:?}, {weight} for {nth}: {needless}");
            }
        }
    }
}

/// Computed from the description in `ring.rs` by a program of its own: edges of all builds must agree.
#[test]
fn rings_are_those_of_the_description() {
    let expected =
        [1, 2, 3, 3, 1, 3, 3, 3, 1, 3, 3, 3, 2, 2, 3, 3, 2, 1, 3, 3, 2, 3, 3, 2, 2, 3, 2, 1, 2, 3, 2];
    assert_eq!(ring(&[(1, 1), (2, 2), (3, 3)], 31).slots(), expected);

    let backends: Vec<Backend> = (1..=100).map(|nth| (nth, 1 + u32::from(nth) % 7)).collect();
    let digest = |digest, slot: &u16| weir_pool::flow::hash(digest, &[u64::from(*slot)]);
    assert_eq!(ring(&backends, SIZE).slots().iter().fold(0, digest), 0x6308_51f3_74c9_5f1b);
}

#[test]
fn what_is_no_ring_is_refused() {
    let error = |size| Ring::build(&[], size).unwrap_err();
    for size in [0, 1, 4, 65_536] {
        assert_eq!(error(size), RingError::NotPrime { size });
    }
    assert_eq!(
        error(65_536).to_string(),
        "a ring cannot have 65536 slots: use a prime number, such as 65537"
    );
    assert_eq!(error(1000).to_string(), "a ring cannot have 1000 slots: use a prime number, such as 1009");
    assert_eq!(error(LARGEST + 43), RingError::TooLarge { size: LARGEST + 43 });
    assert_eq!(Ring::build(&[], 2).unwrap().slots(), [NOBODY; 2]);
}

#[test]
fn who_is_no_member_is_refused() {
    let member = |number| Member { identity: b"one", weight: 1, number };
    let error = |members: &[Member<'_>]| Ring::build(members, 7).unwrap_err();
    assert_eq!(error(&[member(NOBODY)]), RingError::Number { number: NOBODY });
    assert_eq!(error(&[member(LAST_NUMBER + 1)]), RingError::Number { number: u16::MAX });
    assert_eq!(error(&[member(1), member(2)]), RingError::Twice { numbers: [1, 2] });
}

/// Some backends, by number and weight.
fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let weight = prop_oneof![0..4_u32, 0..65_536_u32];
    prop::collection::btree_map(1..2000_u16, weight, 0..40).prop_map(|all| all.into_iter().collect())
}

proptest! {
    #[test]
    fn no_order_matters(backends in backends(), seed: u64, size in prop::sample::select(vec![7, 251, 1009])) {
        let mut shuffled = backends.clone();
        shuffled.sort_by_key(|(nth, _)| weir_pool::flow::hash(seed, &[u64::from(*nth)]));
        prop_assert_eq!(ring(&backends, size), ring(&shuffled, size));
    }

    /// Equal quotas of one size: shares differ by one slot at most, and nobody with a weight is without one.
    #[test]
    fn shares_follow_weights(backends in backends()) {
        let size = 1009;
        let shares = shares(&ring(&backends, size), &backends);
        prop_assert!(backends.iter().all(|(_, weight)| *weight == 0) || shares.iter().sum::<usize>() == 1009);
        for (one, share) in backends.iter().zip(&shares) {
            prop_assert_eq!(one.1 == 0, *share == 0);
            for (other, others) in backends.iter().zip(&shares) {
                prop_assert!(one.1 < other.1 || share + 1 >= *others);
            }
        }
    }

    /// Slots do not depend on the numbers, which two edges may have given differently.
    #[test]
    fn numbers_do_not_choose(backends in backends()) {
        let identities: Vec<Vec<u8>> = backends.iter().map(|(nth, _)| identity(*nth)).collect();
        let numbered = |number: &dyn Fn(u16) -> u16| {
            let members: Vec<Member<'_>> = backends
                .iter()
                .zip(&identities)
                .map(|((nth, weight), identity)| Member { identity, weight: *weight, number: number(*nth) })
                .collect();
            Ring::build(&members, 251).unwrap()
        };
        let backwards = numbered(&|nth| 3000 - nth);
        let back: Vec<u16> =
            backwards.slots().iter().map(|slot| if *slot == NOBODY { NOBODY } else { 3000 - slot }).collect();
        let forwards = numbered(&|nth| nth);
        prop_assert_eq!(forwards.slots(), back);
    }
}
