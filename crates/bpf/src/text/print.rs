//! Programs as text.
use crate::program::Program;

/// With labels; parses back.
pub fn program_text(_program: &Program) -> String {
    String::new()
}
/// With source lines.
pub fn disassemble(_program: &Program) -> String {
    String::new()
}
