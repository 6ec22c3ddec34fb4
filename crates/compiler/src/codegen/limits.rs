//! `Take`: token buckets in a table of fixed size, shared by all CPUs.
//!
//! A limit's map is an array whose values are cache lines of four ways, `{ u64 tag, u64 tat }`; `tat`
//! is the theoretical arrival time of [`LimitDecl`], in 1/16 ns. The key's scalars are hashed to 64
//! bits ([`hash`]): all of them, made odd, are the tag, and their two halves choose two lines. There
//! are at least twice as many ways as keys. A limit without a key has one line and one tag.
//!
//! One subprogram, `take`, serves all limits:
//!
//! 1. Look for the tag in both lines.
//! 2. If it is absent, claim the way with the smallest `tat`. One that is not after `now` holds a full
//!    bucket, which says nothing, so reusing it loses nothing; a later one is stolen from a key that
//!    still needed it, and counted ([`Statistic::Evictions`](super::Statistic)). A way is claimed by
//!    exchanging the tag; who loses the race looks again, up to [`SEARCHES`] times, and then lets
//!    the packet go: only a storm of new keys in one line gets there.
//! 3. Take from the bucket by exchanging `tat`, so that many CPUs share one rate. After [`TRIES`] lost
//!    races the charge is added unconditionally, which cannot fail, and taken back if the
//!    packet is over the limit: a busy bucket neither spins nor lets a packet through for free. The
//!    old `tat` was written by the race's winner, hence is not before its `now`.
//!
//! Between claiming a way and its first exchange another CPU may see the old owner's `tat`, and drop
//! one packet of a new key. Hashes can collide: two keys of 2^64 share a bucket.
//!
//! Without [`Feature::Atomics`] (before Linux 5.12) steps 2 and 3 are plain stores: two CPUs that take
//! from one bucket at the same instant are charged once.

use super::Statistic;
use super::emit::{Emitter, FRAME};
use super::isel::{Isel, Shared};
use super::machine::{Kind, physical};
use crate::ir::{Inst, LimitDecl, LimitRef, Value};
use regalloc2::{Operand, VReg};
use weir_bpf::asm::Label;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType, flags};
use weir_bpf::target::Feature;

/// Ways of a line: 64 bytes, what a processor reads at once.
pub const WAYS: u32 = 4;
/// Bytes of a way.
pub const WAY: u32 = 16;
/// How often a lost race for a way starts the search again.
const SEARCHES: u32 = 3;
/// How often a lost race for a bucket is run again.
const TRIES: u32 = 2;

/// The two multipliers of `murmur3`'s 64-bit finalizer.
const MULTIPLY: u64 = 0xff51_afd7_ed55_8ccd;
const FINISH: u64 = 0xc4ce_b9fe_1a85_ec53;

/// The hash of a key.
pub fn hash(seed: u64, scalars: &[u64]) -> u64 {
    let mix = |hash: u64, scalar: &u64| {
        let hash = (hash ^ scalar).wrapping_mul(MULTIPLY);
        hash ^ hash >> 32
    };
    let hash = scalars.iter().fold(seed, mix).wrapping_mul(FINISH);
    hash ^ hash >> 29
}

/// How many lines a limit has: a power of two, twice as many ways as keys.
pub fn lines(limit: &LimitDecl) -> u32 {
    if limit.words.is_empty() {
        return 1;
    }
    limit.max.clamp(2, 1 << 30).div_ceil(WAYS / 2).next_power_of_two()
}

pub(super) fn map(name: &str, limit: &LimitDecl) -> MapDef {
    let way = MapType::structure("bucket", [("tag", MapType::U64), ("tat", MapType::U64)]);
    let line = MapType::array(way, WAYS);
    let mut def = MapDef::new(name, MapKind::Array, MapType::U32, line, lines(limit));
    // Values of mappable arrays start on a page (`array_map_alloc`), so that lines are cache lines.
    def.flags |= flags::MMAPABLE;
    def
}

/// What `take` reads, at offsets from its third argument. The caller uses the rest.
const TAG: i16 = 0;
const NOW: i16 = 8;
const CHARGE: i16 = 16;
const LATEST: i16 = 24;
const FIRST_INDEX: i16 = 32;
const SECOND_INDEX: i16 = 36;
const FIRST_LINE: i16 = 40;
const WORDS: u32 = 48;

/// A call of `take`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TakeSite {
    map: MapId,
    words: i16,
    /// Whether there is a second line.
    two: bool,
}

impl Isel<'_> {
    pub(super) fn take(&mut self, inst: &Inst, limit: LimitRef, key: &[Value], cost: Value) {
        let decl = &self.program.limits[limit.index()];
        let now = self.shared(Shared::Now, Isel::now);
        let words = self.builder.reserve(WORDS);
        self.store_charge(decl, cost, words);
        self.store_vreg(Size::DW, words + NOW, now);
        let latest = self.add_wide(now, decl.tolerance);
        self.store_vreg(Size::DW, words + LATEST, latest);
        self.store_tag(decl, key, words);
        let site = TakeSite { map: self.maps.limits[limit.index()], words, two: lines(decl) > 1 };
        let def = match inst.result {
            Some(result) => self.define(result),
            None => self.builder.vreg(),
        };
        let operand = Operand::reg_fixed_def(def, physical(Reg::R0));
        self.emit(Kind::Take(site), &[operand]);
        self.below = self.below.max(FRAME);
    }

    /// `ktime_get_ns` in sixteenths.
    fn now(&mut self) -> VReg {
        let now = self.builder.vreg();
        let operand = Operand::reg_fixed_def(now, physical(Reg::R0));
        self.emit(Kind::Call(helpers::KTIME_GET_NS), &[operand]);
        self.alu_imm(Width::W64, AluOp::Lsh, now, 4)
    }

    fn store_charge(&mut self, decl: &LimitDecl, cost: Value, words: i16) {
        let charge = match self.analysis.constant(cost) {
            Some(cost) => self.constant(cost.wrapping_mul(decl.interval) >> 16),
            None => {
                let cost = self.value(cost);
                let interval = self.constant(decl.interval);
                let scaled = self.alu(Width::W64, AluOp::Mul, cost, interval);
                self.alu_imm(Width::W64, AluOp::Rsh, scaled, 16)
            }
        };
        self.store_vreg(Size::DW, words + CHARGE, charge);
    }

    fn add_wide(&mut self, left: VReg, right: u64) -> VReg {
        match i32::try_from(right) {
            Ok(imm) => self.alu_imm(Width::W64, AluOp::Add, left, imm),
            Err(_) => {
                let right = self.constant(right);
                self.alu(Width::W64, AluOp::Add, left, right)
            }
        }
    }

    fn store_tag(&mut self, decl: &LimitDecl, key: &[Value], words: i16) {
        if key.is_empty() {
            let tag = self.constant(1);
            self.store_vreg(Size::DW, words + TAG, tag);
            self.emit(Kind::StoreStackImm(Size::W, words + FIRST_INDEX, 0), &[]);
            return;
        }
        let mask = lines(decl) as i32 - 1;
        let hash = self.hash(key);
        let tag = self.alu_imm(Width::W64, AluOp::Or, hash, 1);
        self.store_vreg(Size::DW, words + TAG, tag);
        let first = self.alu_imm(Width::W32, AluOp::Rsh, hash, 1);
        let first = self.alu_imm(Width::W32, AluOp::And, first, mask);
        self.store_vreg(Size::W, words + FIRST_INDEX, first);
        let second = self.alu_imm(Width::W64, AluOp::Rsh, hash, 33);
        let second = self.alu_imm(Width::W32, AluOp::And, second, mask);
        self.store_vreg(Size::W, words + SECOND_INDEX, second);
    }

    /// [`hash`] in instructions.
    fn hash(&mut self, key: &[Value]) -> VReg {
        let mut hash = self.constant(self.options.seed);
        for value in key {
            let value = self.value(*value);
            hash = self.alu(Width::W64, AluOp::Xor, hash, value);
            hash = self.multiply_and_fold(hash, MULTIPLY, 32);
        }
        self.multiply_and_fold(hash, FINISH, 29)
    }

    fn multiply_and_fold(&mut self, hash: VReg, by: u64, shift: i32) -> VReg {
        let by = self.constant(by);
        let product = self.alu(Width::W64, AluOp::Mul, hash, by);
        let high = self.alu_imm(Width::W64, AluOp::Rsh, product, shift);
        self.alu(Width::W64, AluOp::Xor, product, high)
    }
}

impl Emitter<'_> {
    /// `r0` = whether the bucket had enough. Loses `r1`–`r5`.
    pub(super) fn take(&mut self, site: TakeSite, take: Label) {
        let TakeSite { map, words, two } = site;
        let abort = self.abort();
        self.lookup(map, words + FIRST_INDEX);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, abort);
        if two {
            let saved = words + FIRST_LINE;
            self.asm.emit(Insn::store(Size::DW, Reg::R10, saved, Reg::R0));
            self.lookup(map, words + SECOND_INDEX);
            self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, abort);
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, saved));
        } else {
            self.asm.emit(Insn::mov(Reg::R1, Reg::R0));
        }
        self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
        self.stack_address(Reg::R3, words);
        self.asm.call(take);
    }

    /// The subprogram: `r1`, `r2` the lines, `r3` the words; `r0` = whether the bucket had enough.
    ///
    /// `r6` = first line, `r7` = second line, `r8` = words, `r9` = tag.
    pub(super) fn take_function(&mut self, take: Label) {
        self.asm.function("take", 3, take);
        for (to, from) in [(Reg::R6, Reg::R1), (Reg::R7, Reg::R2), (Reg::R8, Reg::R3)] {
            self.asm.emit(Insn::mov(to, from));
        }
        self.asm.emit(Insn::load(Size::DW, Reg::R9, Reg::R8, TAG));
        let (found, claimed) = (self.asm.label(), self.asm.label());
        if self.target.has(Feature::Atomics) {
            for _ in 0..SEARCHES {
                let again = self.asm.label();
                self.find(found);
                self.smallest();
                self.claim(claimed, again);
                self.asm.bind(again);
            }
            self.asm.emit(Insn::mov(Reg::R0, 1));
            self.asm.emit(Insn::Exit);
        } else {
            self.find(found);
            self.smallest();
            self.asm.emit(Insn::store(Size::DW, Reg::R5, TAG, Reg::R9));
        }
        self.asm.bind(claimed);
        self.count_eviction();
        self.asm.bind(found);
        self.spend();
    }

    /// Goes to `found` with the tag's way in `r5` and its `tat` in `r4`, or runs on. Loses `r0`.
    fn find(&mut self, found: Label) {
        for line in [Reg::R6, Reg::R7] {
            self.asm.emit(Insn::mov(Reg::R5, line));
            for way in 0..WAYS {
                let next = self.asm.label();
                self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R5, TAG));
                self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R9, next);
                self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R5, 8));
                self.asm.jump(found);
                self.asm.bind(next);
                if way + 1 < WAYS {
                    self.asm.emit(Insn::alu(AluOp::Add, Reg::R5, WAY as i32));
                }
            }
        }
    }

    /// `r5` = the way with the smallest `tat`, `r4` = that. Loses `r0`.
    ///
    /// Ways are looked at in turn from either line, so that of two lines with free ways the emptier
    /// one gets the key.
    fn smallest(&mut self) {
        self.asm.emit(Insn::mov(Reg::R5, Reg::R6));
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R6, 8));
        for way in 0..WAYS {
            for line in [Reg::R6, Reg::R7] {
                if (way, line) == (0, Reg::R6) {
                    continue;
                }
                let next = self.asm.label();
                let offset = (way * WAY) as i16;
                self.asm.emit(Insn::load(Size::DW, Reg::R0, line, offset + 8));
                self.asm.branch(Cond::Ge, Width::W64, Reg::R0, Reg::R4, next);
                self.asm.emit(Insn::mov(Reg::R4, Reg::R0));
                self.asm.emit(Insn::mov(Reg::R5, line));
                self.asm.emit(Insn::alu(AluOp::Add, Reg::R5, i32::from(offset)));
                self.asm.bind(next);
            }
        }
    }

    /// Puts the tag into the way in `r5`, and goes to `claimed`, or to `again` if another CPU was
    /// first. Loses `r0`, `r2`.
    fn claim(&mut self, claimed: Label, again: Label) {
        self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R5, TAG));
        self.asm.emit(Insn::mov(Reg::R2, Reg::R0));
        self.exchange(TAG, Reg::R9);
        self.asm.branch(Cond::Ne, Width::W64, Reg::R0, Reg::R2, again);
        self.asm.jump(claimed);
    }

    /// A claimed way that was still needed: counts it. What it held says nothing of the new key, so
    /// the bucket is full: its `tat` becomes `now`. Keeps `r5`; `r4` = `tat`. Loses `r0`–`r3`.
    fn count_eviction(&mut self) {
        let free = self.asm.label();
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R8, NOW));
        self.asm.branch(Cond::Le, Width::W64, Reg::R4, Reg::R1, free);
        self.asm.emit(Insn::store(Size::DW, Reg::R5, 8, Reg::R1));
        if let Some(statistics) = self.maps.statistics {
            self.asm.emit(Insn::mov(Reg::R6, Reg::R5));
            self.count_statistic(statistics, Statistic::Evictions, -8);
            self.asm.emit(Insn::mov(Reg::R5, Reg::R6));
        }
        self.asm.emit(Insn::load(Size::DW, Reg::R4, Reg::R8, NOW));
        self.asm.bind(free);
    }

    /// Takes from the way in `r5`, whose `tat` is in `r4`, and returns.
    ///
    /// `r1` = now, `r2` = charge, `r9` = latest.
    fn spend(&mut self) {
        let (over, within) = (self.asm.label(), self.asm.label());
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R8, NOW));
        self.asm.emit(Insn::load(Size::DW, Reg::R2, Reg::R8, CHARGE));
        self.asm.emit(Insn::load(Size::DW, Reg::R9, Reg::R8, LATEST));
        if self.target.has(Feature::Atomics) {
            for _ in 0..TRIES {
                self.next_tat(over);
                self.asm.emit(Insn::mov(Reg::R0, Reg::R4));
                self.exchange(8, Reg::R3);
                self.asm.branch(Cond::Eq, Width::W64, Reg::R0, Reg::R4, within);
                self.asm.emit(Insn::mov(Reg::R4, Reg::R0));
            }
            self.charge_blindly(within);
        } else {
            self.next_tat(over);
            self.asm.emit(Insn::store(Size::DW, Reg::R5, 8, Reg::R3));
            self.asm.jump(within);
        }
        self.asm.bind(over);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
        self.asm.bind(within);
        self.asm.emit(Insn::mov(Reg::R0, 1));
        self.asm.emit(Insn::Exit);
    }

    /// `r3` = `max(r4, now) + charge`; goes to `over` if that is beyond the latest.
    fn next_tat(&mut self, over: Label) {
        let later = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R3, Reg::R4));
        self.asm.branch(Cond::Ge, Width::W64, Reg::R3, Reg::R1, later);
        self.asm.emit(Insn::mov(Reg::R3, Reg::R1));
        self.asm.bind(later);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, Reg::R2));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R3, Reg::R9, over);
    }

    /// Adds the charge whatever `tat` is; takes it back, and runs on, if the packet is over.
    fn charge_blindly(&mut self, within: Label) {
        self.asm.emit(Insn::mov(Reg::R3, Reg::R2));
        self.fetch_add(Reg::R3);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R3, Reg::R2));
        self.asm.branch(Cond::Le, Width::W64, Reg::R3, Reg::R9, within);
        self.asm.emit(Insn::Neg { width: Width::W64, dst: Reg::R2 });
        self.fetch_add(Reg::R2);
    }

    /// `r0` = the word at `r5 + off`, which becomes `new` if it was `r0`.
    fn exchange(&mut self, off: i16, new: Reg) {
        self.asm.emit(Insn::Atomic {
            op: AtomicOp::CmpXchg,
            fetch: true,
            size: Size::DW,
            base: Reg::R5,
            off,
            src: new,
        });
    }

    /// Adds `src` to the `tat` of the way in `r5`; `src` = what it was.
    fn fetch_add(&mut self, src: Reg) {
        self.asm.emit(Insn::Atomic {
            op: AtomicOp::Add,
            fetch: true,
            size: Size::DW,
            base: Reg::R5,
            off: 8,
            src,
        });
    }
}
