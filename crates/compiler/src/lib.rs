//! The policy language and its compiler.

pub mod diagnostic;
pub mod source;
pub mod syntax;
