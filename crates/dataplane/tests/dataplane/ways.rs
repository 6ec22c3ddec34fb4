//! Backends to which no way leads are told when a policy is put in place, and harm nobody else.

use crate::pools::{Balanced, Lasting, backend, server};
use crate::support::require_kernel;
use std::net::{IpAddr, Ipv4Addr};
use weir_dataplane::{Instance, NoWay, Policy, Request, Unreached};
use weir_kernel::netlink::{Netlink, Route};
use weir_kernel::sysctl;

fn told(unreached: &[Unreached]) -> Vec<(String, NoWay)> {
    unreached.iter().map(|one| (one.backend.to_string(), one.why)).collect()
}

/// A pool with one backend that is there, and others.
fn policy(others: &str, via: &str) -> String {
    format!(
        "pool web {{\n    {}\n{others}}}\nbalance web when ip.dst == 203.0.113.10 to web {via}\n",
        backend(1)
    )
}

#[test]
fn backends_without_a_way_are_told_by_name() {
    require_kernel!();
    let lab = Balanced::new();
    let edge = lab.host("edge");
    let route = || {
        let to = Ipv4Addr::new(10, 9, 0, 1).into();
        let via = Some(backend(1).address);
        Netlink::open()?.add_route(&Route { to, prefix_len: 32, via, interface: None })
    };
    edge.run(route).expect("the namespace").expect("the route");
    let others = "    10.9.0.1\n    10.9.0.2\n    10.1.0.1\n    2001:db8:77::1\n    2001:db8:2:1::2\n    \
                  10.9.0.3 mac 02:00:00:00:00:07\n";
    let instance = lab.load(&policy(others, ""));
    let here = |instance: &Instance| edge.run(|| instance.unreached()).expect("the namespace").expect("told");
    let no_way = |address: &str, why| (address.to_owned(), why);
    let nowhere = [
        no_way("10.9.0.2", NoWay::NoRoute),
        no_way("10.1.0.1", NoWay::Own),
        no_way("2001:db8:77::1", NoWay::NoRoute),
    ];
    let behind = no_way("10.9.0.1", NoWay::BehindRouter);
    assert_eq!(told(&here(&instance)), [&[behind][..], &nowhere].concat());
    // Nothing is known of another namespace.
    assert_eq!(told(&instance.unreached().expect("told")), []);
    let text = here(&instance)[1].to_string();
    assert_eq!(text, "packets do not reach backend `10.9.0.2` of pool `web`: the kernel has no route to it");

    // In a tunnel a router is fine; and who does not forward one family sends nothing to its backends.
    let mut instance = instance;
    let forward = |name: &'static str, value| {
        edge.run(move || sysctl::write(name, value)).expect("the namespace").expect("a setting");
    };
    forward("net.ipv6.conf.all.forwarding", "0");
    let from = "via ipip from (192.0.2.1, 2001:db8:ff::1)";
    let reload = || instance.reload(&Policy::new("edge.weir", &policy(others, from)));
    let report = edge.run(reload).expect("the namespace").expect("reloads");
    let expected = [&nowhere[..], &[no_way("2001:db8:2:1::2", NoWay::NoForwarding)]].concat();
    assert_eq!(told(&report.unreached), expected);
}

#[test]
fn other_services_do_not_suffer_from_a_backend_without_a_way() {
    require_kernel!();
    let lab = Balanced::new();
    let _server = Lasting::start(lab.host(&server(1)), 1);
    let text = format!(
        "pool gone {{\n    10.9.0.2\n}}\nbalance gone when ip.dst == 203.0.113.11 to gone\n{}",
        policy("", "")
    );
    let name = format!("ways-{}", std::process::id());
    let load = || {
        let request = Request::new(Policy::new("ways.weir", &text), &["clients"]);
        Instance::load(&Request { instance: &name, ..request })
    };
    let (_, report) = lab.host("edge").run(load).expect("the namespace").expect("it is loaded all the same");
    assert_eq!(told(&report.unreached), [("10.9.0.2".to_owned(), NoWay::NoRoute)]);
    assert_eq!(report.unreached[0].backend.address, IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)));
    let mut clients = crate::pools::Clients::connect(lab.host("client"), 20);
    assert_eq!(clients.broken().len(), 0);
    let _ = weir_dataplane::unload(&name);
}
