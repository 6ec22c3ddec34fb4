//! The miner, judged by the compiler's own evaluator: every statement must compile, and match on whole frames what
//! the miner says that it matches.

mod attacks;
mod captures;
mod judge;
mod properties;
mod traffic;
