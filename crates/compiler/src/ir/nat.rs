//! Flows that are translated, and packets that go on as such.

use super::{PoolRef, StatementId, Target, Type, Value};
use crate::nat::Bank;

/// The flows that a statement translates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NatDecl {
    /// The statement's name.
    pub name: String,
    /// Whose backends they go to.
    pub pool: PoolRef,
    /// From where packets are sent, of IPv4 and of IPv6.
    pub banks: [Option<Bank>; 2],
}

/// What is done with a table of flows. An address is one value of 32 bits, or two of 64, the high one first; a flow's number is its
/// way and 1, and 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NatCall {
    /// The flow of a tag, a client and a service (both ports and the protocol, if all of it is to be compared), and above bit 32
    /// the number of its backend; 0 if it is not there.
    Find {
        /// Not only addresses are compared.
        whole: bool,
    },
    /// The number of a flow that is there, which is noted, or of a new one; 0 if there is no room: by its number or 0, its tag, client, service,
    /// ports, protocol, backend, and what the packet says of its life ([`crate::nat::Mark`]).
    Bind,
    /// The number of the flow in a way, if its backend is the one at an address (a port, by a protocol, and what the packet says of
    /// its life, or [`NOT_NOTED`]); 0 if it is another one.
    Answered {
        /// Not only the address is compared, and the packet is noted.
        whole: bool,
    },
    /// A part of what is known of a flow, by its number.
    Part(NatPart),
}

/// Beside marks: a packet that says nothing of its flow's life.
pub const NOT_NOTED: u64 = 3;

/// What is known of a flow. Of addresses in IPv4 there is no high half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum NatPart {
    Client(Half),
    Service(Half),
    /// The edge's own address.
    Own(Half),
    ClientPort,
    ServicePort,
    OwnPort,
}

/// Half of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Half {
    High,
    Low,
}

/// What is known of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackendPart {
    /// [`ALIVE`](crate::codegen::pools::ALIVE) and its kin, `u8`.
    Flags,
    /// Its port or 0, `u16`.
    Port,
    /// Its IPv4 address, `u32`.
    Four,
    /// Half of its IPv6 address, `u64`.
    Six(Half),
}

impl NatPart {
    /// All parts and their names.
    pub const NAMES: [(NatPart, &'static str); 9] = [
        (NatPart::Client(Half::High), "client_high"),
        (NatPart::Client(Half::Low), "client"),
        (NatPart::Service(Half::High), "service_high"),
        (NatPart::Service(Half::Low), "service"),
        (NatPart::Own(Half::High), "own_high"),
        (NatPart::Own(Half::Low), "own"),
        (NatPart::ClientPort, "client_port"),
        (NatPart::ServicePort, "service_port"),
        (NatPart::OwnPort, "own_port"),
    ];

    /// Its type, of flows of a family.
    pub fn ty(self, six: bool) -> Type {
        match self {
            NatPart::Client(_) | NatPart::Service(_) | NatPart::Own(_) if six => Type::Int(64),
            NatPart::Client(_) | NatPart::Service(_) | NatPart::Own(_) => Type::Int(32),
            NatPart::ClientPort | NatPart::ServicePort | NatPart::OwnPort => Type::Int(16),
        }
    }
}

impl BackendPart {
    /// All parts and their names.
    pub const NAMES: [(BackendPart, &'static str); 5] = [
        (BackendPart::Flags, "flags"),
        (BackendPart::Port, "port"),
        (BackendPart::Four, "ip4"),
        (BackendPart::Six(Half::High), "ip6_high"),
        (BackendPart::Six(Half::Low), "ip6_low"),
    ];

    /// Its type.
    pub fn ty(self) -> Type {
        match self {
            BackendPart::Flags => Type::Int(8),
            BackendPart::Port => Type::Int(16),
            BackendPart::Four => Type::Int(32),
            BackendPart::Six(_) => Type::Int(64),
        }
    }
}

impl NatCall {
    /// The type of its result, for flows of a family.
    pub fn ty(self, six: bool) -> Type {
        match self {
            NatCall::Find { .. } => Type::Int(64),
            NatCall::Bind | NatCall::Answered { .. } => Type::Int(32),
            NatCall::Part(part) => part.ty(six),
        }
    }

    /// The widths of what it is given, for flows of a family.
    pub fn widths(self, six: bool) -> Vec<u8> {
        let address: &[u8] = if six { &[64, 64] } else { &[32] };
        let ends = [address, address].concat();
        match self {
            NatCall::Find { whole: false } => [&[64][..], &ends].concat(),
            NatCall::Find { whole: true } => [&[64][..], &ends, &[16, 16, 8]].concat(),
            NatCall::Bind => [&[32, 64][..], &ends, &[16, 16, 8, 16, 2]].concat(),
            NatCall::Answered { whole: false } => [&[32][..], address].concat(),
            NatCall::Answered { whole: true } => [&[32][..], address, &[16, 8, 2]].concat(),
            NatCall::Part(_) => vec![32],
        }
    }

    /// Whether more comes of it than its result.
    pub fn has_effect(self) -> bool {
        matches!(self, NatCall::Bind | NatCall::Answered { whole: true })
    }
}

/// Sends the packet on as another one, by the kernel's routes or to the fixed next hop of a backend. Nothing has changed yet where it goes on
/// elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Forward {
    /// The statement.
    pub by: StatementId,
    /// Whether the packet is one of IPv6; else it is one of IPv4.
    pub six: bool,
    /// Where it begins in the frame, `u16`: behind a link header of 14 to 30 bytes.
    pub packet: Value,
    /// How long it says that it is, `u17`; it ends in the frame.
    pub length: Value,
    /// Its type of service or traffic class, `u8`.
    pub service: Value,
    /// The backend, `u16`, whose fixed next hop it takes, where that has one.
    pub backend: Option<(PoolRef, Value)>,
    /// Where it comes from then: one value of 32 bits, or two of 64.
    pub source: Vec<Value>,
    /// Where it goes then.
    pub dest: Vec<Value>,
    /// What changes in it.
    pub edits: Vec<Edit>,
    /// Where packets go on that are longer than what the next hop takes.
    pub long: Target,
    /// Where packets go on for which there is no way.
    pub unreachable: Target,
}

/// Bytes that change, of which the frame has all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Edit {
    /// Where a header begins in the frame, `u16`.
    pub base: Value,
    /// How far behind that.
    pub offset: u16,
    /// 1, 2, 4 or 8, in the network's order.
    pub bytes: u8,
    /// What they become.
    pub value: Value,
}

impl Forward {
    /// Calls `f` with each value in order.
    pub fn operands(&self, mut f: impl FnMut(Value)) {
        self.clone().operands_mut(|value| f(*value));
    }

    /// Calls `f` with each value in order, to change it.
    pub fn operands_mut(&mut self, mut f: impl FnMut(&mut Value)) {
        let Forward { packet, length, service, backend, source, dest, edits, .. } = self;
        [packet, length, service].into_iter().for_each(&mut f);
        backend.iter_mut().for_each(|(_, backend)| f(backend));
        source.iter_mut().chain(dest).for_each(&mut f);
        edits.iter_mut().flat_map(|edit| [&mut edit.base, &mut edit.value]).for_each(f);
    }
}
