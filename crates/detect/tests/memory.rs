//! Memory has a bound, whatever the sources and the destinations. Alone in its process, whose memory it looks at.

use std::net::Ipv4Addr;
use std::time::Duration;

use weir_detect::sample::{Fate, Sample};
use weir_detect::traffic::{Config, Detector, Event, Victim};
use weir_packet::random::SplitMix;

/// Bytes of this process in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Ten million sources and 100,000 destinations, an attack among them, which is found all the same. In the first half memory
/// grows to what it takes, in the second no more.
#[test]
fn ten_million_sources_and_100_000_destinations() {
    let config = Config::default();
    let mut detector = Detector::new(config.clone());
    assert!(detector.tally().bound() < 48 << 20, "{}", detector.tally().bound());
    let mut random = SplitMix::new(1);
    let mut events = Vec::new();
    let mut header = [0; 42];
    header[12..26].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    let (start, mut halfway) = (resident(), 0);
    const SOURCES: u32 = 10_000_000;
    for n in 0..SOURCES {
        let time = Duration::from_secs(1_000_000) + Duration::from_micros(u64::from(n) * 5);
        let victim = match random.bits() % 100 {
            0 => Ipv4Addr::new(10, 0, 0, 1),
            _ => Ipv4Addr::from(0x0a00_0000 + (random.bits() % 100_000) as u32 * 7),
        };
        header[26..30].copy_from_slice(&(0x1000_0000 + n).to_be_bytes());
        header[30..34].copy_from_slice(&victim.octets());
        let sample =
            Sample { time, header: &header, frame_len: 100, one_in: 20, fate: Fate::Passed, statement: None };
        detector.observe(&sample);
        if n % 5000 == 0 {
            events.extend(detector.tick(time));
        }
        if n == SOURCES / 2 {
            halfway = resident();
        }
    }
    let end = resident();
    assert!(end.saturating_sub(start) < 64 << 20, "{} MiB", end.saturating_sub(start) >> 20);
    assert!(end.saturating_sub(halfway) < 4 << 20, "{} KiB more", end.saturating_sub(halfway) >> 10);
    let attacked = Victim::Host(Ipv4Addr::new(10, 0, 0, 1).into());
    let alerts: Vec<_> = events.iter().filter(|event| matches!(event, Event::Began(_))).collect();
    assert_eq!(alerts.first().map(|event| event.alert().victim.clone()), Some(attacked));
    let sources = detector.alerts().next().expect("it goes on").sources as f64;
    assert!((sources / f64::from(SOURCES / 100) - 1.0).abs() < 0.08, "{sources}");
}
