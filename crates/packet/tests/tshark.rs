//! Captures, checksums and the builder against tools that no one here wrote.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and figures are for people")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{captures, has, tshark};
use weir_packet::Mac;
use weir_packet::build::{
    Arp, Ethernet, Extension, Gre, Icmp, Icmpv6, Ipv4, Ipv6, Packet, Tcp, TcpFlags, TcpOption, Udp,
    VXLAN_PORT, Vlan, Vxlan,
};
use weir_packet::capture::{Capture, Frame, LinkType, PcapWriter, PcapngWriter, Resolution};
use weir_packet::checksum::{State, verify};

fn frames(path: &Path) -> Vec<Frame> {
    let reader = Capture::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.map(|frame| frame.unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

/// `1700000000.123456789` without a floating point number.
fn nanoseconds(epoch: &str) -> u64 {
    let (seconds, fraction) = epoch.split_once('.').unwrap_or((epoch, "0"));
    seconds.parse::<u64>().expect("seconds") * 1_000_000_000
        + format!("{fraction:0<9}").parse::<u64>().expect("fraction")
}

/// The row is number, time, captured length and length.
fn assert_same(path: &Path, frame: &Frame, row: &[String]) {
    let place = format!("{} frame {}", path.display(), frame.number);
    assert_eq!(frame.number.to_string(), row[0], "{place}");
    assert_eq!(frame.timestamp_ns, nanoseconds(&row[1]), "{place}");
    assert_eq!(frame.data.len().to_string(), row[2], "{place}");
    assert_eq!(frame.original_len.to_string(), row[3], "{place}");
}

#[test]
fn every_capture_counts_as_capinfos_counts_it() {
    if !has("capinfos", "every_capture_counts_as_capinfos_counts_it") {
        return;
    }
    let paths = captures("every_capture_counts_as_capinfos_counts_it");
    if paths.is_empty() {
        return;
    }
    let output = Command::new("capinfos").args(["-rTmcd"]).args(&paths).output().expect("capinfos runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), paths.len());
    for (path, line) in paths.iter().zip(text.lines()) {
        let columns: Vec<_> = line.rsplit(',').take(2).map(str::to_owned).collect();
        let ours = frames(path);
        let bytes: u64 = ours.iter().map(|frame| u64::from(frame.original_len)).sum();
        assert_eq!(columns, [bytes.to_string(), ours.len().to_string()], "{}", path.display());
    }
}

/// tshark's status of a checksum: 0 bad, 1 good, 2 unverified, 3 not present.
fn status(text: &str) -> Option<bool> {
    match text.split(',').next() {
        Some("0") => Some(false),
        Some("1") => Some(true),
        _ => None,
    }
}

fn known(state: State) -> Option<bool> {
    match state {
        State::Good => Some(true),
        State::Bad { .. } => Some(false),
        State::Absent | State::Unknown | State::Unused => None,
    }
}

const VALIDATE: [&str; 10] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "ip.defragment:FALSE",
    "-o",
    "ipv6.defragment:FALSE",
];

#[test]
fn captures_and_their_checksums_are_as_tshark_sees_them() {
    if !has("tshark", "captures_and_their_checksums_are_as_tshark_sees_them") {
        return;
    }
    let (mut total, mut headers, mut transports) = (0, 0, 0);
    for path in captures("captures_and_their_checksums_are_as_tshark_sees_them") {
        let fields = [
            "ip.checksum.status",
            "tcp.checksum.status",
            "udp.checksum.status",
            "icmp.checksum.status",
            "icmpv6.checksum.status",
            "frame.protocols",
            "ip.version",
            "ipv6.version",
            "frame.number",
            "frame.time_epoch",
            "frame.cap_len",
            "frame.len",
        ];
        let (ours, theirs) = (frames(&path), tshark(&path, &VALIDATE, &fields));
        assert_eq!(ours.len(), theirs.len(), "{}", path.display());
        total += ours.len();
        for (frame, row) in ours.iter().zip(theirs) {
            assert_same(&path, frame, &row[8..]);
            let place = || format!("{} frame {}: {row:?}", path.display(), frame.number);
            let ours = verify(&frame.data);
            if let Some(theirs) = status(&row[0]).filter(|_| ours.ipv4 != State::Absent) {
                assert_eq!(known(ours.ipv4), Some(theirs), "{}", place());
                headers += 1;
            }
            // tshark's one column is that of the innermost: ours only if no IP is inside of IP. What
            // an ICMP error cites comes after, and does not count.
            let names = row[5].split(':');
            let ip = |name: &&str| matches!(*name, "ip" | "ipv6");
            let transport = |name: &str| match name {
                "tcp" => Some(1),
                "udp" => Some(2),
                "icmp" => Some(3),
                "icmpv6" => Some(4),
                _ => None,
            };
            let Some(column) = names.clone().find_map(transport) else {
                continue;
            };
            let before = names.clone().take_while(|name| transport(name).is_none());
            let after = names.skip_while(|name| transport(name).is_none());
            let tunnelled = before.filter(ip).count() > 1 || column < 3 && after.filter(ip).count() > 0;
            if let (false, Some(theirs)) = (tunnelled, status(&row[column])) {
                assert_eq!(known(ours.transport), Some(theirs), "{}", place());
                transports += 1;
            }
        }
    }
    println!("{total} frames, {headers} header and {transports} transport checksums agree");
}

/// One packet of each kind that the builder knows.
fn built() -> Vec<(&'static str, Packet)> {
    let v4 = || Ipv4::new([10, 0, 0, 1], [10, 0, 0, 2]);
    let (a, b) = ("2001:db8::1".parse::<std::net::Ipv6Addr>(), "2001:db8::2".parse());
    let (a, b): (_, std::net::Ipv6Addr) = (a.expect("address"), b.expect("address"));
    let eth = || Packet::new().push(Ethernet::default());
    let options = Tcp::new(40000, 443)
        .option(TcpOption::Mss(1460))
        .option(TcpOption::SackPermitted)
        .option(TcpOption::Timestamps(7, 0))
        .option(TcpOption::Nop)
        .option(TcpOption::WindowScale(7));
    let segments = Extension::SegmentRouting(vec![b, a]);
    vec![
        ("eth:ethertype:arp", eth().push(Arp::request(Mac::local(1), [10, 0, 0, 1], [10, 0, 0, 2]))),
        ("eth:ethertype:ip:udp:data", eth().push(v4()).push(Udp::new(40001, 40002)).payload("odd")),
        (
            "eth:ethertype:ieee8021ad:ethertype:vlan:ethertype:ip:udp:data",
            eth()
                .push(Vlan::service(7))
                .push(Vlan::new(8))
                .push(v4())
                .push(Udp::new(40001, 40002))
                .payload("x"),
        ),
        ("eth:ethertype:ip:tcp", eth().push(v4().options([0x94, 4, 0, 0])).push(options)),
        ("eth:ethertype:ip:icmp:data", eth().push(v4()).push(Icmp::echo_request(1, 2)).payload("ping")),
        (
            "eth:ethertype:ipv6:udp:data",
            eth().push(Ipv6::new(a, b)).push(Udp::new(40001, 40002)).payload("abc"),
        ),
        (
            "eth:ethertype:ipv6:icmpv6:data",
            eth().push(Ipv6::new(a, b)).push(Icmpv6::echo_request(1, 2)).payload("ping!"),
        ),
        (
            "eth:ethertype:ipv6:ipv6.hopopts:ipv6.dstopts:udp:data",
            eth()
                .push(
                    Ipv6::new(a, b)
                        .extension(Extension::HopByHop(vec![5, 2, 0, 0]))
                        .extension(Extension::Destination(vec![])),
                )
                .push(Udp::new(40001, 40002))
                .payload("x"),
        ),
        (
            "eth:ethertype:ipv6:ipv6.routing:tcp",
            eth()
                .push(Ipv6::new(a, b).extension(segments))
                .push(Tcp::new(1, 2).flags(TcpFlags::SYN | TcpFlags::ACK)),
        ),
        (
            "eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:udp:data",
            eth()
                .push(v4())
                .push(Udp::new(50000, VXLAN_PORT))
                .push(Vxlan::new(77))
                .push(Ethernet::default())
                .push(v4())
                .push(Udp::new(40001, 40002))
                .payload("x"),
        ),
        (
            "eth:ethertype:ip:gre:ipv6:tcp",
            eth().push(v4()).push(Gre::new().key(9).sequence(1)).push(Ipv6::new(a, b)).push(Tcp::new(1, 2)),
        ),
        (
            "eth:ethertype:ip:gre:eth:ethertype:ip:icmp",
            eth()
                .push(v4())
                .push(Gre::new())
                .push(Ethernet::default())
                .push(v4())
                .push(Icmp::echo_reply(1, 1)),
        ),
        ("eth:ethertype:ip:ip:tcp", eth().push(v4()).push(v4()).push(Tcp::new(1, 2))),
    ]
}

#[test]
fn tshark_knows_every_layer_that_the_builder_makes() {
    if !has("tshark", "tshark_knows_every_layer_that_the_builder_makes") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("built.pcapng");
    let mut writer = PcapngWriter::create(&path).expect("create");
    let interface = writer.interface("built", LinkType::Ethernet).expect("interface");
    for (_, packet) in built() {
        writer.frame(interface, &Frame::ethernet(1, packet.build())).expect("write");
    }
    writer.finish().expect("finish");
    let fields = [
        "frame.protocols",
        "ip.checksum.status",
        "tcp.checksum.status",
        "udp.checksum.status",
        "icmp.checksum.status",
        "icmpv6.checksum.status",
        "_ws.malformed",
        "_ws.expert.message",
    ];
    let rows = tshark(&path, &VALIDATE, &fields);
    assert_eq!(rows.len(), built().len());
    for ((protocols, _), row) in built().iter().zip(rows) {
        assert_eq!(*protocols, row[0], "{row:?}");
        for column in &row[1..6] {
            assert!(!column.split(',').any(|status| status == "0"), "bad checksum: {row:?}");
        }
        assert_eq!(row[6], "", "{row:?}");
    }
}

#[test]
fn tshark_reads_names_comments_and_nanoseconds_that_we_write() {
    if !has("tshark", "tshark_reads_names_comments_and_nanoseconds_that_we_write") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("named.pcapng");
    let mut writer = PcapngWriter::create(&path).expect("create");
    let eth = writer.interface("edge0", LinkType::Ethernet).expect("interface");
    let raw = writer.interface("tun0", LinkType::RawIp).expect("interface");
    let mut frame = Frame::ethernet(1_700_000_000_123_456_789, built()[1].1.build());
    frame.comment = Some("drop by amplification".into());
    writer.frame(eth, &frame).expect("write");
    frame.data.drain(..14);
    frame.link = LinkType::RawIp;
    frame.original_len = 999;
    frame.comment = None;
    writer.frame(raw, &frame).expect("write");
    writer.finish().expect("finish");
    let fields =
        ["frame.time_epoch", "frame.interface_name", "frame.comment", "frame.len", "frame.protocols"];
    let rows = tshark(&path, &[], &fields);
    let when = "1700000000.123456789";
    assert_eq!(rows[0], [when, "edge0", "drop by amplification", "45", "eth:ethertype:ip:udp:data"]);
    assert_eq!(rows[1], [when, "tun0", "", "999", "raw:ip:udp:data"]);
}

#[test]
fn tshark_reads_both_resolutions_of_pcap() {
    if !has("tshark", "tshark_reads_both_resolutions_of_pcap") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (resolution, expected) in
        [(Resolution::Micro, "1700000000.123456000"), (Resolution::Nano, "1700000000.123456789")]
    {
        let path = folder.path().join("time.pcap");
        let mut writer = PcapWriter::create(&path, LinkType::Ethernet, resolution).expect("create");
        let frame = Frame::ethernet(1_700_000_000_123_456_789, built()[1].1.build());
        writer.frame(&frame).expect("write");
        writer.finish().expect("finish");
        assert_eq!(tshark(&path, &[], &["frame.time_epoch"]), [[expected]]);
    }
}

/// Wireshark's own converters make the kinds of files that the captures lack.
#[test]
fn files_that_editcap_makes_read_the_same() {
    if !has("editcap", "files_that_editcap_makes_read_the_same") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for path in captures("files_that_editcap_makes_read_the_same").iter().take(8) {
        for format in ["pcapng", "nsecpcap", "pcap"] {
            let copy = folder.path().join("copy");
            let status = Command::new("editcap").args(["-F", format]).arg(path).arg(&copy).status();
            assert!(status.expect("editcap runs").success());
            // Microseconds are all that pcap can keep.
            let unit = if format == "pcap" { 1000 } else { 1 };
            let (ours, theirs) = (frames(path), frames(&copy));
            assert_eq!(ours.len(), theirs.len(), "{format}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(ours.timestamp_ns / unit, theirs.timestamp_ns / unit, "{format}");
                assert_eq!(ours.data, theirs.data, "{format}");
                assert_eq!(ours.original_len, theirs.original_len, "{format}");
            }
        }
    }
}
