//! The policy language and its compiler.

pub mod diagnostic;
pub mod ir;
pub mod source;
pub mod state;
pub mod syntax;
