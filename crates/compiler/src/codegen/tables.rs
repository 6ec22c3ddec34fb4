//! `Match`: a walk through a table's image.
//!
//! Images ([`crate::table::image`]) stand in a data section ([`super::rooms`]), reached by address. A result in them
//! is `1 + 2 * counter + (1 for drop)` ([`result`]). The key stands on the stack, 8 bytes a word; the
//! walk is unrolled level by level, a few more than the image has, so that user space can deepen it.
//!
//! The verifier knows nothing of what an image holds, so each place is compared with its end before it
//! is used. What a whole image never has ends the program.

use super::CodegenError;
use super::branch::return_code;
use super::counting::{self, CountingMap};
use super::emit::Emitter;
use super::isel::{Isel, Place};
use super::machine::{Kind, physical};
use super::rooms::{Head, Room, SECTION};
use crate::ir::{self, Program, Rule, TableDecl, TableRef, Target, Value, Verdict};
use crate::table::image::{
    BASE, CHILDREN, HEADER, LAST, MOST, PLACE, REFERENCE, ROOT, RowLayout, SHIFT, UNIT, WORD, WordPlace,
};
use crate::table::{Image, Table};
use regalloc2::{Operand, OperandConstraint, OperandKind, OperandPos, VReg};
use std::sync::Arc;
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapType};

/// All images together; offsets in them stay far below the 2 GiB of an immediate.
const MOST_BYTES: usize = 256 << 20;

/// What a row says: the counter, and whether it drops.
pub(super) fn result(rule: &Rule) -> u32 {
    1 + 2 * rule.counter + u32::from(rule.verdict == Verdict::Drop)
}

/// Where a table's image stands, and what the code must know of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TableMap {
    map: MapId,
    /// Where in the data section the image begins, with the first space.
    offset: u32,
    pub(super) room: Room,
}

/// The data section of all tables: a program has at most 64 maps.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Section {
    map: MapId,
    /// Where the second space begins, from the first one, if there are two.
    second: Option<u32>,
    tables: Vec<TableMap>,
    /// By table: what stands beside it if rows of it count.
    counting: Vec<Option<CountingMap>>,
}

impl Section {
    /// Where the second space begins, from the first one, if there are two.
    pub(super) fn second(&self) -> Option<u32> {
        self.second
    }

    /// What stands beside a table, if rows of it count.
    pub(super) fn counting(&self, table: TableRef) -> Option<&CountingMap> {
        self.counting[table.index()].as_ref()
    }
}

/// Makes the images of all tables. What has `rooms` already is put into them if it fits.
pub(super) fn section(
    program: &Program,
    map: MapId,
    rooms: &[Room],
) -> Result<(MapDef, Section), CodegenError> {
    let mut images = images(program, rooms)?;
    let fits =
        images.len() == rooms.len() && rooms.iter().zip(&images).all(|(room, image)| room.holds(image));
    if !fits && !rooms.is_empty() {
        images = self::images(program, &[])?;
    }
    let bytes = images.iter().map(|image| image.bytes.len()).sum();
    let rooms = match fits {
        true => rooms.to_vec(),
        false => images.iter().map(|image| Room::around(image, Head::once(bytes))).collect(),
    };
    let head = Head::new(rooms);
    let (mut contents, mut offset) = (head.section(), head.first());
    let mut places = Vec::new();
    for (image, room) in images.iter().zip(&head.rooms) {
        contents[offset..offset + image.bytes.len()].copy_from_slice(&image.bytes);
        places.push(TableMap { map, offset: offset as u32, room: *room });
        offset += room.bytes as usize;
    }
    let (mut tables, mut beside, mut places) = (Vec::new(), Vec::new(), places.into_iter());
    for decl in &program.tables {
        tables.extend(places.next());
        let counting = decl.table.counting().and_then(|_| Some([places.next()?, places.next()?]));
        beside.push(counting.map(|maps| CountingMap::new(decl.table.words(), maps)));
    }
    let mut def = MapDef::section(SECTION, MapType::bytes(contents.len() as u32));
    def.initial = contents;
    let second = (head.spaces == 2).then_some(head.space as u32);
    Ok((def, Section { map, second, tables, counting: beside }))
}

/// The images of all tables, for these rooms if there are some.
fn images(program: &Program, rooms: &[Room]) -> Result<Vec<Arc<Image>>, CodegenError> {
    let (mut images, mut bytes) = (Vec::new(), 0);
    for (nth, decl) in program.tables.iter().enumerate() {
        let of_table = images_of(decl, rooms.get(images.len()..).unwrap_or_default());
        let of_table = of_table.ok_or(CodegenError::Table { table: TableRef(nth as u32) })?;
        bytes += of_table.iter().map(|image| image.bytes.len()).sum::<usize>();
        if bytes > MOST_BYTES {
            return Err(CodegenError::Table { table: TableRef(nth as u32) });
        }
        images.extend(of_table);
    }
    Ok(images)
}

/// The images of a table, for the rooms that begin so. What they find is what the code looks for: of a table whose rows
/// count, the number of the row from 1.
fn images_of(decl: &TableDecl, rooms: &[Room]) -> Option<Vec<Arc<Image>>> {
    let mut number = 0;
    let counting = decl.table.counting();
    let table = decl.table.map_results(|of_row| {
        number += 1;
        if counting.is_some() { number } else { decl.rule(of_row).map_or(of_row, |rule| result(&rule)) }
    });
    let slots = rooms.first().map_or_else(|| slots(&table), |room| Some(room.slots().to_vec()))?;
    let mut images = vec![Image::of(&table, MOST_BYTES, &slots)?];
    if let Some(counting) = counting {
        let rooms = rooms.get(1..).unwrap_or_default();
        images.extend(counting::images(decl, counting, rooms, MOST_BYTES)?);
    }
    Some(images)
}

/// What a program asks for in each tree, a bit a word: what rows ask about, and all words in one more, where there are
/// several trees and one more costs a packet little.
fn slots(table: &Table) -> Option<Vec<u8>> {
    let mut slots = table.words_of_trees()?;
    if slots.len() > 1 {
        slots.push(table.all_words());
    }
    Some(slots)
}

/// Where the space in use begins, read once for a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SpaceSite {
    map: MapId,
    most: u32,
}

/// A walk whose key stands on the stack.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct WalkSite {
    pub(super) table: TableMap,
    pub(super) words: Vec<u8>,
    /// Where on the stack.
    pub(super) key: i16,
}

impl WalkSite {
    pub(super) fn trees(&self) -> u32 {
        self.table.room.trees
    }

    /// Where the parts of a tree's rows lie.
    pub(super) fn layout(&self, tree: u32) -> RowLayout {
        let slots = self.table.room.slots();
        RowLayout::of(&self.words, slots[tree as usize], slots.len())
    }
}

impl Isel<'_> {
    /// Reads which space is in use, if there are two: once for a packet.
    pub(super) fn open_space(&mut self) {
        let Some(Section { map, second: Some(most), .. }) = self.maps.tables else { return };
        self.space = match self.parts.space {
            Some(slot) if self.function > 0 => {
                let space = self.unstash_vreg(slot);
                space.map(|space| self.in_place(Kind::Bound(most), space))
            }
            kept => {
                let space = self.builder.vreg();
                self.emit(Kind::Space(SpaceSite { map, most }), &[Operand::reg_def(space)]);
                if let Some(slot) = kept {
                    self.stash_vreg(slot, space);
                }
                Some(space)
            }
        };
    }

    /// Finds the row; counts and returns by it, or goes on.
    pub(super) fn match_table(
        &mut self,
        block: ir::Block,
        table: TableRef,
        key: &[Value],
        otherwise: &Target,
    ) {
        let rows = &self.program.tables[table.index()].table;
        let found = if rows.is_empty() { self.constant(0) } else { self.look_up(table, key) };
        let found = if rows.counting().is_some() { self.count_rows(table, key, found) } else { found };
        if rows.is_empty() {
            let args = self.arguments(block, otherwise);
            return self.jump_with(self.machine_block(otherwise.block), &args);
        }
        let (hit, miss) = (self.builder.block(false), self.builder.block(false));
        let none = [Operand::reg_use(found)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, Some(0)), &none, miss, hit);
        self.open(hit);
        self.apart(|isel| isel.rule(block, found));
        self.open(miss);
        let args = self.arguments(block, otherwise);
        self.jump_with(self.machine_block(otherwise.block), &args);
    }

    /// The result of the row that holds the key, 0 for none.
    fn look_up(&mut self, table: TableRef, key: &[Value]) -> VReg {
        let words = self.program.tables[table.index()].table.words().to_vec();
        // The verifier lets a program read what all of its numbers of words could mean.
        let room = words.len().next_power_of_two();
        let at = self.builder.reserve(8 * room as u32);
        for (nth, value) in key.iter().enumerate() {
            self.store_stack(Size::DW, at + 8 * nth as i16, *value);
        }
        for nth in key.len()..room {
            self.emit(Kind::StoreStackImm(Size::DW, at + 8 * nth as i16, 0), &[]);
        }
        let found = self.builder.vreg();
        let section = self.maps.tables.as_ref().expect("there are tables");
        let site = WalkSite { table: section.tables[table.index()].clone(), words, key: at };
        let mut operands = vec![Operand::reg_fixed_def(found, physical(Reg::R0))];
        if site.trees() > 1 {
            let best = self.builder.vreg();
            operands.push(Operand::new(best, OperandConstraint::Reg, OperandKind::Def, OperandPos::Early));
        }
        // Needed at the start of each tree's walk, so not in a register that walks lose.
        operands.extend(self.space.map(Operand::reg_use_at_end));
        self.emit(Kind::Walk(site), &operands);
        found
    }

    /// Whether a row holds the key: where that must be 0 or 1, that is what results are.
    pub(super) fn in_table(&mut self, table: TableRef, key: &[Value], result: Value) {
        let found = self.look_up(table, key);
        self.place(result, Place::Register(found));
    }

    /// Counts and returns as a result says.
    fn rule(&mut self, block: ir::Block, found: VReg) {
        let told = self.alu_imm(Width::W64, AluOp::Sub, found, 1);
        if let Some(map) = self.maps.counters {
            let counter = self.alu_imm(Width::W64, AluOp::Rsh, told, 1);
            self.count_at(map, counter);
        }
        self.tell_by(block, |isel| {
            // `number_of` a verdict is what rows say.
            let drop = isel.alu_imm(Width::W64, AluOp::And, told, 1);
            [isel.alu_imm(Width::W64, AluOp::Rsh, told, 1), drop]
        });
        // No processor foresees whether the row drops.
        let drop = self.alu_imm(Width::W64, AluOp::And, told, 1);
        let [pass, drops] =
            [Verdict::Pass, Verdict::Drop].map(|verdict| return_code(self.options.hook, verdict));
        let step = self.alu_imm(Width::W64, AluOp::Mul, drop, drops - pass);
        let code = self.alu_imm(Width::W64, AluOp::Add, step, pass);
        self.emit(Kind::ReturnValue, &[Operand::reg_fixed_use(code, physical(Reg::R0))]);
    }
}

/// Where a walk goes on.
pub(super) struct Ways {
    pub(super) list: Label,
    pub(super) done: Label,
    pub(super) abort: Label,
}

impl Emitter<'_> {
    /// `dst` = where the space in use begins, from the first one.
    pub(super) fn space(&mut self, site: SpaceSite, dst: Reg) {
        let abort = self.abort();
        self.asm.emit(Insn::LdMapValue { dst, map: site.map, off: 0 });
        self.asm.emit(Insn::load(Size::DW, dst, dst, 0));
        self.asm.branch(Cond::Gt, Width::W64, dst, site.most as i32, abort);
    }

    /// `r0` = the result for the key, 0 for none; `space` is where the space in use begins, `best` is lost, if there are
    /// several trees. Loses `r1`–`r5`.
    pub(super) fn find_row(&mut self, site: &WalkSite, best: Option<Reg>, space: Option<Reg>) {
        self.image(&site.table, space);
        self.walk(site, 0);
        let (Some(best), trees) = (best, site.trees()) else { return };
        self.asm.emit(Insn::mov(best, Reg::R0));
        for nth in 1..trees {
            let not_better = self.asm.label();
            self.image(&site.table, space);
            self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R0, (nth * ROOT + MOST) as i16));
            self.asm.branch(Cond::Ge, Width::W64, best, Reg::R2, not_better);
            self.walk(site, nth);
            self.larger(best);
            self.asm.bind(not_better);
        }
        self.asm.emit(Insn::mov32(Reg::R0, best));
    }

    /// `best` = the larger of it and `r0`, both of 63 bits, without a branch that nobody foresees. Loses `r0`, `r2`.
    fn larger(&mut self, best: Reg) {
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R0, best));
        self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Arsh, Reg::R2, 63));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R2, -1));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Add, best, Reg::R0));
    }

    /// `r0` = the image.
    pub(super) fn image(&mut self, table: &TableMap, space: Option<Reg>) {
        self.asm.emit(Insn::LdMapValue { dst: Reg::R0, map: table.map, off: table.offset });
        if let Some(space) = space {
            self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, space));
        }
    }

    /// `r0` = what the walk through a tree of the image in `r0` finds, 0 for nothing.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r0` | the image; whether a row holds the key |
    /// | `r1` | the node, the row |
    /// | `r2` | the reference |
    /// | `r3` | the key, where it has one word |
    /// | `r4` | how far the word is above the node's or the row's |
    /// | `r5` | rows that are left |
    fn walk(&mut self, site: &WalkSite, tree: u32) {
        let ways = Ways { list: self.asm.label(), done: self.asm.label(), abort: self.abort() };
        self.go_down(site, (Reg::R0, (tree * ROOT) as i16), &ways);
        self.list(site, &site.layout(tree), &ways);
        self.asm.bind(ways.done);
    }

    /// Goes from a root, which stands so far from a register, of the image in `r0`, to the reference to a list, at
    /// `ways.list`; `r5` is how many rows it has.
    pub(super) fn go_down(&mut self, site: &WalkSite, root: (Reg, i16), ways: &Ways) {
        if site.words.len() == 1 {
            self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R10, site.key));
        }
        self.root(site, root, ways);
        for _ in 0..site.table.room.levels {
            self.reference(ways);
            self.child(site, ways);
        }
        self.reference(ways);
        self.asm.jump(ways.abort);
        self.asm.bind(ways.list);
    }

    /// Leaves the walk if the reference is to a list.
    fn reference(&mut self, ways: &Ways) {
        self.asm.emit(Insn::mov(Reg::R5, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R5, (1 << PLACE) - 1));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R5, 0, ways.list);
    }

    /// `r2` = the root's reference to the child.
    fn root(&mut self, site: &WalkSite, root: (Reg, i16), ways: &Ways) {
        self.step(site, root);
        self.asm.emit(Insn::load(Size::W, Reg::R5, root.0, root.1 + CHILDREN as i16));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R5));
        self.at(Reg::R4, site.table.room.bytes - REFERENCE, ways);
        self.asm.emit(Insn::load(Size::W, Reg::R2, Reg::R1, 0));
    }

    /// `r2` = the reference to the child of the node that it is to.
    fn child(&mut self, site: &WalkSite, ways: &Ways) {
        self.place();
        self.at(Reg::R2, site.table.room.bytes - HEADER, ways);
        self.step(site, (Reg::R1, 0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R2));
        self.at(Reg::R4, site.table.room.bytes - HEADER - REFERENCE, ways);
        self.asm.emit(Insn::load(Size::W, Reg::R2, Reg::R1, HEADER as i16));
    }

    /// `r4` = how far the reference to the child is from the first one, at a node that stands so far from a register.
    /// Loses `r5`.
    fn step(&mut self, site: &WalkSite, (node, offset): (Reg, i16)) {
        let inside = self.asm.label();
        let at = |field: u32| offset + field as i16;
        if site.words.len() == 1 {
            self.asm.emit(Insn::mov(Reg::R4, Reg::R3));
        } else {
            let last_word = 8 * (site.words.len().next_power_of_two() as i32 - 1);
            self.asm.emit(Insn::load(Size::B, Reg::R4, node, at(WORD)));
            self.asm.emit(Insn::alu(AluOp::And, Reg::R4, last_word));
            self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R10));
            self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R4, site.key));
        }
        self.asm.emit(Insn::load(Size::DW, Reg::R5, node, at(BASE)));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R4, Reg::R5));
        self.asm.emit(Insn::load(Size::B, Reg::R5, node, at(SHIFT)));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R4, Reg::R5));
        self.asm.emit(Insn::load(Size::W, Reg::R5, node, at(LAST)));
        self.asm.branch(Cond::Le, Width::W64, Reg::R4, Reg::R5, inside);
        self.asm.emit(Insn::mov(Reg::R4, Reg::R5));
        self.asm.bind(inside);
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R4, REFERENCE.trailing_zeros() as i32));
    }

    /// `r2` = the place of a reference, in bytes.
    fn place(&mut self) {
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, PLACE as i32));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, UNIT.trailing_zeros() as i32));
    }

    /// `r1` = the image's byte at an offset that is at most `last`.
    fn at(&mut self, offset: Reg, last: u32, ways: &Ways) {
        self.asm.branch(Cond::Gt, Width::W64, offset, last as i32, ways.abort);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, offset));
    }

    /// `r1` = the first row of the list in `r2`, which has `r5` of them.
    pub(super) fn first_row(&mut self, site: &WalkSite, layout: &RowLayout, ways: &Ways) {
        self.asm.branch(Cond::Gt, Width::W64, Reg::R5, site.table.room.rows as i32, ways.abort);
        self.place();
        self.at(Reg::R2, site.table.room.bytes - site.table.room.rows * layout.bytes, ways);
    }

    /// Tries the rows of a list.
    fn list(&mut self, site: &WalkSite, layout: &RowLayout, ways: &Ways) {
        self.first_row(site, layout, ways);
        let row = self.asm.label();
        self.asm.bind(row);
        self.result_if_held(site, layout, Reg::R1);
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R5, 1));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R5, 0, ways.done);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, layout.bytes as i32));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, row);
    }

    /// `r0` = the result of the row if it holds the key, else 0. Whether it does no processor foresees, so nothing branches
    /// on it. Loses `r2`–`r4`.
    pub(super) fn result_if_held(&mut self, site: &WalkSite, layout: &RowLayout, row: Reg) {
        self.holds(site, layout, row);
        let (result, size) = layout.result;
        self.asm.emit(Insn::load(super::sets::size_of(size), Reg::R4, row, result as i16));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R0, Reg::R4));
    }

    /// `r0` = all ones if the row holds the key, else 0. A word is as far above the row's lowest value as it is below
    /// the highest, or one of the two distances is negative; words of 64 bits have no sign, so there the borrow of
    /// the second distance is computed.
    fn holds(&mut self, site: &WalkSite, layout: &RowLayout, row: Reg) {
        if layout.words.is_empty() {
            self.asm.emit(Insn::mov(Reg::R0, -1));
            return;
        }
        for (nth, WordPlace { word, offset, size }) in layout.words.iter().enumerate() {
            let (size, offset, bytes) = (super::sets::size_of(*size), *offset as i16, *size as i16);
            self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R10, site.key + 8 * *word as i16));
            self.asm.emit(Insn::load(size, Reg::R2, row, offset));
            self.asm.emit(Insn::alu(AluOp::Sub, Reg::R4, Reg::R2));
            self.asm.emit(Insn::load(size, Reg::R2, row, offset + bytes));
            if site.words[*word] == 64 {
                self.borrow();
            } else {
                self.asm.emit(Insn::alu(AluOp::Sub, Reg::R2, Reg::R4));
                self.asm.emit(Insn::alu(AluOp::Or, Reg::R4, Reg::R2));
            }
            match nth {
                0 => self.asm.emit(Insn::mov(Reg::R0, Reg::R4)),
                _ => self.asm.emit(Insn::alu(AluOp::Or, Reg::R0, Reg::R4)),
            };
        }
        self.asm.emit(Insn::alu(AluOp::Arsh, Reg::R0, 63));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R0, -1));
    }

    /// The sign of `r4` = whether `r2 - r4` borrows: the majority of `!r2`, `r4` and the difference. Loses `r2`, `r3`.
    fn borrow(&mut self) {
        self.asm.emit(Insn::mov(Reg::R3, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R3, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R2, -1));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R3, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R4, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R4, Reg::R3));
        self.asm.emit(Insn::alu(AluOp::Xor, Reg::R4, Reg::R2));
    }
}
