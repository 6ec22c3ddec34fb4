//! `Cookie`: the host's TCP is asked about a segment, by a function for each family and call.
//!
//! The socket is looked up by the segment's ends, which stand in the packet as `struct bpf_sock_tuple` wants them. Only one that listens
//! is asked further: its cookies are those that its own stack takes, and making one tells it that it has made some, without which it
//! would take none (`tcp_synq_overflow`, include/net/tcp.h). That is why the helpers which need no socket are of no use here.

use super::emit::Emitter;
use super::isel::{Isel, Place};
use super::machine::{Kind, physical};
use super::{CodegenError, link::LONGEST_LINK};
use crate::ir::{CookieCall, Inst, Op, Value};
use crate::sockets::Acknowledged;
use regalloc2::Operand;
use weir_bpf::asm::Label;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, Reg, Size, Width};
use weir_bpf::target::Feature;

/// Where `struct xdp_md` has the frame's first byte, and the byte behind its last.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
/// Where `struct bpf_sock` has the state, and which one listens (`TCP_LISTEN`).
const STATE: i16 = 72;
const LISTENS: i32 = 10;
/// `BPF_F_CURRENT_NETNS`.
const OWN_NAMESPACE: i32 = -1;
/// Bytes of a segment's header without options, and with the most.
const SHORTEST: i16 = 20;
const LONGEST: i16 = 60;
/// Where the length of a segment's header is, in the upper half of a byte.
const WORDS: i16 = 12;
/// Bytes of stack that a function takes.
const STACK: u32 = 64;

/// One of the functions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct CookieSite {
    six: bool,
    make: bool,
}

impl CookieSite {
    /// Where a packet's addresses are, and how long its header is.
    fn places(self) -> (i32, i16) {
        if self.six { (8, 40) } else { (12, 20) }
    }

    fn name(self) -> &'static str {
        match (self.make, self.six) {
            (true, false) => "cookie_make_4",
            (true, true) => "cookie_make_6",
            (false, false) => "cookie_check_4",
            (false, true) => "cookie_check_6",
        }
    }
}

impl Isel<'_> {
    pub(super) fn check_cookies(&self) -> Result<(), CodegenError> {
        let mut insts = self.program.blocks.iter().flat_map(|block| &block.insts);
        let asks = insts.find(|inst| matches!(inst.op, Op::Cookie { .. }));
        let (feature, purpose) = (Feature::SynCookies, "answering with SYN cookies");
        match asks.filter(|_| !self.options.target.has(feature)) {
            Some(Inst { line, .. }) => Err(CodegenError::Missing { feature, purpose, line: *line }),
            None => Ok(()),
        }
    }

    pub(super) fn cookie(&mut self, inst: &Inst, call: CookieCall, six: bool, packet: Value) {
        let (result, packet) = (self.builder.vreg(), self.value(packet));
        let operands = [
            Operand::reg_fixed_def(result, physical(Reg::R0)),
            Operand::reg_fixed_use(self.context, physical(Reg::R1)),
            Operand::reg_fixed_use(packet, physical(Reg::R2)),
        ];
        self.emit(Kind::Cookie(CookieSite { six, make: call == CookieCall::Make }), &operands);
        self.below = self.below.max(STACK);
        if let Some(value) = inst.result {
            self.place(value, Place::Register(result));
        }
    }
}

impl Emitter<'_> {
    /// `r1` the context, `r2` where the packet begins; `r0` = what TCP says.
    ///
    /// | register | holds |
    /// |---|---|
    /// | `r6` | the context, then the socket |
    /// | `r7` | the packet |
    /// | `r8` | the frame's end, then the answer |
    /// | `r9` | the length of the segment's header |
    pub(super) fn cookie_function(&mut self, site: CookieSite, start: Label) {
        let (addresses, header) = site.places();
        let (none, release, released) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.function(site.name(), 2, start);
        self.asm.emit(Insn::mov(Reg::R6, Reg::R1));
        self.asm.emit(Insn::load(Size::W, Reg::R7, Reg::R6, DATA));
        self.asm.emit(Insn::load(Size::W, Reg::R8, Reg::R6, DATA_END));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R2, i32::from(LONGEST_LINK), none);
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R7, Reg::R2));
        self.unless_inside(header + SHORTEST, none);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R2, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R2, addresses));
        self.asm.emit(Insn::mov(Reg::R3, i32::from(header) + 4 - addresses));
        self.asm.emit(Insn::mov(Reg::R4, OWN_NAMESPACE));
        self.asm.emit(Insn::mov(Reg::R5, 0));
        self.asm.emit(Insn::Call(helpers::SKC_LOOKUP_TCP));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        self.asm.emit(Insn::mov(Reg::R6, Reg::R0));
        self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R6, STATE));
        self.asm.branch(Cond::Ne, Width::W64, Reg::R1, LISTENS, release);
        match site.make {
            true => self.make_cookie(header, release),
            false => self.check_cookie(header),
        }
        self.asm.jump(released);
        self.asm.bind(release);
        self.asm.emit(Insn::mov(Reg::R8, 0));
        self.asm.bind(released);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::Call(helpers::SK_RELEASE));
        self.asm.emit(Insn::mov(Reg::R0, Reg::R8));
        self.asm.emit(Insn::Exit);
        self.asm.bind(none);
        self.asm.emit(Insn::mov(Reg::R0, 0));
        self.asm.emit(Insn::Exit);
    }

    /// Goes elsewhere if the frame ends before so many bytes of the packet. Loses `r1`.
    fn unless_inside(&mut self, bytes: i16, elsewhere: Label) {
        self.asm.emit(Insn::mov(Reg::R1, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, i32::from(bytes)));
        self.asm.branch(Cond::Gt, Width::W64, Reg::R1, Reg::R8, elsewhere);
    }

    /// `r8` = the cookie and the largest segment, or 0.
    ///
    /// The helper wants as many bytes as the header says that it has, which the verifier lets it read of the stack only.
    fn make_cookie(&mut self, header: i16, release: Label) {
        self.asm.emit(Insn::load(Size::B, Reg::R9, Reg::R7, header + WORDS));
        self.asm.emit(Insn::alu(AluOp::Rsh, Reg::R9, 4));
        self.asm.emit(Insn::alu(AluOp::Lsh, Reg::R9, 2));
        self.asm.branch(Cond::Lt, Width::W64, Reg::R9, i32::from(SHORTEST), release);
        for at in (SHORTEST..LONGEST).step_by(4) {
            self.asm.emit(Insn::store(Size::W, Reg::R10, at - LONGEST, 0));
        }
        let copied = self.asm.label();
        for at in (0..LONGEST).step_by(4) {
            if at >= SHORTEST {
                self.unless_inside(header + at + 4, copied);
            }
            self.asm.emit(Insn::load(Size::W, Reg::R1, Reg::R7, header + at));
            self.asm.emit(Insn::store(Size::W, Reg::R10, at - LONGEST, Reg::R1));
        }
        self.asm.bind(copied);
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R2, Reg::R7));
        self.asm.emit(Insn::mov(Reg::R3, i32::from(header)));
        self.stack_address(Reg::R4, -LONGEST);
        self.asm.emit(Insn::mov(Reg::R5, Reg::R9));
        self.asm.emit(Insn::Call(helpers::TCP_GEN_SYNCOOKIE));
        // The kernel may make none: its queue of connections that nobody has taken is full, or cookies are not needed now.
        self.asm.branch(Cond::Sle, Width::W64, Reg::R0, 0, release);
        self.asm.emit(Insn::mov(Reg::R8, Reg::R0));
    }

    /// `r8` = an [`Acknowledged`].
    fn check_cookie(&mut self, header: i16) {
        self.asm.emit(Insn::mov(Reg::R1, Reg::R6));
        self.asm.emit(Insn::mov(Reg::R2, Reg::R7));
        self.asm.emit(Insn::mov(Reg::R3, i32::from(header)));
        self.asm.emit(Insn::mov(Reg::R4, Reg::R7));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R4, i32::from(header)));
        self.asm.emit(Insn::mov(Reg::R5, i32::from(SHORTEST)));
        self.asm.emit(Insn::Call(helpers::TCP_CHECK_SYNCOOKIE));
        let fine = self.asm.label();
        self.asm.emit(Insn::mov(Reg::R8, Acknowledged::Cookie as i32));
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, fine);
        self.asm.emit(Insn::mov(Reg::R8, Acknowledged::NoCookie as i32));
        self.asm.bind(fine);
    }
}
