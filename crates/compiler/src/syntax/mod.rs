//! Text → syntax tree → text.

pub mod ast;
mod lex;
mod literal;
mod parse;
mod print;
mod token;

pub use parse::{parse, parse_elements_file, parse_expr, parse_literal, parse_packet};
pub use print::format;
