//! Two analysers that saw halves are one that saw all.

use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Config, Detector, Prefix, Service, Tally, Victim};

use crate::common::*;

/// Milliseconds since the last one, the last bits of the destination, the weight, the length, whose it is.
type Step = (u64, u32, u32, u32, bool);

fn steps(hosts: u32) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((0u64..200, 0..hosts, 1u32..2000, 60u32..1500, any::<bool>()), 0..400)
}

fn victim(n: u32) -> IpAddr {
    // Every eighth in a prefix of its own.
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + (n / 8) * 256 + n % 8))
}

fn tallies(config: &Config, steps: &[Step]) -> (Tally, Tally, Tally) {
    let mut tallies = (Tally::new(config), Tally::new(config), Tally::new(config));
    let mut now = seconds(1000.0);
    for (step, host, one_in, frame_len, half) in steps {
        now += std::time::Duration::from_millis(*step);
        let header = header(Ipv4Addr::LOCALHOST.into(), victim(*host));
        let (one_in, frame_len) = (*one_in, *frame_len);
        let sample =
            Sample { time: now, header: &header, frame_len, one_in, fate: Fate::Passed, statement: None };
        tallies.0.count(&sample);
        if *half { tallies.1.count(&sample) } else { tallies.2.count(&sample) }
    }
    tallies
}

fn victims(hosts: u32) -> Vec<Victim> {
    let hosts = (0..hosts).map(victim);
    let prefixes = hosts.clone().map(|address| Victim::Prefix(Prefix::new(address, 24)));
    hosts.clone().map(Victim::Host).chain(prefixes).chain([Victim::Service("all".into())]).collect()
}

fn config(hosts: usize) -> Config {
    let services = vec![Service::new("all", vec!["10.0.0.0/8".parse().unwrap()])];
    Config { hosts, prefixes: 64, services, ..Config::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// With room for all, exactly, both ways round, and at any time afterwards.
    #[test]
    fn with_room_it_is_exact(steps in steps(24), later in 0u64..12_000) {
        let (mut whole, left, right) = tallies(&config(1 << 12), &steps);
        let (mut one, mut other) = (left.clone(), right.clone());
        prop_assert!(one.merge(&right) && other.merge(&left));
        let now = seconds(1000.0) + std::time::Duration::from_millis(steps.iter().map(|step| step.0).sum::<u64>() + later);
        for tally in [&mut whole, &mut one, &mut other] {
            tally.tick(now);
        }
        for victim in victims(24) {
            // Sixteen keys may still share a set of eight, which then says what it lost.
            if [&whole, &one, &other].iter().any(|tally| tally.lost(&victim) > 0) {
                continue;
            }
            for horizon in 0..3 {
                prop_assert_eq!(one.flow(&victim, horizon), whole.flow(&victim, horizon), "{}", victim);
                prop_assert_eq!(other.flow(&victim, horizon), whole.flow(&victim, horizon), "{}", victim);
            }
        }
    }

    /// Without room, for keys or for windows, never above the truth, and below it by what is said to be lost at most.
    #[test]
    fn without_room_it_is_within_its_bound(
        steps in steps(200),
        (hosts, windows) in (4u32..12, 0u32..8).prop_map(|(hosts, windows)| (1 << hosts, 1 << windows)),
    ) {
        let (truth, _, _) = tallies(&config(1 << 14), &steps);
        let (_, mut left, right) = tallies(&Config { windows, ..config(hosts) }, &steps);
        prop_assert!(left.merge(&right));
        for host in (0..200).map(victim).map(Victim::Host) {
            prop_assume!(truth.lost(&host) == 0);
            for (horizon, seconds) in [0.1, 1.0, 10.0].into_iter().enumerate() {
                let packets = |tally: &Tally| {
                    tally.flow(&host, horizon).map_or(0.0, |flow| (flow.packets_per_second.value * seconds).round())
                };
                let (found, truth) = (packets(&left), packets(&truth));
                prop_assert!(found <= truth, "{host}: {found} of {truth}");
                prop_assert!(found + left.lost(&host) as f64 >= truth, "{host}: {found} of {truth}");
            }
        }
    }
}

/// What one had at rest and what the other had in windows are two losses where there are no windows for the two together.
#[test]
fn what_is_lost_of_both_is_said_of_both() {
    let config = Config { windows: 1, ..config(64) };
    let tally = |samples: &[(&str, f64, u32)]| {
        let mut tally = Tally::new(&config);
        for (to, time, one_in) in samples {
            let header = header(Ipv4Addr::LOCALHOST.into(), to.parse().unwrap());
            let (time, one_in, fate) = (seconds(*time), *one_in, Fate::Passed);
            let sample = Sample { time, header: &header, frame_len: 100, one_in, fate, statement: None };
            tally.count(&sample);
        }
        tally
    };
    let mut mine =
        tally(&[("10.0.0.1", 1000.0, 100_000), ("10.0.1.1", 1001.0, 100), ("10.0.0.1", 1004.0, 100_000)]);
    assert!(mine.merge(&tally(&[("10.0.1.1", 1002.5, 99), ("10.0.1.1", 1004.0, 1)])));
    let small = host("10.0.1.1");
    assert_eq!(mine.flow(&small, 2), None);
    assert!(mine.lost(&small) >= 200, "{}", mine.lost(&small));
}

#[test]
fn other_configurations_do_not_fit() {
    let mut tally = Tally::new(&config(64));
    assert!(!tally.merge(&Tally::new(&config(4096))));
    assert!(!tally.merge(&Tally::new(&Config { seed: 1, ..config(64) })));
    assert!(!tally.merge(&Tally::new(&Config { services: Vec::new(), ..config(64) })));
}

/// Each of four edges sees too little for an alert.
#[test]
fn an_attack_over_several_edges_is_one() {
    let edges: Vec<_> =
        (0..4).map(|seed| mixed(&[Flow::to("192.0.2.1", 15e3).between(10.0, 12.0)], seed)).collect();
    let mut detector = Detector::new(Config::default());
    let mut events = Vec::new();
    for step in 0..60u32 {
        let (from, to) = (seconds(10.0 + f64::from(step) * 0.05), seconds(10.05 + f64::from(step) * 0.05));
        for samples in &edges {
            let mut tally = Tally::new(&Config::default());
            let now = samples.iter().filter(|taken| taken.time >= from && taken.time < to);
            now.for_each(|taken| tally.count(&taken.sample()));
            assert!(detector.absorb(&tally));
        }
        events.extend(detector.tick(to).map(|event| (to, event)));
    }
    assert_eq!(began(&events), [host("192.0.2.1")]);
    assert!(events[0].0 < seconds(10.25), "{:?}", events[0].0);
    for samples in edges {
        assert_eq!(began(&play(&mut Detector::new(Config::default()), &samples, seconds(15.0))), []);
    }
}

/// Two queues whose samples are some tenths of a second behind each other.
#[test]
fn what_comes_late_counts_where_it_belongs() {
    let flows =
        [Flow::to("192.0.2.1", 50e3).between(10.0, 14.0), Flow::to("192.0.2.1", 50e3).between(10.3, 14.0)];
    let mut samples = mixed(&flows, 1);
    let mut in_order = Tally::new(&config(64));
    samples.iter().for_each(|taken| in_order.count(&taken.sample()));
    samples.chunks_mut(100).for_each(<[Taken]>::reverse);
    let mut disordered = Tally::new(&config(64));
    samples.iter().for_each(|taken| disordered.count(&taken.sample()));
    for tally in [&mut in_order, &mut disordered] {
        tally.tick(seconds(14.05));
    }
    for horizon in 0..3 {
        assert_eq!(disordered.flow(&host("192.0.2.1"), horizon), in_order.flow(&host("192.0.2.1"), horizon));
    }
}

/// The one that is added saw its last sample seconds ago: that sets no clock back.
#[test]
fn a_tally_that_is_behind_sets_no_clock_back() {
    let early = mixed(&[Flow::to("192.0.2.1", 10e3).between(10.0, 11.0)], 1);
    let late = mixed(&[Flow::to("192.0.2.2", 10e3).between(15.0, 16.0)], 2);
    let (mut mine, mut behind, mut whole) =
        (Tally::new(&config(64)), Tally::new(&config(64)), Tally::new(&config(64)));
    early.iter().for_each(|taken| behind.count(&taken.sample()));
    late.iter().for_each(|taken| mine.count(&taken.sample()));
    early.iter().chain(&late).for_each(|taken| whole.count(&taken.sample()));
    assert!(mine.merge(&behind));
    for tally in [&mut mine, &mut whole] {
        tally.tick(seconds(17.5));
    }
    for victim in ["192.0.2.1", "192.0.2.2"].map(host) {
        assert_eq!(mine.flow(&victim, 2), whole.flow(&victim, 2));
        assert!(mine.flow(&victim, 2).is_some());
    }
}
