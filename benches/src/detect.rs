//! What a sample costs the detection, by how many destinations there are: one million of them, sources at random.

use std::time::{Duration, Instant};

use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Config, Detector};
use weir_packet::random::SplitMix;

use crate::report::TimeRow;
use crate::spread::Spread;
use crate::times::on_cpu;

/// In each round.
const SAMPLES: u64 = 1_000_000;

/// Every so many the detector is told the time: 20 ms at a million samples a second.
const TICK: u64 = 20_000;

/// Milliseconds for a million: beside the decoding of datagrams, a million a second must fit on one core.
const GOAL: f64 = 500.0;

/// One of so many destinations, and how many percent of the samples go to the first.
const CASES: [(&str, u32, u64); 4] = [
    ("detect in a million samples, one victim", 1, 100),
    ("among 1,000 destinations", 1_000, 0),
    ("among 100,000, half to a victim", 100_000, 50),
    ("among 100,000 destinations", 100_000, 0),
];

pub(crate) fn measure(rounds: usize) -> Vec<TimeRow> {
    CASES.iter().map(|(name, destinations, flood)| row(name, *destinations, *flood, rounds)).collect()
}

fn row(name: &'static str, destinations: u32, flood: u64, rounds: usize) -> TimeRow {
    let mut detector = Detector::new(Config::default());
    let mut random = SplitMix::new(u64::from(destinations));
    let mut header = [0; 74];
    header[12..26].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0]);
    let mut count = 0;
    let mut turn = || {
        let (wall, cpu) = (Instant::now(), on_cpu());
        for _ in 0..SAMPLES {
            let drawn = random.bits();
            let victim = if drawn % 100 < flood { 0 } else { (drawn >> 32) as u32 % destinations };
            header[26..30].copy_from_slice(&(random.bits() as u32).to_be_bytes());
            header[30..34].copy_from_slice(&(0x0a00_0000 + victim).to_be_bytes());
            let time = Duration::from_micros(1_000_000_000 + count);
            let fate = Fate::Passed;
            let sample = Sample { time, header: &header, frame_len: 500, one_in: 1, fate, statement: None };
            detector.observe(&sample);
            count += 1;
            if count % TICK == 0 {
                detector.tick(time).for_each(drop);
            }
        }
        (wall.elapsed().as_secs_f64() * 1000.0, on_cpu() - cpu)
    };
    // Places are made in the first turn, which is once in a detector's life.
    turn();
    let (wall, cpu) = (0..rounds).map(|_| turn()).unzip();
    TimeRow { name, wall: Spread::of(wall), cpu: Some(Spread::of(cpu)), goal: GOAL }
}
