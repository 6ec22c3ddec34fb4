//! Traffic that nobody here made.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_detect::sample::Fate;
use weir_detect::traffic::{Config, Detector, Event, Victim};
use weir_packet::capture::Capture;
use weir_packet::random::SplitMix;

use crate::common::*;

/// The captures of a folder, or none with the reason printed.
fn captures(folder: &str, test: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures").join(folder);
    let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.path()).collect();
    found.sort();
    if found.is_empty() {
        println!("skipped {test}: no captures at ../shared/data/captures/{folder} of the repository");
    }
    found
}

/// A capture's frames, from time 0 on. A pause of more than a second is one of a second.
fn frames(path: &Path) -> Vec<Taken> {
    let (mut found, mut time, mut last) = (Vec::new(), Duration::ZERO, None);
    for frame in Capture::open(path).unwrap().map_while(Result::ok) {
        let Ok(header) = frame.to_ethernet() else { continue };
        let at = Duration::from_nanos(frame.timestamp_ns);
        time += at.saturating_sub(last.unwrap_or(at)).min(seconds(1.0));
        last = Some(at);
        let header = header[..header.len().min(128)].to_vec();
        found.push(Taken { time, header, length: frame.original_len, one_in: 1, fate: Fate::Passed });
    }
    found
}

/// One in so many at random, at so many times the speed, from a moment on.
fn sampled(frames: &[Taken], one_in: u32, speed: impl Fn(f64) -> f64, seed: u64) -> Vec<Taken> {
    let mut random = SplitMix::new(seed);
    let (mut now, mut last) = (1000.0, 0.0);
    let mut found = Vec::new();
    for frame in frames {
        let time = frame.time.as_secs_f64();
        now += f64::max(time - last, 0.0) / speed(now);
        last = time;
        if random.bits().is_multiple_of(u64::from(one_in)) {
            found.push(Taken { time: seconds(now), one_in, ..frame.clone() });
        }
    }
    found
}

/// A hundred times in a row, at one to five times its speed, changing every second and a half.
#[test]
fn benign_captures_a_hundred_times_over_are_quiet() {
    for path in captures("benign", "benign_captures_a_hundred_times_over_are_quiet") {
        let once = frames(&path);
        let length = once.last().map_or(Duration::ZERO, |last| last.time) + seconds(0.01);
        let over: Vec<Taken> = (0..100)
            .flat_map(|turn| {
                once.iter().map(move |frame| Taken { time: frame.time + length * turn, ..frame.clone() })
            })
            .collect();
        for one_in in [1, 10, 100] {
            let samples = sampled(&over, one_in, |now| 1.0 + ((now / 1.5) as u64 * 7 % 5) as f64, 1);
            let events = play(&mut Detector::new(Config::default()), &samples, seconds(1010.0));
            assert_eq!(began(&events), [], "{} at one in {one_in}", path.display());
        }
    }
}

/// All of them at once, each a hundred times faster than it was and with swings up to five times that, where twenty minutes
/// of the same without swings were learnt.
#[test]
fn benign_captures_a_hundred_times_faster_are_quiet() {
    for path in captures("benign", "benign_captures_a_hundred_times_faster_are_quiet") {
        let once = frames(&path);
        let length = once.last().map_or(Duration::ZERO, |last| last.time) + seconds(0.01);
        // Long captures are repeated less: the same time is played of each.
        let turns = (seconds(100.0 * 40.0).as_secs_f64() / length.as_secs_f64()).clamp(1.0, 2000.0) as u32;
        let over: Vec<Taken> = (0..turns)
            .flat_map(|turn| {
                once.iter().map(move |frame| Taken { time: frame.time + length * turn, ..frame.clone() })
            })
            .collect();
        let end = over.last().map_or(0.0, |last| last.time.as_secs_f64() / 100.0);
        let calm = end / 2.0;
        let swings = |now: f64| {
            let swing = if now < 1000.0 + calm { 1.0 } else { 1.0 + ((now / 0.7) as u64 * 7 % 5) as f64 };
            100.0 * swing
        };
        let samples = sampled(&over, 10, swings, 1);
        let mut detector = Detector::new(Config { learn: seconds(calm), ..Config::default() });
        let until = samples.last().map_or(seconds(1000.0), |last| last.time);
        let events = play(&mut detector, &samples, until);
        assert_eq!(began(&events), [], "{}", path.display());
    }
}

/// When an alert about the victim begins, and that there is no other.
fn attack(name: &str, samples: &[Taken], victim: &str) -> Option<f64> {
    let mut detector = Detector::new(Config::default());
    let events = play(&mut detector, samples, seconds(1200.0));
    assert_eq!(began(&events), [host(victim)], "{name}");
    assert_eq!(ended(&events), 1, "{name}");
    Some(events.first()?.0.as_secs_f64())
}

/// Its real rates: some 20,000 packets in a tenth of a second, and ten times what the others had. One in 10 is seen.
#[test]
fn attacks_are_told_of_by_their_victim() {
    let victim: IpAddr = "10.10.10.10".parse().unwrap();
    for path in captures("attack", "attacks_are_told_of_by_their_victim") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let frames = frames(&path);
        // How much faster than it was, so that it is at 50,000 packets a second at least in its busiest tenth.
        let speed = match name.as_str() {
            "tcp-synack-reflection-carpet" => 1.0,
            "tcp-syn-ecn-cwr-flood" => 1.5,
            "udp-isakmp-amplification" => 5.0,
            "dns-rrsig-amplification-fragmented" => 250.0,
            _ => 100.0,
        };
        for seed in 0..10 {
            let samples = sampled(&frames, 10, |_| speed, seed);
            let began = attack(&name, &samples, &victim.to_string()).expect("an event");
            // The flood's first frames are a second apart: the attack begins where a tenth of a second has 2,000.
            let start = busy_from(&frames, speed);
            let late = began - start;
            assert!((0.0..0.15).contains(&late), "{name}, seed {seed}: {late} s after {start}");
        }
    }
}

/// The start of the first tenth of a second that has as many frames as the floor.
fn busy_from(frames: &[Taken], speed: f64) -> f64 {
    let times: Vec<f64> = frames.iter().map(|frame| frame.time.as_secs_f64() / speed).collect();
    let busy = times.windows(2000).find(|window| window[1999] - window[0] <= 0.1);
    1000.0 + busy.map_or(f64::INFINITY, |window| window[0])
}

/// As they were, with a floor for a small service.
#[test]
fn attacks_are_seen_at_their_own_rate_with_a_lower_floor() {
    for path in captures("attack", "attacks_are_seen_at_their_own_rate_with_a_lower_floor") {
        let mut config = Config { samples: 10, ..Config::default() };
        config.floor.packets = 50.0;
        config.levels[0].floor.packets = 100.0;
        let samples = sampled(&frames(&path), 2, |_| 1.0, 1);
        let events = play(&mut Detector::new(config), &samples, seconds(1200.0));
        let victims = began(&events);
        assert!(
            victims.contains(&Victim::Host("10.10.10.10".parse().unwrap())),
            "{}: {victims:?}",
            path.display()
        );
        assert!(events.iter().any(|(_, event)| matches!(event, Event::Ended(_))));
    }
}
