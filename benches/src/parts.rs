//! What it costs to be cut into functions for the kernel's verifier: the same policy cut and whole, in turns.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use weir_compiler::{Compilation, NoFiles, Options};
use weir_dataplane::engines::Kernel;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Udp};

use crate::Failure;
use crate::beside;
use crate::frames::{self, FRAMES, Frames, link};
use crate::report::PartsRow;

/// What the statements do. None of them are neighbours that a table could match.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All go on: every frame comes to all of them.
    Counts,
    /// Every other one drops what it meets: some frames come to the first few only.
    Drops,
}

/// A chain of statements that still fits one function, and after how many branches it is cut.
pub(crate) struct Parts {
    shape: Shape,
    statements: usize,
    branches: u32,
}

/// The compiler takes 800 branches where it has to cut; with fewer a packet comes through more functions.
pub(crate) const PARTS: &[(&str, Parts)] = &[
    ("parts-counts-300", Parts { shape: Shape::Counts, statements: 300, branches: 200 }),
    ("parts-counts-1k", Parts { shape: Shape::Counts, statements: 1_000, branches: 400 }),
    ("parts-drops-300", Parts { shape: Shape::Drops, statements: 300, branches: 200 }),
    ("parts-drops-1k", Parts { shape: Shape::Drops, statements: 1_000, branches: 400 }),
];

pub(crate) fn measure(
    name: &str,
    case: &Parts,
    options: &Options,
    rounds: usize,
) -> Result<PartsRow, Failure> {
    let policy = policy(case.shape, case.statements);
    let compile = |part: Option<u32>| {
        let options = Options { part, ..options.clone() };
        crate::compile(name, &policy, &NoFiles, &options)
    };
    let (cut, whole) = (compile(Some(case.branches))?, compile(None)?);
    let (functions, of_whole) = (parts(&cut), parts(&whole));
    if functions < 2 || of_whole > 0 {
        return Err(format!("case `{name}`: {functions} and {of_whole} parts").into());
    }
    let (cut, whole) = (Kernel::load(&cut)?, Kernel::load(&whole)?);
    let frames = frames();
    beside::agree(cut.program(), &[whole.program()], &frames)
        .map_err(|failure| format!("case `{name}`: {failure}"))?;
    let measured = beside::measure(cut.program(), &[whole.program()], &frames, rounds)?;
    Ok(PartsRow {
        name: name.to_owned(),
        parts: functions,
        cut: measured.weir,
        whole: measured.others[0],
        instructions: cut.program().info()?.translated_bytes / 8,
        instructions_whole: whole.program().info()?.translated_bytes / 8,
    })
}

/// How many functions a program was cut into, besides the main one.
fn parts(compilation: &Compilation) -> usize {
    let functions = compilation.object.programs[0].functions.iter();
    functions.filter(|function| function.name.starts_with("part_")).count()
}

/// Statements that each ask for a field and for the sum of two, which is no row of a table.
pub(crate) fn policy(shape: Shape, statements: usize) -> String {
    let mut random = Random::new(statements as u64);
    let mut policy = String::new();
    for number in 0..statements {
        let verb = if shape == Shape::Drops && number % 2 == 0 { "drop" } else { "count" };
        let (one, other) = (asked(&mut random), sum(&mut random));
        let _ = writeln!(policy, "{verb} s{number} when {one} and {other}");
    }
    policy
}

/// Fields in which frames have any value, and their widths in bits.
const FIELDS: [(&str, u32); 6] = [
    ("ip4.src", 32),
    ("ip4.dst", 32),
    ("ip4.id", 16),
    ("ip4.ttl", 8),
    ("udp.srcport", 16),
    ("udp.dstport", 16),
];

/// What one frame in 32 fulfils, so that one in a thousand meets a statement.
fn asked(random: &mut Random) -> String {
    let (name, width) = FIELDS[random.below(FIELDS.len() as u32) as usize];
    let size = 1u64 << (width - 5);
    let low = random.bits() % ((1u64 << width) - size);
    match width {
        32 => format!("{name} == {}/5", Ipv4Addr::from((low as u32) >> 27 << 27)),
        _ => format!("{name} in {{ {low}..{} }}", low + size - 1),
    }
}

/// The same: the corner of two ports or of a port and the id, with sides of a quarter.
fn sum(random: &mut Random) -> String {
    let (one, other) = [("ip4.id", "udp.srcport"), ("ip4.id", "udp.dstport"), ("udp.srcport", "udp.dstport")]
        [random.below(3) as usize];
    format!("{one} + {other} > {}", 2 * u64::from(u16::MAX) - 16_384 + random.bits() % 1_000)
}

fn frames() -> Frames {
    frames::draw(FRAMES, frame)
}

fn frame(random: &mut Random) -> Packet {
    let (id, ttl) = (random.bits() as u16, random.bits() as u8);
    let header = Ipv4::new(frames::any_ip4(random), frames::any_ip4(random)).id(id).ttl(ttl);
    link(random).push(header).push(Udp::new(random.bits() as u16, random.bits() as u16))
}
