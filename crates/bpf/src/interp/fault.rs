//! What stops an interpreted program, and where.

use std::fmt;

use crate::insn::Reg;
use crate::program::LineInfo;

/// A program did what the kernel's verifier would have refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// Where.
    pub place: Box<Place>,
}

/// The instruction that a fault stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The program's name.
    pub program: String,
    /// The instruction's index in [`crate::program::Program::insns`].
    pub insn: usize,
    /// The instruction.
    pub text: String,
    /// The source line that it comes from.
    pub line: Option<LineInfo>,
}

/// What a fault was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// A register that nothing has written since the start or the last call.
    UninitRegister(Reg),
    /// A byte of stack that nothing has written, counted from `r10`.
    UninitStack(i32),
    /// An access outside of its region.
    OutOfBounds {
        /// What was accessed.
        region: Region,
        /// Bytes from the region's start; what is farther off is cut to the largest number.
        off: i32,
        /// Bytes of the access.
        size: u32,
        /// Bytes of the region.
        len: u32,
    },
    /// A packet pointer from before the packet was moved.
    StalePointer,
    /// A load, store or helper argument whose base is a number.
    NotAPointer,
    /// A number was wanted and a pointer was there.
    NotANumber,
    /// Arithmetic or a comparison that pointers do not have.
    PointerArithmetic,
    /// A pointer written to the packet, to a map, or in parts to the stack.
    PointerLeak,
    /// A context field that does not exist, in this size, or that cannot be written.
    Context {
        /// Bytes from the context's start.
        off: i32,
        /// Bytes of the access.
        size: u32,
    },
    /// A write to memory that programs only read.
    ReadOnly,
    /// A helper that this interpreter does not have for this kind of program.
    UnknownHelper(u32),
    /// An argument of a helper, 1 to 5.
    Argument {
        /// Which one.
        nth: u8,
        /// What it has to be.
        wanted: Wanted,
    },
    /// A map that is not there.
    UnknownMap(u32),
    /// An instruction that is not interpreted.
    Unsupported,
    /// Execution left the code.
    OutsideCode,
    /// More calls within calls than the kernel's 8 frames.
    CallDepth,
    /// A reserved ring buffer record that was neither submitted nor discarded.
    UnreleasedRecord,
    /// A socket that was looked up and not released.
    UnreleasedSocket,
    /// The instruction budget is used up.
    Budget,
}

/// Memory with bounds.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    Packet,
    Stack,
    MapValue,
    Record,
    Socket,
}

impl Region {
    fn text(self) -> &'static str {
        match self {
            Region::Packet => "packet",
            Region::Stack => "stack",
            Region::MapValue => "map value",
            Region::Record => "record",
            Region::Socket => "socket",
        }
    }
}

/// What a helper takes.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Number,
    Map,
    OtherKindOfMap,
    Context,
    Memory,
    Record,
    Socket,
    Function,
}

impl Wanted {
    fn text(self) -> &'static str {
        match self {
            Wanted::Number => "a number",
            Wanted::Map => "a map",
            Wanted::OtherKindOfMap => "a map of another kind",
            Wanted::Context => "the context",
            Wanted::Memory => "a pointer to memory",
            Wanted::Record => "a reserved record",
            Wanted::Socket => "a socket that is not released",
            Wanted::Function => "a function",
        }
    }
}

impl FaultKind {
    /// An access that does not lie in its region.
    pub(super) fn out_of_bounds(region: Region, off: i64, size: usize, len: usize) -> FaultKind {
        FaultKind::OutOfBounds { region, off: clamp(off), size: size as u32, len: len as u32 }
    }

    /// A context field that is not there.
    pub(super) fn context(off: u64, size: usize) -> FaultKind {
        FaultKind::Context { off: clamp(off as i64), size: size as u32 }
    }
}

fn clamp(off: i64) -> i32 {
    off.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::UninitRegister(reg) => write!(f, "`{reg}` is read before it is written"),
            FaultKind::UninitStack(off) => {
                write!(f, "the stack at r10{off:+} is read before it is written")
            }
            FaultKind::OutOfBounds { region, off, size, len } => {
                write!(
                    f,
                    "{size} bytes at offset {off} do not lie in the {len} bytes of the {}",
                    region.text()
                )
            }
            FaultKind::StalePointer => {
                f.write_str("the packet was moved since this pointer was made, load `data` again")
            }
            FaultKind::NotAPointer => f.write_str("a number is used as a pointer"),
            FaultKind::NotANumber => f.write_str("a pointer is used as a number"),
            FaultKind::PointerArithmetic => {
                f.write_str("pointers of one region are compared, subtracted and moved, no more")
            }
            FaultKind::PointerLeak => {
                f.write_str("pointers are stored whole, on the stack, at multiples of 8")
            }
            FaultKind::Context { off, size } => {
                write!(f, "the context has no such field of {size} bytes at offset {off}")
            }
            FaultKind::ReadOnly => f.write_str("this memory is read-only"),
            FaultKind::UnknownHelper(id) => match crate::helpers::by_id(*id) {
                Some(helper) => write!(f, "helper `{}` is not there", helper.name),
                None => write!(f, "helper {id} is not there"),
            },
            FaultKind::Argument { nth, wanted } => {
                write!(f, "argument {nth} has to be {}", wanted.text())
            }
            FaultKind::UnknownMap(id) => write!(f, "map {id} is not there"),
            FaultKind::Unsupported => f.write_str("this instruction is not interpreted"),
            FaultKind::OutsideCode => f.write_str("execution leaves the code"),
            FaultKind::CallDepth => f.write_str("calls are nested deeper than 8 frames"),
            FaultKind::UnreleasedRecord => {
                f.write_str("a reserved record is neither submitted nor discarded")
            }
            FaultKind::UnreleasedSocket => f.write_str("a socket that was looked up is not released"),
            FaultKind::Budget => f.write_str("the budget of instructions is used up, raise it"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { program, insn, text, line } = &*self.place;
        write!(f, "program `{program}`, instruction {insn}, `{text}`")?;
        if let Some(line) = line {
            write!(f, " ({}:{})", line.file, line.line)?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl std::error::Error for Fault {}
