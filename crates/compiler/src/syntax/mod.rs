//! Text → syntax tree → text.

pub mod ast;
