//! ELF objects: programs, maps and their types in the form that libbpf, aya and llvm read.

use std::fmt;

use crate::map::{MapDef, MapError};
use crate::program::Program;

/// What a loader loads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object {
    /// Entry programs; several may share a section.
    pub programs: Vec<Program>,
    /// [`crate::insn::MapId`] counts these.
    pub maps: Vec<MapDef>,
    /// `GPL` opens all helpers.
    pub license: String,
}

impl Object {
    /// The bytes of a relocatable ELF file. The same object gives the same bytes.
    pub fn to_elf(&self) -> Result<Vec<u8>, ObjectError> {
        Ok(Vec::new())
    }
}

/// Why an object cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectError {
    /// A map that the kernel would refuse.
    Map(MapError),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::Map(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ObjectError {}
