//! The text form, as `llvm-objdump` and the kernel's log write it: `r1 = *(u32 *)(r2 + 4)`.
//!
//! Single instructions count slots (`goto +3`); whole programs have labels and parse back.

mod insn;
mod parse;
mod print;
mod scan;

pub use parse::{ParseError, parse_insn, parse_program};
pub use print::{disassemble, program_text};
