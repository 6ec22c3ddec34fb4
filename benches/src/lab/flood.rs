//! More packets than an edge can carry: how many reach the servers, and what each takes.

use std::time::Duration;

use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_bpf::program::Program as Code;
use weir_kernel::attach::{self, Attachment, Hook};
use weir_kernel::load::{self, Loaded, Options};
use weir_kernel::netlink::Interface;
use weir_kernel::run::{self, LiveRun};
use weir_packet::build::{Ethernet, Ipv4, Packet, Udp};

use super::FIRST;
use super::edges::{Balancer, Edge, SERVICE, SINK};
use crate::Failure;
use crate::report::FloodRow;
use crate::spread::{Ratio, Spread};
use crate::threads;
use crate::veth::generator::{DROP, drop_all, elf, finish};

/// Frames of one measurement: tens of milliseconds.
const BURST: u32 = 300_000;

/// What is sent, and from where.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// Bytes of each frame.
    length: usize,
    sender: Sender,
}

/// On which CPU the generator works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// On another one than the edge, which has as much to do as it can: frames come from a cache that is not its own.
    Elsewhere,
    /// On the edge's, which goes before it: nothing is lost, and frames are where the edge finds them at once.
    Here,
}

/// The shortest frames, and long ones that leave room for another header.
pub(super) const CASES: [Case; 3] = [
    Case { length: 60, sender: Sender::Elsewhere },
    Case { length: 60, sender: Sender::Here },
    Case { length: 1414, sender: Sender::Elsewhere },
];

/// Turns for one round of the other cases.
const TURNS: usize = 4;

/// Flows, told apart by their source port. All of them are known, to whoever remembers flows, before anything is measured.
const FLOWS: i32 = 1 << 14;

/// Bursts that make all flows known.
const WARM: usize = 5;

/// After a burst, until receivers have had all of it and sleep.
const SETTLE: Duration = Duration::from_millis(4);

/// What the generator writes of each frame: whatever it met on its last way is gone. Ethernet, IPv4 and UDP, in words.
const WRITTEN: usize = 44;
const HEADERS: usize = 42;
const SRCPORT: i16 = 34;

const SEND: &str = "send";
const DROPPED: i32 = 1;
const SENT_BACK: i32 = 3;
/// An odd number whose multiples visit all flows, far from each other.
const STEP: i32 = 0x9e37_79b9_u32 as i32;

/// One turn of one edge.
#[derive(Clone, Copy)]
struct Turn {
    /// Packets that came to servers, in millions a second.
    arrived: f64,
    /// Of those sent.
    part: f64,
    /// Nanoseconds of the edge's CPU for each that came.
    cpu: f64,
    /// Of the time, the edge was at work.
    busy: f64,
}

/// An edge under flood. Dropping it lets its servers receive again.
struct Flooded<'a> {
    edge: &'a Edge,
    generator: Loaded,
    frame: Vec<u8>,
    ingress: u32,
    sender: Sender,
    _sinks: Vec<Sink>,
}

/// Ends drop all that comes, by XDP: the edge's CPU does it, and for packets of the stack as well nothing takes less.
struct Sink {
    _attachment: Attachment,
    _loaded: Loaded,
}

pub(super) fn measure(edges: &[Edge], case: Case, rounds: usize) -> Result<Vec<FloodRow>, Failure> {
    let edges = edges.iter().filter(|edge| edge.balancer != Balancer::Haproxy);
    let flooded = edges.map(|edge| Flooded::prepare(edge, case)).collect::<Result<Vec<_>, _>>()?;
    let mut turns = vec![Vec::new(); flooded.len()];
    for flooded in &flooded {
        flooded.check()?;
    }
    for turn in 0..rounds * TURNS {
        for index in 0..flooded.len() {
            let index = (turn + index) % flooded.len();
            turns[index].push(flooded[index].burst()?);
        }
    }
    let of = |index: usize, figure: fn(&Turn) -> f64| turns[index].iter().map(figure).collect::<Vec<f64>>();
    let first = flooded.iter().position(|flooded| flooded.edge.balancer == FIRST).unwrap_or(0);
    let row = |(index, flooded): (usize, &Flooded<'_>)| FloodRow {
        name: flooded.edge.balancer.name(),
        length: case.length,
        sender: if case.sender == Sender::Here { "the same CPU" } else { "another CPU" },
        arrived: Spread::of(of(index, |turn| turn.arrived)),
        part: Spread::of(of(index, |turn| turn.part)).middle,
        cpu: Spread::of(of(index, |turn| turn.cpu)),
        busy: Spread::of(of(index, |turn| turn.busy)).middle,
        first_over_it: Ratio::of(&of(first, |turn| turn.arrived), &of(index, |turn| turn.arrived)),
        it_over_first: Ratio::of(&of(index, |turn| turn.cpu), &of(first, |turn| turn.cpu)),
    };
    Ok(flooded.iter().enumerate().map(row).collect())
}

impl<'a> Flooded<'a> {
    fn prepare(edge: &'a Edge, case: Case) -> Result<Self, Failure> {
        for thread in &edge.threads {
            threads::prefer(*thread, 2)?;
        }
        let client = edge.client()?.interface(&edge.clients_interface())?;
        let packet = Packet::new()
            .push(Ethernet::new(client.mac, client.peer))
            .push(Ipv4::new([10, 1, 0, 2], SERVICE))
            .push(Udp::new(1, SINK).without_checksum())
            .payload(vec![0; case.length - HEADERS]);
        let frame = packet.build();
        let number = MapDef::new("number", MapKind::Array, MapType::U32, MapType::U64, 1);
        let generator = load::load(&elf(send(&frame), vec![number]), Options::default())?;
        let sinks = edge.ends().into_iter().map(|end| Sink::start(edge, end));
        let sinks = sinks.collect::<Result<_, _>>()?;
        Ok(Flooded { edge, generator, frame, ingress: client.index, sender: case.sender, _sinks: sinks })
    }

    /// Everything arrives while there is little of it, and at all servers; then all flows are known.
    fn check(&self) -> Result<(), Failure> {
        const FEW: u32 = 128;
        const TIMES: u32 = 20;
        let before = self.edge.arrived()?;
        for _ in 0..TIMES {
            self.send(FEW)?;
        }
        std::thread::sleep(SETTLE);
        let after = self.edge.arrived()?;
        let each: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let (sent, sum) = (u64::from(FEW * TIMES), each.iter().sum::<u64>());
        let shared = self.edge.balancer.is_bare() || each.iter().all(|one| *one > sent / 3);
        // The stack says a word of its own now and then.
        if sum.abs_diff(sent) > sent / 100 || !shared {
            let name = self.edge.balancer.name();
            return Err(format!("{name}: of {sent} frames {each:?} arrived").into());
        }
        (0..WARM).try_for_each(|_| self.burst().map(drop))
    }

    fn burst(&self) -> Result<Turn, Failure> {
        let (before, cpu) = (self.edge.arrived()?.iter().sum::<u64>(), self.edge.cpu()?);
        let each = self.send(BURST)?;
        std::thread::sleep(SETTLE);
        let arrived = (self.edge.arrived()?.iter().sum::<u64>() - before) as f64;
        let (cpu, sending) = ((self.edge.cpu()? - cpu).as_secs_f64(), each.as_secs_f64() * f64::from(BURST));
        // The kernel stops the generator's clock while it gives way.
        let time = if self.sender == Sender::Here { sending + cpu } else { sending };
        Ok(Turn {
            arrived: arrived / time / 1e6,
            part: arrived / f64::from(BURST),
            cpu: cpu * 1e9 / arrived.max(1.0),
            busy: cpu / time,
        })
    }

    /// How long each frame took.
    fn send(&self, count: u32) -> Result<Duration, Failure> {
        let cpu = if self.sender == Sender::Here { threads::receiver() } else { threads::SENDER };
        let send = || -> Result<Duration, String> {
            threads::go_first(cpu)?;
            let program = self.generator.program(SEND).expect("loaded under its name");
            let run = LiveRun { frame: &self.frame, repeat: count, batch: 0, ingress: self.ingress };
            run::live(program, &run).map_err(|error| error.to_string())
        };
        Ok(self.edge.client()?.run(send)??)
    }
}

impl Sink {
    fn start(edge: &Edge, (host, interface): (String, String)) -> Result<Self, Failure> {
        let loaded = load::load(&drop_all(), Options::default())?;
        let program = loaded.program(DROP).expect("just loaded");
        let attach = || {
            let interface = Interface::named(&interface).map_err(|error| error.to_string())?;
            attach::attach(program, &interface, Hook::XdpNative).map_err(|error| error.to_string())
        };
        let attachment = edge.lab.host(&host)?.run(attach)??;
        Ok(Sink { _attachment: attachment, _loaded: loaded })
    }
}

/// Each frame anew, with the next flow's port, back to the interface.
fn send(frame: &[u8]) -> Code {
    let mut asm = Assembler::new(SEND, "xdp");
    let lost = asm.label();
    asm.emit(Insn::load(Size::W, Reg::R6, Reg::R1, 0));
    asm.emit(Insn::load(Size::W, Reg::R7, Reg::R1, 4));
    asm.emit(Insn::mov(Reg::R2, Reg::R6));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, WRITTEN as i32));
    asm.branch(Cond::Gt, Width::W64, Reg::R2, Reg::R7, lost);
    asm.emit(Insn::store(Size::W, Reg::R10, -4, 0));
    asm.emit(Insn::LdMap { dst: Reg::R1, map: MapId(0) });
    asm.emit(Insn::mov(Reg::R2, Reg::R10));
    asm.emit(Insn::alu(AluOp::Add, Reg::R2, -4));
    asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, lost);
    for (index, word) in frame[..WRITTEN].chunks_exact(4).enumerate() {
        let word = i32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        asm.emit(Insn::store(Size::W, Reg::R6, 4 * index as i16, word));
    }
    asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
    asm.emit(Insn::alu(AluOp::Add, Reg::R1, STEP));
    asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
    asm.emit(Insn::alu(AluOp::And, Reg::R1, FLOWS - 1));
    // No port is zero.
    asm.emit(Insn::alu(AluOp::Or, Reg::R1, FLOWS));
    asm.emit(Insn::store(Size::H, Reg::R6, SRCPORT, Reg::R1));
    asm.emit(Insn::mov32(Reg::R0, SENT_BACK));
    asm.emit(Insn::Exit);
    asm.bind(lost);
    asm.emit(Insn::mov32(Reg::R0, DROPPED));
    asm.emit(Insn::Exit);
    finish(asm)
}
