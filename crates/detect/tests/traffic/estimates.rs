//! Estimates against what really was.

use weir_detect::traffic::{Config, Tally};
use weir_packet::random::SplitMix;

use crate::common::*;

/// Packets that are known one by one, sampled at rates that change; the truth is within 1.96 stated errors in 95 of 100
/// runs, as a normal error is, and above the lower bound of three in nearly all.
#[test]
fn the_truth_is_within_the_stated_error() {
    const RUNS: u64 = 400;
    let any = mixed(&[Flow::to("192.0.2.1", 1e6)], 1).remove(0);
    let (mut packets_in, mut bits_in, mut above) = (0, 0, 0);
    for seed in 0..RUNS {
        let mut random = SplitMix::new(seed);
        let mut tally = Tally::new(&Config { hosts: 64, prefixes: 64, ..Config::default() });
        let (mut packets, mut bits) = (0.0, 0.0);
        for n in 0..20_000u32 {
            // Within the ten buckets of a second's first three quarters, so that all of it is in the window.
            let time = seconds(100.0 + f64::from(n) * 0.7 / 20_000.0);
            let length = 60 + (random.bits() % 1441) as u32;
            let one_in = [20, 50, 100, 200][n as usize / 5000];
            packets += 1.0;
            bits += f64::from(length) * 8.0;
            if random.bits().is_multiple_of(u64::from(one_in)) {
                let mut taken = any.clone();
                (taken.time, taken.length, taken.one_in) = (time, length, one_in);
                tally.count(&taken.sample());
            }
        }
        let flow = tally.flow(&host("192.0.2.1"), 1).unwrap();
        let is_near = |estimate: weir_detect::traffic::Estimate, truth: f64| {
            (estimate.value - truth).abs() <= 1.96 * estimate.error
        };
        packets_in += u64::from(is_near(flow.packets_per_second, packets));
        bits_in += u64::from(is_near(flow.bits_per_second, bits));
        above += u64::from(flow.packets_per_second.low <= packets && flow.bits_per_second.low <= bits);
    }
    assert!(packets_in * 100 >= RUNS * 93, "{packets_in} of {RUNS}");
    assert!(bits_in * 100 >= RUNS * 93, "{bits_in} of {RUNS}");
    assert!(above * 100 >= RUNS * 99, "{above} of {RUNS}");
}

#[test]
fn one_in_one_is_exact() {
    let mut tally = Tally::new(&Config::default());
    let flow = Flow { one_in: 1, ..Flow::to("2001:db8::5", 1e4).between(50.0, 50.7) };
    let samples = mixed(&[flow], 3);
    samples.iter().for_each(|taken| tally.count(&taken.sample()));
    let found = tally.flow(&host("2001:db8::5"), 1).unwrap();
    assert_eq!(found.packets_per_second.value, samples.len() as f64);
    assert_eq!(found.packets_per_second.low, samples.len() as f64);
    assert_eq!(found.bits_per_second.error, 0.0);
}

#[test]
fn the_top_is_sorted_by_bits() {
    let mut tally = Tally::new(&Config::default());
    let flows = [Flow::to("192.0.2.1", 10e3), Flow::to("192.0.2.2", 40e3), Flow::to("198.51.100.3", 20e3)];
    mixed(&flows, 1).iter().for_each(|taken| tally.count(&taken.sample()));
    let names = |kind, count| -> Vec<String> {
        tally.top(kind, count).iter().map(|flow| flow.victim.to_string()).collect()
    };
    use weir_detect::traffic::Kind;
    assert_eq!(names(Kind::Hosts, 2), ["192.0.2.2", "198.51.100.3"]);
    assert_eq!(names(Kind::Prefixes(0), 9), ["192.0.2.0/24", "198.51.100.0/24"]);
    assert_eq!(names(Kind::Services, 9), [""; 0]);
}
