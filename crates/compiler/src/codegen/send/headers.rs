//! The headers that are written around a packet, two bytes behind a pointer: the EtherType comes first.

use super::{
    DONT_FRAGMENT, ETHERTYPE, HOPS, IP_IN_IP, IP4_HEADER, IP6_HEADER, IP6_IN_IP, Leaving, UDP, VXLAN_HEADER,
};
use crate::codegen::isel::Isel;
use crate::codegen::pools::{ADDRESS, MAC};
use crate::ir::VXLAN_FLAGS;
use regalloc2::VReg;
use weir_bpf::insn::{AluOp, Size, Width};

impl Isel<'_> {
    fn protocol(leaving: &Leaving<'_>) -> u64 {
        match (leaving.via.port(), leaving.send.six) {
            (Some(_), _) => UDP,
            (None, true) => IP6_IN_IP,
            (None, false) => IP_IN_IP,
        }
    }

    pub(super) fn write_ip4(&mut self, leaving: &Leaving<'_>, header: VReg, total: VReg) {
        let Some((address, bits)) = leaving.via.origin().and_then(|origin| origin.v4) else { return };
        let at = |offset: i16| ETHERTYPE + offset;
        let service = self.value(leaving.send.service);
        let service = self.alu_imm(Width::W64, AluOp::Lsh, service, 8);
        let begin = self.alu_imm(Width::W64, AluOp::Or, service, 0x45);
        let length = self.big_endian(Size::H, total);
        let first = self.above(begin, length, 16);
        self.store(Size::W, header, at(0), first);
        let fragment = self.constant(DONT_FRAGMENT << 16);
        self.store(Size::W, header, at(4), fragment);

        let open = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
        let address = address & !open;
        let from = match open {
            0 => self.constant(address.swap_bytes().into()),
            open => {
                let own = self.spread(leaving, open);
                self.or_word(own, address.swap_bytes())
            }
        };
        self.store(Size::W, header, at(12), from);
        let to = self.load(Size::W, leaving.record, ADDRESS);
        self.store(Size::W, header, at(16), to);

        let hops = HOPS | Self::protocol(leaving) << 8;
        let mut sum = self.alu(Width::W64, AluOp::Add, begin, length);
        sum = self.alu_imm(Width::W64, AluOp::Add, sum, (hops + DONT_FRAGMENT) as i32);
        for address in [from, to] {
            let low = self.alu_imm(Width::W64, AluOp::And, address, 0xffff);
            let high = self.alu_imm(Width::W64, AluOp::Rsh, address, 16);
            sum = self.alu(Width::W64, AluOp::Add, sum, low);
            sum = self.alu(Width::W64, AluOp::Add, sum, high);
        }
        let sum = self.fold(sum);
        let checksum = self.alu_imm(Width::W64, AluOp::Xor, sum, 0xffff);
        let checksum = self.alu_imm(Width::W64, AluOp::Lsh, checksum, 16);
        let third = self.alu_imm(Width::W64, AluOp::Or, checksum, hops as i32);
        self.store(Size::W, header, at(8), third);
        if let Some(port) = leaving.via.port() {
            let length = self.alu_imm(Width::W64, AluOp::Sub, total, IP4_HEADER.into());
            self.write_udp(leaving, header, at(IP4_HEADER), port, length);
        }
    }

    pub(super) fn write_ip6(&mut self, leaving: &Leaving<'_>, header: VReg, length: VReg) {
        let Some((address, bits)) = leaving.via.origin().and_then(|origin| origin.v6) else { return };
        let at = |offset: i16| ETHERTYPE + offset;
        let length = match leaving.via.overhead(true) as i16 - IP6_HEADER {
            0 => length,
            between => self.alu_imm(Width::W64, AluOp::Add, length, between.into()),
        };
        let service = self.value(leaving.send.service);
        let service = self.alu_imm(Width::W64, AluOp::Lsh, service, 20);
        let hash = self.value(leaving.send.hash);
        let label = self.alu_imm(Width::W64, AluOp::And, hash, 0xf_ffff);
        let first = self.alu(Width::W64, AluOp::Or, service, label);
        let first = self.alu_imm(Width::W64, AluOp::Or, first, 6 << 28);
        let first = self.big_endian(Size::W, first);
        self.store(Size::W, header, at(0), first);
        let payload = self.big_endian(Size::H, length);
        let hops = Self::protocol(leaving) << 16 | HOPS << 24;
        let second = self.alu_imm(Width::W64, AluOp::Or, payload, hops as i32);
        self.store(Size::W, header, at(4), second);

        let open = u128::MAX.checked_shr(bits.into()).unwrap_or(0) as u32;
        let [high, low] = [(address >> 64) as u64, address as u64];
        let high = self.constant(high.swap_bytes());
        self.store(Size::DW, header, at(8), high);
        let middle = self.constant(u64::from(((low >> 32) as u32).swap_bytes()));
        self.store(Size::W, header, at(16), middle);
        let lowest = (low as u32 & !open).swap_bytes();
        let lowest = match open {
            0 => self.constant(lowest.into()),
            open => {
                let own = self.spread(leaving, open);
                self.or_word(own, lowest)
            }
        };
        self.store(Size::W, header, at(20), lowest);
        for offset in [0, 8] {
            let part = self.load(Size::DW, leaving.record, ADDRESS + offset);
            self.store(Size::DW, header, at(24) + offset, part);
        }
        if let Some(port) = leaving.via.port() {
            self.write_udp(leaving, header, at(IP6_HEADER), port, length);
        }
    }

    /// The hash's bits that an address leaves open, as a packet has them.
    fn spread(&mut self, leaving: &Leaving<'_>, open: u32) -> VReg {
        let hash = self.value(leaving.send.hash);
        let own = self.alu_imm(Width::W32, AluOp::And, hash, open as i32);
        self.big_endian(Size::W, own)
    }

    fn or_word(&mut self, value: VReg, word: u32) -> VReg {
        self.alu_imm(Width::W32, AluOp::Or, value, word as i32)
    }

    /// Without a checksum (RFC 768, RFC 6935); from a port that is the flow's.
    pub(super) fn write_udp(
        &mut self,
        leaving: &Leaving<'_>,
        header: VReg,
        at: i16,
        port: u16,
        length: VReg,
    ) {
        let hash = self.value(leaving.send.hash);
        let from = self.alu_imm(Width::W64, AluOp::Rsh, hash, 16);
        let from = self.alu_imm(Width::W64, AluOp::Or, from, 0xc000);
        let from = self.big_endian(Size::H, from);
        let ports = self.or_word(from, u32::from(port.swap_bytes()) << 16);
        self.store(Size::W, header, at, ports);
        let length = self.big_endian(Size::H, length);
        self.store(Size::W, header, at + 4, length);
    }

    /// VXLAN's header (RFC 7348, section 5) and the addresses of the frame in it. The EtherType behind them is what the
    /// packet's own frame ended its header with, and still stands there.
    pub(super) fn write_frame(
        &mut self,
        leaving: &Leaving<'_>,
        header: VReg,
        at: i16,
        id: u32,
        from: [VReg; 2],
    ) {
        for (nth, word) in [VXLAN_FLAGS, id << 8].into_iter().enumerate() {
            let word = self.constant(word.swap_bytes().into());
            self.store(Size::W, header, at + 4 * nth as i16, word);
        }
        let link = at + VXLAN_HEADER;
        let to = [(Size::H, 0), (Size::W, 2)];
        for (size, offset) in to {
            let part = self.load(size, leaving.record, MAC + offset);
            self.store(size, header, link + offset, part);
        }
        self.store(Size::W, header, link + 6, from[0]);
        self.store(Size::H, header, link + 10, from[1]);
    }

    /// To 16 bits; the sum is of a few words.
    pub(super) fn fold(&mut self, mut sum: VReg) -> VReg {
        for _ in 0..2 {
            let carry = self.alu_imm(Width::W64, AluOp::Rsh, sum, 16);
            let low = self.alu_imm(Width::W64, AluOp::And, sum, 0xffff);
            sum = self.alu(Width::W64, AluOp::Add, low, carry);
        }
        sum
    }
}
