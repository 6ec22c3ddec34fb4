//! Samples that are alike in all tests, and how foreign tools are asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{
    Direction, Discard, Encoder, Interface, InterfaceCounters, PORT, Reason, Received, Sent, Source,
    StatementCounters, Taken,
};
use weir_packet::build::Packet;
use weir_packet::capture::{Frame, LinkType, PcapWriter, Resolution};

pub(crate) const AGENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const UPTIME: Duration = Duration::from_millis(90_061_001);

/// Whether a tool can be run.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        let required = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
        assert!(!required, "WEIR_REQUIRE_KERNEL is set, and {test} cannot run: `{tool}` is not installed");
        println!("skipped {test}: `{tool}` is not installed");
    }
    there
}

/// A UDP packet of so many bytes without FCS, from a port of 198.51.100.7.
pub(crate) fn frame(srcport: u16, len: usize) -> Vec<u8> {
    let from = SocketAddr::from(([198, 51, 100, 7], srcport));
    Packet::udp(from, SocketAddr::from(([203, 0, 113, 10], 443))).padded_to(len).build()
}

/// A sample of it.
pub(crate) fn sample<'a>(frame: &'a [u8], fate: Fate, statement: Option<&'a str>) -> Sample<'a> {
    let frame_len = frame.len() as u32;
    Sample { time: Duration::ZERO, header: frame, frame_len, one_in: 1000, fate, statement }
}

/// Taken at interface 3, on its way to 4.
pub(crate) fn taken() -> Taken {
    Taken {
        source: Source::interface(3),
        pool: 123_000,
        drops: 7,
        input: Interface::index(3),
        output: Interface::index(4),
        direction: Direction::Ingress,
    }
}

/// Dropped at interface 3 by a rule.
pub(crate) fn discard() -> Discard {
    Discard {
        source: Source::interface(3),
        drops: 9,
        input: 3,
        output: 0,
        reason: Reason::ACL,
        direction: Direction::Ingress,
    }
}

/// Counters that are all different.
pub(crate) fn counters() -> InterfaceCounters {
    InterfaceCounters {
        index: 3,
        kind: 6,
        speed: 25_000_000_000,
        direction: 1,
        status: 3,
        input: Received {
            octets: 1 << 40 | 5,
            unicast: 11,
            multicast: 12,
            broadcast: 13,
            discards: 14,
            errors: 15,
            unknown_protocols: 16,
        },
        output: Sent {
            octets: 1 << 41 | 6,
            unicast: 21,
            multicast: 22,
            broadcast: 23,
            discards: 24,
            errors: 25,
        },
        promiscuous: 2,
    }
}

/// Three flow samples, one of them of a frame that was dropped, one by one from the ports 53, 123 and 1900.
pub(crate) fn flows(encoder: &mut Encoder) {
    let fates = [(53, 1200, Fate::Dropped), (123, 77, Fate::Passed), (1900, 60, Fate::Passed)];
    for (srcport, len, fate) in fates {
        let frame = frame(srcport, len);
        let statement = (srcport == 53).then_some("amplification");
        let full = encoder.flow(UPTIME, &taken(), &sample(&frame, fate, statement)).expect("fits");
        assert_eq!(full, None);
    }
}

/// One datagram with a sample of each kind.
pub(crate) fn datagram(mut encoder: Encoder) -> Vec<u8> {
    flows(&mut encoder);
    let dropped = frame(11211, 900);
    let dropped = sample(&dropped, Fate::Dropped, Some("memcached"));
    let mut full = encoder.discarded(UPTIME, &discard(), &dropped).expect("fits").is_some();
    full |= encoder.interface(UPTIME, Source::interface(3), &counters()).expect("fits").is_some();
    for (name, packets) in [("amplification", 1 << 33), ("memcached", 5)] {
        let counters = StatementCounters { name, packets, bytes: packets * 100 };
        full |= encoder.statement(UPTIME, Source::interface(3), &counters).expect("fits").is_some();
    }
    assert!(!full, "more than one datagram");
    encoder.finish(UPTIME).expect("a datagram").to_vec()
}

/// Writes datagrams as a capture of what their agent sent to a collector.
pub(crate) fn write_capture(path: &Path, datagrams: &[Vec<u8>]) {
    let mut writer = PcapWriter::create(path, LinkType::Ethernet, Resolution::Micro).expect("create");
    for datagram in datagrams {
        let to = SocketAddr::from(([192, 0, 2, 9], PORT));
        let packet = Packet::udp(SocketAddr::new(AGENT, 40001), to).payload(datagram).build();
        writer.frame(&Frame::ethernet(1_700_000_000_000_000_000, packet)).expect("write");
    }
    writer.finish().expect("finish");
}

/// The fields of every frame as tshark sees them; where a field comes more often, all of them, one by one.
pub(crate) fn tshark(capture: &Path, fields: &[&str]) -> Vec<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture).args(["-T", "fields", "-E", "separator=/t"]);
    command.args(["-E", "occurrence=a", "-E", "aggregator=;"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let values = |cell: &str| cell.split(';').map(str::to_owned).filter(|value| !value.is_empty()).collect();
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split('\t').map(values).collect()).collect()
}
