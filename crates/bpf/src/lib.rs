//! eBPF as a library: typed instructions, an assembler with labels, text, an interpreter, ELF
//! objects with BTF, and the [`Target`](target::Target) that says what a kernel can do.
//!
//! It knows nothing of policies, makes no system call and prints nothing. Code and data are
//! little endian, as on every machine that Weir runs on.

pub mod asm;
pub mod btf;
pub mod helpers;
pub mod insn;
pub mod interp;
pub mod map;
pub mod object;
pub mod program;
pub mod target;
pub mod text;
