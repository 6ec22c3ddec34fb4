//! `Stash` and `Unstash`: scalars in a per-CPU array whose only value is looked up at entry.
//!
//! XDP and tc programs are not preempted by another run of themselves on the same CPU, so a packet
//! has the array for itself.

use super::CodegenError;
use super::counters::Lookup;
use super::isel::{Isel, Place};
use super::machine::{Kind, SET_ASIDE, physical};
use crate::ir::Value;
use regalloc2::{Operand, VReg};
use weir_bpf::insn::Size;
use weir_bpf::map::{MapDef, MapKind, MapType};

/// Per-CPU values are at most 32 KiB (`PCPU_MIN_UNIT_SIZE`, kernel/bpf/arraymap.c).
const MAX_SLOTS: u32 = 32 * 1024 / 8;

/// A program that reads so many values from there has a register for the address alone.
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
        let base = self.lookup(Lookup { map, index: 0 });
        let often = self.analysis.recalled > OFTEN || !self.parts.list.is_empty();
        self.scratch = Some(match often {
            true => self.set_aside(base),
            false => Operand::reg_use(base),
        });
    }

    /// Keeps the address in a register that the allocator does not have: once other values have been in its way, it
    /// would move it, or load it from the stack, in front of each use.
    fn set_aside(&mut self, base: VReg) -> Operand {
        self.builder.set_aside = true;
        let kept = Operand::fixed_nonallocatable(physical(SET_ASIDE));
        self.emit(Kind::Copy, &[kept, Operand::reg_use(base)]);
        kept
    }

    pub(super) fn stash(&mut self, slot: u32, value: Value) {
        let value = self.value(value);
        self.stash_vreg(slot, value);
    }

    pub(super) fn stash_vreg(&mut self, slot: u32, value: VReg) {
        let Some(base) = self.scratch else { return };
        self.emit(Kind::Store(Size::DW, (slot * 8) as i16), &[base, Operand::reg_use(value)]);
    }

    pub(super) fn unstash(&mut self, slot: u32, result: Value) {
        if let Some(vreg) = self.unstash_vreg(slot) {
            self.place(result, Place::Register(vreg));
        }
    }

    pub(super) fn unstash_vreg(&mut self, slot: u32) -> Option<VReg> {
        let base = self.scratch?;
        let def = self.builder.vreg();
        self.emit(Kind::Load(Size::DW, (slot * 8) as i16), &[Operand::reg_def(def), base]);
        Some(def)
    }
}
