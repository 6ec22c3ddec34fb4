//! Code generation: what the kernel (and the bytecode interpreter) makes of programs is what the IR
//! interpreter says.

mod engines;
#[path = "../ir_random/mod.rs"]
mod ir_random;
mod parts;
mod programs;
mod properties;
mod size;
mod stages;
