//! What is refused before anything is written.

use std::collections::BTreeSet;
use std::fmt;

use super::Object;
use crate::insn::{Insn, MapId};
use crate::map::MapError;
use crate::program::Program;

/// Why an object cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectError {
    /// A map that the kernel would refuse.
    Map(MapError),
    /// Two programs or two maps of one name.
    SameName(String),
    /// A name of a program, function or map that is no C identifier.
    BadName(String),
    /// An empty section name, or one that the object uses itself.
    BadSection {
        /// The program.
        program: String,
        /// Its section.
        section: String,
    },
    /// No functions, the first one not at 0, or not in order.
    Functions {
        /// The program.
        program: String,
    },
    /// A map that the object does not have, or whose value has no address.
    UnknownMap {
        /// The program.
        program: String,
        /// The instruction's index.
        insn: usize,
        /// The map.
        map: MapId,
        /// What the instruction is.
        text: String,
    },
    /// A call or function address that leads to no start of a function, or back to the entry.
    NoFunction {
        /// The program.
        program: String,
        /// The instruction's index.
        insn: usize,
        /// What the instruction is.
        text: String,
    },
    /// The ELF writer refused.
    Elf(String),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectError::Map(error) => error.fmt(f),
            ObjectError::SameName(name) => {
                write!(f, "two things in the object are named `{name}`, rename one")
            }
            ObjectError::BadName(name) => {
                write!(f, "`{name}` is not a name: use letters, digits and `_`, no digit first")
            }
            ObjectError::BadSection { program, section } => {
                write!(f, "program `{program}`: a section cannot be named `{section}`, use `xdp` or `tc`")
            }
            ObjectError::Functions { program } => {
                write!(f, "program `{program}`: functions start at 0, in order, each with instructions")
            }
            ObjectError::UnknownMap { program, insn, map, text } => write!(
                f,
                "program `{program}`, instruction {insn}, `{text}`: the object has no fitting {map}; addresses of values are for data sections only"
            ),
            ObjectError::NoFunction { program, insn, text } => {
                write!(f, "program `{program}`, instruction {insn}, `{text}`: no subprogram starts there")
            }
            ObjectError::Elf(why) => write!(f, "the object cannot be written: {why}"),
        }
    }
}

impl std::error::Error for ObjectError {}

pub(super) fn check(object: &Object) -> Result<(), ObjectError> {
    let mut names = BTreeSet::new();
    for map in &object.maps {
        map.check().map_err(ObjectError::Map)?;
        let name = if map.is_section() { super::types::variable_name(&map.name) } else { map.name.clone() };
        check_name(&name)?;
        if !names.insert(name.clone()) {
            return Err(ObjectError::SameName(name));
        }
    }
    for program in &object.programs {
        if !names.insert(program.name.clone()) {
            return Err(ObjectError::SameName(program.name.clone()));
        }
        check_program(object, program)?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ObjectError> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let good = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    match good {
        true => Ok(()),
        false => Err(ObjectError::BadName(name.to_string())),
    }
}

fn check_program(object: &Object, program: &Program) -> Result<(), ObjectError> {
    let own = ["", "license", "version", "maps"];
    if own.contains(&program.section.as_str()) || program.section.starts_with('.') {
        return Err(ObjectError::BadSection {
            program: program.name.clone(),
            section: program.section.clone(),
        });
    }
    check_name(&program.name)?;
    let mut ends = program.functions.iter().skip(1).map(|f| f.start);
    let mut ordered = program.functions.first().is_some_and(|f| f.start == 0);
    for function in &program.functions {
        check_name(&function.name)?;
        ordered &= function.start < ends.next().unwrap_or(program.insns.len());
    }
    if !ordered {
        return Err(ObjectError::Functions { program: program.name.clone() });
    }
    for (nth, insn) in program.insns.iter().enumerate() {
        check_map(object, program, nth, insn)?;
    }
    Ok(())
}

fn check_map(object: &Object, program: &Program, nth: usize, insn: &Insn) -> Result<(), ObjectError> {
    let (map, by_address) = match *insn {
        Insn::LdMap { map, .. } => (map, false),
        Insn::LdMapValue { map, .. } => (map, true),
        _ => return Ok(()),
    };
    let def = object.maps.get(map.0 as usize);
    if def.is_some_and(|def| def.is_section() == by_address) {
        return Ok(());
    }
    Err(ObjectError::UnknownMap { program: program.name.clone(), insn: nth, map, text: insn.to_string() })
}

#[cfg(test)]
mod tests {
    use crate::map::{MapDef, MapKind, MapType};
    use crate::object::Object;
    use crate::text::parse_program;

    fn refused(text: &str, maps: Vec<MapDef>, expected: &str) {
        let program = parse_program(text).unwrap_or_else(|error| panic!("{error}"));
        let object = Object { programs: vec![program], maps, license: "GPL".into() };
        assert_eq!(object.to_elf().unwrap_err().to_string(), expected);
    }

    #[test]
    fn refusals() {
        let hash = |name| MapDef::new(name, MapKind::Hash, MapType::U32, MapType::U32, 1);
        refused(
            ".program a-b xdp\nexit",
            vec![],
            "`a-b` is not a name: use letters, digits and `_`, no digit first",
        );
        refused(
            ".program edge .text\nexit",
            vec![],
            "program `edge`: a section cannot be named `.text`, use `xdp` or `tc`",
        );
        refused(
            ".program edge xdp\nexit",
            vec![hash("m"), hash("m")],
            "two things in the object are named `m`, rename one",
        );
        refused(
            ".program edge xdp\nr1 = map[1] ll\nexit",
            vec![hash("m")],
            "program `edge`, instruction 0, `r1 = map[1] ll`: the object has no fitting map[1]; \
             addresses of values are for data sections only",
        );
        refused(
            ".program edge xdp\nL0:\ncall L0\nexit",
            vec![],
            "program `edge`, instruction 0, `call -1`: no subprogram starts there",
        );
        refused(
            ".program edge xdp\n.function sub 0\nexit",
            vec![],
            "program `edge`: functions start at 0, in order, each with instructions",
        );
    }
}
