use crate::support::{Edge, leftovers, packets, require_kernel};
use weir_dataplane::{Error, Hook, Instance, list_instances};
use weir_kernel::attach::{self, occupants};
use weir_kernel::netlink::Interface;

pub(crate) const DROP_53: &str = "drop dns when udp.dstport == 53\n";

pub(crate) fn programs_on(edge: &Edge, interface: &str) -> usize {
    let look = || occupants(&Interface::named(interface).unwrap()).unwrap().len();
    edge.host().run(look).unwrap()
}

#[test]
fn a_policy_judges_outlives_its_loader_and_leaves_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, report) = edge.load(DROP_53);
    assert_eq!((report.generation, report.instance.as_str()), (1, edge.instance.as_str()));
    assert_eq!(report.fresh, ["statement default", "statement dns"]);
    edge.send(53, 1000);
    edge.send(80, 500);
    assert_eq!((packets(&instance, "dns"), packets(&instance, "default")), (1000, 500));
    drop(instance);

    let instance = Instance::open(&edge.instance).unwrap();
    edge.send(53, 10);
    let counters = instance.counters().unwrap();
    assert_eq!(
        (counters[0].packets, counters[0].bytes, counters[0].action.as_str()),
        (1010, 101_000, "drop")
    );
    assert!(list_instances().unwrap().contains(&edge.instance));
    let status = instance.status().unwrap();
    assert_eq!((status.policy.as_str(), status.hook), ("test.weir", Hook::XdpNative));
    assert!(status.attachments.iter().all(|attached| attached.active && attached.interface == "in0"));
    assert_eq!(instance.policy_text().unwrap(), DROP_53);

    instance.unload().unwrap();
    assert_eq!(leftovers(&edge.instance), Vec::<String>::new());
    assert_eq!(programs_on(&edge, "in0"), 0);
    assert!(!list_instances().unwrap().contains(&edge.instance));
    let gone = Instance::open(&edge.instance).unwrap_err();
    assert!(matches!(gone, Error::NoInstance { .. }), "{gone}");
}

#[test]
fn every_hook_on_several_interfaces() {
    require_kernel!();
    for hook in [Hook::XdpNative, Hook::XdpGeneric, Hook::TcIngress, Hook::TcEgress] {
        let edge = Edge::new();
        let (mut instance, _) =
            edge.try_load(DROP_53, &["in0", "in1"], hook).unwrap_or_else(|error| panic!("{hook}: {error}"));
        let attached = instance.attachments().unwrap();
        assert_eq!(attached.iter().map(|a| a.interface.as_str()).collect::<Vec<_>>(), ["in0", "in1"]);
        assert!(attached.iter().all(|attached| attached.active && attached.hook == hook), "{attached:?}");
        edge.send(53, 100);
        if hook != Hook::TcEgress {
            assert_eq!(packets(&instance, "dns"), 100, "{hook}");
        }
        let policy = weir_dataplane::Policy::new("test.weir", "count all\ndrop dns when udp.dstport == 53\n");
        let report = instance.reload(&policy).unwrap_or_else(|error| panic!("{hook}: {error}"));
        assert!(report.kept.contains(&"statement dns".to_owned()), "{report:?}");
        edge.send(53, 100);
        if hook != Hook::TcEgress {
            assert_eq!((packets(&instance, "dns"), packets(&instance, "all")), (200, 100), "{hook}");
        }
        instance.unload().unwrap();
        assert_eq!(programs_on(&edge, "in0") + programs_on(&edge, "in1"), 0);
    }
}

#[test]
fn egress_judges_what_leaves() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.try_load(DROP_53, &["in0"], Hook::TcEgress).unwrap();
    let send = |port: u16| {
        let socket = std::net::UdpSocket::bind("10.1.0.1:0").unwrap();
        // `EPERM` is how a socket learns that tc dropped its packet.
        (0..10).filter(|_| socket.send_to(b"x", ("10.1.0.2", port)).is_ok()).count()
    };
    edge.host().run(|| send(80)).unwrap();
    edge.host().run(|| send(53)).unwrap();
    assert_eq!(packets(&instance, "dns"), 10);
    assert!(packets(&instance, "default") >= 10);
}

#[test]
fn an_interface_that_is_gone_is_told() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.try_load(DROP_53, &["in0", "in1"], Hook::XdpNative).unwrap();
    edge.host().run(|| weir_kernel::netlink::Netlink::open().unwrap().delete_link("in1").unwrap()).unwrap();
    let attached = instance.attachments().unwrap();
    assert_eq!((attached[0].active, attached[1].active, attached[1].ifindex), (true, false, 0));
    instance.reload(&weir_dataplane::Policy::new("test.weir", "count all\n")).unwrap();
    edge.send(53, 10);
    assert_eq!(packets(&instance, "all"), 10);
    instance.unload().unwrap();
    assert_eq!(leftovers(&edge.instance), Vec::<String>::new());
}

#[test]
fn all_interfaces_or_none() {
    require_kernel!();
    let edge = Edge::new();
    let error = edge.try_load(DROP_53, &["in0", "lo"], Hook::XdpNative).unwrap_err();
    assert!(error.to_string().contains("no native XDP"), "{error}");
    assert_eq!(leftovers(&edge.instance), Vec::<String>::new());
    assert_eq!(programs_on(&edge, "in0"), 0);

    let error = edge.try_load(DROP_53, &["in0", "in7"], Hook::XdpNative).unwrap_err();
    assert_eq!(error.to_string(), "there is no interface `in7`; `ip link` lists those there are");
    let error = edge.try_load(DROP_53, &["in0", "in0"], Hook::XdpNative).unwrap_err();
    assert_eq!(error.to_string(), "interface `in0` is named twice");
    let error = edge.try_load(DROP_53, &[], Hook::XdpNative).unwrap_err();
    assert_eq!(error.to_string(), "name at least one interface");
}

#[test]
fn jumbo_frames_where_asked_for() {
    require_kernel!();
    let edge = Edge::new();
    for (host, interface) in [("client", "eth0"), ("edge", "in0")] {
        let grow = || weir_kernel::netlink::Netlink::open().unwrap().set_mtu(interface, 9000).unwrap();
        edge.lab.host(host).unwrap().run(grow).unwrap();
    }
    let error = edge.try_load(DROP_53, &["in0"], Hook::XdpNative).unwrap_err();
    assert!(error.to_string().contains("the MTU 9000"), "{error}");
    let load = || {
        let policy = weir_dataplane::Policy::new("test.weir", "drop jumbo when frame.len > 3000\n");
        let request = weir_dataplane::Request::new(policy, &["in0"]);
        Instance::load(&weir_dataplane::Request { instance: &edge.instance, frags: true, ..request })
    };
    let (mut instance, _) = edge.host().run(load).unwrap().unwrap();
    let client = edge.lab.host("client").unwrap();
    let send = || {
        let socket = std::net::UdpSocket::bind("10.1.0.2:0").unwrap();
        (0..5).filter(|_| socket.send_to(&[0; 8000], "10.1.0.1:9").is_ok()).count()
    };
    client.run(send).unwrap();
    assert_eq!(packets(&instance, "jumbo"), 5);
    let policy = weir_dataplane::Policy::new(
        "test.weir",
        "drop when frame.len == 1\ndrop jumbo when frame.len > 3000\n",
    );
    instance.reload(&policy).unwrap();
    client.run(send).unwrap();
    assert_eq!(packets(&instance, "jumbo"), 10);
}

#[test]
fn an_instance_is_loaded_once() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(DROP_53);
    let error = edge.try_load("count all\n", &["in1"], Hook::XdpNative).unwrap_err();
    assert!(matches!(error, Error::Running { .. }), "{error}");
    assert_eq!(instance.policy_text().unwrap(), DROP_53);
    assert_eq!(programs_on(&edge, "in1"), 0);
}

#[test]
fn another_program_in_the_way_is_named_and_stays() {
    require_kernel!();
    let edge = Edge::new();
    let (first, _) = edge.load(DROP_53);
    let name = format!("{}-b", edge.instance);
    let error = edge
        .host()
        .run(|| {
            let request =
                weir_dataplane::Request::new(weir_dataplane::Policy::new("b.weir", "count all\n"), &["in0"]);
            Instance::load(&weir_dataplane::Request { instance: &name, ..request }).unwrap_err()
        })
        .unwrap();
    assert!(matches!(&error, Error::Attach(attach::AttachError::Busy { .. })), "{error}");
    edge.send(53, 10);
    assert_eq!(packets(&first, "dns"), 10);
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

#[test]
fn names_are_plain() {
    for name in ["", "a/b", "..", "a b", &"x".repeat(33)] {
        assert!(matches!(Instance::open(name), Err(Error::BadName { .. })), "{name}");
    }
}
