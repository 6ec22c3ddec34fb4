//! A finished program: instructions, the functions they form, the policy lines they come from.

use crate::insn::Insn;

/// A place in a source file, with the text that stands there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LineInfo {
    /// The file's name as the user gave it.
    pub file: String,
    /// Counted from 1, at most 4,194,303 (22 bits in `.BTF.ext`).
    pub line: u32,
    /// Counted from 1, at most 1,023 (10 bits in `.BTF.ext`).
    pub column: u16,
    /// The whole line, without its end.
    pub text: String,
}

/// A row of [`Program::lines`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub u32);

/// From `insn` on, instructions come from `line`, up to the next mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineMark {
    /// An index into [`Program::insns`].
    pub insn: usize,
    /// An index into [`Program::lines`].
    pub line: LineId,
}

/// A function of a program; it reaches to the start of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// A C identifier, unique in the program.
    pub name: String,
    /// An index into [`Program::insns`].
    pub start: usize,
    /// How many arguments it takes, 0 to 5; 1 for the main function, its context.
    pub args: u8,
    /// Verified by itself, for any context, and not once more for each call ([`crate::target::Feature::GlobalFunctions`]).
    /// Its first argument is the context. Of the main function it says nothing.
    pub global: bool,
}

/// An entry program with its subprograms.
///
/// `functions[0]` is the entry and starts at 0; it has the program's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// A C identifier; the kernel keeps the first 15 bytes.
    pub name: String,
    /// The ELF section, which tells loaders the type: `xdp`, `xdp.frags`, `tc`, `tcx/ingress`.
    pub section: String,
    /// The code of all functions.
    pub insns: Vec<Insn>,
    /// In order of [`Function::start`]; never empty in a program made by the assembler.
    pub functions: Vec<Function>,
    /// The source lines, each once.
    pub lines: Vec<LineInfo>,
    /// In order of [`LineMark::insn`].
    pub marks: Vec<LineMark>,
}

impl Program {
    /// The code's length in 8-byte slots, the kernel's unit.
    pub fn slots(&self) -> usize {
        self.insns.iter().map(Insn::slots).sum()
    }

    /// For each instruction its first slot, and the number of slots at the end.
    pub fn slot_starts(&self) -> Vec<u32> {
        let mut next = 0;
        let mut starts = Vec::with_capacity(self.insns.len() + 1);
        for insn in &self.insns {
            starts.push(next);
            next += insn.slots() as u32;
        }
        starts.push(next);
        starts
    }

    /// The source line of an instruction, if it has one.
    pub fn line_of(&self, insn: usize) -> Option<&LineInfo> {
        let after = self.marks.partition_point(|mark| mark.insn <= insn);
        let mark = self.marks[..after].last()?;
        self.lines.get(mark.line.0 as usize)
    }

    /// The function that an instruction belongs to.
    pub fn function_of(&self, insn: usize) -> Option<&Function> {
        let after = self.functions.partition_point(|f| f.start <= insn);
        self.functions[..after].last()
    }

    /// The code as the kernel reads it, little endian; maps stand as pseudo descriptors whose
    /// number is the [`crate::insn::MapId`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.insns.len() * 8);
        for insn in &self.insns {
            for slot in insn.encode() {
                bytes.extend(slot.to_bytes());
            }
        }
        bytes
    }
}
