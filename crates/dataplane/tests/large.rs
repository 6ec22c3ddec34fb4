//! Policies of up to ten thousand statements with overlapping ranges, prefixes and negations: first match is the law,
//! the evaluator that tries one statement after the other is the oracle, and all engines agree with it.
#![allow(clippy::print_stderr, reason = "what was tried is told")]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use weir_bpf::insn::Insn;
use weir_bpf::target::Target;
use weir_compiler::codegen::rooms::SECTION;
use weir_compiler::ir::TableDecl;
use weir_compiler::ir::effort::Effort;
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::engines::{Kernel, unprivileged};
use weir_lab::traffic::Random;
use weir_packet::build::{Ethernet, Ipv4, Ipv6, Packet, Tcp, Udp, Vlan};

/// Frames for each policy.
const FRAMES: usize = 400;

/// What a condition asks, by value, so that frames can be made that are near it.
struct Rule {
    six: bool,
    source: (u128, u32),
    target: (u128, u32),
    from: (u16, u16),
    to: (u16, u16),
    tcp: bool,
}

fn rule(random: &mut Random) -> Rule {
    let six = random.below(5) == 0;
    let ports = |random: &mut Random| match random.below(4) {
        0 => (0, 65535),
        1 => {
            let low = random.below(60_000) as u16;
            (low, low + random.below(5_000) as u16)
        }
        _ => {
            let port = [22, 53, 80, 443, 8080][random.below(5) as usize] + random.below(40) as u16;
            (port, port)
        }
    };
    let (from, to) = (ports(random), ports(random));
    let (source, target) = (prefix(six, random), prefix(six, random));
    Rule { six, source, target, from, to, tcp: random.below(2) == 0 }
}

/// From a few networks, so that they overlap.
fn prefix(six: bool, random: &mut Random) -> (u128, u32) {
    let (width, start) = if six { (128, 0x2001_0db8 << 96) } else { (32, 0x0a00_0000) };
    let low = u128::from(random.bits()) & if six { 0xffff_ffff_ffff } else { 0x000f_ffff };
    let address = start | (low << if six { 60 } else { 0 });
    let length = match random.below(6) {
        0 => 0,
        1 | 2 => width,
        _ => width - random.below(if six { 70 } else { 22 }),
    };
    (address >> (width - length).min(127) << (width - length).min(127), length)
}

/// What the statements of a policy do.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// They decide: runs of them are tables.
    Filter,
    /// They decide, but a third only counts: rows of the same tables.
    Mixed,
    /// The same, but half counts and asks for ranges inside of each other, of which few can be rows of one table.
    Nested,
    /// They go on: rows that count.
    Counting,
    /// They go on, and are asked one after the other.
    Chain,
}

impl Shape {
    /// Whether statements decide.
    fn decides(self) -> bool {
        matches!(self, Shape::Filter | Shape::Mixed | Shape::Nested)
    }

    /// Whether rows of tables count, where it does not depend on the length.
    fn has_counting(self) -> Option<bool> {
        match self {
            Shape::Mixed | Shape::Counting => Some(true),
            Shape::Chain => Some(false),
            Shape::Filter | Shape::Nested => None,
        }
    }
}

/// A statement; some deny what they ask, some only count, some only say what they would do.
fn statement(shape: Shape, number: usize, rule: &Rule, random: &mut Random) -> String {
    let (ip, transport) = (if rule.six { "ip6" } else { "ip4" }, if rule.tcp { "tcp" } else { "udp" });
    let mut asked = Vec::new();
    for (name, (address, length)) in [("src", rule.source), ("dst", rule.target)] {
        let address = match rule.six {
            true => Ipv6Addr::from(address).to_string(),
            false => Ipv4Addr::from(address as u32).to_string(),
        };
        match (length, random.below(40)) {
            (0, _) => {}
            (_, 0) => asked.push(format!("{ip}.{name} != {address}/{length}")),
            (_, 1) => asked.push(format!("not {ip}.{name} == {address}/{length}")),
            _ => asked.push(format!("{ip}.{name} == {address}/{length}")),
        }
    }
    for (name, (low, high)) in [("srcport", rule.from), ("dstport", rule.to)] {
        let port = format!("{transport}.{name}");
        match (low == high, random.below(30)) {
            _ if (low, high) == (0, 65535) => {}
            (true, 0) => asked.push(format!("{port} != {low}")),
            (true, _) => asked.push(format!("{port} == {low}")),
            (false, 0) => asked.push(format!("not ({port} >= {low} and {port} <= {high})")),
            (false, 1) => asked.push(format!("({port} < {low} or {port} == {high})")),
            (false, _) => asked.push(format!("{port} in {{ {low}..{high} }}")),
        }
    }
    // A statement that is all negations would hide the rest.
    if asked.len() < 2 {
        asked.push(format!("{ip}.src == {}", if rule.six { "2001:db8::7" } else { "10.0.0.7" }));
    }
    let verb = match (shape, number) {
        (Shape::Filter, 77) => "count",
        (Shape::Filter, 1234) => "shadow drop",
        (Shape::Nested, n) if n % 2 == 0 => "count",
        (Shape::Mixed, n) if n % 3 == 0 => ["count", "shadow pass", "shadow drop"][n / 3 % 3],
        (Shape::Counting | Shape::Chain, n) if n % 3 == 0 => "shadow drop",
        (Shape::Counting | Shape::Chain, _) => "count",
        (_, n) if n % 4 < 2 => "pass",
        _ => "drop",
    };
    if shape == Shape::Nested && number.is_multiple_of(2) {
        asked = vec![format!("frame.len > {}", 20 + number / 20)];
    }
    // Few fields in many ranges: each test tells of the next ones.
    if shape == Shape::Chain {
        asked.truncate(1);
        match random.below(4) {
            0 => asked.push(format!("frame.len > {}", 40 + random.below(30))),
            1 if !rule.six => asked.push(format!("ip4.ttl < {}", random.below(256))),
            2 => asked.push(format!("{transport}.dstport < {}", random.below(9000))),
            _ => asked.push(format!("{transport}.srcport >= {}", random.below(9000))),
        }
    }
    format!("{verb} r{number} when {}\n", asked.join(" and "))
}

/// Of a rule, at its ends or beside them; or of nothing.
fn frame(rules: &[Rule], random: &mut Random) -> Vec<u8> {
    let rule = &rules[random.below(rules.len() as u32) as usize];
    let width = if rule.six { 128 } else { 32 };
    let address = |(address, length): (u128, u32), random: &mut Random| {
        let host = if length == 0 { u128::MAX >> (128 - width) } else { (1u128 << (width - length)) - 1 };
        match random.below(4) {
            0 => address | host,
            1 => (address | host).wrapping_add(1) & (u128::MAX >> (128 - width)),
            _ => address | u128::from(random.bits()) & host,
        }
    };
    let port = |(low, high): (u16, u16), random: &mut Random| match random.below(4) {
        0 => low,
        1 => high.wrapping_add(1),
        _ => low + (random.below(u32::from(high - low) + 1)) as u16,
    };
    let (source, target) = (address(rule.source, random), address(rule.target, random));
    let (from, to) = (port(rule.from, random), port(rule.to, random));
    let mut packet = Packet::new().push(Ethernet::default());
    if random.below(8) == 0 {
        packet = packet.push(Vlan::new(7));
    }
    packet = match rule.six {
        true => packet.push(Ipv6::new(Ipv6Addr::from(source), Ipv6Addr::from(target))),
        false => packet.push(Ipv4::new(source as u32, Ipv4Addr::from(target as u32))),
    };
    let packet = match rule.tcp != (random.below(20) == 0) {
        true => packet.push(Tcp::new(from, to)),
        false => packet.push(Udp::new(from, to)),
    };
    packet.build()
}

fn agree(shape: Shape, seed: u64, count: usize, kernel: bool) {
    agree_in_parts(shape, seed, count, kernel, None);
}

/// The same, cut into functions of so many branches.
fn agree_in_parts(shape: Shape, seed: u64, count: usize, kernel: bool, parts: Option<u32>) {
    let mut random = Random::new(seed);
    let rules: Vec<Rule> = (0..count).map(|_| rule(&mut random)).collect();
    let mut text = String::new();
    for (number, rule) in rules.iter().enumerate() {
        let _ = write!(text, "{}", statement(shape, number, rule, &mut random));
    }
    let target = if kernel { weir_kernel::probe::target() } else { Target::newest() };
    let mut options = Options::new(target, Hook::Xdp);
    options.part = parts;
    options.lower.shortest_run = (shape == Shape::Chain).then_some(usize::MAX);
    let compiled = compile("large.weir", &text, &NoFiles, &options);
    let compilation = compiled.unwrap_or_else(|analysis| {
        let errors = analysis.diagnostics.iter().map(|message| message.message.clone());
        panic!("seed {seed}, {count} statements: {:?}", errors.take(3).collect::<Vec<_>>())
    });
    let counts = |decl: &TableDecl| decl.table.counting().is_some();
    let has_counting = compilation.lowered.program.tables.iter().any(counts);
    assert_eq!(has_counting, shape.has_counting().unwrap_or(has_counting), "seed {seed}, {count} statements");
    let mut engines = unprivileged(&compilation);
    if kernel {
        let loaded = Kernel::load(&compilation);
        let loaded = loaded.unwrap_or_else(|error| panic!("seed {seed}, {count} statements: {error}"));
        estimated(&compilation, &loaded);
        engines.push(Box::new(loaded));
    }
    let mut decided = std::collections::BTreeSet::new();
    for _ in 0..FRAMES {
        let frame = frame(&rules, &mut random);
        let meant = engines[0].judge(&frame, 0).unwrap();
        decided.insert(format!("{:?}", meant.by));
        for engine in &mut engines[1..] {
            let judged = engine.judge(&frame, 0).unwrap();
            let name = engine.name();
            assert!(
                judged.agrees(&meant),
                "seed {seed}, {count} statements, {name}: {judged:?} for {meant:?}, {frame:x?}"
            );
        }
    }
    let counters = engines[0].counters().unwrap();
    for engine in &mut engines[1..] {
        assert_eq!(
            engine.counters().unwrap(),
            counters,
            "seed {seed}, {count} statements, {}",
            engine.name()
        );
    }
    let program = &compilation.object.programs[0];
    let (size, functions) = (program.slots(), program.functions.len());
    assert!(parts.is_none() || functions > 2, "{functions} functions");
    assert!(reads_of_space(&compilation) <= 1, "all of a packet's way is by the tables of one policy");
    let met = counters.iter().filter(|statement| statement.packets > 0).count();
    eprintln!(
        "seed {seed}: {count} statements, {size} instructions in {functions} functions, {met} statements met {FRAMES} frames"
    );
    assert!(met > 10 && (!shape.decides() || decided.len() > 10), "{decided:?}");
}

/// How often a program reads which space of the tables is in use: the section's first word.
fn reads_of_space(compilation: &Compilation) -> usize {
    let section = compilation.object.maps.iter().position(|map| map.name == SECTION);
    let read = |pair: &[Insn]| match pair {
        [Insn::LdMapValue { dst, map, off: 0 }, Insn::Load { base, off: 0, .. }] => {
            dst == base && Some(map.0 as usize) == section
        }
        _ => false,
    };
    compilation.object.programs[0].insns.windows(2).filter(|pair| read(pair)).count()
}

/// What the compiler thinks that the verifier goes through is about what it does go through.
fn estimated(compilation: &Compilation, kernel: &Kernel<'_>) {
    let steps = Effort::of(&compilation.lowered.program).steps;
    let verified = u64::from(kernel.program().info().unwrap().verified_insns);
    eprintln!("verified {verified}, estimated {steps}");
    assert!(steps < verified * 6 && verified < steps * 10, "verified {verified}, estimated {steps}");
}

/// Whether the kernel can be asked as well.
fn kernel() -> bool {
    let options = Options::new(weir_kernel::probe::target(), Hook::Xdp);
    let smallest = compile("smallest.weir", "default pass\n", &NoFiles, &options);
    let Err(error) = Kernel::load(&smallest.unwrap_or_else(|_| panic!("a good policy"))) else { return true };
    let required = std::env::var("WEIR_REQUIRE_KERNEL").as_deref() == Ok("1");
    assert!(!required, "the kernel is required (WEIR_REQUIRE_KERNEL=1), but: {error}");
    eprintln!("skipped the kernel: {error}");
    false
}

#[test]
fn hundreds_that_go_on() {
    let kernel = kernel();
    (1..=4).for_each(|seed| agree(Shape::Chain, seed, 60 * seed as usize, kernel));
}

#[test]
fn several_functions() {
    let kernel = kernel();
    agree_in_parts(Shape::Chain, 1, 100, kernel, Some(20));
    agree_in_parts(Shape::Filter, 2, 150, kernel, Some(5));
    agree_in_parts(Shape::Mixed, 2, 400, kernel, Some(5));
    // By itself, as the verifier would give up.
    agree(Shape::Chain, 3, 2_500, kernel);
}

#[test]
fn hundreds() {
    let kernel = kernel();
    (1..=6).for_each(|seed| agree(Shape::Filter, seed, 150 * seed as usize, kernel));
    (1..=3).for_each(|seed| agree(Shape::Mixed, seed, 300 * seed as usize, kernel));
    (1..=2).for_each(|seed| agree(Shape::Counting, seed, 250 * seed as usize, kernel));
    // Most of it is a chain of few fields in many ranges.
    [160, 300, 600].iter().for_each(|count| agree(Shape::Nested, 5, *count, kernel));
}

#[test]
fn thousands() {
    let kernel = kernel();
    (11..=13).for_each(|seed| agree(Shape::Filter, seed, 2_000, kernel));
}

#[test]
fn ten_thousand() {
    let kernel = kernel();
    agree(Shape::Filter, 21, 10_000, kernel);
    agree(Shape::Filter, 22, 10_000, kernel);
    agree(Shape::Mixed, 24, 10_000, kernel);
    agree(Shape::Counting, 25, 10_000, kernel);
    agree(Shape::Chain, 23, 10_000, kernel);
}
