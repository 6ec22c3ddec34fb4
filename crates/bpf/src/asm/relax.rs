//! From items with labels to instructions with distances.

mod hops;
mod long;

use std::collections::BTreeMap;

use super::{AsmError, Assembler, Item, Label};
use crate::insn::{Cond, Insn, Operand, Reg, Width};
use crate::program::{Function, LineMark, Program};
use crate::target::{Feature, Target};

/// How far a 16-bit jump is let go, in slots. Half of what the field holds, because the kernel
/// replaces context loads, look-ups and divisions by longer code after verification and refuses
/// the program if a jump over them overflows (`bpf_adj_delta_to_off` in kernel/bpf/core.c).
const REACH: u32 = 16_000;

/// A chain of hops, one for each far label, that the code around it jumps over.
#[derive(Debug, Clone, Default)]
struct Island {
    /// The item that it stands before.
    before: u32,
    /// The code before it runs on, so it starts with a jump over itself.
    skip: bool,
    /// For each label where its hop goes.
    hops: BTreeMap<Label, Stop>,
    /// The keys of `hops`, to find a hop's place by halving.
    labels: Vec<Label>,
}

impl Island {
    fn slots(&self) -> u32 {
        match self.hops.len() as u32 {
            0 => 0,
            n => n + u32::from(self.skip),
        }
    }

    /// The slot of a label's hop, from the island's start.
    fn hop(&self, label: Label) -> u32 {
        self.labels.partition_point(|known| *known < label) as u32 + u32::from(self.skip)
    }
}

/// Where a jump lands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At its label.
    Label,
    /// At the label's hop in this island.
    Island(u32),
}

/// The decided forms.
#[derive(Debug, Default)]
struct Plan {
    /// Slots of each item.
    slots: Vec<u8>,
    islands: Vec<Island>,
    /// For each item its first stop.
    stops: Vec<Stop>,
}

/// Slots where things start.
#[derive(Debug)]
struct Layout {
    items: Vec<u32>,
    islands: Vec<u32>,
}

impl Plan {
    fn layout(&self) -> Layout {
        let mut next = 0;
        let mut items = Vec::with_capacity(self.slots.len() + 1);
        let mut islands = Vec::with_capacity(self.islands.len());
        for (at, slots) in self.slots.iter().enumerate() {
            if let Some(island) = self.islands.get(islands.len())
                && island.before == at as u32
            {
                islands.push(next);
                next += island.slots();
            }
            items.push(next);
            next += u32::from(*slots);
        }
        items.push(next);
        Layout { items, islands }
    }
}

impl Item {
    /// The label of a jump, which has to stay in its function.
    fn jump_label(&self) -> Option<Label> {
        match *self {
            Item::Jump(label) | Item::Branch(.., label) => Some(label),
            _ => None,
        }
    }

    /// Slots of the shortest form.
    fn slots(&self) -> u8 {
        match self {
            Item::Plain(insn) => insn.slots() as u8,
            Item::Func(..) => 2,
            Item::Jump(_) | Item::Branch(..) | Item::Call(_) => 1,
        }
    }
}

impl Assembler {
    /// The item that a label stands before; the checks before relaxation made sure of it.
    fn place(&self, label: Label) -> usize {
        self.labels[label.0 as usize].unwrap_or(0) as usize
    }

    fn function_at(&self, item: usize) -> usize {
        self.functions.partition_point(|f| f.start <= item)
    }
}

pub(super) fn relax(asm: Assembler, target: &Target) -> Result<Program, AsmError> {
    check_functions(&asm)?;
    let plan = match target.has(Feature::Gotol) {
        true => long::plan(&asm),
        false => hops::plan(&asm)?,
    };
    let layout = plan.layout();
    let slots = layout.items[asm.items.len()] as usize;
    let max = target.max_instructions as usize;
    if slots > max {
        return Err(AsmError::TooLong { slots, max });
    }
    Ok(Emitter::new(&asm, &plan, &layout).run())
}

fn check_functions(asm: &Assembler) -> Result<(), AsmError> {
    for (at, item) in asm.items.iter().enumerate() {
        let Some(label) = item.jump_label() else {
            continue;
        };
        if asm.function_at(at) != asm.function_at(asm.place(label)) {
            return Err(AsmError::LeavesFunction { at, label });
        }
    }
    Ok(())
}

/// Writes the instructions of a plan.
struct Emitter<'a> {
    asm: &'a Assembler,
    plan: &'a Plan,
    layout: &'a Layout,
    insns: Vec<Insn>,
    /// The next slot.
    slot: u32,
    functions: Vec<Function>,
    marks: Vec<LineMark>,
}

impl<'a> Emitter<'a> {
    fn new(asm: &'a Assembler, plan: &'a Plan, layout: &'a Layout) -> Emitter<'a> {
        Emitter {
            asm,
            plan,
            layout,
            insns: Vec::with_capacity(asm.items.len()),
            slot: 0,
            functions: Vec::with_capacity(asm.functions.len()),
            marks: Vec::with_capacity(asm.marks.len()),
        }
    }

    fn run(mut self) -> Program {
        let mut islands = 0;
        for at in 0..self.asm.items.len() {
            if let Some(island) = self.plan.islands.get(islands)
                && island.before == at as u32
            {
                self.island(island);
                islands += 1;
            }
            self.begin(at);
            self.item(at);
        }
        Program {
            name: self.asm.name.clone(),
            section: self.asm.section.clone(),
            insns: self.insns,
            functions: self.functions,
            lines: self.asm.lines.clone(),
            marks: self.marks,
        }
    }

    /// Carries over the function and the line that start at an item.
    fn begin(&mut self, at: usize) {
        let start = self.insns.len();
        if let Some(function) = self.asm.functions.get(self.functions.len())
            && function.start == at
        {
            self.functions.push(Function { start, ..function.clone() });
        }
        if let Some(mark) = self.asm.marks.get(self.marks.len())
            && mark.insn == at
        {
            self.marks.push(LineMark { insn: start, ..*mark });
        }
    }

    fn push(&mut self, insn: Insn) {
        self.slot += insn.slots() as u32;
        self.insns.push(insn);
    }

    /// From the slot after the next one.
    fn distance(&self, to: u32) -> i32 {
        to as i32 - self.slot as i32 - 1
    }

    fn island(&mut self, island: &Island) {
        if island.skip && !island.hops.is_empty() {
            self.goto(self.slot + island.slots());
        }
        for (label, stop) in &island.hops {
            self.goto(self.stop(*stop, *label));
        }
    }

    fn stop(&self, stop: Stop, label: Label) -> u32 {
        match stop {
            Stop::Label => self.layout.items[self.asm.place(label)],
            Stop::Island(nth) => {
                let nth = nth as usize;
                self.layout.islands[nth] + self.plan.islands[nth].hop(label)
            }
        }
    }

    /// A jump without a condition; long where short does not reach (only with `gotol`).
    fn goto(&mut self, to: u32) {
        let off = self.distance(to);
        self.push(match i16::try_from(off) {
            Ok(off) if off.unsigned_abs() <= REACH as u16 + 2 => Insn::Ja { off },
            _ => Insn::JaLong { off },
        });
    }

    fn item(&mut self, at: usize) {
        match self.asm.items[at] {
            Item::Plain(insn) => self.push(insn),
            Item::Jump(label) => self.goto(self.stop(self.plan.stops[at], label)),
            Item::Branch(cond, width, dst, src, label) => {
                let to = self.stop(self.plan.stops[at], label);
                self.branch((cond, width, dst, src), to, self.plan.slots[at]);
            }
            Item::Call(label) => {
                let off = self.distance(self.stop(Stop::Label, label));
                self.push(Insn::CallLocal { off });
            }
            Item::Func(dst, label) => {
                let off = self.distance(self.stop(Stop::Label, label));
                self.push(Insn::LdFunc { dst, off });
            }
        }
    }

    fn branch(&mut self, test: (Cond, Width, Reg, Operand), to: u32, slots: u8) {
        let (cond, width, dst, src) = test;
        let jump = |cond, off| Insn::Jump { cond, width, dst, src, off };
        match (slots, cond.inverse()) {
            (1, _) => self.push(jump(cond, self.distance(to) as i16)),
            (_, Some(inverse)) => {
                self.push(jump(inverse, 1));
                self.goto(to);
            }
            (_, None) => {
                self.push(jump(cond, 1));
                self.push(Insn::Ja { off: 1 });
                self.goto(to);
            }
        }
    }
}
