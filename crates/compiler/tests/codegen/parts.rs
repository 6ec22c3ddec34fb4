//! Programs of several functions.

use std::fmt::Write as _;
use weir_bpf::target::Target;
use weir_compiler::{Hook, NoFiles, Options, compile};
use weir_packet::random::SplitMix;

const FIELDS: [&str; 6] =
    ["ip4.id", "ip4.checksum", "udp.srcport", "udp.dstport", "udp.length", "udp.checksum"];

/// Statements that all go on, each by a range of one field and the sum of two, which is no row of a table.
fn chain(statements: usize) -> String {
    let mut random = SplitMix::new(1);
    let mut below = |end: u64| random.bits() % end;
    let mut text = String::new();
    for number in 0..statements {
        let [one, other, third] = [(); 3].map(|()| FIELDS[below(6) as usize]);
        let (low, sum) = (below(63_000), below(130_000));
        let _ = writeln!(
            text,
            "count s{number} when {one} in {{ {low}..{} }} and {other} + {third} > {sum}",
            low + 2_000
        );
    }
    text
}

/// The functions of a chain, and its instructions.
fn size(statements: usize, part: Option<u32>) -> (usize, usize) {
    let options = Options { part, ..Options::new(Target::newest(), Hook::Xdp) };
    let compiled = compile("chain.weir", &chain(statements), &NoFiles, &options);
    let object = compiled.unwrap_or_else(|_| panic!("a good policy")).object;
    (object.programs[0].functions.len(), object.programs[0].slots())
}

/// What statements read of scratch memory they read by a register that holds its address all the time. The allocator
/// had moved it in front of each read: 39 instructions a statement, 41 and more in other chains.
#[test]
fn the_address_of_scratch_memory_is_not_moved_about() {
    for part in [None, Some(800)] {
        let (functions, slots) = size(1_000, part);
        assert!((functions > 1) == part.is_some(), "{functions} functions");
        assert!(slots < 33_000, "{slots} instructions in {functions} functions");
    }
}
