//! Echo requests for a service, by the kernel's own `ping`.

use crate::support::{packets, require_kernel};
use std::process::Command;
use weir_dataplane::{Instance, Policy, Request};
use weir_lab::Host;
use weir_lab::ready::edge_lab;

/// How many of so many requests are answered, and with how many hops left.
fn pings(host: &Host, to: &str, count: u64, more: &[&str]) -> Option<u64> {
    let (count, mut ping) = (count.to_string(), Command::new("ping"));
    ping.args(["-n", "-c", &count, "-i", "0.05", "-W", "1"]).args(more).arg(to);
    let output = host.run(move || ping.output()).expect("the namespace").ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("wrong data") && !text.contains("DUP"), "{text}");
    let line =
        text.lines().find(|line| line.contains("packets transmitted")).unwrap_or_else(|| panic!("{text}"));
    let answered = line.split(", ").find_map(|part| part.strip_suffix(" received"));
    answered.and_then(|number| number.parse().ok())
}

#[test]
fn ping_hears_of_a_service_and_of_nobody_else() {
    require_kernel!();
    if Command::new("ping").arg("-V").output().is_err() {
        let test = "echo::ping_hears_of_a_service_and_of_nobody_else";
        assert!(std::env::var("WEIR_REQUIRE_KERNEL").as_deref() != Ok("1"), "{test} needs `ping`");
        return crate::support::say(&format!("skipped {test}: there is no `ping`"));
    }
    let lab = edge_lab(1).expect("a lab");
    let name = format!("echo-{}", std::process::id());
    let text = "pool web {\n    10.2.1.2\n    gateway 02:00:00:00:00:99\n}\n\
                balance web when ip.dst in { 203.0.113.10, 2001:db8:99::10 } and tcp.dstport == 443 to web echo\n";
    let load = || {
        let request = Request::new(Policy::new("echo.weir", text), &["clients"]);
        Instance::load(&Request { instance: &name, ..request })
    };
    let edge = lab.host("edge").expect("there");
    let (instance, _) = edge.run(load).expect("the namespace").unwrap_or_else(|error| panic!("{error}"));
    let client = lab.host("client").expect("there");

    // An interface of a veth pair takes what the other one's program sends only if it has a program itself.
    let peer = format!("{name}-peer");
    let take = || {
        let request = Request::new(Policy::new("peer.weir", "count all"), &["eth0"]);
        Instance::load(&Request { instance: &peer, ..request })
    };
    client.run(take).expect("the namespace").unwrap_or_else(|error| panic!("{error}"));

    // Nobody has the service's addresses: who answers is the program.
    for to in ["203.0.113.10", "2001:db8:99::10"] {
        assert_eq!(pings(client, to, 5, &[]), Some(5), "{to}");
        // Data of any length and pattern, odd ones too, and from few hops.
        assert_eq!(pings(client, to, 3, &["-s", "1401", "-p", "00ff"]), Some(3), "{to}");
        assert_eq!(pings(client, to, 3, &["-s", "0", "-t", "1"]), Some(3), "{to}");
        // Fragments are not put together here.
        assert_eq!(pings(client, to, 1, &["-s", "4000"]), Some(0), "{to}");
    }
    let (answered, all) = (packets(&instance, "web/echo"), packets(&instance, "web"));
    assert_eq!((answered, all), (22, 0));

    // The kernel answers for the edge's own addresses, and nobody for one that is nobody's.
    for (to, expected) in [("10.1.0.1", 3), ("2001:db8:1::1", 3), ("203.0.113.11", 0), ("2001:db8:99::11", 0)]
    {
        assert_eq!(pings(client, to, 3, &[]), Some(expected), "{to}");
    }
    assert_eq!(packets(&instance, "web/echo"), 22);
    let _ = weir_dataplane::unload(&peer);
    let _ = weir_dataplane::unload(&name);
}
