//! What holds of every request, whatever its samples are made of.

use crate::judge::{agrees, sample};
use crate::traffic::{KINDS, Maker, RESOLVER, VICTIM};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use weir_detect::mine::{Budget, Findings, Prefix, Protected, Request, mine};
use weir_detect::sample::Sample;
use weir_packet::random::SplitMix;

/// Frames of a few kinds, some of them damaged, and how much of them samples show.
fn frames(seed: u64, count: usize, good: bool) -> Vec<(Vec<u8>, usize)> {
    let mut random = SplitMix::new(seed);
    let mut maker = Maker::new(seed);
    let kinds: Vec<_> = (0..3).map(|_| KINDS[random.bits() as usize % KINDS.len()].1).collect();
    let mut frame = || {
        let make = if good || random.bits().is_multiple_of(8) {
            Maker::everyday
        } else {
            kinds[random.bits() as usize % 3]
        };
        let mut frame = make(&mut maker);
        for _ in 0..(random.bits() % 8).saturating_sub(5) {
            let at = 12 + random.bits() as usize % 48.min(frame.len() - 12);
            frame[at] = random.bits() as u8;
        }
        if random.bits().is_multiple_of(3) {
            frame[26..30].copy_from_slice(&RESOLVER);
        }
        let shown = [20, 40, 64, 128, 9000][random.bits() as usize % 5];
        (frame, shown)
    };
    (0..count).map(|_| frame()).collect()
}

fn samples(frames: &[(Vec<u8>, usize)], one_in: u32) -> Vec<Sample<'_>> {
    frames.iter().map(|(frame, shown)| sample(frame, *shown, one_in)).collect()
}

fn protected() -> Protected {
    Protected { sources: vec![Prefix::host(IpAddr::from(RESOLVER))], ..Protected::default() }
}

fn mined(attack: &[Sample], good: &[Sample], protected: &Protected) -> Findings {
    let victim = &Prefix::host(IpAddr::from(VICTIM)).into();
    mine(&Request { victim, attack, good, network: good, protected, budget: Budget::default() })
}

/// The source of an IPv4 frame without tags.
fn source(frame: &[u8]) -> IpAddr {
    Ipv4Addr::new(frame[26], frame[27], frame[28], frame[29]).into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn statements_compile_mean_what_they_say_and_spare_the_protected(seed: u64, few in 0..400usize, one_in in 1..9u32) {
        let (attack, good) = (frames(seed, 300, false), frames(!seed, few, true));
        let (attacks, goods) = (samples(&attack, one_in), samples(&good, 1));
        let protected = protected();
        let findings = mined(&attacks, &goods, &protected);
        let whole: Vec<_> = attack.iter().chain(&good).map(|(frame, _)| frame.clone()).collect();
        let shown: Vec<_> = attacks.iter().filter(|s| is_for_victim(s)).collect();
        for statement in findings.statements.iter().chain(findings.left.iter().filter_map(|l| l.statement.as_ref())) {
            agrees(statement, "", &whole);
            for frame in whole.iter().filter(|frame| source(frame) == IpAddr::from(RESOLVER)) {
                prop_assert_eq!(statement.matches(&sample(frame, frame.len(), 1)), Some(false));
            }
            let covered = shown.iter().filter(|sample| statement.matches(sample) == Some(true)).count();
            let share = covered as f64 / shown.len() as f64;
            prop_assert!((statement.covered - share).abs() < 1e-9, "{} is not {share}", statement.covered);
        }
        let any = |sample: &&&Sample| findings.statements.iter().any(|s| s.matches(sample) == Some(true));
        let share = shown.iter().filter(any).count() as f64 / shown.len().max(1) as f64;
        prop_assert!((findings.covered - share).abs() < 1e-9);
        prop_assert_eq!(findings.attack_samples, shown.len());
        prop_assert!(findings.collateral.share <= Budget::default().max_collateral + 1e-9);
    }

    #[test]
    fn any_bytes_are_taken(seed: u64, shown in 0..200usize, ipv6: bool) {
        let mut random = SplitMix::new(seed);
        let frames: Vec<(Vec<u8>, usize)> = (0..80).map(|_| {
            let mut frame: Vec<u8> = (0..random.bits() % 200).map(|_| random.bits() as u8).collect();
            if frame.len() > 54 && !random.bits().is_multiple_of(8) {
                frame[12..15].copy_from_slice(if ipv6 { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
                frame[if ipv6 { 20 } else { 23 }] = [6, 17, 1, 44, 58][random.bits() as usize % 5];
            }
            (frame, shown)
        }).collect();
        let samples = samples(&frames, 0);
        let protected = protected();
        let victim = &Prefix::new(if ipv6 { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() }, 0).into();
        for (attack, good) in [(&samples[..], &samples[..]), (&samples, &samples[40..]), (&samples[..], &[]), (&[], &samples)] {
            let budget = Budget { max_collateral: 1.0, max_statements: 3, min_share: 0.0 };
            let request = Request { victim, attack, good, network: good, protected: &protected, budget };
            let findings = mine(&request);
            for statement in &findings.statements {
                let whole: Vec<_> = frames.iter().map(|(frame, _)| frame.clone()).collect();
                agrees(statement, "", &whole);
            }
        }
    }
}

/// Whether the miner looks at it: what shows the victim's address.
fn is_for_victim(sample: &Sample) -> bool {
    let header = sample.header;
    header.len() >= 34
        && header[12..14] == [8, 0]
        && header[14] >> 4 == 4
        && header[14] & 15 >= 5
        && 14 + usize::from(header[14] & 15) * 4 <= sample.frame_len as usize
        && header[30..34] == VICTIM
}
