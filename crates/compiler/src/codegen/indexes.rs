//! `InSet`: a walk through a set's index.
//!
//! An index ([`crate::index`]) stands in a data section of its own, reached by address. The key stands on the stack, 8
//! bytes a word. The walk is unrolled, as often as the key may need: of a loop the verifier would compare each turn with all
//! others. The latest expiry on the way is compared with the clock at its end, which is read only if that is a time:
//! coarse where the target has it.
//!
//! The verifier knows nothing of what a section holds, so each place is compared with its end before it is used. What a
//! whole index never has ends the walk. Expiries are compared by their difference, since each comparison of the two
//! would tell the verifier more of the later one, and it would go through the rest once for all that it knows.

use super::CodegenError;
use super::emit::Emitter;
use super::isel::Isel;
use super::machine::{Kind, physical};
use crate::index::{HEAD, Key, LAST, NEVER, NODE, SLOT, TICK, WORD};
use crate::ir::{SetDecl, SetRef, Value};
use regalloc2::Operand;
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapType};

/// Bytes of a section that nothing is said of: some thousand elements, and no time to load.
pub const START_BYTES: u32 = 256 << 10;

/// A section has so many bytes at most: offsets in it stay below the 2 GiB of an immediate.
pub const MOST_BYTES: u32 = 1 << 30;

/// How large a section has to be for an index of so many bytes: as much again may come.
pub fn bytes_around(index: usize) -> u32 {
    let bytes = index.saturating_mul(2).min(MOST_BYTES as usize).max(index);
    u32::try_from(bytes).unwrap_or(u32::MAX - 4095).max(START_BYTES).next_multiple_of(4096)
}

/// The start of a section's name. Zeros of many names could be `.bss` sections, but libbpf knows one of them only.
pub(super) const SECTION: &str = ".data.";

pub(super) fn map(name: &str, set: &SetDecl, bytes: u32) -> Result<MapDef, CodegenError> {
    let least = |key: Key| (HEAD + key.most_growth()) as u32;
    match Key::of(&set.words) {
        Some(key) if (least(key)..=MOST_BYTES).contains(&bytes) => {
            Ok(MapDef::section(name, MapType::bytes(bytes.next_multiple_of(8))))
        }
        _ => Err(CodegenError::Index { set: set.name.clone(), words: set.words.clone(), bytes }),
    }
}

/// A walk whose key stands on the stack.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct IndexSite {
    map: MapId,
    /// Of the section.
    bytes: u32,
    key: Key,
    /// Where the key's first word is.
    at: i16,
    /// 8 bytes for what must outlive a call.
    spare: i16,
}

impl Isel<'_> {
    pub(super) fn in_index(&mut self, result: Value, set: SetRef, key: &[Value]) {
        let map = self.maps.sets[set.index()];
        let words = Key::of(&self.program.sets[set.index()].words).expect("its map was made");
        let bytes = self.maps.defs[map.0 as usize].value.size();
        let at = self.builder.reserve(8 + 8 * key.len() as u32);
        for (nth, value) in key.iter().enumerate() {
            self.store_stack(Size::DW, at + 8 * nth as i16, *value);
        }
        let def = self.define(result);
        let operand = Operand::reg_fixed_def(def, physical(Reg::R0));
        self.emit(Kind::InIndex(IndexSite { map, bytes, key: words, at, spare: -8 }), &[operand]);
    }
}

impl Emitter<'_> {
    /// `r0` = whether the index holds the key. Loses `r1`–`r5`.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r0` | the latest expiry on the way |
    /// | `r1` | an address; a node's `meta` |
    /// | `r2` | a slot; where the node below it is |
    /// | `r3` | the word of the key |
    /// | `r4` | the step to the slot; the slot's expiry |
    pub(super) fn in_index(&mut self, site: &IndexSite) {
        let [end, hit, miss, done] = std::array::from_fn(|_| self.asm.label());
        self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R10, site.at));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: site.map, off: 0 });
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, 0));
        self.asm.emit(Insn::mov32(Reg::R0, Reg::R2));
        for _ in 0..site.key.levels() {
            self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R2, 32));
            self.asm.branch(Cond::Eq, Width::W64, Reg::R2, 0, end);
            self.step_to_slot(site, end);
            self.later_expiry(hit);
        }
        self.asm.bind(end);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, done);
        self.asm.emit(Insn::store(Size::DW, Reg::R10, site.spare, Reg::R0));
        self.clock();
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R0, TICK as i32));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, site.spare));
        self.asm.branch(Cond::Le, Width::W64, Reg::R1, Reg::R0, miss);
        self.asm.bind(hit);
        self.asm.emit(Insn::mov(Reg::R0, 1));
        self.asm.jump(done);
        self.asm.bind(miss);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.bind(done);
    }

    /// From the place of a node in `r2` to the key's slot in `r2`, or to `end`.
    fn step_to_slot(&mut self, site: &IndexSite, end: Label) {
        let node = |emitter: &mut Self, most: u32| {
            emitter.asm.branch(Cond::Gt, Width::W64, Reg::R2, most as i32, end);
            emitter.asm.emit(Insn::LdMapValue { dst: Reg::R1, map: site.map, off: 0 });
            emitter.asm.emit(Insn::alu(AluOp::Add, Reg::R1, Reg::R2));
        };
        let before_slot = site.bytes - (NODE + SLOT) as u32;
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R2, 3));
        node(self, site.bytes - NODE as u32);
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R1, 0));
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R1, 8));
        if site.key.words() == 2 {
            self.word(site);
        }
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, Reg::R3));
        // Shifts by a register take its low six bits.
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R4, Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R1, LAST as i32));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R4, Reg::R1, end);
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R4, 3));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R2, Reg::R4));
        node(self, before_slot);
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R1, NODE as i16));
    }

    /// `r3` = the word of the key that the `meta` in `r1` names.
    fn word(&mut self, site: &IndexSite) {
        let second = self.asm.label();
        self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R10, site.at + 8));
        self.asm.branch(Cond::Set, Width::W64, Reg::R1, 1 << WORD, second);
        self.asm.emit(Insn::load(Size::DW, Reg::R3, Reg::R10, site.at));
        self.asm.bind(second);
    }

    /// `r0` = the later one of it and of the slot in `r2`, or to `hit` if that never comes.
    fn later_expiry(&mut self, hit: Label) {
        let not_later = self.asm.label();
        self.asm.emit(Insn::mov32(Reg::R4, Reg::R2));
        self.asm.branch(Cond::Eq, Width::W32, Reg::R4, NEVER as i32, hit);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R4));
        self.asm.emit(Insn::alu(AluOp::Sub, Reg::R1, Reg::R0));
        self.asm.branch(Cond::Sle, Width::W64, Reg::R1, 0, not_later);
        self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
        self.asm.bind(not_later);
    }
}
