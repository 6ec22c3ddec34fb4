//! Datagrams of other agents, from captures, against tshark.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use weir_detect::sflow::{Counter, Datagram, PORT, Record, Tally, samples};
use weir_packet::capture::Capture;

use super::common::{has, tshark};

/// What Open vSwitch 3.1 told a collector, with a rate of one in one, of 20 SYNs that came to a port of its dummy datapath.
const OPEN_VSWITCH: &str = "tests/sflow/openvswitch.pcap";

/// An Alcatel switch, from a capture that is beside the repository.
const SWITCH: &str = "../../../shared/data/captures/benign/sflow.pcap";

/// What UDP carries to the collectors' port, of untagged IPv4 frames without options: the capture has no others.
fn datagrams(path: &Path) -> Vec<Vec<u8>> {
    let frames = Capture::open(path).expect("opens").map(|frame| frame.expect("a frame").data);
    let sflow = frames.filter(|frame| frame[23] == 17 && frame[36..38] == PORT.to_be_bytes());
    sflow.map(|frame| frame[42..].to_vec()).collect()
}

#[test]
fn a_switch_is_read_as_tshark_reads_it() {
    let test = "a_switch_is_read_as_tshark_reads_it";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SWITCH);
    if !path.exists() {
        println!("skipped {test}: no capture at ../shared/data/captures/benign/sflow.pcap of the repository");
    } else if has("tshark", test) {
        assert_same(&path);
    }
}

#[test]
fn open_vswitch_is_read_as_tshark_reads_it() {
    if has("tshark", "open_vswitch_is_read_as_tshark_reads_it") {
        let tally = assert_same(&Path::new(env!("CARGO_MANIFEST_DIR")).join(OPEN_VSWITCH));
        // Each with a record of VLANs that is not read.
        assert_eq!((tally.flows, tally.skipped, tally.frameless, tally.unknown), (20, 20, 0, 0));
    }
}

/// Compares sample by sample.
fn assert_same(path: &Path) -> Tally {
    let fields = [
        "sflow_245.sequence_number",
        "sflow_245.sampletype",
        "sflow.flow_sample.sampling_rate",
        "sflow_245.header.frame_length",
        "sflow_245.header.payload_stripped",
        "sflow_245.header.sampled_header_length",
        "sflow_245.ifinoct",
    ];
    let theirs = tshark(path, &fields);
    let ours = datagrams(path);
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
    tally
}
