//! Programs as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::insn::write_insn;
use crate::helpers;
use crate::insn::Insn;
use crate::program::{Function, LineInfo, Program};

/// The whole program in the form that [`super::parse_program`] reads:
///
/// ```text
/// .program edge xdp
/// ; edge.weir:3:1 <tab> drop bogons when ip.src in bogons
///   if r1 == 0x0 goto L0
///   r0 = 1
///   exit
/// L0:
///   r0 = 2
///   exit
/// ```
pub fn program_text(program: &Program) -> String {
    Printer::new(program, Detail::Exact).print()
}

/// The program for readers: source lines between the code, slots before each instruction, names
/// after calls and loads of maps.
pub fn disassemble(program: &Program, map_names: &[&str]) -> String {
    Printer::new(program, Detail::Readable(map_names)).print()
}

enum Detail<'a> {
    Exact,
    Readable(&'a [&'a str]),
}

struct Printer<'a> {
    program: &'a Program,
    detail: Detail<'a>,
    starts: Vec<u32>,
    /// The name of each slot that code names.
    names: BTreeMap<u32, String>,
    text: String,
}

impl<'a> Printer<'a> {
    fn new(program: &'a Program, detail: Detail<'a>) -> Printer<'a> {
        let starts = program.slot_starts();
        let names = names(program, &starts);
        Printer { program, detail, starts, names, text: String::new() }
    }

    fn print(mut self) -> String {
        // Writing to a string cannot fail.
        let _ = self.all();
        self.text
    }

    fn all(&mut self) -> std::fmt::Result {
        let Program { name, section, .. } = self.program;
        match self.detail {
            Detail::Exact => writeln!(self.text, ".program {name} {section}")?,
            Detail::Readable(_) => writeln!(self.text, "{name}: section {section}")?,
        }
        let (mut functions, mut marks) =
            (self.program.functions.iter().skip(1).peekable(), self.program.marks.iter().peekable());
        for (nth, insn) in self.program.insns.iter().enumerate() {
            while let Some(function) = functions.next_if(|f| f.start == nth) {
                self.function(function)?;
            }
            while let Some(mark) = marks.next_if(|mark| mark.insn == nth) {
                if let Some(line) = self.program.lines.get(mark.line.0 as usize) {
                    self.line(line)?;
                }
            }
            self.insn(nth, insn)?;
        }
        Ok(())
    }

    fn function(&mut self, Function { name, args, global, .. }: &Function) -> std::fmt::Result {
        match self.detail {
            Detail::Exact if *global => writeln!(self.text, ".function {name} {args} global"),
            Detail::Exact => writeln!(self.text, ".function {name} {args}"),
            Detail::Readable(_) => writeln!(self.text, "\n{name}:"),
        }
    }

    fn line(&mut self, line: &LineInfo) -> std::fmt::Result {
        let LineInfo { file, line, column, text } = line;
        match self.detail {
            Detail::Exact => writeln!(self.text, "; {file}:{line}:{column}\t{text}"),
            Detail::Readable(_) => writeln!(self.text, "; {file}:{line}  {text}"),
        }
    }

    fn insn(&mut self, nth: usize, insn: &Insn) -> std::fmt::Result {
        let slot = self.starts[nth];
        if let Some(name) = self.names.get(&slot)
            && is_label(name)
        {
            writeln!(self.text, "{name}:")?;
        }
        match self.detail {
            Detail::Exact => self.text.push_str("  "),
            Detail::Readable(_) => write!(self.text, "{slot:6}: ")?,
        }
        let distance = insn.distance().unwrap_or(0);
        let to = i64::from(slot) + 1 + i64::from(distance);
        let name = u32::try_from(to).ok().and_then(|to| self.names.get(&to));
        match name {
            Some(name) => write_insn(&mut self.text, insn, name)?,
            None => write!(self.text, "{insn}")?,
        }
        if let Detail::Readable(maps) = self.detail {
            self.remark(insn, maps)?;
        }
        self.text.push('\n');
        Ok(())
    }

    fn remark(&mut self, insn: &Insn, maps: &[&str]) -> std::fmt::Result {
        let remark = match insn {
            Insn::Call(id) => helpers::by_id(*id).map(|helper| helper.name),
            Insn::LdMap { map, .. } | Insn::LdMapValue { map, .. } => maps.get(map.0 as usize).copied(),
            _ => None,
        };
        match remark {
            Some(remark) => write!(self.text, "  # {remark}"),
            None => Ok(()),
        }
    }
}

/// `L` and a number: what functions must not be called to appear by name.
pub(super) fn is_label(name: &str) -> bool {
    let digits = name.strip_prefix('L').unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Functions by their names, other places as `L0`, `L1`… in order.
fn names(program: &Program, starts: &[u32]) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for (nth, insn) in program.insns.iter().enumerate() {
        let Some(distance) = insn.distance() else {
            continue;
        };
        let to = i64::from(starts[nth]) + 1 + i64::from(distance);
        // Places inside of an instruction or out of the code have no name.
        let code = &starts[..program.insns.len()];
        if let Ok(to) = u32::try_from(to)
            && code.binary_search(&to).is_ok()
        {
            names.insert(to, String::new());
        }
    }
    for function in program.functions.iter().skip(1) {
        if let Some(name) = names.get_mut(&starts[function.start])
            && !is_label(&function.name)
        {
            *name = function.name.clone();
        }
    }
    let unnamed = names.values_mut().filter(|name| name.is_empty());
    for (nth, name) in unnamed.enumerate() {
        *name = format!("L{nth}");
    }
    names
}
