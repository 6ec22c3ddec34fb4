//! Datagrams that lie, and what agents do that the standard does not foresee.

use std::time::Duration;

use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{
    Datagram, Encoder, Form, Interface, Malformed, Reason, Record, Refused, Source, Taken, Tally, samples,
};

use super::common::{AGENT, UPTIME, frame, sample, taken};

/// Words in network byte order.
fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A datagram of an IPv4 agent that claims so many samples, and has these bytes behind its 28 of head.
fn datagram(count: u32, body: &[u8]) -> Vec<u8> {
    [words(&[5, 1, 0xc000_0201, 0, 1, 1000, count]), body.to_vec()].concat()
}

/// A structure with its length.
fn structure(number: u32, content: &[u8]) -> Vec<u8> {
    [words(&[number, content.len() as u32]), content.to_vec()].concat()
}

/// A flow sample of source 3, one in 256, with these records.
fn flow(records: &[Vec<u8>]) -> Vec<u8> {
    let head = words(&[1, 3, 256, 512, 0, 3, 0x4000_0102, records.len() as u32]);
    structure(1, &[head, records.concat()].concat())
}

fn header(protocol: u32, length: u32, stripped: u32, bytes: &[u8]) -> Vec<u8> {
    let mut content = [words(&[protocol, length, stripped, bytes.len() as u32]), bytes.to_vec()].concat();
    content.resize(content.len().next_multiple_of(4), 0);
    structure(1, &content)
}

/// What is read, up to an error.
fn read(bytes: &[u8]) -> (Vec<Sample<'_>>, Tally, Option<Malformed>) {
    let (mut found, mut tally) = (Vec::new(), Tally::default());
    let outcome = samples(bytes, Duration::from_secs(9), &mut tally, |sample| found.push(sample));
    (found, tally, outcome.err())
}

#[track_caller]
fn refused(bytes: &[u8], message: &str) {
    let (_, tally, error) = read(bytes);
    assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(message));
    assert_eq!(tally.malformed, 1);
}

#[test]
fn another_version_is_named() {
    refused(&words(&[4, 1]), "not sFlow version 5, but 4");
    refused(b"GET / HTTP/1.1\r\n", "not sFlow version 5, but 1195725856");
    refused(b"", "byte 0: the version needs 4 bytes, and there are 0");
}

#[test]
fn an_address_is_of_a_known_type() {
    refused(&words(&[5, 3, 0, 0, 0, 0, 0]), "byte 4: the agent's address is of unknown type 3");
    let unknown = words(&[5, 0, 2, 7, 1000, 0]);
    let datagram = Datagram::decode(&unknown).expect("an agent may not know its address");
    assert_eq!((datagram.agent, datagram.sub_agent, datagram.sequence), (None, 2, 7));
}

#[test]
fn a_count_that_lies_takes_no_memory_and_no_time() {
    refused(&datagram(u32::MAX, &[]), "byte 28: a sample needs 4 bytes, and there are 0");
    let mut sample = flow(&[]);
    sample[8 + 28..].copy_from_slice(&words(&[u32::MAX]));
    refused(&datagram(1, &sample), "byte 68: a flow record needs 4 bytes, and there are 0");
}

#[test]
fn a_length_ends_inside_of_what_holds_it() {
    let claims = words(&[1, 0xffff_fff0]);
    refused(&datagram(1, &claims), "byte 36: a sample needs 4294967280 bytes, and there are 0");
    let record = flow(&[words(&[1, 64]), words(&[1, 100])]);
    refused(&datagram(1, &record), "byte 76: a flow record needs 64 bytes, and there are 8");
    let bytes = flow(&[structure(1, &words(&[1, 1518, 4, 128, 0, 0]))]);
    refused(&datagram(1, &bytes), "byte 92: a frame's first bytes needs 128 bytes, and there are 8");
    // The sample ends inside of its own fields, although the datagram goes on.
    let short = [structure(1, &words(&[1, 3])), flow(&[])].concat();
    refused(&datagram(2, &short), "byte 36: a flow sample needs 28 bytes, and there are 8");
}

#[test]
fn what_came_before_the_lie_is_read() {
    let good = flow(&[header(1, 68, 4, &frame(53, 64))]);
    let bytes = datagram(2, &[good, words(&[1, 99])].concat());
    let (found, tally, error) = read(&bytes);
    assert_eq!((found.len(), tally.flows, tally.malformed), (1, 1, 1));
    assert!(matches!(error, Some(Malformed::Short { what: "a sample", needs: 99, left: 0, .. })));
}

#[test]
fn what_is_not_known_is_skipped_and_counted() {
    // A custom metric of sFlow-RT; a flow sample with a switch record before the frame, and another frame behind.
    let metric = structure(4300 << 12 | 1002, &words(&[1, 2, 3]));
    let switch = structure(1001, &words(&[7, 0, 8, 0]));
    let bytes = frame(53, 64);
    let frames = [switch, header(1, 68, 4, &bytes), header(1, 99, 4, &bytes)];
    let all = datagram(2, &[metric, flow(&frames)].concat());
    let (found, tally, error) = read(&all);
    assert_eq!(error, None);
    assert_eq!(tally, Tally { datagrams: 1, unknown: 1, flows: 1, skipped: 2, ..Tally::default() });
    let expected = Sample {
        time: Duration::from_secs(9),
        header: &bytes,
        frame_len: 64,
        one_in: 256,
        fate: Fate::Dropped,
        statement: None,
    };
    assert_eq!(found, [expected]);
    let records: Vec<_> = Datagram::decode(&all).expect("a head").records().flatten().collect();
    assert!(
        matches!(records[0], Record::Unknown { number, offset: 36 } if number.to_string() == "4300:1002")
    );
}

#[test]
fn a_name_that_is_no_text_is_skipped() {
    let acl = |name: [u8; 4]| structure(1037, &[words(&[5, 4]), name.to_vec(), words(&[2])].concat());
    let bytes = frame(53, 64);
    let with = |name| datagram(1, &flow(&[acl(name), header(1, 68, 4, &bytes)]));
    let (bad, good) = (with([0xff; 4]), with(*b"edge"));
    let (found, tally, error) = read(&bad);
    assert_eq!((found.len(), tally.skipped, error), (1, 1, None));
    // A switch's access list is no statement of Weir.
    let (found, tally, _) = read(&good);
    assert_eq!((found[0].statement, tally.skipped), (None, 0));
    let record = Datagram::decode(&good).expect("a head").records().next();
    let told = *record.expect("a sample").expect("is read").told().expect("of a frame");
    assert_eq!(told.acl.map(|acl| (acl.number, acl.name)), Some((5, "edge")));
}

#[test]
fn lengths_are_without_what_was_stripped() {
    let bytes = frame(53, 60);
    // FCS and a VLAN tag; nothing; more than there is; and a frame that is shorter than what is seen of it.
    for (length, stripped, expected) in [(1522, 8, 1514), (1514, 0, 1514), (10, 20, 60), (40, 4, 60)] {
        let bytes = datagram(1, &flow(&[header(1, length, stripped, &bytes)]));
        assert_eq!(read(&bytes).0[0].frame_len, expected);
    }
}

#[test]
fn only_ethernet_is_a_sample() {
    let bytes = datagram(2, &[flow(&[header(11, 40, 0, &[0x45; 40])]), flow(&[])].concat());
    let (found, tally, error) = read(&bytes);
    assert_eq!((found.len(), tally.flows, tally.frameless, error), (0, 2, 2, None));
}

#[test]
fn padding_may_be_missing_at_the_end() {
    let mut record = header(1, 68, 4, &[7; 62]);
    record.truncate(record.len() - 2);
    record[4..8].copy_from_slice(&words(&[16 + 62]));
    let bytes = datagram(1, &flow(&[record]));
    let (found, _, error) = read(&bytes);
    assert_eq!((found[0].header, error), (&[7; 62][..], None));
}

#[test]
fn a_rate_of_zero_is_one() {
    let mut bytes = datagram(1, &flow(&[header(1, 68, 4, &frame(53, 64))]));
    bytes[28 + 8 + 8..][..4].fill(0);
    assert_eq!(read(&bytes).0[0].one_in, 1);
}

#[test]
fn numbers_that_the_compact_form_lacks_are_refused() {
    let bytes = frame(53, 64);
    let sample = sample(&bytes, Fate::Passed, None);
    let mut encoder = Encoder::new(AGENT, 0);
    let far = Taken { source: Source::interface(1 << 24), ..taken() };
    let refused = encoder.flow(UPTIME, &far, &sample).expect_err("no room");
    assert_eq!(refused.to_string(), "the compact form of samples has no room for the source 16777216");
    let far = Taken { input: Interface::index(1 << 30), ..taken() };
    let refused = encoder.flow(UPTIME, &far, &sample).expect_err("no room");
    assert_eq!(refused, Refused::Compact { what: "the interface", number: 1 << 30 });
    assert_eq!(encoder.finish(UPTIME), None);
    let mut encoder = Encoder::new(AGENT, 0).form(Form::Expanded);
    encoder.flow(UPTIME, &far, &sample).expect("fits");
    assert!(encoder.finish(UPTIME).is_some());
}

#[test]
fn a_sample_that_fits_into_no_datagram_is_refused_and_counts_nothing() {
    let bytes = frame(53, 600);
    let mut encoder = Encoder::new(AGENT, 0).max(300).header(256);
    let long = encoder.flow(UPTIME, &taken(), &sample(&bytes, Fate::Passed, None));
    assert_eq!(long, Err(Refused::TooLong { len: 28 + 40 + 24 + 256, max: 300 }));
    let short = sample(&bytes[..64], Fate::Passed, None);
    assert_eq!(encoder.flow(UPTIME, &taken(), &short), Ok(None));
    let bytes = encoder.finish(UPTIME).expect("a datagram").to_vec();
    let record = Datagram::decode(&bytes).expect("a head").records().next();
    assert!(
        matches!(record, Some(Ok(Record::Flow(flow))) if flow.sequence == 1 && flow.output.reason().is_none())
    );
    assert_eq!(Interface::discarded(Reason::ACL).reason(), Some(Reason(258)));
}
