//! The assembler: instructions with labels for distances, made into a [`Program`].
//!
//! Jumps are written as if they reached anywhere. [`Assembler::finish`] gives each the shortest
//! form that does: 16 bits of distance, `gotol` where the target has it, else a chain of hops.

mod relax;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::insn::{Cond, Insn, Operand, Reg, Width};
use crate::program::{Function, LineId, LineInfo, LineMark, Program};
use crate::target::{Feature, Target};

/// A place in the code, to jump to before or after it is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(u32);

/// An instruction, or one whose distance is not known yet.
#[derive(Debug, Clone, Copy)]
enum Item {
    Plain(Insn),
    Jump(Label),
    Branch(Cond, Width, Reg, Operand, Label),
    Call(Label),
    Func(Reg, Label),
}

/// Collects the instructions of one program.
#[derive(Debug, Clone)]
pub struct Assembler {
    name: String,
    section: String,
    items: Vec<Item>,
    /// For each label the item that it stands before.
    labels: Vec<Option<u32>>,
    bound_twice: Option<Label>,
    functions: Vec<Function>,
    lines: Vec<LineInfo>,
    marks: Vec<LineMark>,
}

impl Assembler {
    /// An empty program; its entry function has the program's name.
    pub fn new(name: &str, section: &str) -> Assembler {
        let entry = Function { name: name.to_string(), start: 0, args: 1, global: false };
        Assembler {
            name: name.to_string(),
            section: section.to_string(),
            items: Vec::new(),
            labels: Vec::new(),
            bound_twice: None,
            functions: vec![entry],
            lines: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// How many instructions there are by now, as written.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True before the first instruction.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A new label, bound nowhere yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Puts the label before the next instruction.
    pub fn bind(&mut self, label: Label) {
        let here = self.items.len() as u32;
        match self.labels.get_mut(label.0 as usize) {
            Some(place @ None) => *place = Some(here),
            _ => self.bound_twice = self.bound_twice.or(Some(label)),
        }
    }

    /// A new label, bound here.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    /// Appends an instruction that names no place in the code.
    pub fn emit(&mut self, insn: Insn) {
        self.items.push(Item::Plain(insn));
    }

    /// `goto label`.
    pub fn jump(&mut self, label: Label) {
        self.items.push(Item::Jump(label));
    }

    /// `if dst cond src goto label`.
    pub fn branch(&mut self, cond: Cond, width: Width, dst: Reg, src: impl Into<Operand>, label: Label) {
        let item = Item::Branch(cond, width, dst, src.into(), label);
        self.items.push(item);
    }

    /// Calls the function that starts at `label`.
    pub fn call(&mut self, label: Label) {
        self.items.push(Item::Call(label));
    }

    /// `dst = ` the function that starts at `label`, for callback helpers.
    pub fn load_function(&mut self, dst: Reg, label: Label) {
        self.items.push(Item::Func(dst, label));
    }

    /// Starts a subprogram and binds `label` to it; the code before must not run into it.
    pub fn function(&mut self, name: &str, args: u8, label: Label) {
        self.bind(label);
        self.functions.push(Function {
            name: name.to_string(),
            start: self.items.len(),
            args,
            global: false,
        });
    }

    /// The same, of a subprogram that takes the context first and is verified by itself.
    pub fn global_function(&mut self, name: &str, args: u8, label: Label) {
        self.bind(label);
        self.functions.push(Function { name: name.to_string(), start: self.items.len(), args, global: true });
    }

    /// Makes a source line known.
    pub fn add_line(&mut self, line: LineInfo) -> LineId {
        self.lines.push(line);
        LineId(self.lines.len() as u32 - 1)
    }

    /// The instructions that follow come from this line.
    pub fn line(&mut self, line: LineId) {
        let insn = self.items.len();
        match self.marks.last_mut() {
            Some(mark) if mark.line == line => {}
            Some(mark) if mark.insn == insn => mark.line = line,
            _ => self.marks.push(LineMark { insn, line }),
        }
    }

    /// Gives every jump its form and distance.
    pub fn finish(self, target: &Target) -> Result<Program, AsmError> {
        self.check(target)?;
        relax::relax(self, target)
    }

    fn check(&self, target: &Target) -> Result<(), AsmError> {
        if let Some(label) = self.bound_twice {
            return Err(AsmError::BoundTwice { label });
        }
        if let Some(mark) = self.marks.iter().find(|m| m.line.0 as usize >= self.lines.len()) {
            return Err(AsmError::UnknownLine { line: mark.line });
        }
        for (at, item) in self.items.iter().enumerate() {
            self.check_item(at, item, target)?;
        }
        self.check_functions()
    }

    fn check_item(&self, at: usize, item: &Item, target: &Target) -> Result<(), AsmError> {
        let stand_in = match *item {
            Item::Plain(insn) => {
                if insn.distance().is_some() {
                    return Err(AsmError::RawDistance { at, insn });
                }
                insn
            }
            Item::Branch(cond, width, dst, src, label) => {
                self.check_label(at, label)?;
                Insn::Jump { cond, width, dst, src, off: 0 }
            }
            Item::Jump(label) => return self.check_label(at, label),
            Item::Call(label) => {
                self.check_label(at, label)?;
                Insn::CallLocal { off: 0 }
            }
            Item::Func(dst, label) => {
                self.check_label(at, label)?;
                Insn::LdFunc { dst, off: 0 }
            }
        };
        if let Some(why) = stand_in.malformed() {
            return Err(AsmError::Malformed { at, insn: stand_in, why });
        }
        match stand_in.requires() {
            Some(feature) if !target.has(feature) => Err(AsmError::Missing { at, insn: stand_in, feature }),
            _ => Ok(()),
        }
    }

    fn check_label(&self, at: usize, label: Label) -> Result<(), AsmError> {
        match self.labels.get(label.0 as usize) {
            Some(Some(place)) if (*place as usize) < self.items.len() => Ok(()),
            _ => Err(AsmError::Unbound { at, label }),
        }
    }

    /// Each function ends with an instruction that does not run on, and is not empty.
    fn check_functions(&self) -> Result<(), AsmError> {
        for (nth, function) in self.functions.iter().enumerate() {
            let next = self.functions.get(nth + 1);
            let end = next.map_or(self.items.len(), |f| f.start);
            let ends = match self.items[function.start..end].last() {
                Some(Item::Plain(insn)) => insn.ends_block(),
                Some(Item::Jump(_)) => true,
                _ => false,
            };
            if !ends {
                return Err(AsmError::RunsOn { function: function.name.clone() });
            }
        }
        Ok(())
    }
}

/// Why there is no program. `at` counts the instructions as they were emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsmError {
    /// A label that is used and bound nowhere, or behind the last instruction.
    Unbound {
        /// The instruction that uses it.
        at: usize,
        /// The label.
        label: Label,
    },
    /// A label with two places.
    BoundTwice {
        /// The label.
        label: Label,
    },
    /// A jump or call with a number for a distance.
    RawDistance {
        /// Its place.
        at: usize,
        /// The instruction.
        insn: Insn,
    },
    /// A combination of fields that does not exist.
    Malformed {
        /// Its place.
        at: usize,
        /// The instruction.
        insn: Insn,
        /// The reason.
        why: &'static str,
    },
    /// An instruction that the target lacks.
    Missing {
        /// Its place.
        at: usize,
        /// The instruction.
        insn: Insn,
        /// What it needs.
        feature: Feature,
    },
    /// A function that is empty or whose last instruction goes on to the next one.
    RunsOn {
        /// Its name.
        function: String,
    },
    /// A jump to a label of another function.
    LeavesFunction {
        /// The jump.
        at: usize,
        /// Its label.
        label: Label,
    },
    /// A line that was never added.
    UnknownLine {
        /// The line.
        line: LineId,
    },
    /// Jumps so dense that no hop fits between them.
    TooDense {
        /// The instruction that cannot reach its label.
        at: usize,
    },
    /// More slots than the target's limit.
    TooLong {
        /// Slots of the program.
        slots: usize,
        /// The target's limit.
        max: usize,
    },
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsmError::Unbound { at, label } => {
                write!(f, "instruction {at}: label {} stands before no instruction, bind it", label.0)
            }
            AsmError::BoundTwice { label } => {
                write!(f, "label {} is bound twice, use a second label", label.0)
            }
            AsmError::RawDistance { at, insn } => {
                write!(f, "instruction {at}: `{insn}` counts slots, which move; use a label")
            }
            AsmError::Malformed { at, insn, why } => {
                write!(f, "instruction {at}: `{insn}` does not exist: {why}")
            }
            AsmError::Missing { at, insn, feature } => {
                let row = feature.row();
                write!(
                    f,
                    "instruction {at}: `{insn}` needs {} (Linux {}.{}), use {}",
                    row.name, row.since.0, row.since.1, row.instead
                )
            }
            AsmError::RunsOn { function } => {
                write!(f, "function `{function}` runs past its end, finish it with `exit` or `goto`")
            }
            AsmError::LeavesFunction { at, label } => write!(
                f,
                "instruction {at}: label {} belongs to another function, call that function",
                label.0
            ),
            AsmError::UnknownLine { line } => {
                write!(f, "line {} is not known, add it first", line.0)
            }
            AsmError::TooDense { at } => {
                write!(f, "instruction {at}: no room for a hop to its label, use a target with long jumps")
            }
            AsmError::TooLong { slots, max } => {
                write!(f, "the program has {slots} slots and the kernel takes {max}, split it")
            }
        }
    }
}

impl std::error::Error for AsmError {}
