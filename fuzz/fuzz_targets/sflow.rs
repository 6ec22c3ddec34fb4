//! Any bytes as a datagram of sFlow: reading ends, what is read is inside of the datagram, and the frames that were
//! sampled are the same once encoded and read again.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{
    Datagram, Direction, Discard, Encoder, Form, Interface, Malformed, Reason, Record, Source, Taken, Tally,
    samples,
};

const AGENT: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fuzz_target!(|data: &[u8]| {
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    match samples(data, Duration::ZERO, &mut tally, |sample| found.push(sample)) {
        Ok(datagram) => counters(&datagram, data.len()),
        Err(Malformed::Short { offset, left, needs, .. }) => {
            assert!(offset + left <= data.len() && needs > left as u64);
        }
        Err(_) => assert!(found.is_empty()),
    }
    assert_eq!(found.len() as u64, tally.flows + tally.discarded - tally.frameless);
    again(&found);
});

/// No counter is read that has no bytes of its own.
fn counters(datagram: &Datagram<'_>, len: usize) {
    for record in datagram.records() {
        if let Ok(Record::Counters(counters)) = record {
            assert!(counters.records().count() <= len / 8 + 1);
        }
    }
}

/// Passed frames as flow samples, dropped ones as discarded packets.
fn again(found: &[Sample<'_>]) {
    let mut encoder = Encoder::new(AGENT, 0).form(Form::Expanded).max(usize::MAX).header(usize::MAX);
    let (source, direction) = (Source::interface(1), Direction::Unknown);
    let (input, output) = (Interface::UNKNOWN, Interface::INTERNAL);
    let taken = Taken { source, pool: 0, drops: 0, input, output, direction };
    let discard = Discard { source, drops: 0, input: 0, output: 0, reason: Reason::ACL, direction };
    for sample in found {
        let full = match sample.fate {
            Fate::Passed => encoder.flow(Duration::ZERO, &taken, sample),
            Fate::Dropped => encoder.discarded(Duration::ZERO, &discard, sample),
        };
        assert_eq!(full, Ok(None));
    }
    let Some(bytes) = encoder.finish(Duration::ZERO) else { return assert!(found.is_empty()) };
    let mut back = Vec::new();
    samples(bytes, Duration::ZERO, &mut Tally::default(), |sample| back.push(sample)).expect("reads back");
    // The length of a frame is sent with its FCS, in 32 bits.
    let clamped = |sample: &Sample<'_>| sample.frame_len > u32::MAX - 4;
    for (sample, back) in found.iter().zip(&back) {
        let frame_len = if clamped(sample) { back.frame_len } else { sample.frame_len };
        assert_eq!(Sample { frame_len, ..*sample }, *back);
    }
    assert_eq!(found.len(), back.len());
}
