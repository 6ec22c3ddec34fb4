//! What `balance` sends is what Wireshark sees: a sound tunnel around the same packet, or a sound answer that says how
//! long packets may be.

use crate::common::{Corpus, has, network, tshark_fields, write};
use std::collections::BTreeMap;
use std::path::Path;
use weir_compiler::NoFiles;
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_packet::Mac;
use weir_packet::build::{Ethernet, Icmp, Icmpv6, Ipv4, Ipv6, Packet, Tcp, Udp};

const FROM: &str = "from (192.0.2.0/24, 2001:db8:ff::/64)";
const BACKENDS: [&str; 2] = ["10.0.1.10", "2001:db8:1::10"];

/// What is asked of every frame. A list has a value for each header, the outermost first.
const FIELDS: [&str; 12] = [
    "frame.protocols",
    "_ws.malformed",
    "ip.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "icmp.mtu",
    "icmpv6.mtu",
    "eth.dst",
    "eth.src",
    "vxlan.vni",
    "udp.dstport",
];

/// Checksums are looked at and frames one by one; what is in GUE, which Wireshark does not know, is said to be IP. A UDP checksum of
/// zero is fine in a tunnel over IPv6 (RFC 6935).
const OPTIONS: [&str; 6] = [
    "ip.check_checksum:TRUE",
    "udp.check_checksum:TRUE",
    "udp.ignore_ipv6_zero_checksum:TRUE",
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
];

/// What tshark says of a frame, by field.
struct Seen(BTreeMap<&'static str, Vec<String>>);

impl Seen {
    fn all(&self, field: &str) -> &[String] {
        self.0.get(field).map_or(&[], Vec::as_slice)
    }

    /// Of the outermost header.
    fn first(&self, field: &str) -> &str {
        self.all(field).first().map_or("", String::as_str)
    }

    fn protocols(&self) -> &str {
        self.first("frame.protocols")
    }

    /// Malformed, or with a checksum that is wrong.
    fn is_bad(&self) -> bool {
        let sums = FIELDS.iter().filter(|field| field.ends_with(".checksum.status"));
        !self.all("_ws.malformed").is_empty()
            || sums.flat_map(|field| self.all(field)).any(|status| status == "0")
    }
}

/// Of every frame of a capture.
fn seen(capture: &Path) -> Vec<Seen> {
    let values =
        |text: String| text.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    let frames = tshark_fields(capture, &OPTIONS, Some("udp.port==6080,ip"), &FIELDS);
    frames
        .into_iter()
        .map(|frame| Seen(FIELDS.into_iter().zip(frame.into_iter().map(values)).collect()))
        .collect()
}

/// The frames that leave for a backend, by the numbers of those that came.
fn sent(backend: &str, mtu: u16, via: &str, frames: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
    let policy = format!(
        "pool p {{\n    {backend} mac 02:00:00:00:00:10\n    gateway 02:00:00:00:00:99\n    mtu {mtu}\n}}\n\
         balance all to p via {via}"
    );
    let analysis = weir_compiler::analyse("balance.weir", &policy, &NoFiles);
    assert_eq!(analysis.diagnostics.iter().count(), 0, "{policy}");
    let mut evaluator = Evaluator::new(&analysis.policy);
    let left = frames.iter().map(|frame| evaluator.judge(frame)).enumerate();
    left.filter_map(|(at, left)| Some((at, left.frame.filter(|_| left.verdict == Verdict::Send)?))).collect()
}

#[test]
fn tunnels_hold_the_packet_that_came() {
    let test = "tunnels_hold_the_packet_that_came";
    if !has("tshark", test) {
        return;
    }
    let corpus = Corpus::new(test);
    let before = seen(&corpus.path());
    assert_eq!(before.len(), corpus.frames.len());
    let path = corpus.path().with_file_name("sent.pcapng");
    for (backend, outer) in BACKENDS.into_iter().zip(["ip", "ipv6"]) {
        for (via, around) in [
            ("l2".to_owned(), String::new()),
            (format!("ipip {FROM}"), format!("{outer}:")),
            (format!("gue {FROM}"), format!("{outer}:udp:")),
            (format!("vxlan id 0xabcdef {FROM}"), format!("{outer}:udp:vxlan:eth:ethertype:")),
        ] {
            let sent = sent(backend, 65_535, &via, &corpus.frames);
            write(&path, sent.iter().map(|(_, frame)| frame.clone()));
            let after = seen(&path);
            assert_eq!(after.len(), sent.len());
            let mut sound = 0;
            for ((at, frame), after) in sent.iter().zip(&after) {
                let before = &before[*at];
                let came = network(before.protocols());
                // What was said to be IP is listed before it turns out to be IPv6.
                let said = if via.starts_with("gue") && came.starts_with("ipv6") { "ip:" } else { "" };
                // Of many thousand frames hardly one is told.
                let told = || {
                    let (number, left) = (at + 1, after.protocols());
                    format!("via {via}, frame {number}: {came} left as {left}, {frame:02x?}")
                };
                assert_eq!(network(after.protocols()), format!("{around}{said}{came}"), "{}", told());
                assert!(before.is_bad() || !after.is_bad(), "{}", told());
                assert!(
                    around.is_empty() || outer == "ipv6" || after.first("ip.checksum.status") == "1",
                    "{}",
                    told()
                );
                if via.starts_with("vxlan") {
                    // The frame inside goes to the backend, and comes from the address to which the packet came.
                    let macs = (after.all("eth.dst"), after.all("eth.src"));
                    assert_eq!(macs.0[..2], ["02:00:00:00:00:99", "02:00:00:00:00:10"], "{}", told());
                    assert_eq!(macs.1[..2], [before.first("eth.dst"), before.first("eth.dst")], "{}", told());
                    assert_eq!(
                        (after.first("vxlan.vni"), after.first("udp.dstport")),
                        ("11259375", "4789"),
                        "{}",
                        told()
                    );
                }
                sound += usize::from(!after.is_bad());
            }
            // So many there are without real captures.
            assert!(sound >= 20, "via {via}: {sound} sound frames of {} prove little", sent.len());
            println!("via {via} to {backend}: {} frames left, {sound} of them sound", sent.len());
        }
    }
}

/// Packets of both families and two transports that must not be fragmented, untagged.
fn long_packets() -> Vec<Vec<u8>> {
    let link = || Packet::new().push(Ethernet::new(Mac([2, 0, 0, 0, 0, 7]), Mac([2, 0, 0, 0, 0, 1])));
    let four = || link().push(Ipv4::new([198, 51, 100, 7], [203, 0, 113, 10]).dont_fragment(true));
    let six = || {
        let client = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 7];
        link().push(Ipv6::new(client, [0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10]))
    };
    let transports = |ip: &dyn Fn() -> Packet| {
        let tcp = ip().push(Tcp::new(4000, 443)).payload([0x5a; 1400]).build();
        [tcp, ip().push(Udp::new(4001, 443)).payload([0xa5; 1401]).build()]
    };
    [transports(&four), transports(&six)].concat()
}

#[test]
fn senders_of_long_packets_get_sound_answers() {
    let test = "senders_of_long_packets_get_sound_answers";
    if !has("tshark", test) {
        return;
    }
    let (corpus, frames) = (Corpus::built(), long_packets());
    let path = corpus.path().with_file_name("answers.pcapng");
    for (backend, ip) in BACKENDS.into_iter().zip([20, 40]) {
        for (via, overhead) in [("l2", 0), ("ipip", ip), ("gue", ip + 8), ("vxlan id 7", ip + 30)] {
            let via = if overhead == 0 { via.to_owned() } else { format!("{via} {FROM}") };
            let answers = sent(backend, 1400, &via, &frames);
            assert_eq!(answers.len(), frames.len(), "via {via}");
            write(&path, answers.into_iter().map(|(_, frame)| frame));
            let after = seen(&path);
            let expected =
                ["ip:icmp:ip:tcp", "ip:icmp:ip:udp", "ipv6:icmpv6:ipv6:tcp", "ipv6:icmpv6:ipv6:udp"];
            assert_eq!(after.len(), expected.len());
            for (after, expected) in after.iter().zip(expected) {
                let told = format!("via {via} to {backend}: {}", after.protocols());
                assert!(network(after.protocols()).starts_with(expected), "{told}");
                assert!(!after.is_bad(), "{told}");
                let icmp = if expected.starts_with("ipv6") { "icmpv6" } else { "icmp" };
                assert_eq!(after.first(&format!("{icmp}.checksum.status")), "1", "{told}");
                assert_eq!(after.first(&format!("{icmp}.mtu")), (1400 - overhead).to_string(), "{told}");
                let macs = (after.first("eth.dst"), after.first("eth.src"));
                assert_eq!(macs, ("02:00:00:00:00:07", "02:00:00:00:00:01"), "{told}");
            }
        }
    }
}

/// Requests of both families with data of many lengths, some of them all zeros.
fn requests() -> Vec<Vec<u8>> {
    let link = || Packet::new().push(Ethernet::new(Mac([2, 0, 0, 0, 0, 7]), Mac([2, 0, 0, 0, 0, 1])));
    let mut requests = Vec::new();
    for length in [0, 1, 2, 56, 57, 1400] {
        for (id, byte) in [(0, 0), (1, 0xff), (0x1234, 0x5a), (0xffff, 0xff), (0xf7ff, 0)] {
            let four = Ipv4::new([198, 51, 100, 7], [203, 0, 113, 10]).ttl(length as u8 + 1);
            let six = Ipv6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]);
            let data = vec![byte; length];
            requests.push(link().push(four).push(Icmp::echo_request(id, 0)).payload(data.clone()).build());
            requests.push(link().push(six).push(Icmpv6::echo_request(id, 0)).payload(data).build());
        }
    }
    requests
}

#[test]
fn answers_to_echo_requests_are_sound() {
    let test = "answers_to_echo_requests_are_sound";
    if !has("tshark", test) {
        return;
    }
    let policy = "pool p {\n    10.0.1.10\n    gateway 02:00:00:00:00:99\n}\n\
                  balance all when ip.dst in { 203.0.113.10, 2001:db8::10 } and tcp to p echo";
    let analysis = weir_compiler::analyse("echo.weir", policy, &NoFiles);
    let mut evaluator = Evaluator::new(&analysis.policy);
    let (corpus, requests) = (Corpus::built(), requests());
    let answers = requests.iter().map(|frame| evaluator.judge(frame).frame.expect("an answer"));
    let path = corpus.path().with_file_name("echo.pcapng");
    write(&path, requests.iter().cloned().zip(answers).flat_map(|(request, answer)| [request, answer]));
    let fields = ["icmp.type", "icmp.resp_to", "icmpv6.type", "icmpv6.resp_to", "ip.ttl", "ipv6.hlim"];
    let told = tshark_fields(&path, &OPTIONS, None, &fields);
    for (nth, (seen, told)) in seen(&path).iter().zip(&told).enumerate().filter(|(nth, _)| nth % 2 == 1) {
        let six = seen.protocols().contains("icmpv6");
        assert!(!seen.is_bad(), "frame {}: {told:?}", nth + 1);
        let sum = if six { "icmpv6.checksum.status" } else { "icmp.checksum.status" };
        assert_eq!(seen.first(sum), "1", "frame {}", nth + 1);
        let request = nth.to_string();
        let expected = match six {
            true => ["", "", "129", &request, "", "64"],
            false => ["0", &request, "", "", "64", ""],
        };
        assert_eq!(*told, expected, "frame {}", nth + 1);
        assert_eq!(
            (seen.first("eth.dst"), seen.first("eth.src")),
            ("02:00:00:00:00:07", "02:00:00:00:00:01")
        );
    }
}
