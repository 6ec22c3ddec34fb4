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
use super::emit::Emitter;
use super::isel::{Isel, Place};
use super::machine::{Kind, physical};
use super::rooms::{Head, Room, SECTION};
use crate::ir::{self, Program, Rule, TableDecl, TableRef, Target, Value, Verdict};
use crate::table::Image;
use crate::table::image::{COUNT, COUNT_BITS, KIND, NODE, PLACE, RESULT, RowLayout, SINGLE, WORD};
use regalloc2::{Operand, VReg};
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapType};

/// All images together; offsets in them stay far below the 2 GiB of an immediate.
const MOST_BYTES: usize = 256 << 20;

/// What a row says: the counter, and whether it drops.
fn result(rule: &Rule) -> u32 {
    1 + 2 * rule.counter + u32::from(rule.verdict == Verdict::Drop)
}

/// Where a table's image stands, and what the code must know of it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct TableMap {
    map: MapId,
    /// Where in the data section the image begins, with the first space.
    offset: u32,
    room: Room,
}

/// The data section of all tables: a program has at most 64 maps.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Section {
    map: MapId,
    /// Where the second space begins, from the first one, if there are two.
    second: Option<u32>,
    tables: Vec<TableMap>,
}

/// Makes the images of all tables. What has `rooms` already is put into them if it fits.
pub(super) fn section(
    program: &Program,
    map: MapId,
    rooms: &[Room],
) -> Result<(MapDef, Section), CodegenError> {
    let (mut images, mut bytes) = (Vec::new(), 0);
    for (nth, decl) in program.tables.iter().enumerate() {
        let image = image(decl, rooms.get(nth)).filter(|image| bytes + image.bytes.len() <= MOST_BYTES);
        let image = image.ok_or(CodegenError::Table { table: TableRef(nth as u32) })?;
        bytes += image.bytes.len();
        images.push(image);
    }
    let fits =
        images.len() == rooms.len() && rooms.iter().zip(&images).all(|(room, image)| room.holds(image));
    let rooms = match fits {
        true => rooms.to_vec(),
        false => images.iter().map(|image| Room::around(image, Head::once(bytes))).collect(),
    };
    let head = Head::new(rooms);
    let (mut contents, mut offset) = (head.section(), head.first());
    let mut tables = Vec::new();
    for (image, room) in images.iter().zip(&head.rooms) {
        contents[offset..offset + image.bytes.len()].copy_from_slice(&image.bytes);
        tables.push(TableMap { map, offset: offset as u32, room: *room });
        offset += room.bytes as usize;
    }
    let mut def = MapDef::section(SECTION, MapType::bytes(contents.len() as u32));
    def.initial = contents;
    let second = (head.spaces == 2).then_some(head.space as u32);
    Ok((def, Section { map, second, tables }))
}

/// The image of a table whose results are what the code looks for.
fn image(decl: &TableDecl, room: Option<&Room>) -> Option<Image> {
    let table = decl.table.map_results(|number| decl.rule(number).map_or(number, |rule| result(&rule)));
    let trees = room.map_or_else(|| Room::trees(table.cut()), |room| room.trees as usize);
    Image::of(&table, MOST_BYTES, trees)
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
    table: TableMap,
    words: Vec<u8>,
    key: i16,
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
        let found = self.look_up(table, key);
        let (hit, miss) = (self.builder.block(false), self.builder.block(false));
        let none = [Operand::reg_use(found)];
        self.branch(Kind::Branch(Cond::Eq, Width::W64, Some(0)), &none, miss, hit);
        // What is computed for the hit alone is not at hand behind it.
        let here = self.here;
        self.open(hit);
        self.rule(found);
        self.here = here;
        self.open(miss);
        let args = self.arguments(block, otherwise);
        self.jump_with(self.machine_block(otherwise.block), &args);
    }

    /// The result of the row that holds the key, 0 for none.
    fn look_up(&mut self, table: TableRef, key: &[Value]) -> VReg {
        let words = self.program.tables[table.index()].table.words().to_vec();
        // The verifier lets a program read what all of its numbers of words could mean.
        let room = words.len().next_power_of_two();
        let at = self.builder.reserve(8 * room as u32 + 8);
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
    fn rule(&mut self, found: VReg) {
        let told = self.alu_imm(Width::W64, AluOp::Sub, found, 1);
        if let Some(map) = self.maps.counters {
            let counter = self.alu_imm(Width::W64, AluOp::Rsh, told, 1);
            self.count_at(map, counter);
        }
        let (drop, pass) = (self.builder.block(false), self.builder.block(false));
        let operands = [Operand::reg_use(told)];
        self.branch(Kind::Branch(Cond::Set, Width::W64, Some(1)), &operands, drop, pass);
        for (block, verdict) in [(drop, Verdict::Drop), (pass, Verdict::Pass)] {
            self.open(block);
            let code = return_code(self.options.hook, verdict);
            self.emit(Kind::Return(code), &[]);
        }
    }
}

/// Where on the stack the best row so far stands, in 4 bytes; the key lies below it. Of what stands at no multiple of
/// eight the verifier remembers nothing, so that it goes through each tree once and not once for all that the trees
/// before may have found.
const BEST: i16 = -4;

/// Where a walk goes on.
struct Ways {
    ends: Label,
    miss: Label,
    done: Label,
    abort: Label,
}

impl Emitter<'_> {
    /// `dst` = where the space in use begins, from the first one.
    pub(super) fn space(&mut self, site: SpaceSite, dst: Reg) {
        let abort = self.abort();
        self.asm.emit(Insn::LdMapValue { dst, map: site.map, off: 0 });
        self.asm.emit(Insn::load(Size::DW, dst, dst, 0));
        self.asm.branch(Cond::Gt, Width::W64, dst, site.most as i32, abort);
    }

    /// `r0` = the result for the key, 0 for none; `space` is where the space in use begins. Loses `r1`–`r5`.
    pub(super) fn find_row(&mut self, site: &WalkSite, space: Option<Reg>) {
        let trees = site.table.room.trees;
        self.image(site, space);
        self.walk(site, 0);
        if trees == 1 {
            return;
        }
        // One less than the number of the row, so that no row is the largest number of 32 bits.
        self.asm.emit(Insn::alu32(AluOp::Sub, Reg::R0, 1));
        self.asm.emit(Insn::store(Size::W, Reg::R10, BEST, Reg::R0));
        for nth in 1..trees {
            let not_better = self.asm.label();
            self.image(site, space);
            self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R10, BEST));
            self.asm.emit(Insn::load(Size::W, Reg::R2, Reg::R0, (Image::firsts(trees) + 4 * nth) as i16));
            self.asm.branch(Cond::Le, Width::W64, Reg::R1, Reg::R2, not_better);
            self.walk(site, nth);
            self.asm.emit(Insn::alu32(AluOp::Sub, Reg::R0, 1));
            self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R10, BEST));
            self.asm.branch(Cond::Ge, Width::W64, Reg::R0, Reg::R1, not_better);
            self.asm.emit(Insn::store(Size::W, Reg::R10, BEST, Reg::R0));
            self.asm.bind(not_better);
        }
        self.result_of_row(site, space);
    }

    /// `r0` = the image.
    fn image(&mut self, site: &WalkSite, space: Option<Reg>) {
        self.asm.emit(Insn::LdMapValue { dst: Reg::R0, map: site.table.map, off: site.table.offset });
        if let Some(space) = space {
            self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, space));
        }
    }

    /// `r0` = the result of the best row, 0 for none.
    fn result_of_row(&mut self, site: &WalkSite, space: Option<Reg>) {
        let Room { bytes, trees, .. } = site.table.room;
        let (none, done, abort) = (self.asm.label(), self.asm.label(), self.abort());
        let results = Image::results(trees);
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R10, BEST));
        self.asm.emit(Insn::alu32(AluOp::Add, Reg::R1, 1));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R1, 0, none);
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R1, 2));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R1, (bytes - results - 4) as i32, abort);
        self.image(site, space);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R0, Reg::R1));
        self.asm.emit(Insn::load(Size::W, Reg::R0, Reg::R0, results as i16));
        self.asm.jump(done);
        self.asm.bind(none);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.bind(done);
    }

    /// `r0` = what the walk from a root of the image in `r0` finds, 0 for nothing.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r0` | the image |
    /// | `r1` | the node, the row |
    /// | `r2` | its `meta` |
    /// | `r3` | the key, where it has one word |
    /// | `r4` | how far the word is above the node's base |
    /// | `r5` | its kind; rows that are left |
    fn walk(&mut self, site: &WalkSite, tree: u32) {
        let abort = self.abort();
        let label = |emitter: &mut Self| emitter.asm.label();
        let ways = Ways { ends: label(self), miss: label(self), done: label(self), abort };
        if site.words.len() == 1 {
            self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R10, site.key));
        }
        self.asm.emit(Insn::mov(Reg::R1, Reg::R0));
        if tree > 0 {
            self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, (tree * NODE) as i32));
        }
        for level in 0..=site.table.room.levels {
            self.node(site, &ways);
            if level == site.table.room.levels {
                self.asm.jump(ways.abort);
            } else {
                self.descend(site, &ways);
            }
        }
        self.asm.bind(ways.ends);
        let list = self.asm.label();
        self.asm.branch(Cond::Ne, Width::W64, Reg::R5, (SINGLE << KIND) as i32, list);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R4, 0, ways.miss);
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, RESULT as i32));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R2));
        self.asm.jump(ways.done);
        self.asm.bind(list);
        self.list(site, &ways);
        self.asm.bind(ways.miss);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.bind(ways.done);
    }

    /// Reads a node; leaves the walk unless it is an inner one.
    fn node(&mut self, site: &WalkSite, ways: &Ways) {
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, 8));
        if site.words.len() == 1 {
            self.asm.emit(Insn::mov(Reg::R4, Reg::R3));
        } else {
            self.asm.emit(Insn::mov(Reg::R5, Reg::R2));
            self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R5, WORD as i32));
            self.asm.emit(Insn::alu(
                AluOp::And,
                Reg::R5,
                8 * (site.words.len().next_power_of_two() as i32 - 1),
            ));
            self.asm.emit(Insn::mov(Reg::R4, Reg::R10));
            self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R5));
            self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R4, site.key));
        }
        self.asm.emit(Insn::load(Size::DW, Reg::R5, Reg::R1, 0));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R4, Reg::R5));
        // Shifts by a register take its low six bits.
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R4, Reg::R2));
        self.asm.emit(Insn::mov(Reg::R5, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R5, 3 << KIND));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R5, 0, ways.ends);
    }

    /// Goes from an inner node to the child.
    fn descend(&mut self, site: &WalkSite, ways: &Ways) {
        let inside = self.asm.label();
        self.count_field();
        self.asm.branch(Cond::Le, Width::W64, Reg::R4, Reg::R5, inside);
        self.asm.emit(Insn::mov(Reg::R4, Reg::R5));
        self.asm.bind(inside);
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, PLACE as i32));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R4, NODE.trailing_zeros() as i32));
        self.at(Reg::R4, site.table.room.bytes - NODE, ways);
    }

    /// `r5` = the count of a node's `meta`.
    fn count_field(&mut self) {
        self.asm.emit(Insn::mov(Reg::R5, Reg::R2));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R5, COUNT as i32));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R5, (1 << COUNT_BITS) - 1));
    }

    /// `r1` = the image's byte at an offset that is at most `last`.
    fn at(&mut self, offset: Reg, last: u32, ways: &Ways) {
        self.asm.branch(Cond::Gt, Width::W64, offset, last as i32, ways.abort);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, offset));
    }

    /// Tries the rows of a list.
    fn list(&mut self, site: &WalkSite, ways: &Ways) {
        let layout = RowLayout::of(&site.words);
        self.count_field();
        self.asm.branch(Cond::Gt, Width::W64, Reg::R5, site.table.room.rows as i32, ways.abort);
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, PLACE as i32));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, NODE.trailing_zeros() as i32));
        self.at(Reg::R2, site.table.room.bytes - site.table.room.rows * layout.bytes, ways);
        let (row, next) = (self.asm.label(), self.asm.label());
        self.asm.bind(row);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R5, 0, ways.miss);
        for (nth, (offset, size)) in layout.words.iter().enumerate() {
            let (size, offset, bytes) = (super::sets::size_of(*size), *offset as i16, *size as i16);
            if site.words.len() == 1 {
                self.asm.emit(Insn::mov(Reg::R4, Reg::R3));
            } else {
                self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R10, site.key + 8 * nth as i16));
            }
            self.asm.emit(Insn::load(size, Reg::R2, Reg::R1, offset));
            self.asm.emit(Insn::alu(AluOp::Sub, Reg::R4, Reg::R2));
            self.asm.emit(Insn::load(size, Reg::R2, Reg::R1, offset + bytes));
            self.asm.branch(Cond::Gt, Width::W64, Reg::R4, Reg::R2, next);
        }
        self.asm.emit(Insn::load(Size::W, Reg::R0, Reg::R1, layout.result as i16));
        self.asm.jump(ways.done);
        self.asm.bind(next);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, layout.bytes as i32));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R5, 1));
        self.asm.jump(row);
    }
}
