//! The policy language and its compiler.

pub mod check;
pub mod diagnostic;
pub mod eval;
pub mod ir;
pub mod load;
pub mod lower;
pub mod plan;
pub mod policy;
pub mod source;
pub mod state;
pub mod syntax;
