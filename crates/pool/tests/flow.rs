//! What a hash of flows must be: all bits good, for the keys that networks have.

use proptest::prelude::*;
use weir_pool::flow::Word::{W8, W16, W32, W64, W128};
use weir_pool::flow::{Word, hash, lanes, slot};
use weir_pool::ring::SIZE;

#[test]
fn words_fill_lanes_from_above() {
    assert_eq!(lanes(&[]), [0; 0]);
    assert_eq!(lanes(&[W8(1), W16(2), W8(3), W32(4)]), [0x0100_0203_0000_0004]);
    assert_eq!(lanes(&[W32(1), W64(2), W32(3)]), [1, 2, 3]);
    assert_eq!(lanes(&[W8(1), W128(2 << 64 | 3), W8(4)]), [1, 2, 3, 4]);
    assert_eq!(lanes(&[W16(1), W32(2), W32(3), W16(4)]), [0x1_0000_0002, 0x3_0004]);
}

#[test]
fn slots_reach_from_end_to_end() {
    assert_eq!([0, u64::from(u32::MAX), u64::MAX].map(|hash| slot(hash, SIZE)), [0, 0, SIZE - 1]);
    assert_eq!(slot(1 << 63, SIZE), SIZE / 2);
}

const SAMPLES: u64 = 8_192;

/// How far a part of the samples may be off one half: 5 standard deviations of a coin that is thrown half as often, since a
/// sample and the same with another low bit make each other's pair. One of two million fair coins is as far off.
const BIAS: f64 = 5.0 * 0.5 / 64.0;

/// Each bit of a key turns each bit of the hash half of the time, whatever the others are.
#[test]
fn each_bit_of_a_key_turns_each_bit_of_the_hash() {
    for count in [1, 2, 5] {
        for (lane, bit) in (0..count).flat_map(|lane| (0..64).map(move |bit| (lane, bit))) {
            let mut turned = [0_u64; 64];
            for sample in 0..SAMPLES {
                // Keys as they are: small numbers, counted up.
                let mut key: Vec<u64> = (0..count as u64).map(|lane| sample << (8 * lane)).collect();
                let before = hash(1, &key);
                key[lane] ^= 1 << bit;
                let after = hash(1, &key);
                (0..64).for_each(|out| turned[out] += (before ^ after) >> out & 1);
            }
            for (out, turned) in turned.into_iter().enumerate() {
                let bias = (turned as f64 / SAMPLES as f64 - 0.5).abs();
                assert!(bias < BIAS, "{count} lanes, bit {bit} of lane {lane}, bit {out}: {bias}");
            }
        }
    }
}

/// Keys that follow one another as addresses and ports do.
fn keys() -> Vec<(&'static str, Vec<Vec<Word>>)> {
    const COUNT: u32 = 1 << 19;
    let v4 = |from: u32, port: u32| vec![W32(from), W32(0xcb00_710a), W16(port as u16), W16(443), W8(6)];
    let v6 = |from: u128, port: u32| {
        vec![W128(0x2001_0db8 << 96 | from), W128(0x2001_0db8 << 96 | 1), W16(port as u16), W16(443), W8(17)]
    };
    let each = |key: &dyn Fn(u32) -> Vec<Word>| (0..COUNT).map(key).collect();
    vec![
        ("addresses alone", each(&|nth| vec![W32(0x0a00_0000 + nth)])),
        ("networks alone", each(&|nth| vec![W32(nth << 12)])),
        ("addresses, one port", each(&|nth| v4(0x0a00_0000 + nth, 40_000))),
        ("ports of 32 addresses", each(&|nth| v4(0x0a00_0000 + (nth >> 14), 49_152 + (nth & 0x3fff)))),
        ("a port and an address at a time", each(&|nth| v4(0x0a00_0000 + nth, 1024 + nth))),
        ("IPv6 interfaces", each(&|nth| v6(nth.into(), 40_000))),
        ("IPv6 networks", each(&|nth| v6(u128::from(nth) << 64, 40_000))),
        ("ports of IPv6", each(&|nth| v6((nth >> 16).into(), nth))),
        ("identifiers of 64 bits, by eights", each(&|nth| vec![W64(u64::from(nth) << 3)])),
    ]
}

/// Chi-square of counts in cells that should be even, in standard deviations off what chance gives.
fn unevenness(cells: u32, of: impl Iterator<Item = u32>) -> f64 {
    let mut counts = vec![0_u32; cells as usize];
    of.for_each(|cell| counts[cell as usize] += 1);
    let expected = counts.iter().sum::<u32>() as f64 / f64::from(cells);
    let squares: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    let freedom = f64::from(cells - 1);
    (squares - freedom) / (2.0 * freedom).sqrt()
}

/// Standard deviations: one in 30,000 tests is further off by chance, on each side.
const UNEVEN: f64 = 4.0;

/// Neither too uneven, nor more even than chance would be, which is a pattern too.
#[test]
fn slots_and_fingerprints_are_even() {
    for (what, keys) in keys() {
        for seed in [0, 0x5eed] {
            let hashes: Vec<u64> = keys.iter().map(|key| hash(seed, &lanes(key))).collect();
            let off = [
                ("slots", unevenness(SIZE, hashes.iter().map(|hash| slot(*hash, SIZE)))),
                ("few slots", unevenness(251, hashes.iter().map(|hash| slot(*hash, 251)))),
                ("low bits", unevenness(1 << 16, hashes.iter().map(|hash| *hash as u32 & 0xffff))),
                ("bits 16 to 31", unevenness(1 << 16, hashes.iter().map(|hash| *hash as u32 >> 16))),
                (
                    "bits 32 to 47",
                    unevenness(1 << 16, hashes.iter().map(|hash| (*hash >> 32) as u32 & 0xffff)),
                ),
                // Eight of the bits that choose the slot beside eight of a fingerprint: they must not depend on each other.
                (
                    "both halves",
                    unevenness(
                        1 << 16,
                        hashes.iter().map(|hash| (*hash >> 48) as u32 & 0xff00 | *hash as u32 & 0xff),
                    ),
                ),
            ];
            for (part, off) in off {
                assert!(off.abs() < UNEVEN, "{what}, seed {seed}, {part}: {off} standard deviations");
            }
        }
    }
}

proptest! {
    /// Every step can be undone.
    #[test]
    fn keys_that_differ_in_one_lane_differ(seed: u64, key: [u64; 3], lane in 0..3_usize, other: u64) {
        let mut changed = key;
        changed[lane] = other;
        prop_assert_eq!(key == changed, hash(seed, &key) == hash(seed, &changed));
    }

    #[test]
    fn a_slot_is_in_the_ring(hash: u64, size in 1..1_u32 << 24) {
        prop_assert!(slot(hash, size) < size);
    }
}
