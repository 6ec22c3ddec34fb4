//! What it costs to be cut into functions: the same policy as several and as one, in turns.

use std::fmt::Write as _;

use weir_compiler::{Compilation, NoFiles, Options};
use weir_dataplane::engines::Kernel;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Udp};

use crate::Failure;
use crate::beside;
use crate::frames::{self, FRAMES, link};
use crate::report::PartsRow;

/// Statements that go on, of which one function still holds so many.
const STATEMENTS: u32 = 1_000;

/// As many branches as the compiler takes where it has to.
const BRANCHES: u32 = 800;

pub(crate) fn measure(options: &Options, rounds: usize) -> Result<PartsRow, Failure> {
    let policy = policy();
    let compile = |part: Option<u32>| -> Result<Compilation, Failure> {
        let options = Options { part, ..options.clone() };
        let compiled = weir_compiler::compile("bench.weir", &policy, &NoFiles, &options);
        Ok(compiled.map_err(|_| "the chain does not compile")?)
    };
    let (parts, whole) = (compile(Some(BRANCHES))?, compile(None)?);
    let functions = parts.object.programs[0].functions.len();
    let (parts, whole) = (Kernel::load(&parts)?, Kernel::load(&whole)?);
    let frames = frames::draw(FRAMES, frame);
    beside::agree(parts.program(), &[whole.program()], &frames)?;
    let measured = beside::measure(parts.program(), &[whole.program()], &frames, rounds)?;
    let whole = measured.others.first().copied();
    Ok(PartsRow { statements: STATEMENTS, functions, parts: measured.weir, whole })
}

/// Each asks for a network and a port.
fn policy() -> String {
    let mut policy = String::new();
    for number in 0..STATEMENTS {
        let (high, low, port) = (1 + number % 220, number * 7 % 256, 1_000 + number * 31);
        let _ =
            writeln!(policy, "count c{number} when ip4.src == {high}.{low}.0.0/16 and udp.dstport == {port}");
    }
    policy
}

fn frame(random: &mut Random) -> Packet {
    let header = Ipv4::new(frames::any_ip4(random), [203, 0, 113, 10]);
    link(random).push(header).push(Udp::new(random.port(), random.port()))
}
