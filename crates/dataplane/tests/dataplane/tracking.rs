//! Pools that remember all flows.

use crate::pools::{Balanced, Clients, Lasting, SERVERS, backend, connections, policy, server};
use crate::support::{require_kernel, say};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_bpf::target::Target;
use weir_compiler::codegen::pool_map_name;
use weir_compiler::codegen::pools::{BUSY, Layout, WAY};
use weir_compiler::ir::PoolRef;
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::engines::{Bytecode, Engine};
use weir_dataplane::{Instance, Policy};
use weir_packet::build::{Ethernet, Ipv4, Packet, Tcp, TcpFlags};

/// Waits until no slot says that it changed lately; connections are silent meanwhile.
fn settle(instance: &Instance) {
    let unsettled = || instance.pool("web").and_then(|pool| pool.status()).expect("the pool").unsettled;
    for _ in 0..100 {
        instance.tend_pools().expect("tended");
        if unsettled() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("{} slots do not settle", unsettled());
}

#[test]
fn flows_that_are_all_remembered_stay_however_long_they_are_silent() {
    require_kernel!();
    let lab = Balanced::new();
    let _servers: Vec<Lasting> =
        (1..=SERVERS).map(|number| Lasting::start(lab.host(&server(number)), number)).collect();
    let mut instance = lab.load(&policy(1..=SERVERS, "    settle 1s\n    track all\n"));
    let pool = instance.pool("web").expect("the pool");
    let mut clients = Clients::connect(lab.host("client"), connections());
    let status = pool.status().expect("status");
    assert_eq!((status.flows, status.track, status.unsettled), (connections(), "all", 0));

    // Nearly all slots become one backend's, settle while nobody speaks, and become another's.
    for heavy in [1, 2] {
        pool.weigh(backend(heavy), 60_000).expect("weighed");
        settle(&instance);
        assert_eq!(pool.status().expect("status").flows, connections(), "silent flows are remembered");
        assert_eq!(clients.broken(), BTreeMap::new(), "weights changed");
    }

    let mut reload = |what: &str, more: &str| {
        let report =
            instance.reload(&Policy::new("pools.weir", &policy(1..=SERVERS, more))).expect("reloads");
        assert!(report.kept.contains(&"pool web".to_owned()), "{what}: {:?}", report.kept);
        assert_eq!(clients.broken(), BTreeMap::new(), "{what}");
    };
    reload("another ring", "    settle 1s\n    track all\n    ring 4099\n");
    reload("room for more", "    settle 1s\n    track all\n    ring 4099\n    flows 64k\n");
    // Who remembers only what changes must not forget those that stand elsewhere than their slots say.
    reload("fewer are remembered", "    settle 1s\n    ring 4099\n    flows 64k\n");
    let status = pool.status().expect("status");
    assert!(status.unsettled > 0 && status.flows < connections(), "{status:?}");
    reload("fewer, and room for fewer", "    settle 1s\n    ring 4099\n");
    reload("all again", "    settle 1s\n    track all\n    ring 4099\n");
    reload("fewer once more, in another section", "    settle 1s\n    ring 4099\n    flows 64k\n");

    // One is taken out: its connections go, and no others; no flow holds its number for longer than it may be silent.
    reload("all at last", "    settle 1s\n    track all\n    ring 4099\n    flows 64k\n");
    pool.remove(backend(3)).expect("removed");
    let mut gone = clients.broken();
    assert_eq!(gone.remove(&3), clients.servers().get(&3).copied(), "{gone:?}");
    assert_eq!(gone, BTreeMap::new());
    say(&format!("{} connections, {} flows remembered", connections(), pool.status().expect("status").flows));
}

/// A pool of one backend and four flows, in the bytecode's interpreter, whose time is ours.
struct Small<'a> {
    engine: Bytecode<'a>,
    section: String,
    flows: usize,
}

fn small() -> Compilation {
    let text = "pool web {\n    10.0.1.1 mac 02:00:00:00:00:11\n    track all\n    settle 30s\n    flows 4\n    ring 3\n}\n\
                balance web when tcp to web\n";
    let options = Options::new(Target::newest(), Hook::Xdp);
    compile("small.weir", text, &NoFiles, &options)
        .unwrap_or_else(|analysis| panic!("{:?}", analysis.diagnostics))
}

impl Small<'_> {
    fn new(compilation: &Compilation) -> Small<'_> {
        let layout = Layout::declared(&compilation.analysis.policy.pools[0]);
        Small {
            engine: Bytecode::new(compilation),
            section: pool_map_name(&compilation.lowered.program, PoolRef(0)),
            flows: layout.flows() as usize,
        }
    }

    /// A packet of a flow.
    fn packet(&mut self, flow: u16, flags: TcpFlags, second: u64) {
        let ip = Ipv4::new([198, 51, 100, 7], [203, 0, 113, 10]);
        let frame =
            Packet::new().push(Ethernet::default()).push(ip).push(Tcp::new(flow, 443).flags(flags)).build();
        let judged = self.engine.judge(&frame, second << 30).expect("judged");
        assert_eq!(judged.verdict, weir_compiler::ir::Verdict::Send);
    }

    /// The tags of the flows that are remembered.
    fn tags(&self) -> Vec<u64> {
        let map = self.engine.vm.maps.by_name(&self.section).expect("a section");
        let section = self.engine.vm.maps.lookup(map, &[0; 4]).expect("its bytes");
        let tag = |way: &[u8]| u64::from_ne_bytes(way[..8].try_into().expect("eight bytes"));
        section[self.flows..].chunks_exact(WAY as usize).map(tag).filter(|tag| *tag > BUSY).collect()
    }
}

#[test]
fn only_flows_that_are_silent_or_half_open_give_way() {
    let compilation = small();
    let mut small = Small::new(&compilation);
    // Of one flow a second packet comes, which shows that it is no flood's; of the others only a SYN or a single packet.
    small.packet(1, TcpFlags::SYN, 100);
    small.packet(1, TcpFlags::ACK, 100);
    small.packet(2, TcpFlags::SYN, 100);
    small.packet(2, TcpFlags::SYN, 100);
    small.packet(3, TcpFlags::ACK, 100);
    small.packet(4, TcpFlags::ACK, 101);
    small.packet(4, TcpFlags::ACK, 101);
    let first = small.tags();
    assert_eq!(first.len(), 4);
    small.packet(5, TcpFlags::ACK, 103);
    assert_eq!(small.tags(), first, "no room, and the packet is sent all the same");
    small.packet(5, TcpFlags::ACK, 104);
    small.packet(6, TcpFlags::ACK, 104);
    small.packet(7, TcpFlags::ACK, 104);
    let second = small.tags();
    assert_eq!([second[0], second[3]], [first[0], first[3]], "the half-open ones gave way");
    assert!(second[1] != first[1] && second[2] != first[2]);
    small.packet(5, TcpFlags::ACK, 105);
    small.packet(6, TcpFlags::ACK, 105);
    // The first flow speaks again, the fourth one does not.
    small.packet(1, TcpFlags::ACK, 120);
    // Times are rounded down, so that thirty seconds are certain after 29 of these, which are longer.
    small.packet(8, TcpFlags::ACK, 129);
    assert_eq!(small.tags(), second, "nobody was silent for thirty seconds");
    small.packet(8, TcpFlags::ACK, 130);
    let third = small.tags();
    assert_eq!(third[..3], second[..3], "the fourth flow gave way, and no other");
    assert_ne!(third[3], second[3]);
}
