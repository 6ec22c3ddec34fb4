//! Programs of several functions: what the kernel's verifier would not follow to its end is cut into parts.
//!
//! A part is the blocks that one block dominates, less those of other parts; others lead to that block alone. It
//! becomes a global function ([`Feature::GlobalFunctions`]), which the verifier goes through once, for any state of
//! memory, and not once for every way to it. The main function calls all of them. A part returns what the program
//! returns, or [`GOES_ON`] and the number of the block where it goes on, in [`Part::exits`].
//!
//! Functions share no registers. A value that one defines and another uses has a slot in scratch memory: it is stored
//! where it is defined, and read where it is used. Packet pointers cannot be kept so: no part holds a block
//! that looks into the packet, or leads to one that does.
//!
//! In a function every block of another one that it leads to is a stub with the same parameters, so that
//! edges need not know: in the main function it calls the part, in a part it returns.

use super::isel::{Isel, Place};
use super::machine::{Kind, physical};
use super::{CodegenError, Options};
use crate::ir::analysis::{Dominators, Graph, constants, definitions};
use crate::ir::effort::{Effort, MOST_PENDING, MOST_STEPS};
use crate::ir::{Block, Op, Program, Terminator, Type, Value};
use regalloc2::{Operand, VReg};
use weir_bpf::insn::{Cond, Reg, Width};
use weir_bpf::target::Feature;

/// Above all that programs return.
const GOES_ON: i32 = 0x100;

/// Branches of a part: what the verifier does for each begins to grow beyond some thousand, and a call costs a packet
/// as much as some dozen of them.
const BRANCHES: u32 = 800;

/// The estimate is right within a factor of 2.5 or so.
const SURELY: u64 = 3;

/// The verifier takes 256 functions (`BPF_MAX_SUBPROGS`).
const MOST: usize = 250;

/// The functions of a program. Function 0 is the main one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parts {
    pub(super) list: Vec<Part>,
    /// By block: its function.
    function: Vec<u32>,
    /// By function: its blocks and those of others that they lead to, in the graph's order.
    blocks: Vec<Vec<Block>>,
    /// By value: the slot of scratch memory in which others find it.
    slots: Vec<Option<u32>>,
    /// The values that have one.
    crossing: Vec<Value>,
    /// Slots of scratch memory in all.
    pub(super) scratch: u32,
    /// The slot in which parts find which space of the tables the main function has read: all of a packet's way must be
    /// by the tables of one policy.
    pub(super) space: Option<u32>,
}

/// Blocks that become a function of their own; function `n` is part `n - 1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) entry: Block,
    /// Where it goes on.
    pub(super) exits: Vec<Block>,
}

impl Parts {
    /// Cuts a program apart if the verifier would not follow it, or if the options say so; an error if it surely gives up.
    pub(super) fn of(
        program: &Program,
        graph: &Graph,
        dominators: &Dominators,
        options: &Options,
    ) -> Result<Parts, CodegenError> {
        let effort = Effort::up_to(program, MOST_STEPS / 2);
        let branches = match options.part {
            _ if !options.target.has(Feature::GlobalFunctions) => None,
            Some(branches) => Some(branches),
            None => is_too_much(&effort).then_some(BRANCHES),
        };
        let entries = branches.map_or_else(Vec::new, |most| entries(program, graph, dominators, most));
        let parts = Parts::closed(program, graph, dominators, entries);
        if parts.list.is_empty() && is_too_much(&effort) {
            let effort = Effort::up_to(program, SURELY * MOST_STEPS);
            if effort.steps > SURELY * MOST_STEPS || effort.pending > SURELY as usize * MOST_PENDING {
                return Err(CodegenError::Verifier { line: effort.line, steps: effort.steps });
            }
        }
        Ok(parts)
    }

    /// With the other entries that the parts of these have.
    fn closed(program: &Program, graph: &Graph, dominators: &Dominators, mut entries: Vec<Block>) -> Parts {
        let function = loop {
            let function = functions(graph, dominators, &entries);
            let more = other_entries(graph, &function, &entries);
            if more.is_empty() {
                break function;
            }
            entries.extend(more);
            if entries.len() > MOST {
                entries.clear();
            }
        };
        let list = entries.into_iter().map(|entry| Part { entry, exits: Vec::new() }).collect();
        let blocks = Vec::new();
        let (slots, scratch) = (vec![None; program.values.len()], program.scratch);
        let mut parts = Parts { list, function, blocks, slots, crossing: Vec::new(), scratch, space: None };
        parts.find_blocks(graph);
        if !parts.list.is_empty() {
            parts.find_slots(program, graph);
            parts.space = Some(parts.scratch);
            parts.scratch += 1;
        }
        parts
    }

    /// Which blocks each function has, and where it goes on.
    fn find_blocks(&mut self, graph: &Graph) {
        let mut blocks = vec![Vec::new(); self.list.len() + 1];
        for &block in &graph.order {
            let here = self.function(block) as usize;
            blocks[here].push(block);
            let Some(nth) = here.checked_sub(1) else { continue };
            for &to in graph.successors(block).iter().filter(|to| self.function[to.index()] as usize != here)
            {
                if !self.list[nth].exits.contains(&to) {
                    self.list[nth].exits.push(to);
                    blocks[here].push(to);
                }
            }
        }
        // It calls all parts: what one leads to is a block of the main function, or calls the next one.
        blocks[0].extend(self.list.iter().map(|part| part.entry));
        for blocks in &mut blocks {
            blocks.sort_unstable_by_key(|block| graph.place[block.index()]);
        }
        self.blocks = blocks;
    }

    /// Values that cross from one function to another.
    fn find_slots(&mut self, program: &Program, graph: &Graph) {
        let (defs, constants) = (definitions(program), constants(program));
        let mut crossing = vec![false; program.values.len()];
        for &block in &graph.order {
            let here = self.function(block);
            let mut note = |value: Value| {
                let home = defs[value.index()].map(|def| self.function(def.block()));
                crossing[value.index()] |= home.is_some_and(|home| home != here);
            };
            program[block].insts.iter().for_each(|inst| inst.op.operands(&mut note));
            program[block].end.operands(&mut note);
            for &to in graph.successors(block).iter().filter(|to| self.function(**to) != here) {
                program[to].params.iter().for_each(|param| crossing[param.index()] = true);
            }
        }
        for (value, _) in
            crossing.iter().enumerate().filter(|(value, crosses)| **crosses && constants[*value].is_none())
        {
            self.slots[value] = Some(self.scratch);
            self.crossing.push(Value(value as u32));
            self.scratch += 1;
        }
    }

    /// The function of a block.
    pub(super) fn function(&self, block: Block) -> u32 {
        self.function[block.index()]
    }

    /// The blocks of a function and those of others that they lead to, in an order that sees definitions first.
    pub(super) fn blocks(&self, function: u32) -> &[Block] {
        &self.blocks[function as usize]
    }

    /// Where other functions find a value.
    pub(super) fn slot(&self, value: Value) -> Option<u32> {
        self.slots[value.index()]
    }
}

/// By block, its function: that of the last entry on every way to it.
fn functions(graph: &Graph, dominators: &Dominators, entries: &[Block]) -> Vec<u32> {
    let mut function = vec![0; graph.place.len()];
    let mut begins = vec![None; function.len()];
    entries.iter().zip(1..).for_each(|(entry, number)| begins[entry.index()] = Some(number));
    // In preorder a block comes behind the one that immediately dominates it.
    for &block in &dominators.preorder {
        let above = || dominators.immediate(block).map_or(0, |above| function[above.index()]);
        function[block.index()] = begins[block.index()].unwrap_or_else(above);
    }
    function
}

/// Blocks inside of a part that others lead to: its registers are lost by then, so another part begins there.
fn other_entries(graph: &Graph, function: &[u32], entries: &[Block]) -> Vec<Block> {
    let is_entered = |block: &Block| {
        let here = function[block.index()];
        let inside = here > 0 && entries[here as usize - 1] != *block;
        inside && graph.predecessors(*block).iter().any(|from| function[from.index()] != here)
    };
    graph.order.iter().copied().filter(is_entered).collect()
}

/// With half of what it can follow, as the estimate is one.
fn is_too_much(effort: &Effort) -> bool {
    effort.pending > MOST_PENDING / 2 || effort.steps > MOST_STEPS / 2
}

/// Blocks that dominate about so many branches that are in no part yet, from the ends of all ways on.
fn entries(program: &Program, graph: &Graph, dominators: &Dominators, branches: u32) -> Vec<Block> {
    let is_cursor = |value: Value| program.type_of(value) == Type::Cursor;
    // Whether a block, or one that it dominates and that is in no part, must stay in the main function.
    let mut stays = vec![false; program.blocks.len()];
    let mut left = vec![0u32; program.blocks.len()];
    let mut entries = Vec::new();
    for &block in dominators.preorder.iter().rev() {
        let data = &program[block];
        let mut looks = data.params.iter().any(|param| is_cursor(*param));
        // Headers of loops have a parameter that stubs do not know.
        looks |= data.loop_bound.is_some();
        looks |= graph.successors(block).iter().any(|to| program[*to].loop_bound.is_some());
        for inst in &data.insts {
            inst.op.operands(|value| looks |= is_cursor(value));
            looks |= inst.result.is_some_and(is_cursor) || matches!(inst.op, Op::Start | Op::Cookie { .. });
        }
        data.end.operands(|value| looks |= is_cursor(value));
        looks |= matches!(
            data.end,
            Terminator::Decap { .. }
                | Terminator::Send(_)
                | Terminator::Forward(_)
                | Terminator::Refuse(_)
                | Terminator::Echo(_)
                | Terminator::SynAck(_)
        );
        stays[block.index()] |= looks;
        left[block.index()] += match &data.end {
            Terminator::Switch { cases, .. } => cases.len() as u32,
            Terminator::Branch { .. } | Terminator::Match { .. } => 1,
            _ => 0,
        };
        let Some(above) = dominators.immediate(block) else { continue };
        if left[block.index()] >= branches && !stays[block.index()] && entries.len() < MOST {
            entries.push(block);
            continue;
        }
        stays[above.index()] |= stays[block.index()];
        left[above.index()] += left[block.index()];
    }
    entries
}

impl Isel<'_> {
    /// At the start of a part: what its entry takes.
    pub(super) fn enter_part(&mut self, part: &Part) {
        let params = self.program[part.entry].params.clone();
        let args: Vec<_> = params.iter().map(|param| self.read_slot(*param)).collect();
        let entry = self.machine_block(part.entry);
        self.jump_with(entry, &args);
    }

    /// A block of another function: hands over what it takes, and calls it or returns to who does.
    pub(super) fn stub(&mut self, block: Block) {
        self.open(self.machine_block(block));
        for param in &self.program[block].params {
            let vreg = self.builder.vreg();
            self.builder.blocks[self.current.index()].params.push(vreg);
            self.write_slot(*param, vreg);
        }
        let parts = self.parts;
        match self.function {
            0 => self.call_part(parts.function(block)),
            here => {
                let exits = &parts.list[here as usize - 1].exits;
                let nth = exits.iter().position(|exit| *exit == block).unwrap_or(0);
                self.emit(Kind::Return(GOES_ON + nth as i32), &[]);
            }
        }
    }

    fn call_part(&mut self, function: u32) {
        let parts = self.parts;
        let result = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
        ];
        self.emit(Kind::CallPart(function), &operands);
        for (nth, exit) in parts.list[function as usize - 1].exits.iter().enumerate() {
            let (on, other) = (self.builder.block(false), self.builder.block(false));
            let kind = Kind::Branch(Cond::Eq, Width::W64, Some(GOES_ON + nth as i32));
            self.branch(kind, &[Operand::reg_use(result)], on, other);
            self.open(on);
            let params = self.program[*exit].params.clone();
            let args: Vec<_> = params.iter().map(|param| self.read_slot(*param)).collect();
            self.jump_with(self.machine_block(*exit), &args);
            self.open(other);
        }
        self.emit(Kind::ReturnValue, &[Operand::reg_fixed_use(result, physical(Reg::R0))]);
    }

    /// Stores a value where other functions look for it, if any does.
    pub(super) fn keep_for_others(&mut self, value: Value) {
        if self.parts.slot(value).is_some() && self.analysis.uses(value) > 0 {
            let vreg = self.value(value);
            self.write_slot(value, vreg);
        }
    }

    fn write_slot(&mut self, value: Value, vreg: VReg) {
        if let Some(slot) = self.parts.slot(value) {
            self.stash_vreg(slot, vreg);
        }
    }

    /// A value of another function.
    pub(super) fn read_slot(&mut self, value: Value) -> VReg {
        let read = self.parts.slot(value).and_then(|slot| self.unstash_vreg(slot));
        read.unwrap_or_else(|| self.constant(0))
    }

    /// Lets values of other functions be found.
    pub(super) fn place_foreign(&mut self) {
        for &value in &self.parts.crossing {
            let home = self.analysis.home(value).map(|block| self.parts.function(block));
            if home.is_some_and(|home| home != self.function) {
                self.place(value, Place::Elsewhere);
            }
        }
    }
}
