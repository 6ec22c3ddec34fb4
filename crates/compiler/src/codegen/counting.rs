//! `Match` where rows count: a function for each table.
//!
//! A table that has rows which count and go on ([`Counting`]) stands in the section of tables as three images:
//!
//! | image | what it is |
//! |---|---|
//! | the rows that decide | its results are the numbers of the rows, from 1 |
//! | the outcomes | for no row and then by number: `u32` result as other tables have it, 0 for none; `u32` the rank of the last row that counts before it |
//! | the rows that count | of several trees, so that walks end at ranks of rows; its results are counters and 1 |
//!
//! The main function walks through the first and gives the number to the function, which finds the key in scratch
//! memory, walks through all trees of the third, counts for each row that holds the key and stands before the one that
//! decides, and returns the result. The kernel's verifier goes through it once, wherever it is called from.

use super::emit::{Emitter, FRAME};
use super::isel::Isel;
use super::machine::{Kind, physical};
use super::rooms::Room;
use super::tables::{self, TableMap, WalkSite, Ways};
use crate::ir::{Program, TableDecl, TableRef, Value};
use crate::table::image::{MOST, ROOT};
use crate::table::{Counting, Image};
use regalloc2::{Operand, VReg};
use std::sync::Arc;
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, Reg, Size, Width};
use weir_bpf::target::Feature;

/// Images of such a table beside that of the rows that decide.
pub(super) const IMAGES: usize = 2;

/// Walks end at ranks of rows only where there are several trees.
const LEAST_TREES: usize = 2;

/// Where in what a walk finds its rank stands.
const RANK: i16 = 4;

/// Bytes of an outcome.
const OUTCOME: i32 = 8;

/// Where on the function's stack the space in use stands; before that the index of the look-up in scratch memory.
const SPACE: i16 = -8;
/// The result.
const FOUND: i16 = -16;
/// The number of the tree, which the kernel's verifier knows in each turn.
const TREE: i16 = -24;
/// Bytes for all three; the key lies below.
const KEPT: u32 = 24;

/// Trees that may be added.
const SPARE_TREES: usize = 1;

/// What no table has for a result: the counter of it is not there, which ends the program.
const NO_RESULT: i32 = -1;

/// What the function must know.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CountingMap {
    outcomes: TableMap,
    /// Where the rows that count are; its key stands on the function's stack.
    rows: WalkSite,
}

impl CountingMap {
    /// Of images that stand there.
    pub(super) fn new(words: &[u8], [outcomes, rows]: [TableMap; IMAGES]) -> Self {
        let key = -((8 * words.len().next_power_of_two() as u32 + KEPT) as i16);
        Self { outcomes, rows: WalkSite { table: rows, words: words.to_vec(), key } }
    }

    /// Bytes of stack that a call takes: the function's own, and those of `count`.
    fn stack(&self) -> u32 {
        u32::from(self.rows.key.unsigned_abs()).next_multiple_of(FRAME) + FRAME
    }
}

/// The images beside that of the rows that decide, for rooms if they have some; `None` if they are too large.
pub(super) fn images(
    decl: &TableDecl,
    counting: &Counting,
    rooms: &[Room],
    most: usize,
) -> Option<[Arc<Image>; IMAGES]> {
    let last = |row| (counting.rows().len() - counting.bound(row) + 1) as u32;
    let none = (0, last(None));
    let deciding = decl.table.rows().enumerate();
    let outcome = |(number, row): (usize, crate::table::Row<'_>)| {
        let result = decl.rule(row.result).map_or(0, |rule| tables::result(&rule));
        (result, last(Some(number as u32)))
    };
    let all = std::iter::once(none).chain(deciding.map(outcome));
    let bytes = all.flat_map(|(result, rank)| [result, rank]).flat_map(u32::to_le_bytes).collect();
    let outcomes = Image { bytes, trees: Vec::new(), levels: 0, most_rows: 0 };
    // All trees are walked by the same code.
    let rows = counting.rows();
    let trees = rooms.get(1).map_or_else(|| rows.cut() + SPARE_TREES, |room| room.trees as usize);
    let slots = vec![rows.all_words(); trees.max(LEAST_TREES)];
    Some([Arc::new(outcomes), Image::of(rows, most, &slots)?])
}

/// How many words the longest key has that rows count by.
pub(super) fn key_words(program: &Program) -> u32 {
    let counts = |decl: &&TableDecl| decl.table.counting().is_some();
    let words = program.tables.iter().filter(counts).map(|decl| decl.table.words().len());
    words.max().unwrap_or(0) as u32
}

impl Isel<'_> {
    /// Counts for the rows that count before the one that was found; the result of that one, 0 for none.
    pub(super) fn count_rows(&mut self, table: TableRef, key: &[Value], found: VReg) -> VReg {
        for (slot, value) in (self.maps.keys..).zip(key) {
            self.stash(slot, *value);
        }
        let result = self.builder.vreg();
        let mut operands = vec![
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(found, physical(Reg::R2)),
        ];
        operands.extend(self.space.map(|space| Operand::reg_fixed_use(space, physical(Reg::R3))));
        let stack = self.maps.tables.as_ref().and_then(|section| section.counting(table));
        self.below = self.below.max(stack.map_or(0, CountingMap::stack));
        self.emit(Kind::CountRows(table), &operands);
        result
    }
}

impl Emitter<'_> {
    /// The function: `r1` the context, `r2` the number of the row that was found, 0 for none, `r3` where the space in use
    /// begins if there are two. `r0` = the row's result, 0 for none.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r6` | the context |
    /// | `r7` | the number, then the least rank that counts |
    /// | `r8` | the space, then the row that is tried |
    /// | `r9` | rows that are left in the list |
    pub(super) fn count_rows_function(&mut self, table: TableRef, start: Label) {
        let section = self.maps.tables.as_ref();
        let Some((section, map)) = section.and_then(|section| Some((section, section.counting(table)?)))
        else {
            return;
        };
        let done = self.asm.label();
        let args = if section.second().is_some() { 3 } else { 2 };
        self.shared_function(&format!("count_rows_{}", table.0), args, start);
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.asm.emit(Insn::mov(Reg::R7, Reg::R2));
        if section.second().is_some() {
            self.asm.emit(Insn::mov(Reg::R8, Reg::R3));
        }
        self.take_key(&map.rows);
        if section.second().is_some() {
            self.asm.emit(Insn::store(Size::DW, Reg::R10, SPACE, Reg::R8));
        }
        self.outcome(&map.outcomes, section.second());
        self.count_trees(&map.rows, section.second());
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R10, FOUND));
        self.asm.jump(done);
        if let Some(abort) = self.take_abort() {
            self.asm.bind(abort);
            self.asm.emit(Insn::mov(Reg::R0, NO_RESULT));
        }
        self.asm.bind(done);
        self.asm.emit(Insn::Exit);
    }

    /// Copies the key from scratch memory to the stack.
    fn take_key(&mut self, site: &WalkSite) {
        let (Some(scratch), abort) = (self.maps.scratch, self.abort()) else { return };
        self.lookup_index(scratch, SPACE, 0);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, abort);
        let room = site.words.len().next_power_of_two();
        for nth in 0..room as i16 {
            let slot = (self.maps.keys * 8) as i16 + 8 * nth;
            if (nth as usize) < site.words.len() {
                self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, slot));
                self.asm.emit(Insn::store(Size::DW, Reg::R10, site.key + 8 * nth, Reg::R1));
            } else {
                self.asm.emit(Insn::store(Size::DW, Reg::R10, site.key + 8 * nth, 0));
            }
        }
    }

    /// Keeps the result of the row; `r7` = the rank of the last that counts before it.
    fn outcome(&mut self, outcomes: &TableMap, second: Option<u32>) {
        let abort = self.abort();
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R7, OUTCOME.trailing_zeros() as i32));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R7, outcomes.room.bytes as i32 - OUTCOME, abort);
        self.image_in_use(outcomes, second);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, Reg::R7));
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R0, 0));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, FOUND, Reg::R1));
        self.asm.emit(Insn::load(Size::W, Reg::R7, Reg::R0, 4));
    }

    /// `r0` = the image in the space in use. Loses `r1`.
    fn image_in_use(&mut self, table: &TableMap, second: Option<u32>) {
        let space = second.map(|most| {
            let abort = self.abort();
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, SPACE));
            self.asm.branch(Cond::Gt, Width::W64, Reg::R1, most as i32, abort);
            Reg::R1
        });
        self.image(table, space);
    }

    /// Counts for the rows that hold the key and have the rank `r7` or a higher one. Loses all but `r6` and `r7`.
    fn count_trees(&mut self, site: &WalkSite, second: Option<u32>) {
        let trees = site.table.room.trees;
        let (tree, next) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::mov(Reg::R1, 0));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, TREE, Reg::R1));
        self.asm.bind(tree);
        self.image_in_use(&site.table, second);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, TREE));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R1, ROOT.trailing_zeros() as i32));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R0));
        self.asm.emit(Insn::load(Size::W, Reg::R2, Reg::R1, MOST as i16 + RANK));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R2, Reg::R7, next);
        self.count_tree(site, next);
        self.asm.bind(next);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, TREE));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R10, TREE, Reg::R1));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R1, trees as i32, tree);
    }

    /// The same for the tree whose root is at `r1`, of the image in `r0`; then goes to `next`.
    fn count_tree(&mut self, site: &WalkSite, next: Label) {
        let ways = Ways { list: self.asm.label(), done: next, abort: self.abort() };
        let (layout, row, other) = (site.layout(0), self.asm.label(), self.asm.label());
        self.go_down(site, (Reg::R1, 0), &ways);
        self.first_row(site, &layout, &ways);
        self.asm.emit(Insn::mov(Reg::R8, Reg::R1));
        self.asm.emit(Insn::mov(Reg::R9, Reg::R5));
        self.asm.bind(row);
        self.result_if_held(site, &layout, Reg::R8);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, other);
        // Those behind it in the list stand behind it in the policy.
        self.count_row(ways.done);
        self.asm.bind(other);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R8, layout.bytes as i32));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R9, 1));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R9, 0, row);
    }

    /// Counts for the row that was found in `r0`; goes to `behind` if its rank is less than `r7`.
    fn count_row(&mut self, behind: Label) {
        let count = self.count_label();
        self.asm.emit(Insn::mov32(Reg::R2, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R0, 32));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R0, Reg::R7, behind);
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R2, 1));
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.call(count);
    }

    /// A function that all others may call; it takes the context first. Verified by itself where that is known.
    pub(super) fn shared_function(&mut self, name: &str, args: u8, start: Label) {
        match self.target.has(Feature::GlobalFunctions) {
            true => self.asm.global_function(name, args, start),
            false => self.asm.function(name, args, start),
        }
    }
}
