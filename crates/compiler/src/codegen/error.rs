//! Why a program has no bytecode.

use std::fmt;
use weir_bpf::asm::AsmError;
use weir_bpf::map::MapError;
use weir_bpf::target::Feature;

/// A program that this back end, or the target, cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodegenError {
    /// More values live at once than the stack holds; lowering may move some to scratch memory
    /// ([`Stash`](crate::ir::Op::Stash)).
    StackTooLarge {
        /// Bytes of spilled values and key buffers.
        bytes: u32,
        /// The target's limit.
        max: u32,
    },
    /// The program needs something that the target lacks.
    Missing {
        /// What it needs.
        feature: Feature,
        /// What for.
        purpose: &'static str,
        /// Where, if it is one statement that needs it.
        line: crate::ir::Line,
    },
    /// More slots than one value of the scratch map has.
    ScratchTooLarge {
        /// Slots.
        slots: u32,
        /// The limit.
        max: u32,
    },
    /// A trie whose key is not made of whole bytes, or has none.
    TrieKey {
        /// The set.
        set: String,
        /// Widths of the key's scalars in bits.
        words: Vec<u8>,
    },
    /// An index whose key is not one word or two of 64 bits, or that has too few bytes or more than an index may have.
    Index {
        /// The set.
        set: String,
        /// Widths of the key's scalars in bits.
        words: Vec<u8>,
        /// Of its section.
        bytes: u32,
    },
    /// Rows that overlap in too many ways to be cut apart.
    Table {
        /// The table.
        table: crate::ir::TableRef,
    },
    /// The kernel's verifier would give up, and the program cannot be cut into functions that it follows.
    Verifier {
        /// Where most of what it would go through is.
        line: crate::ir::Line,
        /// How many instructions it would go through at least, with repetitions.
        steps: u64,
    },
    /// A program for tc that changes frames as only XDP can.
    XdpOnly {
        /// What changes them.
        line: crate::ir::Line,
    },
    /// A packet offset beyond what a load or the verifier takes.
    PacketOffset {
        /// Bytes from the nearest cursor that is not constant.
        bytes: i64,
    },
    /// A map that the kernel would refuse.
    Map(MapError),
    /// The assembler refused, for instance a program longer than the target takes.
    Assembler(AsmError),
    /// The register allocator refused: the IR was not verified.
    Registers(String),
}

impl fmt::Display for CodegenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodegenError::StackTooLarge { bytes, max } => write!(
                f,
                "too many values are live at once: they need {bytes} bytes of stack, the kernel gives {max}"
            ),
            CodegenError::Missing { feature, purpose, .. } => {
                let row = feature.row();
                let (major, minor) = row.since;
                write!(f, "{purpose} needs {} (Linux {major}.{minor}), use {}", row.name, row.instead)
            }
            CodegenError::ScratchTooLarge { slots, max } => {
                write!(f, "{slots} scratch slots do not fit one value, at most {max} do")
            }
            CodegenError::TrieKey { set, words } => {
                write!(f, "set `{set}`: a prefix key is made of whole bytes, not of {words:?} bits")
            }
            CodegenError::Index { set, words, bytes } => {
                write!(f, "set `{set}`: no index of {bytes} bytes has keys of {words:?} bits")
            }
            CodegenError::Table { table } => write!(f, "{table} has rows that no cuts part"),
            CodegenError::Verifier { steps, .. } => write!(
                f,
                "the kernel's verifier would follow more ways than it does, {steps} instructions or more, most of them here"
            ),
            CodegenError::XdpOnly { .. } => f.write_str("this needs XDP: at tc no frame is changed"),
            CodegenError::PacketOffset { bytes } => {
                write!(f, "an instruction cannot reach {bytes} bytes into the packet")
            }
            CodegenError::Map(error) => error.fmt(f),
            CodegenError::Assembler(error) => error.fmt(f),
            CodegenError::Registers(why) => write!(f, "no registers for this program: {why}"),
        }
    }
}

impl std::error::Error for CodegenError {}
