//! What every program must hold, checked after the lowering and (in debug builds) after each pass.
//!
//! * There is an entry block, and it has no parameters.
//! * `@0` is there. Every index (value, block, line, statement, set, limit, counter, scratch slot)
//!   is in range.
//! * Each value is defined once, and its definition comes before each use on every way from the
//!   entry. Blocks that cannot be reached are allowed; in them only the rest of this list is held.
//! * Integers are 1 to 64 bits wide. An operation has a result exactly if its kind has one, and the
//!   result has the type that the kind fixes; operands that are cursors or integers are just that.
//! * A constant fits its type. The type of `and`, `or`, `xor`, `add`, `mul`, `shl` and `shr` holds
//!   every result that operands of their types (or known constants) can give. `sub` may have any
//!   width: the interpreter checks it. A shift's amount is below 64.
//! * A branch's condition is a `u1`. A switch's ranges are not empty, sorted and disjoint.
//! * A table has up to eight words, rows of one range for each, and a result of each row that is declared. The
//!   rules' statements and counters are declared, and those of rows that count. A set's table has none of those.
//! * Frequencies are those of declared counters, and parts of a million. A block is cold or likely, not both.
//! * A target has one argument for each parameter of its block, of the same type or a narrower
//!   integer. The words of a key are integers no wider than the declaration's.
//! * A loop is entered through one block, its header, which has a bound.
//! * Bytes are loaded (1, 2, 4 or 8) only where a `fits` on the same cursor has proved, on every way
//!   there, that they are inside the frame. A cursor that is a parameter has what the arguments of
//!   all edges have.
//! * A scratch slot is read only where every way has kept something in it, of no more bits.
//!
//! That every way ends in a `return` follows: blocks always have an end, and loops have bounds.

mod dominance;
mod frame;
mod scratch;
mod shape;

use super::analysis::{Dominators, Graph};
use super::{Block, Program};
use std::fmt;

/// A place in a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Location {
    /// The program's declarations.
    Program,
    /// A block's head.
    Block(Block),
    /// An instruction of a block, by index.
    Inst(Block, usize),
    /// A block's end.
    End(Block),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Program => f.write_str("program"),
            Location::Block(block) => write!(f, "{block}"),
            Location::Inst(block, index) => write!(f, "{block}, instruction {index}"),
            Location::End(block) => write!(f, "end of {block}"),
        }
    }
}

/// An invariant that a program breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyError {
    /// Where.
    pub at: Location,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for VerifyError {}

/// What the checks have found.
#[derive(Default)]
struct Errors(Vec<VerifyError>);

impl Errors {
    fn add(&mut self, at: Location, message: impl Into<String>) {
        self.0.push(VerifyError { at, message: message.into() });
    }

    fn require(&mut self, holds: bool, at: Location, message: impl FnOnce() -> String) {
        if !holds {
            self.add(at, message());
        }
    }
}

/// Holds a program to the list above.
///
/// # Errors
/// All that is wrong, by place; what later checks build on earlier ones is left out.
pub fn verify(program: &Program) -> Result<(), Vec<VerifyError>> {
    let mut errors = Errors::default();
    // Each step may index by what the one before has found in range.
    shape::check_indices(program, &mut errors);
    if errors.0.is_empty() {
        shape::check_types(program, &mut errors);
        let graph = Graph::new(program);
        let dominators = Dominators::new(&graph);
        dominance::check_loops(program, &graph, &dominators, &mut errors);
        dominance::check_uses(program, &graph, &dominators, &mut errors);
        if errors.0.is_empty() {
            frame::check_loads(program, &graph, &mut errors);
            scratch::check_slots(program, &graph, &mut errors);
        }
    }
    errors.0.sort_by_key(|error| error.at);
    if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
}
