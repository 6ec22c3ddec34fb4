//! Frames of another load balancer's own tests (Katran's), and what it answers to them, beside what a policy of the
//! same services does on every engine.
//!
//! Which backend a flow gets is each balancer's own matter. Compared is what else there is to an answer; and what we
//! send must be right by itself, whatever the other one does. Where answers differ, [`DIFFERENCES`] says why.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use weir_bpf::target::Target;
use weir_compiler::ir::Verdict;
use weir_compiler::{Hook, NoFiles, Options};
use weir_dataplane::engines::{Engine, Kernel, unprivileged};
use weir_packet::Mac;
use weir_packet::checksum::{State, verify};
use weir_packet::layers::{Ip, Layers};

const FRAMES: &str = "../../../shared/data/l4lb-base.json";

/// Bytes of an Ethernet header and of an IPv6 header.
const LINK: usize = 14;
const IP6: usize = 40;
/// Protocol numbers.
const TCP: u64 = 6;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const IP_IN_IP: u8 = 4;
const IP6_IN_IP: u8 = 41;

/// Flags of their services, as far as there are some.
const NONE: u64 = 0;
const BY_CONNECTION_ID: u64 = 1 << 2;
const BY_PORT_ALONE: u64 = 1 << 3;
const UDP_FLOWS_MOVE: u64 = 1 << 9;

/// Where packets come from around others: from their prefixes, whose open bits a flow chooses.
const ORIGIN4: &str = "172.16.0.0/16";
const ORIGIN6: &str = "100::/64";

/// An answer that is not the other one's.
struct Difference {
    frame: u64,
    what: &'static str,
    theirs: Answer,
    ours: Answer,
    because: &'static str,
}

/// What became of a frame, as far as no hash has a say in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Passed,
    Dropped,
    /// Left as another frame without a header around it.
    Answered,
    /// Left with a header of this version around the packet.
    Inside(u8),
}

use Answer::{Answered, Dropped, Inside, Passed};

/// All of them; one that is none is a failure.
const DIFFERENCES: &[Difference] = &[
    differs(8, "echo request, IPv4", Answered, Passed, ECHO),
    differs(9, "echo request, IPv6", Answered, Passed, ECHO),
    differs(12, "IPv4 options", Dropped, Inside(4), OPTIONS),
    differs(13, "a later fragment, IPv4", Dropped, Passed, LATER),
    differs(14, "a later fragment, IPv6", Dropped, Passed, LATER),
    differs(26, "QUIC, handshake with an id", Inside(6), Inside(4), ID),
    differs(27, "QUIC, retry with an id", Inside(6), Inside(4), ID),
    differs(29, "QUIC, short header, behind flows with ids", Inside(6), Inside(4), ID),
    differs(30, "QUIC, short header with an id", Inside(6), Inside(4), ID),
    differs(31, "QUIC, id of no one, behind flows with ids", Inside(6), Inside(4), ID),
    differs(32, "QUIC, id 0, behind flows with ids", Inside(6), Inside(4), ID),
    differs(34, "QUIC, longer id", Inside(6), Inside(4), ID),
    differs(35, "QUIC, longer id of no one, behind flows with ids", Inside(6), Inside(4), ID),
];

const ECHO: &str = "not of the service: the kernel, which has its address, answers within its own limits";
const OPTIONS: &str = "options move the ports and hide nothing";
const LATER: &str = "its first one was never there, so it is of no service, and passes";
const ID: &str = "not there yet: an id of the connection names the backend, here one of another pool";

const fn differs(
    frame: u64,
    what: &'static str,
    theirs: Answer,
    ours: Answer,
    because: &'static str,
) -> Difference {
    Difference { frame, what, theirs, ours, because }
}

/// Frames of one flow, or of one port where that alone makes a flow: each goes where the first one goes.
const TOGETHER: &[&[u64]] = &[&[2, 3, 18], &[19, 20], &[24, 25, 29, 31]];

/// A frame, and what became of it there.
struct Case {
    number: u64,
    description: String,
    frame: Vec<u8>,
    theirs: Answer,
    /// The frame that left.
    left: Vec<u8>,
    /// Whether nothing but their hash chose the backend.
    hashed: bool,
}

/// A service, as it was set up.
#[derive(Default)]
struct Service {
    flags: u64,
    backends: Vec<IpAddr>,
}

/// By address, port and protocol.
type Services = BTreeMap<(IpAddr, u64, u64), Service>;

/// What the file says.
struct Data {
    services: Services,
    gateway: Mac,
    cases: Vec<Case>,
}

impl Data {
    fn read(test: &str) -> Option<Data> {
        let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FRAMES)) else {
            println!("skipped {test}: no frames at ../shared/data of the repository");
            return None;
        };
        let data: Value = serde_json::from_str(&text).expect("JSON");
        let gateway = self::text(&data["config"]["default_mac"]).parse().expect("a MAC address");
        let packets = data["packets"].as_array().expect("packets");
        let cases: Vec<Case> = packets.iter().map(Case::of).collect();
        let data = Data { services: services(&data), gateway, cases };
        assert_eq!((data.services.len(), data.cases.len()), (9, 36));
        for known in DIFFERENCES {
            assert!(data.cases.iter().any(|case| case.number == known.frame), "no frame {}", known.frame);
        }
        Some(data)
    }
}

#[test]
fn frames_are_answered_as_another_load_balancer_does() {
    const TEST: &str = "frames_are_answered_as_another_load_balancer_does";
    let Some(data) = Data::read(TEST) else { return };
    let policy = policy(&data);
    let kernel = is_kernel_there(TEST);
    let target = if kernel { weir_kernel::probe::target() } else { Target::newest() };
    let compilation = weir_compiler::compile("services", &policy, &NoFiles, &Options::new(target, Hook::Xdp));
    let compilation = compilation.unwrap_or_else(|analysis| panic!("{:?}\n{policy}", analysis.diagnostics));
    let mut engines = unprivileged(&compilation);
    if kernel {
        let kernel = Kernel::load(&compilation).unwrap_or_else(|error| panic!("{error}"));
        engines.push(Box::new(kernel));
    }
    let failures: Vec<_> = engines.iter_mut().flat_map(|engine| judged(engine.as_mut(), &data)).collect();
    assert!(failures.is_empty(), "{} failures\n{}\n{policy}", failures.len(), failures.join("\n"));
}

/// What this file asks of our frames holds of theirs, and of none of them that is spoilt.
#[test]
fn what_is_wrong_with_a_frame_is_found() {
    let Some(data) = Data::read("what_is_wrong_with_a_frame_is_found") else { return };
    let sent = |case: &&Case| matches!(case.theirs, Inside(_)) && case.hashed && data.service(case).is_some();
    let sent: Vec<_> = data.cases.iter().filter(sent).collect();
    assert!(sent.len() > 10, "{}", sent.len());
    for case in sent {
        let place = format!("frame {} ({})", case.number, case.description);
        assert_eq!(data.wrong(case, &case.left), [""; 0], "{place}");
        for at in 0..case.left.len() {
            let mut spoilt = case.left.clone();
            spoilt[at] ^= 0x11;
            let open = case.theirs == Inside(6) && matches!(at - at.min(LINK), 2..4 | 16..24);
            assert!(open || !data.wrong(case, &spoilt).is_empty(), "{place}: byte {at} may be anything");
        }
    }
}

/// Whether the kernel lets us ask it; else a word.
fn is_kernel_there(test: &str) -> bool {
    let Some(error) = weir_kernel::probe::why_not() else { return true };
    let required = std::env::var("WEIR_REQUIRE_KERNEL").as_deref() == Ok("1");
    assert!(!required, "{test} must run in the kernel (WEIR_REQUIRE_KERNEL=1), but: {error}");
    println!("skipped the kernel for {test}: {error}");
    false
}

/// The services as they were set up there. Ids of QUIC, marks of health checks and the death of a backend of which only
/// a number is said have no counterpart.
fn services(data: &Value) -> Services {
    let mut services = Services::new();
    for step in data["provision"]["prepareLbData"].as_array().expect("steps") {
        let vip = &step["vip"];
        let key = || (address(&vip["address"]), number(&vip["port"]), number(&vip["proto"]));
        match text(&step["op"]) {
            "add_vip" => drop(services.entry(key()).or_default()),
            "set_vip_flags" => services.entry(key()).or_default().flags |= number(&step["flags"]),
            "add_real" => {
                assert_eq!(number(&step["weight"]), 1, "all weigh the same");
                services.entry(key()).or_default().backends.push(address(&step["real"]));
            }
            "server_id" | "hc_dst" | "down_real" => {}
            other => panic!("what is `{other}`?"),
        }
    }
    services
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn address(value: &Value) -> IpAddr {
    text(value).parse().expect("an address")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let pairs = text(hex).as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    pairs.map(byte).collect()
}

/// A pool and a statement for each service.
fn policy(data: &Data) -> String {
    let mut policy = String::new();
    for (nth, ((address, port, protocol), service)) in data.services.iter().enumerate() {
        let _ = writeln!(policy, "pool p{nth} {{");
        for backend in &service.backends {
            let _ = writeln!(policy, "    {backend}");
        }
        let transport = if *protocol == TCP { "tcp" } else { "udp" };
        let asked = if *port == 0 { transport.to_owned() } else { format!("{transport}.dstport == {port}") };
        let by = match service.flags {
            BY_PORT_ALONE => format!("by {transport}.dstport "),
            NONE | BY_CONNECTION_ID | UDP_FLOWS_MOVE => String::new(),
            other => panic!("what are the flags {other}?"),
        };
        let when = format!("ip.dst == {address} and {asked}");
        let to = format!("to p{nth} {by}via ipip from ({ORIGIN4}, {ORIGIN6})");
        let _ = writeln!(policy, "    gateway {}\n}}\nbalance s{nth} when {when} {to}\n", data.gateway);
    }
    policy
}

impl Case {
    fn of(packet: &Value) -> Case {
        let (frame, left) = (bytes(&packet["in"]), bytes(&packet["out"]));
        let theirs = match text(&packet["verdict"]) {
            "XDP_PASS" => Passed,
            "XDP_DROP" => Dropped,
            "XDP_TX" => left_as(&frame, &left),
            other => panic!("what is `{other}`?"),
        };
        let (description, hashed) =
            (text(&packet["description"]).to_owned(), packet["depends_on_hash"] == true);
        Case { number: number(&packet["n"]), description, frame, theirs, left, hashed }
    }
}

/// What is in a frame behind its link header, which has no tags here.
fn packet(frame: &[u8]) -> &[u8] {
    frame.get(LINK..).unwrap_or_default()
}

fn left_as(came: &[u8], left: &[u8]) -> Answer {
    match left.len() > came.len() && left.ends_with(packet(came)) {
        true => Inside(packet(left)[0] >> 4),
        false => Answered,
    }
}

/// Everything that is wrong with an engine's answers.
fn judged(engine: &mut dyn Engine, data: &Data) -> Vec<String> {
    let mut failures = Vec::new();
    let mut backends: BTreeMap<u64, IpAddr> = BTreeMap::new();
    for case in &data.cases {
        let judgement = engine.judge(&case.frame, 0).unwrap_or_else(|error| panic!("{error}"));
        let ours = match (judgement.verdict, &judgement.frame) {
            (Verdict::Drop, _) => Dropped,
            (Verdict::Pass, None) => Passed,
            (_, Some(left)) => left_as(&case.frame, left),
            (Verdict::Send, None) => panic!("sent as nothing"),
        };
        let mut found = Vec::from_iter(unexpected(case, ours));
        if let (Inside(_), Some(left)) = (ours, &judgement.frame) {
            found.extend(data.wrong(case, left));
            backends.extend(outer(left).map(|ip| (case.number, ip.dst)));
        }
        let place = format!("{}: frame {} ({})", engine.name(), case.number, case.description);
        failures.extend(found.into_iter().map(|what| format!("{place}: {what}")));
    }
    for flow in TOGETHER {
        let to: Vec<_> = flow.iter().map(|number| backends.get(number)).collect();
        if to[0].is_none() || to.iter().any(|backend| *backend != to[0]) {
            failures.push(format!("{}: frames {flow:?} go to {to:?}", engine.name()));
        }
    }
    failures
}

/// A difference that is not argued, or one that is and is none.
fn unexpected(case: &Case, ours: Answer) -> Option<String> {
    let theirs = case.theirs;
    match DIFFERENCES.iter().find(|known| known.frame == case.number) {
        None if ours == theirs => None,
        None => Some(format!("they say {theirs:?}, we {ours:?}")),
        Some(known) if (known.theirs, known.ours) == (theirs, ours) => None,
        Some(Difference { what, because, .. }) => {
            Some(format!("they say {theirs:?}, we {ours:?}: no longer as argued ({what}: {because})"))
        }
    }
}

fn outer(frame: &[u8]) -> Option<Ip> {
    Layers::of(frame)?.ip
}

impl Data {
    /// What is wrong with a frame that left for a backend, by itself.
    fn wrong(&self, case: &Case, left: &[u8]) -> Vec<String> {
        let Some(ip) = outer(left) else { return vec!["no IP header".to_owned()] };
        let (came, header, four) = (packet(&case.frame), packet(left), ip.dst.is_ipv4());
        let length = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let checks = [
            ("next hop", left[..6] == self.gateway.0),
            ("source MAC address", left[6..12] == case.frame[..6]),
            ("EtherType", left[12..LINK] == if four { [0x08, 0x00] } else { [0x86, 0xdd] }),
            ("protocol", ip.protocol == if came[0] >> 4 == 4 { IP_IN_IP } else { IP6_IN_IP }),
            ("inner packet", &left[ip.payload.clone()] == came),
            ("length", if four { length(2) == header.len() } else { length(4) + IP6 == header.len() }),
            ("checksum", verify(left).ipv4 == if four { State::Good } else { State::Absent }),
            ("class of service", class(header) == class(came)),
            ("time to live", header[if four { 8 } else { 7 }] == 64),
            ("source", is_origin(ip.src)),
            ("backend", self.service(case).is_some_and(|service| service.backends.contains(&ip.dst))),
        ];
        let wrong = checks.iter().filter(|(_, right)| !right);
        wrong.map(|(what, _)| format!("wrong {what} in {left:02x?}")).collect()
    }

    /// The service that a frame is for, or of whose flow an ICMP error speaks; one of port 0 is one of all ports.
    fn service(&self, case: &Case) -> Option<&Service> {
        let ip = outer(&case.frame)?;
        let transport = case.frame.get(ip.transport()?)?;
        let (address, protocol, ports) = match ip.protocol {
            ICMP | ICMP6 => quoted(transport.get(8..)?)?,
            protocol => (ip.dst, protocol, transport.get(2..4)?),
        };
        let port = u16::from_be_bytes([ports[0], ports[1]]).into();
        let of = |port| self.services.get(&(address, port, protocol.into()));
        of(port).or_else(|| of(0))
    }
}

/// Who sent a packet that is quoted: the address, the protocol, the port.
fn quoted(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    if packet.first()? >> 4 == 4 {
        let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        let header = usize::from(packet[0] & 15) * 4;
        return Some((source.into(), packet[9], packet.get(header..header + 2)?));
    }
    let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    Some((source.into(), packet[6], packet.get(40..42)?))
}

/// Type of service or traffic class.
fn class(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 }
}

/// Whether an address is of [`ORIGIN4`] or [`ORIGIN6`].
fn is_origin(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..2] == [172, 16],
        IpAddr::V6(address) => address.segments()[..4] == [0x100, 0, 0, 0],
    }
}
