//! `Forward`: the packet goes on as another one. The frame stays as long as it is.

use super::Link;
use super::hops::fib;
use crate::codegen::isel::Isel;
use crate::codegen::machine::Kind;
use crate::codegen::pools::{FIXED, Layout};
use crate::codegen::sets::size_of;
use crate::ir::{self, Forward, Value, Verdict};
use regalloc2::VReg;
use std::collections::BTreeMap;
use weir_bpf::insn::Size;

/// No header that is changed begins further in.
const LAST_HEADER: u32 = 0x3fff;

impl Isel<'_> {
    pub(in crate::codegen) fn forward(&mut self, from: ir::Block, forward: &Forward) {
        let length = self.value(forward.length);
        let link = self.next_hop_of(from, forward, length);
        self.tell(from, Verdict::Send, Some(forward.by));
        let frame = self.ends();
        self.write_macs(&frame, &link);
        let mut headers: BTreeMap<Value, Vec<&ir::Edit>> = BTreeMap::new();
        forward.edits.iter().for_each(|edit| headers.entry(edit.base).or_default().push(edit));
        for (base, edits) in headers {
            let base = self.value(base);
            let base = self.in_place(Kind::Bound(LAST_HEADER), base);
            let last = edits.iter().map(|edit| edit.offset + u16::from(edit.bytes)).max();
            let header = self.pointer(&frame, base, last.unwrap_or(0) as i16);
            for edit in edits {
                let value = self.in_network_order(edit.bytes, edit.value);
                self.store(size_of(edit.bytes.into()), header, edit.offset as i16, value);
            }
        }
        self.leave(&link);
    }

    fn next_hop_of(&mut self, from: ir::Block, forward: &Forward, length: VReg) -> Link {
        let met = self.builder.block(false);
        let [first, second, interface] = [(); 3].map(|()| self.builder.vreg());
        self.builder.blocks[met.index()].params.extend([first, second, interface]);
        if let Some((pool, backend)) = forward.backend {
            let layout = Layout::of(&self.program.pools[pool.index()]);
            let (record, flags) = self.record(pool, layout, backend);
            let (fixed, routed) = (self.builder.block(false), self.builder.block(false));
            self.branch_flag(flags, FIXED, fixed, routed);
            self.open(fixed);
            self.fixed_hop((from, &forward.long), record, length, met);
            self.open(routed);
        }
        self.go_if_longest(length, from, &forward.long);
        // Where an answer goes there is no backend beside which a next hop could stand.
        let place = forward.backend.and_then(|(_, backend)| self.place_of_hop(backend, "nat"));
        place.into_iter().for_each(|place| self.known_hop(place, forward.service, length, forward.six, met));
        let at = self.route_params(forward.six);
        self.store_vreg(Size::H, at + fib::LENGTH, length);
        if !forward.six {
            let service = self.value(forward.service);
            self.store_vreg(Size::B, at + fib::SERVICE, service);
        }
        self.store_address(at + fib::FROM, &forward.source);
        self.store_address(at + fib::TO, &forward.dest);
        self.go_unless_routed(at, from, (&forward.long, &forward.unreachable));
        let hop = self.routed_hop(at);
        place.into_iter().for_each(|place| self.keep_hop(place, at, hop));
        self.jump_with(met, &hop);
        self.open(met);
        Link { first, second, interface }
    }

    /// One value of 32 bits or two of 64, as packets have them.
    pub(in crate::codegen) fn store_address(&mut self, at: i16, address: &[Value]) {
        let bytes = if address.len() == 2 { 8 } else { 4 };
        for (nth, value) in (0..).zip(address) {
            let part = self.in_network_order(bytes, *value);
            self.store_vreg(size_of(bytes.into()), at + nth * i16::from(bytes), part);
        }
    }

    pub(in crate::codegen) fn in_network_order(&mut self, bytes: u8, value: Value) -> VReg {
        let value = self.value(value);
        if bytes == 1 { value } else { self.big_endian(size_of(bytes.into()), value) }
    }
}
