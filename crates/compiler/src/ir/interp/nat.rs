//! Flows that are translated, and packets that go on as such.

use super::{Fault, Interpreter};
use crate::codegen::pools::{ALIVE, FIXED, NAMED, SIX};
use crate::ir::{BackendPart, Half, NOT_NOTED, NatCall, NatPart, NatRef, PoolRef};
use crate::nat::{Flow, Mark, number_of};
use crate::policy::Unsent;
use crate::state::{ROUTED, State};
use std::net::IpAddr;

impl Interpreter {
    /// What is known of a backend; of one that is not there it is zero.
    pub(super) fn backend(&self, state: &State, pool: PoolRef, number: u32, part: BackendPart) -> u64 {
        let number = self.read(number) as u16;
        let Some(backend) = state.pools[pool.index()].backends.get(&number) else { return 0 };
        match (part, backend.address) {
            (BackendPart::Flags, address) => {
                let flags = [
                    (SIX, address.is_ipv6()),
                    (ALIVE, backend.alive),
                    (FIXED, backend.hop.is_some()),
                    (NAMED, backend.mac.is_some()),
                ];
                flags.into_iter().map(|(flag, is)| if is { u64::from(flag) } else { 0 }).sum()
            }
            (BackendPart::Port, _) => backend.port.into(),
            (BackendPart::Four, IpAddr::V4(address)) => u32::from(address).into(),
            // The first four bytes of whatever stands there.
            (BackendPart::Four, IpAddr::V6(address)) => (u128::from(address) >> 96) as u64,
            (BackendPart::Six(half), IpAddr::V6(address)) => half_of(address.into(), half),
            (BackendPart::Six(Half::High), IpAddr::V4(address)) => u64::from(u32::from(address)) << 32,
            (BackendPart::Six(Half::Low), IpAddr::V4(_)) => 0,
        }
    }

    pub(super) fn nat(
        &mut self,
        state: &mut State,
        nat: NatRef,
        six: bool,
        call: NatCall,
        args: u32,
    ) -> Result<u64, Fault> {
        self.read_key(args, call.widths(six).len() as u16);
        let args = std::mem::take(&mut self.key);
        let mut args = args.into_iter();
        let next = |args: &mut std::vec::IntoIter<u64>| args.next().unwrap_or(0);
        let pool = &state.pools[self.nats[nat.index()].pool.index()];
        let Some(table) = &mut state.nats[nat.index()][usize::from(six)] else { return Ok(0) };
        let number = |way: Option<u32>| way.map_or(0, |way| u64::from(way) + 1);
        match call {
            NatCall::Find { whole } => {
                let tag = next(&mut args);
                let flow = flow(&mut args, six);
                let way = table.find(tag, &flow, whole);
                let backend = way.map_or(0, |way| table.flows[&way].word.backend());
                Ok(number(way) | u64::from(backend) << 32)
            }
            NatCall::Bind => {
                let held = (next(&mut args) as u32).checked_sub(1);
                let tag = next(&mut args);
                let flow = flow(&mut args, six);
                let (backend, mark) = (next(&mut args) as u16, Mark::of(next(&mut args)));
                if held.is_some_and(|way| !table.flows.contains_key(&way)) {
                    return Err(Fault::NoFlow { number: number(held) });
                }
                Ok(number(table.bind(held, tag, &flow, backend, mark, state.now)))
            }
            NatCall::Answered { whole } => {
                let way = next(&mut args) as u32;
                let source = address(&mut args, six);
                let Some(known) = table.flows.get_mut(&way) else { return Ok(0) };
                let backend = pool.backends.get(&known.word.backend());
                let from = |address: IpAddr| address.is_ipv6() == six && number_of(address) == source;
                let Some(backend) = backend.filter(|backend| from(backend.address)) else { return Ok(0) };
                if whole {
                    let (port, protocol) = (next(&mut args) as u16, next(&mut args) as u8);
                    let own = if backend.port == 0 { known.flow.ports[1] } else { backend.port };
                    if (own, known.flow.protocol) != (port, protocol) {
                        return Ok(0);
                    }
                    let mark = next(&mut args);
                    if mark != NOT_NOTED {
                        known.word = known.word.answered(Mark::of(mark), protocol, state.now);
                    }
                }
                Ok(u64::from(way) + 1)
            }
            NatCall::Part(part) => {
                let wanted = next(&mut args);
                let way = (wanted as u32).wrapping_sub(1);
                let known = table.flows.get(&way).ok_or(Fault::NoFlow { number: wanted })?;
                let (address, port) = table.bank.place(way);
                let half = |address, half| if six { half_of(address, half) } else { address as u64 };
                Ok(match part {
                    NatPart::Client(which) => half(known.flow.client, which),
                    NatPart::Service(which) => half(known.flow.service, which),
                    NatPart::Own(which) => half(address, which),
                    NatPart::ClientPort => known.flow.ports[0].into(),
                    NatPart::ServicePort => known.flow.ports[1].into(),
                    NatPart::OwnPort => port.into(),
                })
            }
        }
    }

    /// The frame, or why none leaves.
    pub(super) fn forward(
        &self,
        forward: u32,
        state: &State,
        frame: &[u8],
    ) -> Result<Result<Vec<u8>, Unsent>, Fault> {
        let forward = &self.forwards[forward as usize];
        let [packet, length] = [forward.packet, forward.length].map(|value| self.read(value.0));
        let outside = Fault::SendOutside { packet, length, len: frame.len(), backend: 0 };
        if !matches!(packet, 14 | 18 | 22 | 26 | 30) || packet + length > frame.len() as u64 {
            return Err(outside);
        }
        let fixed = forward.backend.and_then(|(pool, number)| {
            let backends = &state.pools[pool.index()].backends;
            backends.get(&(self.read(number.0) as u16))?.hop
        });
        let hop = fixed.unwrap_or(ROUTED);
        if length > u64::from(hop.mtu) {
            return Ok(Err(Unsent::Long));
        }
        let mut out = frame.to_vec();
        out[..6].copy_from_slice(&hop.to);
        out[6..12].copy_from_slice(hop.from.as_ref().map_or(&frame[..6], |own| own));
        for edit in &forward.edits {
            let at = self.read(edit.base.0) as usize + usize::from(edit.offset);
            let bytes = usize::from(edit.bytes);
            let place = out.get_mut(at..at + bytes).ok_or(outside)?;
            place.copy_from_slice(&self.read(edit.value.0).to_be_bytes()[8 - bytes..]);
        }
        Ok(Ok(out))
    }
}

fn address(args: &mut impl Iterator<Item = u64>, six: bool) -> u128 {
    let first = u128::from(args.next().unwrap_or(0));
    if six { first << 64 | u128::from(args.next().unwrap_or(0)) } else { first }
}

fn flow(args: &mut impl Iterator<Item = u64>, six: bool) -> Flow {
    let (client, service) = (address(args, six), address(args, six));
    let ports = [(); 2].map(|()| args.next().unwrap_or(0) as u16);
    Flow { client, service, ports, protocol: args.next().unwrap_or(0) as u8 }
}

fn half_of(address: u128, half: Half) -> u64 {
    match half {
        Half::High => (address >> 64) as u64,
        Half::Low => address as u64,
    }
}
