//! ELF objects: programs, maps and their types in the form that libbpf, aya and llvm read.

mod check;
mod elf;
mod types;

pub use check::ObjectError;

use crate::map::MapDef;
use crate::program::Program;

/// What a loader loads.
///
/// ```
/// use weir_bpf::asm::Assembler;
/// use weir_bpf::insn::{Insn, Reg};
/// use weir_bpf::object::Object;
/// use weir_bpf::target::Target;
///
/// let mut asm = Assembler::new("edge", "xdp");
/// asm.emit(Insn::mov(Reg::R0, 2));
/// asm.emit(Insn::Exit);
/// let program = asm.finish(&Target::newest()).unwrap();
/// let object = Object { programs: vec![program], maps: vec![], license: "GPL".into() };
/// assert!(object.to_elf().unwrap().starts_with(b"\x7fELF"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Entry programs; several may share a section.
    pub programs: Vec<Program>,
    /// [`crate::insn::MapId`] counts these.
    pub maps: Vec<MapDef>,
    /// `GPL` opens all helpers.
    pub license: String,
}

/// Where the contents of data sections are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Contents {
    Inside,
    Apart,
}

impl Object {
    /// The bytes of a relocatable ELF file. The same object gives the same bytes.
    ///
    /// Subprograms go to `.text`, the only place where libbpf looks for them, as local symbols.
    pub fn to_elf(&self) -> Result<Vec<u8>, ObjectError> {
        check::check(self)?;
        elf::write(self, Contents::Inside)
    }

    /// The same with data sections that say no more than how long they are, for a loader that has their contents from
    /// here: they may be many megabytes, and each copy takes time.
    pub fn to_elf_without_contents(&self) -> Result<Vec<u8>, ObjectError> {
        check::check(self)?;
        elf::write(self, Contents::Apart)
    }
}
