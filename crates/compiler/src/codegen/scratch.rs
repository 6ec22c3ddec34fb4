//! `Stash` and `Unstash`: scalars in a per-CPU array whose only value is looked up at entry.
//!
//! XDP and tc programs are not preempted by another run of themselves on the same CPU, so a packet
//! has the array for itself.

use super::CodegenError;
use super::counters::Lookup;
use super::isel::Isel;
use super::machine::Kind;
use crate::ir::Value;
use regalloc2::Operand;
use weir_bpf::insn::{Reg, Size};
use weir_bpf::map::{MapDef, MapKind, MapType};

/// Per-CPU values are at most 32 KiB (`PCPU_MIN_UNIT_SIZE`, kernel/bpf/arraymap.c).
const MAX_SLOTS: u32 = 32 * 1024 / 8;

/// A program that reads so many values from there keeps the address in a register, which others would have had.
const OFTEN: usize = 500;

pub(super) fn map(slots: u32) -> Result<MapDef, CodegenError> {
    if slots > MAX_SLOTS {
        let max = MAX_SLOTS;
        return Err(CodegenError::ScratchTooLarge { slots, max });
    }
    let value = MapType::array(MapType::U64, slots);
    let kind = MapKind::PerCpuArray;
    Ok(MapDef::new("scratch", kind, MapType::U32, value, 1))
}

impl Isel<'_> {
    /// At entry: the scratch memory's address.
    pub(super) fn open_scratch(&mut self) {
        let Some(map) = self.maps.scratch else { return };
        let mut base = self.lookup(Lookup { map, index: 0 });
        if self.analysis.recalled > OFTEN || !self.parts.list.is_empty() {
            let kept = self.builder.vreg();
            self.keep(base, kept, Reg::R7);
            base = kept;
        }
        self.scratch = Some(base);
    }

    pub(super) fn stash(&mut self, slot: u32, value: Value) {
        let Some(base) = self.scratch else { return };
        let value = self.value(value);
        let kind = Kind::Store(Size::DW, (slot * 8) as i16);
        self.emit(kind, &[Operand::reg_use(base), Operand::reg_use(value)]);
    }

    pub(super) fn unstash(&mut self, slot: u32, result: Value) {
        let Some(base) = self.scratch else { return };
        let def = self.define(result);
        let kind = Kind::Load(Size::DW, (slot * 8) as i16);
        self.emit(kind, &[Operand::reg_def(def), Operand::reg_use(base)]);
    }
}
