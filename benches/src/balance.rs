//! `balance`: what it costs to choose a backend for a packet and to send it there, beside what Katran took elsewhere.

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use weir_compiler::codegen::pool_map_name;
use weir_compiler::codegen::pools::{BUSY, Layout, WAY};
use weir_compiler::ir::PoolRef;
use weir_compiler::state::{Backend, PoolState};
use weir_compiler::{Compilation, NoFiles, Options};
use weir_dataplane::engines::{Engine, Kernel};
use weir_kernel::maps::{Map, Update};
use weir_lab::traffic::Random;
use weir_lab::{End, HostSpec, Link, Prefix, Topology};
use weir_packet::build::{Ethernet, Ipv4, Ipv6, Packet, Tcp, TcpFlags, Udp};
use weir_pool::flow;
use weir_pool::ring::{Member, Ring, SIZE};
use weir_pool::slots::Word;

use crate::Failure;
use crate::beside;
use crate::clang::{self, Compiled, Source};
use crate::frames::{self, FRAMES, Frames};
use crate::report::{BalanceRow, MemoryRow, TimeRow};
use crate::times;

/// A policy with a pool of [`BACKENDS`], and frames.
pub(crate) struct Balanced {
    policy: String,
    frames: Frames,
    way: Way,
    /// The transport of the service, where there is a program in C that does the same.
    in_c: Option<u8>,
    /// What Katran took of such frames, elsewhere.
    katran: Option<&'static str>,
    goal: Option<f64>,
}

/// What a packet asks on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is of no service.
    NoService,
    /// The ring, and the fixed next hop.
    Ring,
    /// The ring, then whether its flow is remembered: every slot has changed lately.
    Flows,
    /// Whether its flow is remembered, as all are.
    Tracked,
    /// The ring, and the kernel's routes.
    Routes,
}

pub(crate) type Make = fn() -> Balanced;

/// In this order.
pub(crate) const BALANCES: &[(&str, Make)] = &[
    ("balance-tcp-one", || case(TCP, IPIP, tcp(1, ACK)).in_c(6).beside("94, with its flow cache 104", 75.0)),
    ("balance-tcp-1M", || {
        case(TCP, IPIP, tcp(MILLION, ACK)).in_c(6).beside("98, with its flow cache 425", 85.0)
    }),
    ("balance-udp", || case(UDP, IPIP, udp()).in_c(17).beside("134", 75.0)),
    ("balance-syn", || {
        case(TCP, IPIP, tcp(MILLION, SYN)).in_c(6).beside("112, without its guard 387–731", 85.0)
    }),
    ("balance-v6", || Balanced { policy: policy6(), ..case(TCP, IPIP, tcp6()) }.beside("122", 90.0)),
    ("balance-gue", || case(TCP, GUE, tcp(FRAMES, ACK)).beside("322", 110.0)),
    ("balance-none", || {
        Balanced { way: Way::NoService, ..case(TCP, IPIP, elsewhere()) }.in_c(6).beside("49", 25.0)
    }),
    ("balance-services", || {
        let any = |random: &mut Random| services()[random.below(SERVICES.into()) as usize];
        Balanced { policy: many_services(), ..case(TCP, IPIP, tcp_to(any, FRAMES, ACK)) }
    }),
    ("balance-services-none", || {
        let none = Balanced { way: Way::NoService, ..case(TCP, IPIP, elsewhere()) };
        Balanced { policy: many_services(), ..none }.beside("49", 25.0)
    }),
    ("balance-l2", || case(TCP, L2, tcp(FRAMES, ACK))),
    ("balance-routes", || {
        let policy = policy("", TCP, IPIP);
        Balanced { policy, way: Way::Routes, ..case(TCP, IPIP, tcp(FRAMES, ACK)) }
    }),
    ("balance-nat-one", || case(TCP, NAT, tcp(1, ACK))),
    ("balance-nat-1M", || case(TCP, NAT, tcp(MILLION, ACK))),
    ("balance-flows-1k", || Balanced { way: Way::Flows, ..case(TCP, IPIP, tcp(1_000, ACK)) }),
    ("balance-flows-syn", || Balanced { way: Way::Flows, ..case(TCP, IPIP, tcp(MILLION, SYN)) }),
    ("balance-tracked-one", || tracked(tcp(1, ACK), "")),
    ("balance-tracked-1k", || tracked(tcp(1_000, ACK), "")),
    ("balance-tracked-1M", || tracked(tcp(MILLION, ACK), "flows 4M")),
    ("balance-tracked-syn", || tracked(tcp(MILLION, SYN), "")),
];

const BACKENDS: u16 = 100;
const MILLION: usize = 1_000_000;
const SERVICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const SERVICE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// What the service is.
const TCP: &str = "ip.dst == 203.0.113.10 and tcp.dstport == 443";
const UDP: &str = "ip.dst == 203.0.113.10 and udp.dstport == 443";
/// What frames have.
const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;
/// The outer source says which flow it is, as Katran's does.
const IPIP: &str = "via ipip from (172.16.0.0/16, 100::/64)";
const GUE: &str = "via gue from 192.0.2.1";
const L2: &str = "via l2";
/// Two million flows.
const NAT: &str = "via nat from 192.0.2.0/26";
const GATEWAY: &str = "gateway 02:00:00:00:00:09";

/// As many services as Katran had when its figures were taken.
const SERVICES: u16 = 111;

pub(crate) fn measure(
    name: &str,
    make: Make,
    options: &Options,
    with_c: bool,
    rounds: usize,
) -> Result<BalanceRow, Failure> {
    let mut case = make();
    case.in_c = case.in_c.filter(|_| with_c);
    if case.way != Way::Routes {
        return measure_here(name, &case, options, rounds, None);
    }
    let end = |host, last| End::new(host, "eth0").address(Prefix::new([10, 1, 0, last], 24));
    let edge = HostSpec::new("edge").forwarding().route(Prefix::new([10, 0, 0, 0], 16), [10, 1, 0, 2]);
    let router = HostSpec::new("router");
    let wire = Link::new(end("edge", 1), end("router", 2));
    let lab = Topology::new().host(edge).host(router).link(wire).build()?;
    let edge = lab.host("edge")?;
    let ingress = Some(edge.interface("eth0")?.index);
    let row = || measure_here(name, &case, options, rounds, ingress).map_err(|failure| failure.to_string());
    Ok(edge.run(row)??)
}

fn measure_here(
    name: &str,
    case: &Balanced,
    options: &Options,
    rounds: usize,
    ingress: Option<u32>,
) -> Result<BalanceRow, Failure> {
    let compilation = crate::compile(name, &case.policy, &NoFiles, options)?;
    let mut kernel = Kernel::load(&compilation)?;
    if case.way == Way::Flows {
        unsettle(section(&kernel, &compilation), &layout(&compilation))?;
    }
    let c = case.in_c.map(|transport| in_c(&compilation, transport)).transpose()?;
    let others = Vec::from_iter(c.as_ref().map(|compiled| compiled.program()));
    for other in &others {
        let some = &case.frames[..FRAMES.min(case.frames.len())];
        beside::agree_on_what_leaves(kernel.program(), other, some)
            .map_err(|failure| format!("case `{name}`: {failure}"))?;
    }
    let measured = beside::measure_from(ingress, kernel.program(), &others, &case.frames, rounds)?;
    all_went(&mut kernel, case.way).map_err(|failure| format!("case `{name}`: {failure}"))?;
    let remembered = match case.way {
        Way::Flows | Way::Tracked => Some(remembered(section(&kernel, &compilation), &layout(&compilation))?),
        _ => None,
    };
    Ok(BalanceRow {
        name: name.to_owned(),
        frames: case.frames.len(),
        weir: measured.weir,
        c: measured.others.first().copied(),
        katran: case.katran,
        goal: case.goal,
        instructions: kernel.program().info()?.translated_bytes / 8,
        remembered,
    })
}

/// An error if a frame that was measured did not go the way that the case is about.
fn all_went(kernel: &mut Kernel<'_>, way: Way) -> Result<(), Failure> {
    let counters = kernel.counters()?;
    let packets =
        |name: &str| counters.iter().find(|counter| counter.name == name).map_or(0, |it| it.packets);
    let (met, not_met) = if way == Way::NoService { ("default", "web") } else { ("web", "default") };
    let unsent: Vec<_> = counters.iter().filter_map(|counter| counter.unsent).collect();
    let all_sent = unsent.iter().all(|unsent| *unsent == Default::default());
    match packets(met) > 0 && packets(not_met) == 0 && all_sent {
        true => Ok(()),
        false => {
            let (met, not_met) = (packets(met), packets(not_met));
            Err(format!("{met} frames went its way, {not_met} did not; not sent: {unsent:?}").into())
        }
    }
}

/// A pool of the backends 10.0.1.1 to 10.0.1.100 and what it says of itself.
fn policy(pool: &str, when: &str, via: &str) -> String {
    let mut policy = "pool web {\n".to_owned();
    for number in 1..=BACKENDS {
        let _ = writeln!(policy, "    10.0.1.{number}");
    }
    let _ = writeln!(policy, "    {pool}\n}}\nbalance web when {when} to web {via}");
    policy
}

fn policy6() -> String {
    let when = "ip.dst == 2001:db8::10 and tcp.dstport == 443";
    policy(GATEWAY, when, IPIP).replace("    10.0.1.", "    2001:db8:1::")
}

/// No neighbours, which would be one range.
fn services() -> Vec<Ipv4Addr> {
    let service = |number: u16| Ipv4Addr::new(203, 0, (number * 97 % 251) as u8, (number * 61 % 253) as u8);
    (1..=SERVICES).map(service).collect()
}

fn many_services() -> String {
    let services: Vec<String> = services().iter().map(Ipv4Addr::to_string).collect();
    let set = format!("set services : ip = {{ {} }}\n", services.join(", "));
    set + &policy(GATEWAY, "ip.dst in services and tcp.dstport == 443", IPIP)
}

fn case(when: &str, via: &str, frames: Frames) -> Balanced {
    let policy = policy(GATEWAY, when, via);
    Balanced { policy, frames, way: Way::Ring, in_c: None, katran: None, goal: None }
}

/// A pool that remembers all flows.
fn tracked(frames: Frames, room: &str) -> Balanced {
    let policy = policy(&format!("{GATEWAY}\n    track all\n    {room}"), TCP, IPIP);
    Balanced { policy, way: Way::Tracked, ..case(TCP, IPIP, frames) }
}

impl Balanced {
    fn in_c(self, transport: u8) -> Balanced {
        Balanced { in_c: Some(transport), ..self }
    }

    fn beside(self, katran: &'static str, goal: f64) -> Balanced {
        Balanced { katran: Some(katran), goal: Some(goal), ..self }
    }
}

/// Without VLAN tags, which Katran does not know.
fn link() -> Packet {
    Packet::new().push(Ethernet::default())
}

/// Flows of so many clients.
fn tcp(count: usize, flags: TcpFlags) -> Frames {
    tcp_to(|_| SERVICE, count, flags)
}

/// Flows that are of no service, but of the networks of some.
fn elsewhere() -> Frames {
    tcp_to(|random| Ipv4Addr::new(203, 0, random.below(251) as u8, 253), FRAMES, ACK)
}

fn tcp_to(target: impl Fn(&mut Random) -> Ipv4Addr, count: usize, flags: TcpFlags) -> Frames {
    frames::draw(count, |random| {
        let header = Ipv4::new(frames::any_ip4(random), target(random));
        link().push(header).push(Tcp::new(random.port(), 443).flags(flags))
    })
}

fn udp() -> Frames {
    frames::draw(FRAMES, |random| {
        link().push(Ipv4::new(frames::any_ip4(random), SERVICE)).push(Udp::new(random.port(), 443))
    })
}

fn tcp6() -> Frames {
    frames::draw(FRAMES, |random| {
        let header = Ipv6::new(frames::any_ip6(random), SERVICE6);
        link().push(header).push(Tcp::new(random.port(), 443).flags(TcpFlags::ACK))
    })
}

/// C with the same backends in the same slots.
fn in_c(compilation: &Compilation, transport: u8) -> Result<Compiled, Failure> {
    let pool = &compilation.analysis.policy.pools[0];
    let state = PoolState::of(pool);
    let slot = |(slot, word): (u32, &Word)| (slot.to_ne_bytes().to_vec(), number(word.now()));
    let backend = |(number, backend): (&u16, &Backend)| {
        let (IpAddr::V4(address), Some(hop)) = (backend.address, backend.hop) else { return None };
        let value = [&address.octets()[..], &hop.to, &hop.mtu.to_ne_bytes()].concat();
        Some((self::number(*number), value))
    };
    clang::compile(&Source {
        defines: vec![format!("PROTOCOL={transport}"), format!("SEED={:#x}ull", flow::seed(&pool.name))],
        fill: vec![
            ("ring", (0..).zip(&state.slots).map(slot).collect()),
            ("backends", state.backends.iter().filter_map(backend).collect()),
        ],
        ..Source::plain("balance.c")
    })
}

fn number(of: u16) -> Vec<u8> {
    u32::from(of).to_ne_bytes().to_vec()
}

fn layout(compilation: &Compilation) -> Layout {
    Layout::declared(&compilation.analysis.policy.pools[0])
}

fn section<'a>(kernel: &'a Kernel<'_>, compilation: &Compilation) -> &'a Map {
    let name = pool_map_name(&compilation.lowered.program, PoolRef(0));
    kernel.map(&name).expect("a pool has a section")
}

/// Every slot gets another backend for flows that no one remembers than for new ones, as if the pool had just changed.
fn unsettle(section: &Map, layout: &Layout) -> Result<(), Failure> {
    let mut bytes = section.lookup(&[0; 4])?.unwrap_or_default();
    let slots = layout.slots() as usize..(layout.slots() + 4 * layout.slot_count()) as usize;
    for slot in bytes[slots].chunks_exact_mut(4) {
        let now = u16::from_ne_bytes([slot[0], slot[1]]);
        let word = u32::from(now % BACKENDS + 1) << 16 | u32::from(now);
        slot.copy_from_slice(&word.to_ne_bytes());
    }
    Ok(section.update(&[0; 4], &bytes, Update::Any)?)
}

/// How many flows are written down; an error if none is, since then packets did not ask.
fn remembered(section: &Map, layout: &Layout) -> Result<usize, Failure> {
    let bytes = section.lookup(&[0; 4])?.unwrap_or_default();
    let ways = bytes[layout.flows() as usize..].chunks_exact(WAY as usize);
    let tag = |way: &[u8]| u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|at| way[at]));
    match ways.filter(|way| tag(way) > BUSY).count() {
        0 => Err("no flow is remembered".into()),
        flows => Ok(flows),
    }
}

/// What one pool takes of the kernel's memory.
pub(crate) fn memory(options: &Options) -> Result<MemoryRow, Failure> {
    let compilation = crate::compile("pool", &policy(GATEWAY, TCP, L2), &NoFiles, options)?;
    let bytes = layout(&compilation).bytes();
    Ok(MemoryRow { name: "a pool of 100 backends, with its ring and its flows", bytes, goal: 1 << 20 })
}

/// What a change of a large pool takes first.
pub(crate) fn ring(rounds: usize) -> TimeRow {
    let identities: Vec<[u8; 6]> = (0..1_000u16).map(identity).collect();
    let members = (1..).zip(&identities).map(|(number, identity)| Member { identity, weight: 1, number });
    let members: Vec<Member<'_>> = members.collect();
    let build = || drop(black_box(Ring::build(&members, SIZE)));
    times::row("build a ring for 1,000 backends", Duration::from_millis(20), rounds, build)
}

/// Of a backend without a port.
fn identity(number: u16) -> [u8; 6] {
    let [high, low] = number.to_be_bytes();
    [10, 0, high, low, 0, 0]
}
