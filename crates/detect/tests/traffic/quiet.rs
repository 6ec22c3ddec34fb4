//! No alert without an attack.

use weir_detect::traffic::{Config, Detector};
use weir_packet::random::SplitMix;

use crate::common::*;

/// Hundreds of hosts below the floor, at any rate of sampling.
#[test]
fn what_is_below_the_floor_is_quiet() {
    for one_in in [1, 10, 100, 1000] {
        let flows: Vec<_> = (0..40)
            .map(|n| Flow { one_in, ..Flow::to(&format!("192.0.{}.1", n), 4e3).between(0.0, 10.0) })
            .collect();
        assert_eq!(began(&seen(&flows, 7, 20.0)), [], "one in {one_in}");
    }
}

/// Feeds stop for hours, and clocks jump, in either direction.
#[test]
fn gaps_and_jumps_are_no_attacks() {
    let mut detector = Detector::new(Config::default());
    let mut events = Vec::new();
    for (turn, start) in [10.0, 11.0, 7200.0, 90_000.0, 90_001.0, 80_000.0, 1e9, 5.0].into_iter().enumerate()
    {
        let flow = Flow { one_in: 10, ..Flow::to("192.0.2.1", 15e3).between(start, start + 1.0) };
        for taken in flow.samples(&mut SplitMix::new(turn as u64)) {
            detector.observe(&taken.sample());
            events.extend(detector.tick(taken.time));
        }
    }
    assert_eq!(events, []);
}

/// Samples of several queues are not in order.
#[test]
fn disorder_is_no_attack() {
    let mut samples = mixed(&[Flow { one_in: 10, ..Flow::to("192.0.2.1", 15e3).between(1.0, 6.0) }], 1);
    for pair in samples.chunks_mut(500) {
        pair.reverse();
    }
    let mut detector = Detector::new(Config::default());
    let mut events = Vec::new();
    for taken in &samples {
        detector.observe(&taken.sample());
        events.extend(detector.tick(taken.time));
    }
    assert_eq!(events, []);
}

#[test]
fn a_detector_that_sees_nothing_says_nothing() {
    let mut detector = Detector::new(Config::default());
    for second in 0..100_000 {
        assert_eq!(detector.tick(seconds(f64::from(second))).count(), 0);
    }
}
