//! `InSet`: keys in hash maps and LPM tries; sets of prefixes that change are in [`super::indexes`].
//!
//! The key of a hash map is the scalars in the machine's order, each rounded up to 1, 2, 4 or 8 bytes
//! and aligned to that, padded with zeros to a multiple of 4 bytes ([`key_bytes`]). The key of a
//! trie is a `u32` length in bits and the scalars in the network's order ([`lpm_key_bytes`]).
//!
//! A value is the `u64` time at which the element expires, in nanoseconds of `CLOCK_MONOTONIC`; 0
//! never does. An expired element does not match, whether or not user space has removed it. Time is
//! read only for an element that can expire, from the coarse clock where the target has it: it
//! stands still between ticks, so an element lives up to 4 ms (at `HZ=250`) longer than it says.

use super::CodegenError;
use super::emit::Emitter;
use super::isel::Isel;
use super::machine::{Kind, physical};
use crate::ir::{Inst, SetDecl, SetKind, SetRef, Value};
use regalloc2::Operand;
use weir_bpf::helpers;
use weir_bpf::insn::{Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType, flags};
use weir_bpf::target::{Feature, Target};

/// Bytes of a scalar in a hash key.
fn word_bytes(bits: u8) -> u32 {
    u32::from(bits).div_ceil(8).next_power_of_two()
}

/// The offset of each scalar in a hash key, and the key's length.
fn key_layout(words: &[u8]) -> (Vec<u32>, u32) {
    let mut end = 0u32;
    let mut place = |bits: &u8| {
        let offset = end.next_multiple_of(word_bytes(*bits));
        end = offset + word_bytes(*bits);
        offset
    };
    let offsets = words.iter().map(&mut place).collect();
    (offsets, end.next_multiple_of(4).max(4))
}

/// The key of a set's hash map.
pub fn key_bytes(set: &SetDecl, scalars: &[u64]) -> Vec<u8> {
    let (offsets, len) = key_layout(&set.words);
    let mut key = vec![0; len as usize];
    for ((offset, bits), scalar) in offsets.iter().zip(&set.words).zip(scalars) {
        let (from, bytes) = (*offset as usize, word_bytes(*bits) as usize);
        key[from..from + bytes].copy_from_slice(&scalar.to_le_bytes()[..bytes]);
    }
    key
}

/// The key of a set's trie: the first `prefix` bits of the scalars.
pub fn lpm_key_bytes(set: &SetDecl, scalars: &[u64], prefix: u32) -> Vec<u8> {
    let mut key = prefix.to_le_bytes().to_vec();
    for (bits, scalar) in set.words.iter().zip(scalars) {
        let bytes = usize::from(*bits) / 8;
        key.extend_from_slice(&scalar.to_be_bytes()[8 - bytes..]);
    }
    key
}

pub(super) fn hash_map(name: &str, set: &SetDecl) -> MapDef {
    let key = MapType::bytes(key_layout(&set.words).1);
    let mut def = MapDef::new(name, MapKind::Hash, key, MapType::U64, set.max.max(1));
    if set.expires {
        // A live set is declared large and mostly nearly empty: memory comes with the elements, and
        // loading does not wait for the kernel to lay out a million places (0.6 s).
        def.flags |= flags::NO_PREALLOC;
    }
    def
}

pub(super) fn trie_map(name: &str, set: &SetDecl) -> Result<MapDef, CodegenError> {
    let whole = set.words.iter().all(|bits| matches!(bits, 8 | 16 | 32 | 64));
    if !whole || set.words.is_empty() {
        let (set, words) = (set.name.clone(), set.words.clone());
        return Err(CodegenError::TrieKey { set, words });
    }
    let bits: u32 = set.words.iter().map(|bits| u32::from(*bits)).sum();
    let key = MapType::lpm_key(&format!("{name}_key"), bits / 8);
    let def = MapDef::new(name, MapKind::LpmTrie, key, MapType::U64, set.max.max(1));
    Ok(def)
}

/// A look-up whose key stands on the stack.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct SetSite {
    map: MapId,
    expires: bool,
    key: i16,
    /// 8 bytes for what must outlive a call.
    spare: i16,
    /// Whether the result must be 0 or 1, or may be any value but 0 for a hit.
    boolean: bool,
}

impl Isel<'_> {
    pub(super) fn in_set(&mut self, inst: &Inst, set: SetRef, key: &[Value]) {
        let Some(result) = inst.result else { return };
        let decl = &self.program.sets[set.index()];
        let bytes = match decl.kind {
            SetKind::Index => return self.in_index(result, set, key),
            SetKind::Hash => key_layout(&decl.words).1,
            SetKind::Lpm => lpm_key_bytes(decl, key_shape(key), 0).len() as u32,
        };
        let site = SetSite {
            map: self.maps.sets[set.index()],
            expires: decl.expires,
            key: self.builder.reserve(8 + bytes.next_multiple_of(8)),
            spare: -8,
            boolean: !self.analysis.only_branches(result),
        };
        match decl.kind {
            SetKind::Lpm => self.store_trie_key(&decl.words, key, site.key),
            _ => self.store_key(&decl.words, key, site.key),
        }
        let def = self.define(result);
        let operand = Operand::reg_fixed_def(def, physical(Reg::R0));
        self.emit(Kind::InSet(site), &[operand]);
    }

    fn store_key(&mut self, words: &[u8], key: &[Value], at: i16) {
        let (offsets, len) = key_layout(words);
        let mut end = 0;
        for ((offset, bits), value) in offsets.into_iter().zip(words).zip(key) {
            self.store_zeros(at, end, offset);
            let size = size_of(word_bytes(*bits));
            self.store_stack(size, at + offset as i16, *value);
            end = offset + word_bytes(*bits);
        }
        self.store_zeros(at, end, len);
    }

    fn store_zeros(&mut self, at: i16, from: u32, to: u32) {
        for byte in from..to {
            self.emit(Kind::StoreStackImm(Size::B, at + byte as i16, 0), &[]);
        }
    }

    fn store_trie_key(&mut self, words: &[u8], key: &[Value], at: i16) {
        let bits: i32 = words.iter().map(|bits| i32::from(*bits)).sum();
        self.emit(Kind::StoreStackImm(Size::W, at, bits), &[]);
        let mut offset = at + 4;
        for (bits, value) in words.iter().zip(key) {
            let size = size_of(u32::from(*bits) / 8);
            for (part, at, value) in self.network_parts(size, offset, *value) {
                let operand = Operand::reg_use(value);
                self.emit(Kind::StoreStack(part, at), &[operand]);
            }
            offset += size.bytes() as i16;
        }
    }

    /// The stores of a scalar in the network's order; 8 bytes behind the trie's `u32` are not
    /// aligned, which the verifier asks of the stack, so they go in two halves.
    fn network_parts(&mut self, size: Size, at: i16, value: Value) -> Vec<(Size, i16, regalloc2::VReg)> {
        let value = self.value(value);
        if size == Size::B {
            return vec![(size, at, value)];
        }
        let swapped = self.big_endian(size, value);
        if size != Size::DW || at % 8 == 0 {
            return vec![(size, at, swapped)];
        }
        let high = self.alu_imm(Width::W64, weir_bpf::insn::AluOp::Rsh, swapped, 32);
        vec![(Size::W, at, swapped), (Size::W, at + 4, high)]
    }
}

/// Zeros in the number of a key's scalars.
fn key_shape(key: &[Value]) -> &'static [u64] {
    &[0; 64][..key.len().min(64)]
}

pub(super) fn size_of(bytes: u32) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::H,
        4 => Size::W,
        _ => Size::DW,
    }
}

impl Emitter<'_> {
    /// `r0` = whether the set holds the key. Loses `r1`–`r5`.
    pub(super) fn in_set(&mut self, site: &SetSite) {
        self.lookup(site.map, site.key);
        if !site.expires && !site.boolean {
            return;
        }
        let done = self.asm.label();
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, done);
        if site.expires {
            let hit = self.asm.label();
            self.asm.emit(Insn::load(Size::DW, Reg::R0, Reg::R0, 0));
            self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, hit);
            self.asm.emit(Insn::store(Size::DW, Reg::R10, site.spare, Reg::R0));
            self.clock();
            self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R10, site.spare));
            self.asm.branch(Cond::Gt, Width::W64, Reg::R1, Reg::R0, hit);
            self.asm.emit(Insn::mov(Reg::R0, 0));
            self.asm.jump(done);
            self.asm.bind(hit);
        }
        self.asm.emit(Insn::mov(Reg::R0, 1));
        self.asm.bind(done);
    }

    /// `r0` = the time in nanoseconds, as coarse as it may be. Loses `r1`–`r5`.
    pub(super) fn clock(&mut self) {
        self.asm.emit(Insn::Call(clock_of(self.target)));
    }
}

/// The helper that says the time in nanoseconds, as coarse as it may be.
pub(super) fn clock_of(target: &Target) -> u32 {
    match target.has(Feature::CoarseClock) {
        true => helpers::KTIME_GET_COARSE_NS,
        false => helpers::KTIME_GET_NS,
    }
}
