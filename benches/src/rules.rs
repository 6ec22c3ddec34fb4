//! Many rules and large sets: what they cost a packet, and what they cost to compile and load.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use weir_compiler::{Loader, NoFiles, Options};
use weir_dataplane::engines::Kernel;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Tcp, Udp};

use crate::Failure;
use crate::beside;
use crate::cases::Text;
use crate::classbench::{self, Kind};
use crate::frames::{self, FRAMES, Frames, link};
use crate::report::RulesRow;

/// The reference of `rules-10k`, which asks the same eight kinds of question.
const EIGHT: &str = "rules-8";

/// What a case asks, and frames of which some are met (hits) or that come from anywhere (random).
pub(crate) struct Rules {
    pub(crate) policy: String,
    pub(crate) files: Box<dyn Loader>,
    hits: Frames,
    pub(crate) random: Frames,
}

type Make = fn() -> Rules;

/// In this order.
pub(crate) const RULES: &[(&str, Make)] = &[
    (EIGHT, || shapes(8)),
    ("rules-100", || shapes(100)),
    ("rules-1k", || shapes(1_000)),
    ("rules-10k", || shapes(10_000)),
    ("addresses-1k", || one_field(1_000, Field::Address)),
    ("addresses-10k", || one_field(10_000, Field::Address)),
    ("networks-1k", || one_field(1_000, Field::Prefix)),
    ("networks-10k", || one_field(10_000, Field::Prefix)),
    ("ports-1k", || one_field(1_000, Field::Port)),
    ("ports-10k", || one_field(10_000, Field::Port)),
    ("acl-1k", || classbench(Kind::Acl, 1_000)),
    ("acl-10k", || classbench(Kind::Acl, 10_000)),
    ("fw-1k", || classbench(Kind::Firewall, 1_000)),
    ("fw-10k", || classbench(Kind::Firewall, 10_000)),
    ("ipc-1k", || classbench(Kind::Chain, 1_000)),
    ("ipc-10k", || classbench(Kind::Chain, 10_000)),
    ("set-1M-addresses", || set(1_000_000, Element::Address)),
    ("set-1M-prefixes", || set(1_000_000, Element::Prefix)),
    ("set-1M-prefixes6", || set(1_000_000, Element::Prefix6)),
];

pub(crate) fn measure(name: &str, make: Make, options: &Options, rounds: usize) -> Result<RulesRow, Failure> {
    let case = make();
    let start = Instant::now();
    let compiled = weir_compiler::compile("bench.weir", &case.policy, case.files.as_ref(), options);
    let compilation = compiled.map_err(|analysis| {
        let first = analysis.diagnostics.iter().next().map(|diagnostic| diagnostic.message.clone());
        format!("case `{name}`: {}", first.unwrap_or_default())
    })?;
    let compile_ms = start.elapsed().as_secs_f64() * 1000.0;
    let start = Instant::now();
    let kernel = Kernel::load(&compilation)?;
    let load_ms = start.elapsed().as_secs_f64() * 1000.0;
    let eight = shapes(8);
    let reference = weir_compiler::compile("eight.weir", &eight.policy, &NoFiles, options);
    let reference = reference.map_err(|_| "eight rules compile")?;
    let reference = Kernel::load(&reference)?;
    // The eight rules on the same frames.
    let hits = beside::measure(kernel.program(), Some(reference.program()), &case.hits, rounds)?;
    let random = beside::measure(kernel.program(), Some(reference.program()), &case.random, rounds)?;
    Ok(RulesRow {
        name: name.to_owned(),
        hits: hits.weir,
        random: random.weir,
        over_eight: random.ratio,
        instructions: kernel.program().info()?.translated_bytes / 8,
        bytes: compilation.object.maps.iter().map(|map| map.initial.len()).sum(),
        compile_ms,
        load_ms,
    })
}

/// Transports with ports, at the ends of rules.
#[derive(Clone, Copy)]
enum Transport {
    Tcp(u16, u16),
    Udp(u16, u16),
}

fn frame(random: &mut Random, source: u32, target: u32, transport: Transport) -> Packet {
    let packet = link(random).push(Ipv4::new(source, Ipv4Addr::from(target)));
    match transport {
        Transport::Tcp(from, to) => packet.push(Tcp::new(from, to)),
        Transport::Udp(from, to) => packet.push(Udp::new(from, to)),
    }
}

fn anywhere(random: &mut Random) -> Packet {
    let (source, target) = (address(random), address(random));
    let (from, to) = (random.port(), random.port());
    let transport =
        if frames::once_in(random, 2) { Transport::Tcp(from, to) } else { Transport::Udp(from, to) };
    frame(random, source, target, transport)
}

pub(crate) fn address(random: &mut Random) -> u32 {
    0x0100_0000 + random.bits() as u32 % 0xdf00_0000
}

fn network(random: &mut Random, length: u32) -> (u32, String) {
    let low = address(random) >> (32 - length) << (32 - length);
    (low, format!("{}/{length}", Ipv4Addr::from(low)))
}

/// Rules of eight kinds in turns, with a frame that each of them meets.
pub(crate) fn shapes(count: usize) -> Rules {
    let mut random = Random::new(7);
    let (mut policy, mut met) = (String::new(), Vec::new());
    for number in 0..count {
        let (condition, packet) = shape(&mut random, number % 8);
        let verb = if number % 3 == 0 { "pass" } else { "drop" };
        let _ = writeln!(policy, "{verb} r{number} when {condition}");
        met.push(packet);
    }
    let hits = frames::draw(FRAMES, |random| met[random.below(met.len() as u32) as usize].clone());
    Rules { policy, files: Box::new(NoFiles), hits, random: frames::draw(FRAMES, anywhere) }
}

fn shape(random: &mut Random, kind: usize) -> (String, Packet) {
    let (src, dst) = (address(random), address(random));
    let (from, to) = (random.port(), random.port());
    let ip = Ipv4Addr::from;
    let length = 16 + random.below(13);
    let (wide, wide_text) = network(random, length);
    let (near, near_text) = network(random, 24);
    match kind {
        0 => (format!("ip4.src == {}", ip(src)), frame(random, src, dst, Transport::Tcp(from, to))),
        1 => (format!("ip4.src == {wide_text}"), frame(random, wide, dst, Transport::Udp(from, to))),
        2 => (
            format!("ip4.dst == {} and tcp.dstport == {to}", ip(dst)),
            frame(random, src, dst, Transport::Tcp(from, to)),
        ),
        3 => (
            format!("ip4.dst == {near_text} and udp.dstport in {{ {}..{to} }}", to / 2),
            frame(random, src, near, Transport::Udp(from, to)),
        ),
        4 => (
            format!("ip4.src == {wide_text} and ip4.dst == {near_text}"),
            frame(random, wide, near, Transport::Tcp(from, to)),
        ),
        5 => (
            format!("ip4.src == {} and ip4.dst == {} and udp.srcport == {from}", ip(src), ip(dst)),
            frame(random, src, dst, Transport::Udp(from, to)),
        ),
        6 => (
            format!("tcp.srcport == {from} and ip4.dst == {near_text}"),
            frame(random, src, near, Transport::Tcp(from, to)),
        ),
        _ => (
            format!("ip4.proto == 17 and ip4.src == {near_text}"),
            frame(random, near, dst, Transport::Udp(from, to)),
        ),
    }
}

#[derive(Clone, Copy)]
enum Field {
    Address,
    Prefix,
    Port,
}

fn one_field(count: usize, field: Field) -> Rules {
    let mut random = Random::new(11);
    let (mut policy, mut met) = (String::new(), Vec::new());
    for number in 0..count {
        let (mut source, target) = (address(&mut random), address(&mut random));
        let (from, to) = (random.port(), random.port());
        let condition = match field {
            Field::Address => format!("ip4.src == {}", Ipv4Addr::from(source)),
            Field::Prefix => {
                let length = 12 + random.below(17);
                let (low, text) = network(&mut random, length);
                source = low;
                format!("ip4.src == {text}")
            }
            Field::Port => format!("udp.dstport == {to}"),
        };
        let _ = writeln!(policy, "drop r{number} when {condition}");
        met.push(frame(&mut random, source, target, Transport::Udp(from, to)));
    }
    let hits = frames::draw(FRAMES, |random| met[random.below(met.len() as u32) as usize].clone());
    Rules { policy, files: Box::new(NoFiles), hits, random: frames::draw(FRAMES, anywhere) }
}

/// Frames of rules, one after the other; and from anywhere.
fn classbench(kind: Kind, count: usize) -> Rules {
    let rules = classbench::rules(kind, count);
    let policy = classbench::policy(&rules);
    let hits = frames::draw(FRAMES, |random| {
        let rule = &rules[random.below(rules.len() as u32) as usize];
        classbench::met(rule, random)
    });
    Rules { policy, files: Box::new(NoFiles), hits, random: frames::draw(FRAMES, anywhere) }
}

#[derive(Clone, Copy)]
enum Element {
    Address,
    Prefix,
    Prefix6,
}

/// Frames are many, so that the elements that they meet do not fit the caches either.
const MANY: usize = 131_072;

fn set(count: usize, element: Element) -> Rules {
    let mut random = Random::new(13);
    let mut text = String::new();
    let mut met: Vec<u128> = Vec::with_capacity(count);
    for _ in 0..count {
        match element {
            Element::Address => {
                let address = address(&mut random);
                met.push(u128::from(address));
                let _ = writeln!(text, "{}", Ipv4Addr::from(address));
            }
            Element::Prefix => {
                let length = 16 + random.below(17);
                let (low, prefix) = network(&mut random, length);
                met.push(u128::from(low));
                let _ = writeln!(text, "{prefix}");
            }
            Element::Prefix6 => {
                let length = 32 + random.below(33);
                let address = u128::from(frames::any_ip6(&mut random));
                let low = address >> (128 - length) << (128 - length);
                met.push(low);
                let _ = writeln!(text, "{}/{length}", Ipv6Addr::from(low));
            }
        }
    }
    let six = matches!(element, Element::Prefix6);
    let udp = |random: &mut Random, address: u128| match six {
        true => {
            let header = weir_packet::build::Ipv6::new(Ipv6Addr::from(address), Ipv6Addr::LOCALHOST);
            link(random).push(header).push(Udp::new(random.port(), 53))
        }
        false => frames::udp4(random, Ipv4Addr::from(address as u32)),
    };
    let hits = frames::draw(MANY, |random| {
        let nth = random.below(count as u32) as usize;
        udp(random, met[nth])
    });
    let anywhere = frames::draw(MANY, |random| {
        let address = if six { u128::from(frames::any_ip6(random)) } else { u128::from(address(random)) };
        udp(random, address)
    });
    let family = if six { "ip6" } else { "ip4" };
    let policy =
        format!("set listed : {family} from \"listed.txt\"\ndrop listed when {family}.src in listed\n");
    Rules { policy, files: Box::new(Text(text)), hits, random: anywhere }
}
