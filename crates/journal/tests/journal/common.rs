//! Events as a defence tells them, and a defence that tells some.

use std::path::{Path, PathBuf};
use std::time::Duration;
use weir_detect::defence::{Defence, Event, Named, What};
use weir_detect::sample::{Fate, Sample};
use weir_detect::{life, traffic};
use weir_journal::{Journal, Options, Standing};
use weir_packet::build::{Ethernet, Ipv4, Packet, Udp};

/// The epoch of the events' clock: times in tests are whole seconds behind it.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_700_000_000);

pub(crate) fn at(ms: u64, what: What) -> Event {
    Event { time_ns: ms * 1_000_000, what }
}

pub(crate) fn began(alert: u64, first_ms: u64, ms: u64) -> Event {
    let what = What::Attack {
        alert,
        victim: format!("192.0.2.{}", alert % 200),
        addresses: vec![format!("192.0.2.{}", alert % 200)],
        packets_per_second: 50_000,
        bits_per_second: 400_000_000,
        sources: 500,
        first_ns: first_ms * 1_000_000,
        grew: false,
    };
    at(ms, what)
}

pub(crate) fn named(id: u64) -> Named {
    Named { id, name: format!("mitigation_{id}_ntp_amplification") }
}

pub(crate) fn found(alert: u64, id: u64, ms: u64) -> Event {
    let what = What::Found {
        alert,
        id,
        name: named(id).name,
        cause: "NTP amplification".into(),
        covered: 0.999,
        collateral_at_most: 0.01,
        samples: (100, 200),
        text: format!("# why\ndrop {} when udp.srcport == 123\n", named(id).name),
    };
    at(ms, what)
}

pub(crate) fn over(alert: u64, ms: u64) -> Event {
    let victim = format!("192.0.2.{}", alert % 200);
    at(ms, What::AttackEnded { alert, addresses: vec![victim.clone()], victim })
}

/// An attack from its first packet to its end: 23 ms until the alert, 65 ms until the first drop.
pub(crate) fn story(alert: u64, mitigation: u64, ms: u64) -> Vec<Event> {
    let removed =
        What::Ended { named: named(mitigation), why: "it is hardly hit any more".into(), hits: 120_000 };
    vec![
        began(alert, ms, ms + 23),
        found(alert, mitigation, ms + 50),
        at(ms + 60, What::Enforced(named(mitigation))),
        at(ms + 65, What::Drops(named(mitigation))),
        at(ms + 60_000, removed),
        over(alert, ms + 61_000),
    ]
}

pub(crate) fn options(file: &Path) -> Options {
    Options { file: Some(file.to_owned()), live: None }
}

pub(crate) fn start(file: &Path) -> Journal {
    Journal::start(options(file)).unwrap().0
}

/// Tells it, and waits until it was heard.
pub(crate) fn tell(journal: &Journal, events: &[Event]) {
    let heard = journal.watch().figures().events + events.len() as u64;
    journal.turn(events, Vec::new(), Vec::new(), EPOCH);
    wait("it is heard", || journal.watch().figures().events == heard);
}

pub(crate) fn standing(id: u64, hits: u64) -> Vec<Standing> {
    vec![Standing { id, hits, pinned: false }]
}

pub(crate) fn wait(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("edge.redb")
}

fn frame(source: [u8; 4], port: u16, length: usize) -> Vec<u8> {
    let packet = Packet::new().push(Ethernet::default()).push(Ipv4::new(source, [192, 0, 2, 9]));
    packet.push(Udp::new(port, 4000)).payload(vec![7; length]).build()
}

/// A defence that has found a rule against an NTP flood, at that very turn.
pub(crate) fn found_out() -> Defence {
    let mut defence = Defence::new(traffic::Config::default(), life::Config::default());
    for ms in 100_000..110_000u64 {
        let time = Duration::from_millis(ms);
        let mut see = |header: &[u8], one_in: u32| {
            let frame_len = header.len() as u32;
            defence.observe(&Sample {
                time,
                header,
                frame_len,
                one_in,
                fate: Fate::Passed,
                statement: Some("all"),
            });
        };
        let n = ms as u32;
        if ms % 10 == 0 {
            see(&frame([198, 51, 100, (n / 10 % 200) as u8], 443, (n % 700) as usize), 50);
        }
        if ms >= 105_000 {
            see(&frame([203, 0, 113, (n % 250) as u8], 123, 440), 50);
        }
        if ms % 20 == 0 {
            defence.turn(time);
            let rule = defence.standing().next().is_some();
            if rule {
                return defence;
            }
        }
    }
    panic!("nothing was found: {:?}", defence.events());
}
