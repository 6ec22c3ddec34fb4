//! tc without links: filters of clsact, which nothing can pin.

use crate::instances::{DROP_53, programs_on};
use crate::kills::{kill_after, start};
use crate::support::{Edge, leftovers, packets, require_kernel, say};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use weir_bpf::target::Feature;
use weir_dataplane::{Attached, Error, Hook, Instance, Policy, Report, Request, TcDoor, list_instances};
use weir_kernel::attach::{self, Holder, Occupant};
use weir_kernel::netlink::Interface;
use weir_kernel::netns::Namespace;
use weir_lab::Host;

const BOTH: [&str; 2] = ["in0", "in1"];
const CLSACT: TcDoor = TcDoor::Clsact { priority: 0 };

fn load(edge: &Edge, interfaces: &[&str], hook: Hook, door: TcDoor) -> Result<(Instance, Report), Error> {
    let load = || {
        let request = Request::new(Policy::new("test.weir", DROP_53), interfaces);
        Instance::load(&Request { instance: &edge.instance, hook, door, ..request })
    };
    edge.host().run(load).unwrap()
}

fn load_both(edge: &Edge, hook: Hook) -> Instance {
    load(edge, &BOTH, hook, CLSACT).unwrap_or_else(|error| panic!("{hook}: {error}")).0
}

fn occupants(edge: &Edge, interface: &str) -> Vec<Occupant> {
    edge.host().run(|| attach::occupants(&Interface::named(interface).unwrap()).unwrap()).unwrap()
}

fn filters(edge: &Edge) -> usize {
    BOTH.iter().map(|interface| programs_on(edge, interface)).sum()
}

fn evict(edge: &Edge, interface: &str) {
    occupants(edge, interface).iter().for_each(|occupant| evict_one(edge, interface, occupant));
}

fn evict_one(edge: &Edge, interface: &str, occupant: &Occupant) {
    let evict = || attach::evict(&Interface::named(interface).unwrap(), occupant);
    edge.host().run(evict).unwrap().unwrap();
}

fn directory(edge: &Edge) -> PathBuf {
    weir_kernel::pins::ensure_bpffs().unwrap().join("weir").join(&edge.instance)
}

fn active(instance: &Instance) -> Vec<bool> {
    instance.attachments().unwrap().iter().map(|attached| attached.active).collect()
}

/// How many of ten datagrams arrive.
fn exchange(from: &Host, to: &Host, address: &str, port: u16) -> usize {
    let receiver = to.run(|| UdpSocket::bind((address, port)).unwrap()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let sender = from.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    for _ in 0..10 {
        // `EPERM` is how a socket learns that tc dropped its packet.
        let _ = sender.send_to(b"x", (address, port));
    }
    let mut buffer = [0; 8];
    (0..10).take_while(|_| receiver.recv(&mut buffer).is_ok()).count()
}

/// Arrivals at ports 53 and 80 over both interfaces.
fn arrivals(edge: &Edge, hook: Hook) -> [usize; 4] {
    let (client, host) = (edge.lab.host("client").unwrap(), edge.host());
    let one = |net: u8, port: u16| match hook {
        Hook::TcEgress => exchange(host, client, &format!("10.{net}.0.2"), port),
        _ => exchange(client, host, &format!("10.{net}.0.1"), port),
    };
    [one(1, 53), one(2, 53), one(1, 80), one(2, 80)]
}

#[test]
fn filters_judge_outlive_their_loader_and_leave_nothing() {
    require_kernel!();
    for hook in [Hook::TcIngress, Hook::TcEgress] {
        let edge = Edge::new();
        let instance = load_both(&edge, hook);
        assert_eq!(arrivals(&edge, hook), [0, 0, 10, 10], "{hook}");
        assert_eq!(packets(&instance, "dns"), 20);
        for interface in BOTH {
            let there = occupants(&edge, interface);
            assert!(matches!(there[..], [Occupant { holder: Holder::Filter { .. }, .. }]), "{there:?}");
            assert_eq!(there[0].program_name, "weir_root");
        }
        drop(instance);

        let mut instance = Instance::open(&edge.instance).unwrap();
        assert!(list_instances().unwrap().contains(&edge.instance));
        let attached = instance.status().unwrap().attachments;
        let wanted = BOTH.map(|name| {
            let ifindex = edge.host().run(|| Interface::named(name).unwrap().index).unwrap();
            Attached { interface: name.into(), ifindex, hook, active: true }
        });
        assert_eq!(attached, wanted);
        assert_eq!(arrivals(&edge, hook), [0, 0, 10, 10], "{hook}");

        let report = instance.reload(&Policy::new("test.weir", "drop web when udp.dstport == 80\n")).unwrap();
        assert_eq!(report.generation, 2);
        assert_eq!(arrivals(&edge, hook), [10, 10, 0, 0], "{hook}");
        instance.unload().unwrap();
        assert_eq!(filters(&edge), 0);
        assert_eq!(leftovers(&edge.instance), Vec::<String>::new());
        assert_eq!(arrivals(&edge, hook), [10; 4], "{hook}");
    }
}

#[test]
fn a_target_without_tcx_gets_filters_and_priorities_are_heeded() {
    require_kernel!();
    let edge = Edge::new();
    let old = || {
        let request = Request::new(Policy::new("test.weir", DROP_53), &["in0"]);
        let target = Some(weir_kernel::probe::target().without(Feature::Tcx));
        Instance::load(&Request { instance: &edge.instance, hook: Hook::TcIngress, target, ..request })
    };
    let (instance, _) = edge.host().run(old).unwrap().unwrap();
    assert!(matches!(occupants(&edge, "in0")[0].holder, Holder::Filter { .. }));
    instance.unload().unwrap();

    let door = TcDoor::Clsact { priority: 7 };
    load(&edge, &["in0"], Hook::TcIngress, door).unwrap();
    assert!(matches!(occupants(&edge, "in0")[0].holder, Holder::Filter { priority: 7, .. }));
    weir_dataplane::unload(&edge.instance).unwrap();

    // XDP has one door, and where the target has tcx nobody has to ask for links.
    load(&edge, &["in0"], Hook::XdpGeneric, door).unwrap();
    assert!(matches!(occupants(&edge, "in0")[0].holder, Holder::Link { .. }));
    weir_dataplane::unload(&edge.instance).unwrap();
    if weir_kernel::probe::target().has(Feature::Tcx) {
        load(&edge, &["in0"], Hook::TcIngress, TcDoor::Best).unwrap();
        assert!(matches!(occupants(&edge, "in0")[0].holder, Holder::Link { .. }));
    }
}

#[test]
fn a_filter_that_somebody_removed_is_told() {
    require_kernel!();
    let edge = Edge::new();
    let instance = load_both(&edge, Hook::TcIngress);
    evict(&edge, "in1");
    assert_eq!(active(&instance), [true, false]);
    assert_ne!(instance.attachments().unwrap()[1].ifindex, 0, "the interface is there");
    assert_eq!(arrivals(&edge, Hook::TcIngress), [0, 10, 10, 10]);
    instance.unload().unwrap();
    assert_eq!((filters(&edge), leftovers(&edge.instance)), (0, vec![]));

    // The interface, with all that was on it.
    let instance = load_both(&edge, Hook::TcIngress);
    edge.host().run(|| weir_kernel::netlink::Netlink::open().unwrap().delete_link("in1").unwrap()).unwrap();
    let attached = instance.attachments().unwrap();
    assert_eq!((attached[0].active, attached[1].active, attached[1].ifindex), (true, false, 0));
    instance.unload().unwrap();
    assert_eq!((programs_on(&edge, "in0"), leftovers(&edge.instance)), (0, vec![]));
}

#[test]
fn filters_of_others_stay() {
    require_kernel!();
    let edge = Edge::new();
    let instance = load(&edge, &["in0"], Hook::TcIngress, TcDoor::Clsact { priority: 7 }).unwrap().0;
    let other = format!("{}-b", edge.instance);
    let beside = || {
        let request = Request::new(Policy::new("b.weir", "drop web when udp.dstport == 80\n"), &["in0"]);
        let door = TcDoor::Clsact { priority: 8 };
        Instance::load(&Request { instance: &other, hook: Hook::TcIngress, door, ..request })
    };
    let (second, _) = edge.host().run(beside).unwrap().unwrap();

    // Our filter's place, with a program that is not ours.
    let ours = occupants(&edge, "in0")[0].clone();
    let theirs = occupants(&edge, "in0")[1].clone();
    evict_one(&edge, "in0", &ours);
    let program = weir_kernel::program::Program::from_id(theirs.program_id).unwrap();
    let add = || {
        let interface = Interface::named("in0").unwrap();
        let added =
            attach::attach_tc(&program, &interface, attach::Hook::TcIngress, TcDoor::Clsact { priority: 7 });
        added.unwrap().let_go();
    };
    edge.host().run(add).unwrap();
    assert_eq!(active(&instance), [false]);
    instance.unload().unwrap();
    assert_eq!(programs_on(&edge, "in0"), 2);
    assert_eq!(active(&second), [true]);
    evict_one(&edge, "in0", &occupants(&edge, "in0")[0]);
    second.unload().unwrap();
    assert_eq!(programs_on(&edge, "in0"), 0);
}

/// The second interface has the qdisc that clsact grew out of: a filter for the way out would judge what comes in.
#[test]
fn all_filters_or_none() {
    require_kernel!();
    let edge = Edge::new();
    let occupy = || Command::new("tc").args(["qdisc", "add", "dev", "in1", "ingress"]).status().expect("tc");
    assert!(edge.host().run(occupy).unwrap().success());
    let error = load(&edge, &BOTH, Hook::TcEgress, CLSACT).unwrap_err();
    assert!(error.to_string().starts_with("`in1` refuses the program: its `ingress` qdisc"), "{error}");
    assert_eq!((filters(&edge), leftovers(&edge.instance)), (0, vec![]));

    load_both(&edge, Hook::TcIngress);
    assert_eq!(arrivals(&edge, Hook::TcIngress), [0, 0, 10, 10]);
}

/// What a kill leaves between any two steps, made by hand.
#[test]
fn half_made_filters_go_with_the_next_command() {
    require_kernel!();
    let edge = Edge::new();
    let place = directory(&edge);
    for (stage, without) in [("attaching", 0), ("attaching", 1), ("detaching", 0), ("detaching", 2)] {
        for next in ["open", "unload", "load"] {
            drop(load_both(&edge, Hook::TcIngress));
            std::fs::rename(place.join("links"), place.join(stage)).unwrap();
            BOTH.iter().rev().take(without).for_each(|interface| evict(&edge, interface));
            assert_eq!(filters(&edge), 2 - without);
            assert!(!list_instances().unwrap().contains(&edge.instance));
            let missing = match next {
                "open" => Instance::open(&edge.instance).map(drop),
                "unload" => weir_dataplane::unload(&edge.instance),
                _ => {
                    load_both(&edge, Hook::TcEgress);
                    assert_eq!(filters(&edge), 2, "only the new ones");
                    weir_dataplane::unload(&edge.instance).unwrap();
                    weir_dataplane::unload(&edge.instance)
                }
            };
            assert!(matches!(missing, Err(Error::NoInstance { .. })), "{missing:?}");
            assert_eq!((filters(&edge), leftovers(&edge.instance)), (0, vec![]), "{stage} {next}");
        }
    }
}

/// The work of the process that is killed below.
pub(crate) fn load_and_unload(name: &str, netns: &str) {
    let namespace = Namespace::named(netns).expect("the namespace");
    let target = Some(weir_kernel::probe::target());
    let load = || loop {
        let request = Request::new(Policy::new("test.weir", DROP_53), &BOTH);
        let hook = Hook::TcIngress;
        let request = Request { instance: name, hook, door: CLSACT, target: target.clone(), ..request };
        Instance::load(&request).expect("a load").0.unload().expect("an unload");
    };
    namespace.run(load).expect("the namespace");
}

#[test]
fn kills_leave_no_filter_after_the_next_command() {
    require_kernel!();
    let edge = Edge::new();
    let work = format!("filters in {}", edge.host().namespace().label());
    let (mut attaching, mut detaching, mut without_filters, mut half) = (0, 0, 0, 0);
    for round in 0..40u32 {
        let child = start(&edge.instance, &work);
        let wanted = directory(&edge).join(if round % 2 == 0 { "attaching" } else { "detaching" });
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wanted.exists() {
            assert!(Instant::now() < deadline, "the helper does not come to it");
        }
        kill_after(child, Duration::from_micros(u64::from(round / 2) * 50));
        let left = leftovers(&edge.instance);
        attaching += u32::from(left.contains(&"attaching".to_owned()));
        detaching += u32::from(left.contains(&"detaching".to_owned()));
        match filters(&edge) {
            0 => without_filters += 1,
            1 => half += 1,
            _ => {}
        }
        match Instance::open(&edge.instance) {
            Ok(instance) => {
                assert_eq!(active(&instance), [true, true], "what runs is complete");
                assert_eq!(filters(&edge), 2);
                instance.unload().unwrap();
            }
            Err(error) => assert!(matches!(error, Error::NoInstance { .. }), "{error}"),
        }
        assert_eq!((filters(&edge), leftovers(&edge.instance)), (0, vec![]));
    }
    say(&format!(
        "40 kills: {attaching} while attaching, {detaching} while detaching; {half} with one of two filters, {without_filters} with none"
    ));
    assert!(attaching > 0 && detaching > 0, "the moments were met");
}

#[test]
fn a_filter_whose_pins_are_gone_lets_everything_pass() {
    require_kernel!();
    let edge = Edge::new();
    drop(load_both(&edge, Hook::TcIngress));
    assert_eq!(arrivals(&edge, Hook::TcIngress), [0, 0, 10, 10]);
    std::fs::remove_dir_all(directory(&edge)).unwrap();
    assert_eq!(filters(&edge), 2);
    // The kernel empties it later, by a work queue.
    let deadline = Instant::now() + Duration::from_secs(10);
    while arrivals(&edge, Hook::TcIngress) != [10; 4] {
        assert!(Instant::now() < deadline, "the program array is still filled");
    }
}

#[test]
fn a_namespace_without_a_name_is_found_by_its_processes() {
    require_kernel!();
    let name = format!("test-{}-nameless", std::process::id());
    let mut inside = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().expect("unshare");
    let inode = |path: String| std::fs::read_link(path).unwrap();
    let ours = inode("/proc/self/ns/net".into());
    while inode(format!("/proc/{}/ns/net", inside.id())) == ours {
        std::thread::sleep(Duration::from_millis(1));
    }
    let load = || {
        let request = Request::new(Policy::new("test.weir", DROP_53), &["lo"]);
        Instance::load(&Request { instance: &name, hook: Hook::TcIngress, door: CLSACT, ..request })
    };
    let (instance, _) = Namespace::of_process(inside.id()).unwrap().run(load).unwrap().unwrap();
    assert_eq!(active(&instance), [true]);
    inside.kill().unwrap();
    inside.wait().unwrap();
    let attached = instance.attachments().unwrap();
    assert_eq!((attached[0].active, attached[0].ifindex), (false, 0));
    instance.unload().unwrap();
    assert_eq!(leftovers(&name), Vec::<String>::new());
}
