//! ACLs of DE-CIX: the policy against the JSON's own meaning, read here once more and plainly.

#![allow(clippy::print_stdout, reason = "a skipped test says why")]

use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use weir_bpf::target::Target;
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_compiler::{Hook, NoFiles};
use weir_import::{Format, Options, import};
use weir_lab::traffic::Random;
use weir_packet::Mac;
use weir_packet::build::{Ethernet, Extension, Ipv4, Ipv6, Packet, Tcp, Udp};

const MANY: &str = "../../../shared/data/de-cix-acls.json";
const FEW: &str = "tests/golden/acls.json";

/// What an ACL can ask.
#[derive(Clone, Copy, Debug)]
struct Flow {
    protocol: u64,
    ports: (u64, u64),
    /// Of the IP packet.
    size: u64,
    later_fragment: bool,
}

#[test]
fn a_few_acls_mean_what_they_say() {
    agree(&read(FEW).expect("a file"), 20_000);
}

#[test]
fn the_mined_acls_mean_what_they_say() {
    let Some(text) = read(MANY) else {
        println!("skipped the_mined_acls_mean_what_they_say: no ACLs at ../shared/data of the repository");
        return;
    };
    let acls: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(acls.as_object().expect("ACLs").len(), 327);
    agree(&text, 20_000);
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn agree(text: &str, packets: u32) {
    let import = import(text, &Options { name: "acls.json".into(), ..Options::default() }).expect("a policy");
    assert_eq!((import.format, import.findings.len()), (Format::DeCix, 0));
    let options = weir_compiler::Options::new(Target::newest(), Hook::Xdp);
    let compiled = weir_compiler::compile("acls", &import.policy, &NoFiles, &options);
    let compiled = compiled.unwrap_or_else(|analysis| panic!("{:?}", analysis.diagnostics));
    let acls: Value = serde_json::from_str(text).expect("JSON");
    let acls: Vec<&Value> = acls.as_object().expect("ACLs").values().collect();
    let mut evaluator = Evaluator::new(&compiled.analysis.policy);
    let mut random = Random::new(5);
    let mut dropped = 0;
    for _ in 0..packets {
        let flow = near(&mut random, &acls);
        let expected = acls.iter().any(|acl| holds(acl, flow));
        let frame = frame(flow, random.below(2) == 0);
        let found = evaluator.judge(&frame).verdict == Verdict::Drop;
        assert_eq!(found, expected, "{flow:?}\n{}", import.policy);
        dropped += u32::from(expected);
    }
    assert!(dropped > packets / 20 && dropped < packets / 20 * 19, "{dropped} of {packets}");
}

fn holds(acl: &Value, flow: Flow) -> bool {
    let (src, dst) = (&acl["port_src"], &acl["port_dst"]);
    let fragments = src.as_u64() == Some(0) && dst.as_u64() == Some(0);
    let any = src.as_str() == Some("*") && dst.as_str() == Some("*");
    let has_ports = matches!(flow.protocol, 6 | 17) && !flow.later_fragment;
    let ports = has_ports && one_of(src, flow.ports.0) && one_of(dst, flow.ports.1);
    let flows = if fragments { flow.later_fragment } else { any || ports };
    flows
        && one_of(&acl["protocol"], flow.protocol)
        && inside(acl["packet_size"].as_str().expect("a size"), flow.size)
}

fn one_of(wanted: &Value, value: u64) -> bool {
    match wanted.as_str() {
        None => wanted.as_u64() == Some(value),
        Some("*") => true,
        Some(set) => !numbers(set).contains(&value),
    }
}

/// More than the first, at most the second.
fn inside(size: &str, value: u64) -> bool {
    let ends = numbers(size);
    size == "*" || ends[0] < value && value <= ends[1]
}

fn numbers(text: &str) -> Vec<u64> {
    let digits = text.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    digits.map(|digits| digits.parse().expect("a number")).collect()
}

/// A packet that one of the ACLs drops, or nearly.
fn near(random: &mut Random, acls: &[&Value]) -> Flow {
    let acl = acls[random.below(acls.len() as u32) as usize];
    let other = acls[random.below(acls.len() as u32) as usize];
    let mut value = |key: &str, otherwise: &[u64]| {
        let acl = if random.below(6) == 0 { other } else { acl };
        match acl[key].as_u64() {
            Some(value) if random.below(8) > 0 => value,
            _ => otherwise[random.below(otherwise.len() as u32) as usize],
        }
    };
    let ports = [0, 7, 22, 53, 80, 123, 443, 40_000, 65_535];
    let protocol = value("protocol", &[1, 2, 6, 17, 47, 50]);
    let ports = (value("port_src", &ports), value("port_dst", &ports));
    let later_fragment = random.below(if ports == (0, 0) { 2 } else { 12 }) == 0;
    let ends = numbers(acl["packet_size"].as_str().expect("a size"));
    let size = match ends.as_slice() {
        [above, most] => [*above, above + 1, (above + most) / 2, *most, most + 1][random.below(5) as usize],
        _ => 60 + u64::from(random.below(1_441)),
    };
    Flow { protocol, ports, size, later_fragment }.clamped()
}

impl Flow {
    /// The headers of either family fit.
    fn clamped(self) -> Flow {
        Flow { size: self.size.clamp(68, 1_501), ..self }
    }
}

fn frame(flow: Flow, six: bool) -> Vec<u8> {
    let packet = Packet::new().push(Ethernet::new(Mac::local(1), Mac::local(2)));
    let protocol = flow.protocol as u8;
    let (packet, header) = match six {
        true => {
            let ip = Ipv6::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST).protocol(protocol);
            let fragment = Extension::Fragment { offset: 8, more: false, id: 1 };
            let ip = if flow.later_fragment { ip.extension(fragment) } else { ip };
            (packet.push(ip), if flow.later_fragment { 48 } else { 40 })
        }
        false => {
            let ip = Ipv4::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).protocol(protocol);
            (packet.push(if flow.later_fragment { ip.fragment(8, false) } else { ip }), 20)
        }
    };
    let (src, dst) = (flow.ports.0 as u16, flow.ports.1 as u16);
    let (packet, header) = match (flow.later_fragment, protocol) {
        (false, 6) => (packet.push(Tcp::new(src, dst)), header + 20),
        (false, 17) => (packet.push(Udp::new(src, dst)), header + 8),
        _ => (packet, header),
    };
    packet.payload(vec![0x5a; flow.size as usize - header]).build()
}
