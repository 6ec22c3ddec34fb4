//! What reading samples out of datagrams of sFlow takes, beside a library that reads the same.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{Direction, Discard, Encoder, Interface, Reason, Source, Taken, Tally, samples};
use weir_packet::random::SplitMix;

use crate::report::TimeRow;
use crate::times::row;

/// Samples that a row reads.
const SAMPLES: usize = 1_000_000;

/// Datagrams that are read in turn: some megabytes, more than a core's own cache.
const DATAGRAMS: usize = 4_096;

/// A fifth of the time that a sample may take until it is judged, if a core is to judge a million of them a second.
const GOAL: Duration = Duration::from_millis(200);

/// Both read the same datagrams in the same order, and must have found the same.
pub(crate) fn measure(rounds: usize) -> Vec<TimeRow> {
    let datagrams = datagrams();
    let (ours, theirs) = (read(&datagrams), read_by_peer(&datagrams));
    assert_eq!(ours, theirs, "samples and their bytes");
    vec![
        row("sFlow: read 1,000,000 samples", GOAL, rounds, || _ = black_box(read(&datagrams))),
        row("sFlow: the same by `sflow-parser`", GOAL, rounds, || _ = black_box(read_by_peer(&datagrams))),
    ]
}

/// Samples of 128 bytes: half of them bare, a quarter with a statement's name, a quarter discarded packets.
fn datagrams() -> Vec<Vec<u8>> {
    let mut random = SplitMix::new(5);
    let mut encoder = Encoder::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let (source, direction) = (Source::interface(3), Direction::Ingress);
    let (input, output) = (Interface::index(3), Interface::index(4));
    let taken = Taken { source, pool: 0, drops: 0, input, output, direction };
    let discard = Discard { source, drops: 0, input: 3, output: 0, reason: Reason::ACL, direction };
    let mut datagrams = Vec::new();
    while datagrams.len() < DATAGRAMS {
        let header: Vec<u8> = (0..128).map(|_| random.bits() as u8).collect();
        let (fate, statement) = match random.bits() % 4 {
            0 => (Fate::Dropped, Some("amplification")),
            1 => (Fate::Passed, Some("friends")),
            _ => (Fate::Passed, None),
        };
        let sample =
            Sample { time: Duration::ZERO, header: &header, frame_len: 1200, one_in: 1000, fate, statement };
        let full = match fate {
            Fate::Passed => encoder.flow(Duration::ZERO, &taken, &sample),
            Fate::Dropped => encoder.discarded(Duration::ZERO, &discard, &sample),
        };
        datagrams.extend(full.expect("a sample that fits").map(<[u8]>::to_vec));
    }
    datagrams
}

/// Samples, and the bytes of their frames that were read.
fn read(datagrams: &[Vec<u8>]) -> (usize, u64) {
    let (mut tally, mut found, mut bytes) = (Tally::default(), 0, 0);
    for datagram in datagrams.iter().cycle() {
        let each = |sample: Sample<'_>| {
            found += 1;
            bytes += u64::from(sample.frame_len) + sample.header.len() as u64;
        };
        samples(datagram, Duration::ZERO, &mut tally, each).expect("a good datagram");
        if found >= SAMPLES {
            return (found, bytes);
        }
    }
    (found, bytes)
}

fn read_by_peer(datagrams: &[Vec<u8>]) -> (usize, u64) {
    use sflow_parser::models::{FlowData, SampleData};
    let (mut found, mut bytes) = (0, 0);
    for datagram in datagrams.iter().cycle() {
        let datagram = sflow_parser::parse_datagram(datagram).expect("a good datagram");
        for sample in &datagram.samples {
            let records = match &sample.sample_data {
                SampleData::FlowSample(flow) => &flow.flow_records,
                SampleData::DiscardedPacket(discarded) => &discarded.flow_records,
                _ => continue,
            };
            found += 1;
            for record in records {
                let FlowData::SampledHeader(frame) = &record.flow_data else { continue };
                bytes += u64::from(frame.frame_length - frame.stripped) + frame.header.len() as u64;
            }
        }
        if found >= SAMPLES {
            return (found, bytes);
        }
    }
    (found, bytes)
}
