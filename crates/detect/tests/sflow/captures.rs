//! Datagrams of other agents, from captures, against tshark.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_detect::sflow::{Counter, Datagram, PORT, Record, Tally, samples};
use weir_packet::capture::Capture;

use super::common::{has, tshark};

/// A capture that is beside the repository, or nothing with the reason printed.
fn capture(test: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures/benign/sflow.pcap");
    if path.exists() {
        return Some(path);
    }
    println!("skipped {test}: no capture at ../shared/data/captures/benign/sflow.pcap of the repository");
    None
}

/// What UDP carries to the collectors' port, of untagged IPv4 frames without options: the capture has no others.
fn datagrams(path: &Path) -> Vec<Vec<u8>> {
    let frames = Capture::open(path).expect("opens").map(|frame| frame.expect("a frame").data);
    let sflow = frames.filter(|frame| frame[23] == 17 && frame[36..38] == PORT.to_be_bytes());
    sflow.map(|frame| frame[42..].to_vec()).collect()
}

#[test]
fn a_switch_is_read_as_tshark_reads_it() {
    let test = "a_switch_is_read_as_tshark_reads_it";
    let Some(path) = capture(test).filter(|_| has("tshark", test)) else { return };
    let fields = [
        "sflow_245.sequence_number",
        "sflow_245.sampletype",
        "sflow.flow_sample.sampling_rate",
        "sflow_245.header.frame_length",
        "sflow_245.header.payload_stripped",
        "sflow_245.header.sampled_header_length",
        "sflow_245.ifinoct",
    ];
    let theirs = tshark(&path, &fields);
    let ours = datagrams(&path);
    assert_eq!(ours.len(), theirs.len());
    let (mut kinds, mut tally, mut frames) = (BTreeMap::new(), Tally::default(), 0);
    for (bytes, row) in ours.iter().zip(theirs) {
        let mut found: [Vec<String>; 7] = Default::default();
        let datagram = samples(bytes, Duration::ZERO, &mut tally, |_| frames += 1).expect("is read");
        found[0].push(datagram.sequence.to_string());
        for record in Datagram::decode(bytes).expect("a head").records() {
            match record.expect("a record") {
                Record::Flow(flow) => {
                    found[1].push("1".to_owned());
                    found[2].push(flow.one_in.to_string());
                    let frame = flow.told.frame.expect("a frame");
                    found[3].push(frame.length.to_string());
                    found[4].push(frame.stripped.to_string());
                    found[5].push(frame.header.len().to_string());
                }
                Record::Counters(counters) => {
                    found[1].push("2".to_owned());
                    for counter in counters.records() {
                        let Counter::Interface(interface) = counter.expect("a record") else { continue };
                        found[6].push(interface.input.octets.to_string());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        found[1].iter().for_each(|kind| *kinds.entry(kind.clone()).or_insert(0) += 1);
        assert_eq!(found.to_vec(), row);
    }
    assert_eq!(tally.datagrams as usize, ours.len());
    assert_eq!(tally.flows, frames);
    println!("{} datagrams with samples by kind {kinds:?} agree", ours.len());
}
