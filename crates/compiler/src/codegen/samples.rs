//! `Draw`, and what becomes of the packets that were drawn: samples, to the ring buffer `samples`.
//!
//! | map | kind | holds |
//! |---|---|---|
//! | `samples` | ring buffer | records, see [`record`] |
//! | `sampling` | per-CPU array of one value | `u64` bits of the statements that have drawn the packet under way, then for each statement [`sampler`] |
//! | `.data.sampling` | data section | for each statement a [`row`]: the odds, which user space changes |
//!
//! A packet that is not drawn pays for a number that is counted down, and for a look at the bits where its way ends. Both
//! functions that do the rest, `draw` and `tell`, are called rarely. `draw` is [`Sampler::draw`](crate::sampling::Sampler::draw) where
//! no packets are left to let by. `tell` writes a record for each bit that is set. A ring that is full loses the sample and
//! counts it, and nobody is ever woken up: who reads looks at the ring a few times a second.

mod functions;

use super::counters::Lookup;
use super::emit::FRAME;
use super::isel::{Isel, Shared};
use super::machine::{Kind, physical};
use super::{CodegenError, Hook};
use crate::ir::{self, Line, Op, Program, SampleRef, StatementId, Verdict};
use crate::sampling::{ODDS, Odds};
use regalloc2::{Operand, VReg};
use weir_bpf::insn::{AluOp, Cond, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::target::Feature;

/// The ring's name.
pub const RING: &str = "samples";
/// The name of the map of what is kept on each CPU.
pub const SAMPLING: &str = "sampling";
/// The section of odds.
pub const SECTION: &str = ".data.sampling";
/// Bytes of the ring: at 10,000 samples a second of 128 bytes each two seconds.
pub const RING_BYTES: u32 = 4 << 20;

/// Where the parts of a record are: all in the machine's order. The frame's bytes stand behind them.
pub mod record {
    /// `u64`: `CLOCK_MONOTONIC`, ns.
    pub const TIME: usize = 0;
    /// `u32`: bytes of the frame, without FCS.
    pub const LENGTH: usize = 8;
    /// `u32`: how many of them are here.
    pub const CAPTURED: usize = 12;
    /// `u32`: the counter of the statement that took it.
    pub const STATEMENT: usize = 16;
    /// `u32`: the counter of the statement that decided, or of the default.
    pub const DECIDER: usize = 20;
    /// `u32`: 0 passed, 1 dropped, 2 sent.
    pub const VERDICT: usize = 24;
    /// `u32`: it was one in so many.
    pub const ONE_IN: usize = 28;
    /// `u32`: the interface by which it came.
    pub const INTERFACE: usize = 32;
    /// `u32`: the CPU, for which the next two are.
    pub const CPU: usize = 36;
    /// `u64`: packets that came to the statement since it samples, modulo 2^64.
    pub const POOL: usize = 40;
    /// `u64`: samples of it that were lost.
    pub const LOST: usize = 48;
    /// Bytes of all that.
    pub const HEADER: usize = 56;
}

/// What a statement keeps on a CPU, in `sampling` from [`AT`](sampler::AT) on.
pub mod sampler {
    /// Where that of the first statement begins.
    pub const AT: usize = 8;
    /// `u64`: [`Sampler::left`](crate::sampling::Sampler::left).
    pub const LEFT: usize = 0;
    /// `u32`: [`Sampler::one_in`](crate::sampling::Sampler::one_in).
    pub const ONE_IN: usize = 8;
    /// `u32`: the N of the packet under way.
    pub const DRAWN: usize = 12;
    /// `u64`: [`Sampler::asked`](crate::sampling::Sampler::asked).
    pub const ASKED: usize = 16;
    /// `u64`: samples that were lost.
    pub const LOST: usize = 24;
    /// Bytes of all that.
    pub const BYTES: usize = 32;
}

/// The odds of a statement: two of them, so that who writes the one that is not in use disturbs no packet.
pub mod row {
    use crate::sampling::ODDS;

    /// `u64`: which of the two is in use.
    pub const USED: usize = 0;
    /// Where the first one begins.
    pub const ODDS_AT: usize = 16;
    /// Bytes of a row.
    pub const BYTES: usize = 256;
    const _: () = assert!(ODDS_AT + 2 * ODDS <= BYTES);

    /// Where odds stand, from the section's start.
    pub fn place(sample: usize, used: usize) -> usize {
        sample * BYTES + ODDS_AT + used * ODDS
    }
}

/// What the section begins with for these odds.
pub fn section_of(odds: &[Odds]) -> Vec<u8> {
    let mut bytes = vec![0; odds.len() * row::BYTES];
    for (sample, odds) in odds.iter().enumerate() {
        bytes[row::place(sample, 0)..][..ODDS].copy_from_slice(&odds.bytes());
    }
    bytes
}

/// The maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct SampleMaps {
    ring: MapId,
    sampling: MapId,
    section: MapId,
}

impl SampleMaps {
    /// Adds the maps, if the program samples.
    pub(super) fn of(
        program: &Program,
        add: &mut dyn FnMut(MapDef) -> Result<MapId, CodegenError>,
    ) -> Result<Option<SampleMaps>, CodegenError> {
        if program.samples.is_empty() {
            return Ok(None);
        }
        let sampler = MapType::structure(
            "sampler",
            [
                ("left", MapType::U64),
                ("one_in", MapType::U32),
                ("drawn", MapType::U32),
                ("asked", MapType::U64),
                ("lost", MapType::U64),
            ],
        );
        let samplers = MapType::array(sampler, program.samples.len() as u32);
        let value = MapType::structure("sampling", [("drawn", MapType::U64), ("samplers", samplers)]);
        let odds: Vec<Odds> = program.samples.iter().map(|sample| Odds::of(sample.one_in)).collect();
        let mut section = MapDef::section(SECTION, MapType::bytes((odds.len() * row::BYTES) as u32));
        section.initial = section_of(&odds);
        Ok(Some(SampleMaps {
            ring: add(MapDef::ring(RING, RING_BYTES))?,
            sampling: add(MapDef::new(SAMPLING, MapKind::PerCpuArray, MapType::U32, value, 1))?,
            section: add(section)?,
        }))
    }
}

/// How samples call a verdict.
pub fn number_of(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Drop => 1,
        Verdict::Send => 2,
    }
}

impl Isel<'_> {
    /// Whether the target has what samples need.
    pub(super) fn check_samples(&self) -> Result<(), CodegenError> {
        let needs = match self.options.hook {
            // `bpf_xdp_load_bytes` came with multi-buffer XDP.
            Hook::Xdp => &[Feature::RingBuf, Feature::XdpFrags][..],
            _ => &[Feature::RingBuf],
        };
        match needs.iter().find(|feature| !self.options.target.has(**feature)) {
            Some(feature) if self.maps.samples.is_some() => {
                Err(CodegenError::Missing { feature: *feature, purpose: "sampling", line: Line(0) })
            }
            _ => Ok(()),
        }
    }

    /// Counts down, and asks chance where nothing is left.
    pub(super) fn draw(&mut self, sample: SampleRef) {
        let Some(maps) = self.maps.samples else { return };
        let sampling = self.sampling(maps);
        let at = (sampler::AT + sample.index() * sampler::BYTES + sampler::LEFT) as i16;
        let left = self.load(Size::DW, sampling, at);
        let [ask, by, on] = [true, false, false].map(|cold| self.builder.block(cold));
        self.branch(Kind::Branch(Cond::Eq, Width::W64, Some(0)), &[Operand::reg_use(left)], ask, by);
        self.open(ask);
        let number = self.constant(sample.0.into());
        let operands = [
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(number, physical(Reg::R2)),
        ];
        self.emit(Kind::Draw, &operands);
        self.below = self.below.max(FRAME);
        self.jump(on);
        self.open(by);
        let left = self.alu_imm(Width::W64, AluOp::Sub, left, 1);
        self.store(Size::DW, sampling, at, left);
        self.jump(on);
        self.open(on);
    }

    fn sampling(&mut self, maps: SampleMaps) -> VReg {
        self.shared(Shared::Sampling, |isel| isel.lookup(Lookup { map: maps.sampling, index: 0 }))
    }

    /// Hands the packet on if it was drawn, with the verdict and who decided.
    pub(super) fn tell(&mut self, block: ir::Block, verdict: Verdict, by: Option<StatementId>) {
        self.tell_by(block, |isel| {
            let tells = &isel.program.tells;
            let nth = by.map_or(tells.len().saturating_sub(1), StatementId::index);
            let counter = tells.get(nth).copied().unwrap_or_default();
            [isel.constant(counter.into()), isel.constant(number_of(verdict).into())]
        });
    }

    /// The same; who decided and the verdict are made where the packet was drawn.
    pub(super) fn tell_by(&mut self, block: ir::Block, make: impl FnOnce(&mut Self) -> [VReg; 2]) {
        let Some(maps) = self.maps.samples.filter(|_| self.analysis.may_be_drawn(block)) else { return };
        let sampling = self.sampling(maps);
        let drawn = self.load(Size::DW, sampling, 0);
        let [tell, mostly, on] = [true, false, false].map(|cold| self.builder.block(cold));
        self.branch(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &[Operand::reg_use(drawn)], tell, mostly);
        self.open(mostly);
        self.jump(on);
        self.open(tell);
        let [decider, verdict] = make(self);
        let operands = [
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(decider, physical(Reg::R2)),
            Operand::reg_fixed_use(verdict, physical(Reg::R3)),
        ];
        self.emit(Kind::Tell, &operands);
        self.below = self.below.max(functions::TELL_FRAME);
        self.jump(on);
        self.open(on);
    }
}

/// By block, whether some packet that comes there may have been drawn.
pub(super) fn drawn_before(program: &Program, graph: &ir::analysis::Graph) -> Vec<bool> {
    let mut drawn = vec![false; program.blocks.len()];
    let draws =
        |block: &ir::Block| program[*block].insts.iter().any(|inst| matches!(inst.op, Op::Draw { .. }));
    let mut todo: Vec<ir::Block> = graph.order.iter().copied().filter(draws).collect();
    while let Some(block) = todo.pop() {
        if !std::mem::replace(&mut drawn[block.index()], true) {
            todo.extend(graph.successors(block).iter().copied());
        }
    }
    drawn
}
