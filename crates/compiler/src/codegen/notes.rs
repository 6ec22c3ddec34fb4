//! `Note` and `Recall`: words that are remembered for the next packets.
//!
//! One data section has [`LINES`] lines of four ways, a tag (the key, made odd) and a word each. What is noted goes into the way of
//! its tag, else into a free one, else into one that the key chooses: what is forgotten then are fragments of an older
//! datagram. A way that is written has no tag meanwhile, and who reads a word looks at the tag again, so that a word is
//! always that of its tag.

use super::emit::{Emitter, FRAME};
use super::isel::Isel;
use super::machine::{Kind, physical};
use crate::ir::{Inst, Op, Program, Value};
use regalloc2::Operand;
use weir_bpf::asm::Label;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapType};

/// The section's name.
pub const SECTION: &str = ".data.notes";
/// Lines of 64 bytes: four thousand datagrams whose fragments are under way.
const LINES: u32 = 1024;
const WAYS: i16 = 4;
const WAY: i16 = 16;
const WORD: i16 = 8;
/// Which way gives way, by these bits of a tag.
const VICTIM: i32 = 20;

/// The section, if the program notes anything.
pub(super) fn map(program: &Program) -> Option<MapDef> {
    let mut insts = program.blocks.iter().flat_map(|block| &block.insts);
    let notes = insts.any(|inst| matches!(inst.op, Op::Note { .. } | Op::Recall { .. }));
    notes.then(|| MapDef::section(SECTION, MapType::bytes(LINES * (WAYS * WAY) as u32)))
}

impl Isel<'_> {
    pub(super) fn note(&mut self, key: Value, word: Value) {
        let [key, word] = [key, word].map(|value| self.value(value));
        let operands =
            [Operand::reg_fixed_use(key, physical(Reg::R1)), Operand::reg_fixed_use(word, physical(Reg::R2))];
        self.emit(Kind::Note, &operands);
        self.below = self.below.max(FRAME);
    }

    pub(super) fn recall(&mut self, inst: &Inst, key: Value) {
        let key = self.value(key);
        let def = match inst.result {
            Some(result) => self.define(result),
            None => self.builder.vreg(),
        };
        let operands =
            [Operand::reg_fixed_def(def, physical(Reg::R0)), Operand::reg_fixed_use(key, physical(Reg::R1))];
        self.emit(Kind::Recall, &operands);
        self.below = self.below.max(FRAME);
    }
}

impl Emitter<'_> {
    /// `r1` = the tag of the key in it, `r3` = its line.
    fn note_line(&mut self, map: MapId) {
        self.asm.emit(Insn::alu(AluOp::Or, Reg::R1, 1));
        self.asm.emit(Insn::mov(Reg::R4, Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R4, 1));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R4, LINES as i32 - 1));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R4, (WAYS * WAY).trailing_zeros() as i32));
        self.asm.emit(Insn::LdMapValue { dst: Reg::R3, map, off: 0 });
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, Reg::R4));
    }

    /// The function: notes the word in `r2` by the key in `r1`.
    pub(super) fn note_function(&mut self, map: MapId, start: Label) {
        self.asm.function("note", 2, start);
        self.note_line(map);
        let found = self.asm.label();
        for free in [false, true] {
            for way in 0..WAYS {
                let next = self.asm.label();
                self.asm.emit(Insn::mov(Reg::R5, Reg::R3));
                self.asm.emit(Insn::alu(AluOp::Add, Reg::R5, i32::from(way * WAY)));
                self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R5, 0));
                match free {
                    false => self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R1, next),
                    true => self.asm.branch(Cond::Ne, Width::W64, Reg::R0, 0, next),
                }
                self.asm.jump(found);
                self.asm.bind(next);
            }
        }
        self.asm.emit(Insn::mov(Reg::R5, Reg::R1));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R5, VICTIM));
        self.asm.emit(Insn::alu(AluOp::And, Reg::R5, i32::from(WAYS - 1)));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R5, WAY.trailing_zeros() as i32));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, Reg::R5));
        self.asm.emit(Insn::mov(Reg::R5, Reg::R3));
        self.asm.bind(found);
        self.asm.emit(Insn::store(Size::DW, Reg::R5, 0, 0));
        self.asm.emit(Insn::store(Size::DW, Reg::R5, WORD, Reg::R2));
        self.asm.emit(Insn::store(Size::DW, Reg::R5, 0, Reg::R1));
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }

    /// The function: `r0` = the word that was noted by the key in `r1`, or 0.
    pub(super) fn recall_function(&mut self, map: MapId, start: Label) {
        self.asm.function("recall", 1, start);
        self.note_line(map);
        for way in 0..WAYS {
            let next = self.asm.label();
            self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R3, way * WAY));
            self.asm.branch(Cond::Ne, Width::W64, Reg::R4, Reg::R1, next);
            self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R3, way * WAY + WORD));
            self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R3, way * WAY));
            self.asm.branch(Cond::Ne, Width::W64, Reg::R4, Reg::R1, next);
            self.asm.emit(Insn::Exit);
            self.asm.bind(next);
        }
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }
}
