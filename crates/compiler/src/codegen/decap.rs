//! `Decap`: the frame begins further in.
//!
//! ```text
//! | link        | outer headers …      | inner packet …   |     what comes in
//!                   | link, new EtherType | inner packet … |    what leaves
//! ```
//!
//! The link's header is copied to right before the inner packet, then the frame's start moves by `bpf_xdp_adjust_head`. As
//! nothing is written once it has moved, no pointer needs to be checked again. The copy goes from the end to the start,
//! since both places may overlap. Offsets are any numbers to the verifier: each is bounded, and each pointer that is made
//! with one is compared with the frame's end. What a found header has proved before never fails here, nor does the helper
//! (it refuses to leave less than an Ethernet header); if it did, the frame would be neither the old one nor the new one, so
//! the packet is aborted.

use super::branch::return_code;
use super::isel::Isel;
use super::link::{ADDRESSES, ETHERTYPE, ETHERTYPE_4, ETHERTYPE_6, LONGEST_LINK, TAG, TAGS};
use super::machine::{Kind, physical};
use super::{CodegenError, Hook};
use crate::ir::{EcnChange, Terminator, Value, Verdict};
use regalloc2::{Operand, VReg};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Reg, Size, Width};

/// Offsets beyond this have no room for a header before the verifier's limit of 64 KiB.
const FARTHEST: u32 = 0xf000;
/// `XDP_ABORTED`.
const ABORTED: i32 = 0;
/// Bytes of the shortest IP header. A pointer to an IP header points to the EtherType before it.
const IP_HEADER: i16 = 20;
/// The version in the first byte of an IP header, and what it is for IPv4.
const VERSION: i32 = 0xf0;
const VERSION_4: i32 = 0x40;
/// Where ECN is in the first two bytes of a header, as a little-endian machine loads them.
const ECN_4: i32 = 8;
const ECN_6: i32 = 12;
/// Where the checksum of an IPv4 header is.
const CHECKSUM: i16 = 10;

impl Isel<'_> {
    /// Whether the program can do what its blocks end with.
    pub(super) fn check_changes(&self) -> Result<(), CodegenError> {
        let changes = |end: &Terminator| {
            matches!(
                end,
                Terminator::Decap { .. }
                    | Terminator::Send(_)
                    | Terminator::Forward(_)
                    | Terminator::Refuse(_)
                    | Terminator::Echo(_)
                    | Terminator::SynAck(_)
            )
        };
        match self.program.blocks.iter().find(|block| changes(&block.end)) {
            Some(block) if self.options.hook != Hook::Xdp => {
                Err(CodegenError::XdpOnly { line: block.end_line })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn decap(&mut self, inner: Value, link: Option<Value>, ecn: Option<EcnChange>) {
        let (data, end) = (self.builder.vreg(), self.builder.vreg());
        self.load_ends(data, end);
        let frame = Ends { data, end };
        if let Some(EcnChange { at, flip }) = ecn.filter(|ecn| self.analysis.constant(ecn.flip) != Some(0)) {
            let flip = self.value(flip);
            self.unless(Cond::Eq, flip, 0, |isel| {
                let header = isel.before_ip(&frame, at);
                isel.flip_ecn(header, flip);
            });
        }
        let inner_at = self.value(inner);
        let distance = match link {
            None => inner_at,
            Some(link) => {
                let length = self.value(link);
                let distance = self.alu(Width::W64, AluOp::Sub, inner_at, length);
                let distance = self.in_place(Kind::Bound(FARTHEST), distance);
                self.copy_link(&frame, distance, length, self.analysis.constant(link));
                let header = self.before_ip(&frame, inner);
                self.write_ethertype(header);
                distance
            }
        };
        self.move_start(distance);
    }

    /// A pointer to the two bytes before the IP header at an offset, behind which the whole of it can be read.
    fn before_ip(&mut self, frame: &Ends, at: Value) -> VReg {
        let at = self.value(at);
        let before = self.alu_imm(Width::W64, AluOp::Sub, at, ETHERTYPE.into());
        let before = self.in_place(Kind::Bound(FARTHEST), before);
        self.pointer(frame, before, ETHERTYPE + IP_HEADER)
    }

    /// A pointer to an offset, which is bounded, from which on `bytes` are in the frame.
    pub(super) fn pointer(&mut self, frame: &Ends, offset: VReg, bytes: i16) -> VReg {
        let pointer = self.alu(Width::W64, AluOp::Add, frame.data, offset);
        self.require(frame, pointer, bytes);
        pointer
    }

    pub(super) fn require(&mut self, frame: &Ends, pointer: VReg, bytes: i16) {
        let last = self.alu_imm(Width::W64, AluOp::Add, pointer, bytes.into());
        let operands = [Operand::reg_use(last), Operand::reg_use(frame.end)];
        self.abort_if(Kind::Branch(Cond::Gt, Width::W64, None), &operands);
    }

    pub(super) fn abort_if(&mut self, kind: Kind, operands: &[Operand]) {
        let (abort, on) = (self.builder.block(true), self.builder.block(false));
        self.branch(kind, operands, abort, on);
        self.open(abort);
        self.emit(Kind::Return(ABORTED), &[]);
        self.open(on);
    }

    /// Does something unless a register compares so with a constant, which it mostly does.
    fn unless(&mut self, cond: Cond, left: VReg, right: i32, what: impl FnOnce(&mut Self)) {
        let (over, here) = (self.builder.block(false), self.builder.block(true));
        let met = self.builder.block(false);
        self.branch(Kind::Branch(cond, Width::W64, Some(right)), &[Operand::reg_use(left)], over, here);
        self.open(here);
        what(self);
        self.jump(met);
        self.open(over);
        self.jump(met);
        self.open(met);
    }

    /// Does one thing if the header that begins with this byte or word is of IPv4, and another if it is of IPv6.
    fn by_version(&mut self, first: VReg, four: impl FnOnce(&mut Self), six: impl FnOnce(&mut Self)) {
        let [of_four, of_six, met] = [(); 3].map(|()| self.builder.block(false));
        let version = self.alu_imm(Width::W64, AluOp::And, first, VERSION);
        let kind = Kind::Branch(Cond::Eq, Width::W64, Some(VERSION_4));
        self.branch(kind, &[Operand::reg_use(version)], of_four, of_six);
        self.open(of_four);
        four(self);
        self.jump(met);
        self.open(of_six);
        six(self);
        self.jump(met);
        self.open(met);
    }

    /// Changes the ECN of the IP header two bytes behind a pointer, with the checksum that goes over it.
    fn flip_ecn(&mut self, header: VReg, flip: VReg) {
        let word = self.load(Size::H, header, ETHERTYPE);
        let change = |isel: &mut Self, shift: i32| {
            let bits = isel.alu_imm(Width::W64, AluOp::Lsh, flip, shift);
            let changed = isel.alu(Width::W64, AluOp::Xor, word, bits);
            isel.store(Size::H, header, ETHERTYPE, changed);
            changed
        };
        let four = |isel: &mut Self| {
            let changed = change(isel, ECN_4);
            isel.adjust_checksum(header, word, changed);
        };
        self.by_version(word, four, |isel| {
            change(isel, ECN_6);
        });
    }

    /// RFC 1624, equation 3: `HC' = ~(~HC + ~m + m')`. Sums of ones' complement do not care for the order of bytes.
    fn adjust_checksum(&mut self, header: VReg, was: VReg, is: VReg) {
        let checksum = self.load(Size::H, header, ETHERTYPE + CHECKSUM);
        let [checksum, was] = [checksum, was].map(|word| self.alu_imm(Width::W64, AluOp::Xor, word, 0xffff));
        let mut sum = self.alu(Width::W64, AluOp::Add, checksum, was);
        sum = self.alu(Width::W64, AluOp::Add, sum, is);
        // Three words carry twice at most.
        for _ in 0..2 {
            let carry = self.alu_imm(Width::W64, AluOp::Rsh, sum, 16);
            let low = self.alu_imm(Width::W64, AluOp::And, sum, 0xffff);
            sum = self.alu(Width::W64, AluOp::Add, low, carry);
        }
        let checksum = self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff);
        self.store(Size::H, header, ETHERTYPE + CHECKSUM, checksum);
    }

    /// Copies the link's header, but for its last two bytes, further in. An IP header follows there, so that even the
    /// shortest link header has room for the longest.
    fn copy_link(&mut self, frame: &Ends, distance: VReg, length: VReg, known: Option<u64>) {
        let to = self.pointer(frame, distance, LONGEST_LINK);
        self.require(frame, frame.data, LONGEST_LINK);
        for tag in (0..TAGS).rev() {
            let at = ADDRESSES + tag * TAG;
            let without = at + ETHERTYPE;
            let copy = |isel: &mut Self| isel.copy(Size::W, frame.data, to, at);
            match known {
                Some(length) if length <= without as u64 => {}
                Some(_) => copy(self),
                None => self.unless(Cond::Le, length, without.into(), copy),
            }
        }
        self.copy(Size::DW, frame.data, to, 4);
        self.copy(Size::W, frame.data, to, 0);
    }

    fn copy(&mut self, size: Size, from: VReg, to: VReg, at: i16) {
        let bytes = self.load(size, from, at);
        self.store(size, to, at, bytes);
    }

    fn write_ethertype(&mut self, header: VReg) {
        let first = self.load(Size::B, header, ETHERTYPE);
        let write = |ethertype: u64| {
            move |isel: &mut Self| {
                let ethertype = isel.constant(ethertype);
                isel.store(Size::H, header, 0, ethertype);
            }
        };
        self.by_version(first, write(ETHERTYPE_4), write(ETHERTYPE_6));
    }

    /// Lets the frame begin or end elsewhere; if the helper refuses, the packet is aborted.
    pub(super) fn move_edge(&mut self, helper: u32, distance: VReg) {
        let result = self.builder.vreg();
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(distance, physical(Reg::R2)),
        ];
        self.emit(Kind::Call(helper), &operands);
        self.abort_if(Kind::Branch(Cond::Ne, Width::W64, Some(0)), &[Operand::reg_use(result)]);
    }

    /// Lets the frame begin further in, and passes it.
    fn move_start(&mut self, distance: VReg) {
        self.move_edge(helpers::XDP_ADJUST_HEAD, distance);
        let pass = return_code(self.options.hook, Verdict::Pass);
        self.emit(Kind::Return(pass), &[]);
    }
}

/// The frame's first byte and the byte behind its last.
pub(super) struct Ends {
    pub(super) data: VReg,
    pub(super) end: VReg,
}
