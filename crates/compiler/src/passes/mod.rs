//! The optimiser: one pass a file, each a function that says whether it changed the program.
//!
//! Every pass keeps what the interpreter sees: verdict, statement, counters, buckets, and which
//! captures are made. [`PIPELINE`] is the one place that orders them. Each is (nearly) linear in the
//! program's size; none recurses. In debug builds the verifier runs after each pass that changed
//! something.

mod alike;
mod cse;
mod dead;
mod duplicate;
mod edit;
mod expect;
mod fold;
mod forget;
mod knowledge;
mod layout;
mod merge;
mod ranges;
mod sink;
mod switches;
mod thread;

use crate::ir::Program;

/// A pass and the name under which it can be switched off.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name.
    pub name: &'static str,
    /// Changes the program; whether it did.
    pub run: fn(&mut Program) -> bool,
}

const FOLD: Pass = Pass { name: "fold", run: fold::fold };
const THREAD: Pass = Pass { name: "thread", run: thread::thread };
const MERGE: Pass = Pass { name: "merge", run: merge::merge };
const DEAD: Pass = Pass { name: "dead", run: dead::dead };
const CSE: Pass = Pass { name: "cse", run: cse::cse };
const ALIKE: Pass = Pass { name: "alike", run: alike::alike };
const DUPLICATE: Pass = Pass { name: "duplicate", run: duplicate::duplicate };
const SWITCHES: Pass = Pass { name: "switches", run: switches::switches };
const SINK: Pass = Pass { name: "sink", run: sink::sink };
const EXPECT: Pass = Pass { name: "expect", run: expect::expect };
const FORGET: Pass = Pass { name: "forget", run: forget::forget };
const LAYOUT: Pass = Pass { name: "layout", run: layout::layout };

/// All passes, each once.
pub const PASSES: [Pass; 12] =
    [FOLD, THREAD, MERGE, DEAD, CSE, ALIKE, DUPLICATE, SWITCHES, SINK, EXPECT, FORGET, LAYOUT];

/// The passes in the order in which they run, with the reasons where it matters.
#[rustfmt::skip]
pub const PIPELINE: [Pass; 32] = [
    // What the lowering left over goes first, so that the rest has less to look at.
    DEAD, FOLD, MERGE,
    // One value for equal compares is what lets a branch know what an earlier one has decided.
    CSE, FOLD, THREAD, MERGE,
    // Ways that threading has parted are dominated by more, so there is more to find for the same.
    CSE, FOLD, THREAD, MERGE, DEAD,
    // Blocks are as large as they get before some are copied.
    ALIKE,
    // Copies make parameters known on their edge, which threading and folding then use up. Folding
    // comes behind it: threading leaves branches that are now known, or whose ways are one.
    DUPLICATE, THREAD, FOLD, CSE, THREAD, FOLD, MERGE, DEAD, ALIKE, FOLD, MERGE,
    // Chains are complete now, and their links hold nothing but the compare once the rest has sunk.
    SINK, SWITCHES,
    // Constants that have sunk are one for parameters, and then may decide branches.
    DEAD, FOLD, DEAD,
    // Takes hot values out of switches again, and marks what only the layout looks at.
    EXPECT,
    // Looks at what the verifier will see, so it comes behind all that changes that.
    FORGET,
    // Numbers blocks and values anew, so nothing may come behind it.
    LAYOUT,
];

/// Programs of more blocks may have to be cut into functions, between blocks that every way goes through. These two passes
/// part ways that meet, down a whole chain.
const MOST_BLOCKS: usize = 12_000;
const PARTING: [&str; 2] = [THREAD.name, DUPLICATE.name];

/// Runs all passes but those of the names in `without`.
pub fn optimise(program: &mut Program, without: &[String]) {
    let large = program.blocks.len() > MOST_BLOCKS;
    for pass in &PIPELINE {
        if without.iter().any(|name| name == pass.name) || large && PARTING.contains(&pass.name) {
            continue;
        }
        let changed = (pass.run)(program);
        if cfg!(debug_assertions) && changed {
            assert_eq!(crate::ir::verify::verify(program), Ok(()), "after pass `{}`", pass.name);
        }
    }
}

/// The pass of a name.
pub fn pass(name: &str) -> Option<Pass> {
    PASSES.into_iter().find(|pass| pass.name == name)
}
