//! Our datagrams in tshark, field by field.

use weir_detect::sample::Fate;
use weir_detect::sflow::{Encoder, Form, Interface, Taken};

use super::common::{AGENT, UPTIME, datagram, flows, frame, has, sample, taken, tshark, write_capture};

/// The name of a field, and what its values should be.
type Expected<'a> = (&'a str, &'a [&'a str]);

fn assert_reads(test: &str, bytes: Vec<u8>, expected: &[Expected<'_>]) {
    if !has("tshark", test) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sflow.pcap");
    write_capture(&path, &[bytes]);
    let (names, values): (Vec<_>, Vec<_>) = expected.iter().copied().unzip();
    let rows = tshark(&path, &names);
    assert_eq!(rows.len(), 1);
    for ((name, value), found) in names.iter().zip(values).zip(&rows[0]) {
        assert_eq!(found, value, "{name}");
    }
}

#[test]
fn tshark_reads_flow_samples_in_the_compact_form() {
    let mut encoder = Encoder::new(AGENT, 2);
    flows(&mut encoder);
    let bytes = encoder.finish(UPTIME).expect("a datagram").to_vec();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // tshark shows the padding behind the second one as well.
    let [first, second, third] =
        [hex(&frame(53, 1200)[..128]), hex(&frame(123, 77)) + "000000", hex(&frame(1900, 60))];
    let headers = [&first[..], &second, &third];
    let expected: Vec<Expected<'_>> = vec![
        ("sflow_245.version", &["5"]),
        ("sflow_245.agent", &["192.0.2.1"]),
        ("sflow_245.sub_agent_id", &["2"]),
        ("sflow_245.sequence_number", &["1"]),
        ("sflow_245.sysuptime", &["90061001"]),
        ("sflow_245.numsamples", &["3"]),
        ("sflow_245.sampletype", &["1", "1", "1"]),
        ("sflow.flow_sample.sequence_number", &["1", "2", "3"]),
        ("sflow.flow_sample.source_id_class", &["0", "0", "0"]),
        ("sflow.flow_sample.index", &["3", "3", "3"]),
        ("sflow.flow_sample.sampling_rate", &["1000", "1000", "1000"]),
        ("sflow.flow_sample.sample_pool", &["123000", "123000", "123000"]),
        ("sflow.flow_sample.dropped_packets", &["7", "7", "7"]),
        ("sflow.flow_sample.input_interface", &["3", "3", "3"]),
        ("sflow.flow_sample.output_interface_format", &["1", "0", "0"]),
        ("sflow.flow_sample.output_interface_value", &["258", "4", "4"]),
        ("sflow.flow_sample.flow_record", &["3", "1", "1"]),
        ("sflow_245.header_protocol", &["1", "1", "1"]),
        ("sflow_245.header.frame_length", &["1204", "81", "64"]),
        ("sflow_245.header.payload_stripped", &["4", "4", "4"]),
        ("sflow_245.header.sampled_header_length", &["128", "77", "60"]),
        ("sflow_245.header", &headers),
        ("udp.srcport", &["40001", "53", "123", "1900"]),
        ("_ws.malformed", &[]),
    ];
    assert_reads("tshark_reads_flow_samples_in_the_compact_form", bytes, &expected);
}

#[test]
fn tshark_reads_counters_and_skips_what_is_ours() {
    let bytes = datagram(Encoder::new("2001:db8::1".parse().expect("an address"), 0));
    let expected: Vec<Expected<'_>> = vec![
        ("sflow_245.agent.v6", &["2001:db8::1"]),
        ("sflow_245.numsamples", &["6"]),
        ("sflow_245.sampletype", &["1", "1", "1", "5", "2", "2"]),
        ("sflow.counters_sample.sequence_number", &["1", "2"]),
        ("sflow.counters_sample.source_id_index", &["3", "3"]),
        ("sflow.counters_sample.counters_records", &["1", "2"]),
        ("sflow_245.ifindex", &["3"]),
        ("sflow_245.iftype", &["6"]),
        ("sflow_245.ifspeed", &["25000000000"]),
        ("sflow_245.ifdirection", &["1"]),
        ("sflow_245.ifinoct", &["1099511627781"]),
        ("sflow_245.ifinpkt", &["11"]),
        ("sflow_245.ifinmcast", &["12"]),
        ("sflow_245.ifinbcast", &["13"]),
        ("sflow_245.ifindisc", &["14"]),
        ("sflow_245.ifinerr", &["15"]),
        ("sflow_245.ifinunk", &["16"]),
        ("sflow_245.ifoutoct", &["2199023255558"]),
        ("sflow_245.ifoutpkt", &["21"]),
        ("sflow_245.ifoutmcast", &["22"]),
        ("sflow_245.ifoutbcast", &["23"]),
        ("sflow_245.ifoutdisc", &["24"]),
        ("sflow_245.ifouterr", &["25"]),
        ("sflow_245.ifpromisc", &["2"]),
        ("_ws.malformed", &[]),
    ];
    assert_reads("tshark_reads_counters_and_skips_what_is_ours", bytes, &expected);
}

#[test]
fn tshark_reads_the_expanded_form() {
    let mut encoder = Encoder::new(AGENT, 0).form(Form::Expanded);
    let bytes = frame(53, 333);
    let far = Taken { input: Interface::index(1 << 30 | 5), ..taken() };
    encoder.flow(UPTIME, &far, &sample(&bytes, Fate::Passed, None)).expect("fits");
    let bytes = encoder.finish(UPTIME).expect("a datagram").to_vec();
    let expected: Vec<Expected<'_>> = vec![
        ("sflow_245.sampletype", &["3"]),
        ("sflow.flow_sample.source_id_type", &["0"]),
        ("sflow.flow_sample.source_id_index", &["3"]),
        ("sflow.flow_sample.sampling_rate", &["1000"]),
        ("sflow.flow_sample.sample_pool", &["123000"]),
        ("sflow.flow_sample.dropped_packets", &["7"]),
        ("sflow.flow_sample.input_interface_format", &["0"]),
        ("sflow.flow_sample.input_interface_value", &["1073741829"]),
        ("sflow.flow_sample.output_interface.format", &["0"]),
        ("sflow.flow_sample.output_interface_value", &["4"]),
        ("sflow_245.header.frame_length", &["337"]),
        ("_ws.malformed", &[]),
    ];
    assert_reads("tshark_reads_the_expanded_form", bytes, &expected);
}

#[test]
fn tshark_reads_all_of_many_datagrams() {
    let mut encoder = Encoder::new(AGENT, 0);
    let bytes = frame(53, 300);
    let mut datagrams = Vec::new();
    for _ in 0..100 {
        let full = encoder.flow(UPTIME, &taken(), &sample(&bytes, Fate::Passed, Some("friends")));
        datagrams.extend(full.expect("fits").map(<[u8]>::to_vec));
    }
    datagrams.extend(encoder.finish(UPTIME).map(<[u8]>::to_vec));
    let numbers: Vec<String> = (1..=datagrams.len()).map(|number| number.to_string()).collect();
    // 28 bytes of head, then 40 of a sample, 152 of its header, 28 of its name, 12 of the decision.
    let each = (1400 - 28) / (40 + 152 + 28 + 12);
    assert_eq!(datagrams.len(), 100_usize.div_ceil(each));
    if !has("tshark", "tshark_reads_all_of_many_datagrams") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sflow.pcap");
    write_capture(&path, &datagrams);
    let rows =
        tshark(&path, &["sflow_245.sequence_number", "sflow.flow_sample.sequence_number", "_ws.malformed"]);
    let found: Vec<_> = rows.iter().map(|row| row[0][0].clone()).collect();
    assert_eq!(found, numbers);
    let samples: Vec<_> = rows.iter().flat_map(|row| row[1].clone()).collect();
    assert_eq!(samples, (1..=100).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row[2].is_empty()));
}
