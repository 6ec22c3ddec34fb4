//! Many rules and large sets: what they cost a packet, and what they cost to compile and load.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use weir_compiler::ir::SetRef;
use weir_compiler::{Compilation, Loader, NoFiles, Options};
use weir_dataplane::engines::{Engine, Kernel};
use weir_kernel::maps;
use weir_kernel::program::Program;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Tcp, Udp};

use crate::Failure;
use crate::acls::{self, ACLS};
use crate::beside::{self, Beside, Counts, Other};
use crate::cases::Text;
use crate::clang::{self, Compiled, Source};
use crate::classbench::{self, Kind};
use crate::frames::{self, FRAMES, Frames, link};
use crate::report::{RivalRow, RulesRow};
use crate::rivals;
use crate::rule::{self, Prefix, Rule, Transport, prefix_text};

/// The reference of `rules-10k`, which asks the same eight kinds of question.
const EIGHT: &str = "rules-8";

/// What a case asks, and frames of which some are met (hits) or that come from anywhere (random).
pub(crate) struct Rules {
    pub(crate) policy: String,
    pub(crate) files: Box<dyn Loader>,
    pub(crate) hits: Frames,
    pub(crate) random: Frames,
    /// Makes what others would build for it.
    pub(crate) rivals: Box<dyn Fn() -> Vec<(&'static str, Source)>>,
}

pub(crate) type Make = fn() -> Rules;

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
    (ACLS, acls::rules),
    ("acl-1k", || classbench(Kind::Acl, 1_000)),
    ("acl-10k", || classbench(Kind::Acl, 10_000)),
    ("fw-1k", || classbench(Kind::Firewall, 1_000)),
    ("fw-10k", || classbench(Kind::Firewall, 10_000)),
    ("ipc-1k", || classbench(Kind::Chain, 1_000)),
    ("ipc-10k", || classbench(Kind::Chain, 10_000)),
    ("set-1M-addresses", million_addresses),
    ("set-1M-prefixes", || set(1_000_000, Element::Prefix, CONSTANT)),
    ("set-1M-prefixes6", || set(1_000_000, Element::Prefix6, CONSTANT)),
    ("set-live-empty", || set(0, Element::Prefix, LIVE)),
    ("set-live-10k-prefixes", || set(10_000, Element::Prefix, LIVE)),
    ("set-live-1M-addresses", || set(1_000_000, Element::Address, LIVE)),
    ("set-live-1M-prefixes", || set(1_000_000, Element::Prefix, LIVE)),
    ("set-live-1M-prefixes6", || set(1_000_000, Element::Prefix6, LIVE)),
];

pub(crate) fn measure(
    name: &str,
    make: Make,
    options: &Options,
    with_c: bool,
    rounds: usize,
) -> Result<RulesRow, Failure> {
    let case = make();
    let start = Instant::now();
    let compilation = compile(name, &case, options)?;
    let compile_ms = start.elapsed().as_secs_f64() * 1000.0;
    let start = Instant::now();
    let mut kernel = Kernel::load(&compilation)?;
    let load_ms = start.elapsed().as_secs_f64() * 1000.0;
    let eight = compile(EIGHT, &shapes(8), options)?;
    let eight = Kernel::load(&eight)?;
    let rivals = if with_c { compiled(&(case.rivals)())? } else { Vec::new() };
    agree(&mut kernel, &rivals, &case).map_err(|failure| format!("case `{name}`: {failure}"))?;
    // The eight rules on the same frames come first.
    let others = std::iter::once(eight.program()).chain(rivals.iter().map(|(_, rival)| rival.program()));
    let others: Vec<&Program> = others.collect();
    let hits = beside::measure(kernel.program(), &others, &case.hits, rounds)?;
    let random = beside::measure(kernel.program(), &others, &case.random, rounds)?;
    Ok(RulesRow {
        name: name.to_owned(),
        rivals: rival_rows(&rivals, &hits, &random),
        hits: hits.weir,
        random: random.weir,
        hits_over_eight: hits.others[0].ratio,
        over_eight: random.others[0].ratio,
        instructions: kernel.program().info()?.translated_bytes / 8,
        bytes: bytes(&compilation),
        compile_ms,
        load_ms,
    })
}

/// Of what the program walks: tables, and indexes as far as they are filled.
fn bytes(compilation: &Compilation) -> usize {
    let lowered = &compilation.lowered;
    let sets = (0..lowered.program.sets.len() as u32).map(SetRef);
    let indexes = sets.filter_map(|set| lowered.index(&compilation.analysis.policy, set));
    let tables = compilation.object.maps.iter().map(|map| map.initial.len());
    tables.sum::<usize>() + indexes.map(|index| 8 * index.len()).sum::<usize>()
}

fn compile(name: &str, case: &Rules, options: &Options) -> Result<Compilation, Failure> {
    crate::compile(name, &case.policy, case.files.as_ref(), options)
}

fn compiled(rivals: &[(&'static str, Source)]) -> Result<Vec<(&'static str, Compiled)>, Failure> {
    let one = |(name, source): &(&'static str, Source)| match clang::compile(source) {
        Ok(compiled) => Ok((*name, compiled)),
        Err(failure) => Err(format!("{name}: {failure}").into()),
    };
    rivals.iter().map(one).collect()
}

/// An error if a rival does not judge every frame as Weir does, or counts it for another rule.
fn agree(kernel: &mut Kernel<'_>, rivals: &[(&str, Compiled)], case: &Rules) -> Result<(), Failure> {
    let programs: Vec<&Program> = rivals.iter().map(|(_, rival)| rival.program()).collect();
    for frames in [&case.hits, &case.random] {
        beside::agree(kernel.program(), &programs, frames)?;
    }
    let counts: Counts = kernel.counters()?.iter().map(|counter| (counter.packets, counter.bytes)).collect();
    for (name, rival) in rivals {
        let differs = rival.counts()?.iter().zip(&counts).position(|(theirs, ours)| theirs != ours);
        if let Some(number) = differs {
            return Err(format!("Weir and `{name}` count differently for rule {number}").into());
        }
    }
    Ok(())
}

fn rival_rows(rivals: &[(&'static str, Compiled)], hits: &Beside, random: &Beside) -> Vec<RivalRow> {
    let both = hits.others[1..].iter().zip(&random.others[1..]);
    let row = |((name, _), (hits, random)): (&(&'static str, Compiled), (&Other, &Other))| RivalRow {
        name,
        hits: *hits,
        random: *random,
    };
    rivals.iter().zip(both).map(row).collect()
}

/// Transports with ports, at the ends of rules.
#[derive(Clone, Copy)]
enum Ends {
    Tcp(u16, u16),
    Udp(u16, u16),
}

fn frame(random: &mut Random, source: u32, target: u32, ends: Ends) -> Packet {
    let packet = link(random).push(Ipv4::new(source, Ipv4Addr::from(target)));
    match ends {
        Ends::Tcp(from, to) => packet.push(Tcp::new(from, to)),
        Ends::Udp(from, to) => packet.push(Udp::new(from, to)),
    }
}

fn anywhere(random: &mut Random) -> Packet {
    let (source, target) = (address(random), address(random));
    let (from, to) = (random.port(), random.port());
    let ends = if frames::once_in(random, 2) { Ends::Tcp(from, to) } else { Ends::Udp(from, to) };
    frame(random, source, target, ends)
}

pub(crate) fn address(random: &mut Random) -> u32 {
    0x0100_0000 + random.bits() as u32 % 0xdf00_0000
}

fn network(random: &mut Random, length: u32) -> Prefix {
    (address(random) & rule::mask(length), length)
}

/// Rules with a frame that each of them meets, and frames from anywhere.
fn of(rules: Vec<Rule>, met: &[Packet]) -> Rules {
    with_hits(rules, hits(met))
}

fn with_hits(rules: Vec<Rule>, hits: Frames) -> Rules {
    Rules {
        policy: rule::policy(&rules),
        files: Box::new(NoFiles),
        hits,
        random: random(),
        rivals: Box::new(move || rivals::of_rules(&rules)),
    }
}

/// Rules of eight kinds in turns.
pub(crate) fn shapes(count: usize) -> Rules {
    let (rules, met) = eight_kinds(count);
    of(rules, &met)
}

/// With a frame that each of them meets.
pub(crate) fn eight_kinds(count: usize) -> (Vec<Rule>, Vec<Packet>) {
    let mut random = Random::new(7);
    (0..count).map(|number| shape(&mut random, number % 8)).unzip()
}

/// Frames that each meet one of the rules, whichever.
pub(crate) fn hits(met: &[Packet]) -> Frames {
    frames::draw(FRAMES, |random| met[random.below(met.len() as u32) as usize].clone())
}

/// Frames from anywhere.
pub(crate) fn random() -> Frames {
    frames::draw(FRAMES, anywhere)
}

fn shape(random: &mut Random, kind: usize) -> (Rule, Packet) {
    let (src, dst) = (address(random), address(random));
    let (from, to) = (random.port(), random.port());
    let length = 16 + random.below(13);
    let (wide, near) = (network(random, length), network(random, 24));
    let tcp = Rule { transport: Transport::Header(6), ..Rule::ANY };
    let udp = Rule { transport: Transport::Header(17), ..Rule::ANY };
    let rule = match kind {
        0 => Rule { source: (src, 32), ..Rule::ANY },
        1 => Rule { source: wide, ..Rule::ANY },
        2 => Rule { target: (dst, 32), to: (to, to), ..tcp },
        3 => Rule { target: near, to: (to / 2, to), ..udp },
        4 => Rule { source: wide, target: near, ..Rule::ANY },
        5 => Rule { source: (src, 32), target: (dst, 32), from: (from, from), ..udp },
        6 => Rule { target: near, from: (from, from), ..tcp },
        _ => Rule { source: near, transport: Transport::Number(17), ..Rule::ANY },
    };
    let at = |(low, length): Prefix, other| if length > 0 { low } else { other };
    let ends = if kind.is_multiple_of(2) { Ends::Tcp(from, to) } else { Ends::Udp(from, to) };
    (rule, frame(random, at(rule.source, src), at(rule.target, dst), ends))
}

#[derive(Clone, Copy)]
enum Field {
    Address,
    Prefix,
    Port,
}

fn one_field(count: usize, field: Field) -> Rules {
    let mut random = Random::new(11);
    let (rules, met): (Vec<Rule>, Vec<Packet>) = (0..count).map(|_| one(&mut random, field)).unzip();
    of(rules, &met)
}

fn one(random: &mut Random, field: Field) -> (Rule, Packet) {
    let (mut source, target) = (address(random), address(random));
    let (from, to) = (random.port(), random.port());
    let rule = match field {
        Field::Address => Rule { source: (source, 32), ..Rule::ANY },
        Field::Prefix => {
            let length = 12 + random.below(17);
            let network = network(random, length);
            source = network.0;
            Rule { source: network, ..Rule::ANY }
        }
        Field::Port => Rule { to: (to, to), transport: Transport::Header(17), ..Rule::ANY },
    };
    (rule, frame(random, source, target, Ends::Udp(from, to)))
}

/// Frames of rules, one after the other; and from anywhere.
fn classbench(kind: Kind, count: usize) -> Rules {
    let rules = classbench::rules(kind, count);
    let hits = frames::draw(FRAMES, |random| {
        let rule = &rules[random.below(rules.len() as u32) as usize];
        classbench::met(rule, random)
    });
    with_hits(rules, hits)
}

#[derive(Clone, Copy)]
enum Element {
    Address,
    Prefix,
    Prefix6,
}

/// Frames are many, so that the elements that they meet do not fit the caches either.
const MANY: usize = 131_072;

/// What a set's declaration says behind its elements.
const CONSTANT: &str = "";
const LIVE: &str = " max 1M";

pub(crate) fn million_addresses() -> Rules {
    set(1_000_000, Element::Address, CONSTANT)
}

fn set(count: usize, element: Element, kind: &str) -> Rules {
    let mut random = Random::new(13);
    let mut text = String::new();
    let mut met: Vec<u128> = Vec::with_capacity(count);
    let mut keys = Vec::with_capacity(count);
    for _ in 0..count {
        match element {
            Element::Address => {
                let address = address(&mut random);
                met.push(u128::from(address));
                keys.push(address.to_be_bytes().to_vec());
                let _ = writeln!(text, "{}", Ipv4Addr::from(address));
            }
            Element::Prefix => {
                let length = 16 + random.below(17);
                let (low, _) = network(&mut random, length);
                met.push(u128::from(low));
                keys.push(maps::lpm_key(length, &low.to_be_bytes()));
                let _ = writeln!(text, "{}", prefix_text((low, length)));
            }
            Element::Prefix6 => {
                let length = 32 + random.below(33);
                let address = u128::from(frames::any_ip6(&mut random));
                let low = address >> (128 - length) << (128 - length);
                met.push(low);
                keys.push(maps::lpm_key(length, &low.to_be_bytes()));
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
        let met = if met.is_empty() { 0 } else { met[random.below(count as u32) as usize] };
        udp(random, met)
    });
    let anywhere = frames::draw(MANY, |random| {
        let address = if six { u128::from(frames::any_ip6(random)) } else { u128::from(address(random)) };
        udp(random, address)
    });
    let family = if six { "ip6" } else { "ip4" };
    let policy =
        format!("set listed : {family} from \"listed.txt\"{kind}\ndrop listed when {family}.src in listed\n");
    let file = match element {
        Element::Address => "address.c",
        Element::Prefix => "prefix.c",
        Element::Prefix6 => "prefix6.c",
    };
    // The kernel makes no map of nothing.
    let rivals = Box::new(move || match keys.is_empty() {
        true => Vec::new(),
        false => vec![rivals::of_set(file, &keys)],
    });
    Rules { policy, files: Box::new(Text(text)), hits, random: anywhere, rivals }
}
