//! Pools and `balance` as they are checked.

use std::net::IpAddr;
use std::time::Duration;
use weir_compiler::diagnostic::{Style, render};
use weir_compiler::eval::Evaluator;
use weir_compiler::policy::{
    Action, Balance, KeyPart, Origin, Policy, Pool, Pred, Protocols, Via, pred_text, term_text,
};
use weir_compiler::{NoFiles, analyse};
use weir_pool::health::Rhythm;
use weir_pool::pool::AllDown;
use weir_pool::probe::{Check, Probe};
use weir_pool::slots::Track;

const WEB: &str = r#"
pool web {
    10.0.1.10 weight 2
    10.0.1.11
    10.0.1.12:8080 drained
    [2001:db8::11]:8080
    2001:db8::12 weight 3 mac 02:00:00:00:00:12
    check http "/healthz" every 2s timeout 1s fall 3 rise 2
    gateway 02:00:00:00:00:01
    mtu 9000
    ring 65537
    settle 60s
    slow 30s
    down all            # or pass, or drop
    max 256
}
pool resolvers { 10.0.2.1 }

balance web when ip.dst == 203.0.113.10 and tcp.dstport == 443 to web
balance dns when udp.dstport == 53 to resolvers by ip.src via ipip from 192.0.2.1
balance v6  when ip6 to web by (ip.src, tcp.srcport) via gue port 6081 from (192.0.2.0/24, 2001:db8:1::/64)
shadow balance to web via gue from (192.0.2.1, 2001:db8::1)
"#;

/// The checked form of a policy about which nothing is told.
fn checked(text: &str) -> Policy {
    let analysis = analyse("edge.weir", text, &NoFiles);
    assert_eq!(render(&analysis.diagnostics, &analysis.sources, Style::Plain), "", "{text}");
    analysis.policy
}

/// What is told about a policy: line, code and message.
fn told(text: &str) -> Vec<String> {
    let analysis = analyse("edge.weir", text, &NoFiles);
    let line = |span| analysis.sources.place(span).rsplit(':').next().unwrap_or_default().to_owned();
    let told = analysis.diagnostics.iter();
    told.map(|d| format!("{} {} {}", line(d.primary.0), d.code.text(), d.message)).collect()
}

fn balances(policy: &Policy) -> Vec<&Balance> {
    let actions = policy.statements.iter().map(|statement| &statement.action);
    let balances = actions.filter_map(|action| match action {
        Action::Balance(balance) => Some(balance),
        _ => None,
    });
    balances.collect()
}

/// A key as text: a term, its width, and how many of its bits count where not all do.
fn key(protocols: &Protocols, key: &[KeyPart]) -> String {
    let part = |part: &KeyPart| {
        let prefix = if part.prefix == part.width { String::new() } else { format!("/{}", part.prefix) };
        let mapped = if part.mapped { " mapped" } else { "" };
        format!("{}:{}{prefix}{mapped}", term_text(protocols, &part.term), part.width)
    };
    key.iter().map(part).collect::<Vec<_>>().join(", ")
}

fn keys(policy: &Policy, balance: &Balance) -> Vec<String> {
    balance.keys.iter().map(|parts| key(&policy.protocols, parts)).collect()
}

const DEFAULT_KEYS: [&str; 10] = [
    "ip4.src:32, ip4.dst:32, tcp.srcport:16, tcp.dstport:16, 6:8",
    "ip4.src:32, ip4.dst:32, udp.srcport:16, udp.dstport:16, 17:8",
    "ip4.src:32, ip4.dst:32, sctp.srcport:16, sctp.dstport:16, 132:8",
    "ip4.src:32, ip4.dst:32, udplite.srcport:16, udplite.dstport:16, 136:8",
    "ip6.src:128, ip6.dst:128, tcp.srcport:16, tcp.dstport:16, 6:8",
    "ip6.src:128, ip6.dst:128, udp.srcport:16, udp.dstport:16, 17:8",
    "ip6.src:128, ip6.dst:128, sctp.srcport:16, sctp.dstport:16, 132:8",
    "ip6.src:128, ip6.dst:128, udplite.srcport:16, udplite.dstport:16, 136:8",
    "ip4.src:32, ip4.dst:32",
    "ip6.src:128, ip6.dst:128",
];

/// The same of the flow that an ICMP error speaks of.
const ERROR_KEYS: [&str; 4] = [
    "icmp.error.dst:32, icmp.error.src:32, icmp.error.ports.dstport:16, icmp.error.ports.srcport:16, icmp.error.proto:8",
    "icmpv6.error.dst:128, icmpv6.error.src:128, icmpv6.error.ports.dstport:16, icmpv6.error.ports.srcport:16, \
     icmpv6.error.nxt:8",
    "icmp.error.dst:32, icmp.error.src:32",
    "icmpv6.error.dst:128, icmpv6.error.src:128",
];

/// The keys that are there because of `by`: those of errors, and those of other packets.
fn named(policy: &Policy, balance: &Balance) -> [Vec<String>; 2] {
    let keys = keys(policy, balance);
    let of_families = |all: &'static [&'static str]| -> Vec<&'static str> {
        let six = |key: &&str| key.starts_with("ip6.") || key.starts_with("icmpv6.");
        all.iter().copied().filter(|key| balance.families[usize::from(six(key))]).collect()
    };
    let (default, of_errors) = (of_families(&DEFAULT_KEYS), of_families(&ERROR_KEYS));
    let (before, rest) = keys.split_at(keys.len() - default.len());
    assert_eq!(rest, default);
    let at = before.iter().position(|key| key == of_errors[0]).expect("errors have keys");
    let (errors, rest) = before.split_at(at);
    let (there, named) = rest.split_at(of_errors.len());
    assert_eq!(there, of_errors);
    [errors.to_vec(), named.to_vec()]
}

#[test]
fn flows_are_told_by_addresses_ports_and_protocol_or_by_addresses() {
    let policy = checked("pool p { 10.0.0.1 }\nbalance to p");
    let expected = ERROR_KEYS.iter().chain(&DEFAULT_KEYS).collect::<Vec<_>>();
    assert_eq!(keys(&policy, balances(&policy)[0]).iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_named_comes_before() {
    let policy = checked(WEB);
    let balances = balances(&policy);
    let named = |nth: usize| named(&policy, balances[nth]);
    let none: Vec<String> = Vec::new();
    assert_eq!(named(0), [none.clone(), none]);
    let errors = ["icmp.error.dst:32 mapped", "icmpv6.error.dst:128 mapped"];
    let others = ["ip4.src:32 mapped", "ip6.src:128 mapped"];
    assert_eq!(named(1), [errors, others]);
    // Of what the condition never holds for nothing is asked.
    let errors = ["icmpv6.error.dst:128 mapped, (icmpv6.error.ports.dstport + (icmpv6.error.tcp * 0)):16"];
    assert_eq!(named(2), [errors, ["ip6.src:128 mapped, tcp.srcport:16"]]);
}

/// An error does not say how long the flow's packets are, so it is told as without `by`.
#[test]
fn what_an_error_does_not_say_is_in_no_key_of_errors() {
    let policy = checked("pool p { 10.0.0.1 }\nbalance to p by (ip.src/24, ip.len)");
    let [errors, others] = named(&policy, balances(&policy)[0]);
    assert_eq!(errors, [""; 0]);
    let expected = ["ip4.src:32/24 mapped, ip4.len:16", "ip6.src:128/64 mapped, (ip6.plen + 40):32"];
    assert_eq!(others, expected);
}

#[test]
fn a_pool_is_what_its_lines_say() {
    let policy = checked(WEB);
    let [web, resolvers] = policy.pools.as_slice() else { panic!("{:?}", policy.pools) };
    let mac = [2, 0, 0, 0, 0, 0x12];
    let seen = web.backends.iter().map(|b| (b.endpoint.to_string(), b.weight, b.drained, b.mac));
    let expected = [
        ("10.0.1.10", 2, false, None),
        ("10.0.1.11", 1, false, None),
        ("10.0.1.12:8080", 1, true, None),
        ("[2001:db8::11]:8080", 1, false, None),
        ("2001:db8::12", 3, false, Some(mac)),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected.map(|(e, w, d, m)| (e.to_owned(), w, d, m)));
    assert_eq!((web.max, web.ring, web.mtu), (256, 65_537, 9000));
    assert_eq!((web.settle, web.slow, web.down), (60_000_000_000, 30_000_000_000, AllDown::All));
    assert_eq!(web.gateway, Some([2, 0, 0, 0, 0, 1]));
    let probe = Probe::Http { path: "/healthz".into(), host: None, tls: false };
    let rhythm = rhythm(2000, 1000, 3, 2);
    assert_eq!(web.check, Some(Check { probe, port: None, rhythm }));

    let rest = (resolvers.max, resolvers.ring, resolvers.mtu, resolvers.gateway, &resolvers.check);
    assert_eq!(rest, (64, 65_537, 1500, None, &None));
    assert_eq!((resolvers.settle, resolvers.slow, resolvers.down), (60_000_000_000, 0, AllDown::All));
}

#[test]
fn a_pool_that_remembers_all_flows_means_something_else() {
    let tracked = |line: &str| pool(&format!("10.0.0.1\n{line}"));
    assert_eq!(
        [tracked(""), tracked("track changes"), tracked("track all")].map(|pool| pool.track),
        [Track::Changes, Track::Changes, Track::All]
    );
    assert_eq!(tracked("").meaning(), tracked("track changes").meaning());
    assert_ne!(tracked("").meaning(), tracked("track all").meaning());
}

fn rhythm(every: u64, timeout: u64, fall: u32, rise: u32) -> Rhythm {
    let time = Duration::from_millis;
    Rhythm::new(time(every), time(timeout), fall, rise).expect("a rhythm")
}

/// The only pool of a policy, with these lines.
fn pool(lines: &str) -> Pool {
    checked(&format!("pool p {{\n{lines}\n}}\nbalance to p")).pools.remove(0)
}

#[test]
fn there_is_room_for_twice_as_many_backends() {
    let backends = |count: u32| {
        let lines = (0..count).map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0001 + n)));
        pool(&lines.collect::<String>()).max
    };
    assert_eq!([1, 32, 33, 100].map(backends), [64, 64, 128, 256]);
    assert_eq!(backends(40_000), 65_534);
    assert_eq!(pool("10.0.0.1\nmax 1").max, 1);
    assert_eq!(pool("down pass\n10.0.0.1\nmax 65534").max, 65_534);
}

#[test]
fn checks_ask_what_they_say() {
    let check = |line: &str| pool(&format!("10.0.0.1:81\ncheck {line}")).check.expect("a check");
    let usual = rhythm(2000, 1000, 3, 2);
    let asked = |probe| Check { probe, port: None, rhythm: usual };
    assert_eq!(check("tcp"), asked(Probe::Tcp));
    let https = Probe::Http { path: "/a?b=%20".into(), host: Some("example.net".into()), tls: true };
    assert_eq!(check(r#"https "/a?b=%20" host "example.net""#), asked(https));
    assert_eq!(check(r#"dns "example.net.""#), asked(Probe::Dns { name: "example.net.".into() }));
    let udp = Probe::Udp { send: b"\x00ping".to_vec(), expect: Vec::new() };
    assert_eq!(check(r#"udp "\x00ping" expect """#), asked(udp));
    let command = vec!["/usr/bin/prog".to_owned(), "arg".to_owned()];
    assert_eq!(check(r#"exec "/usr/bin/prog  arg""#), asked(Probe::Exec { command }));
    let often = check("tcp rise 5 timeout 20ms fall 1 port 8443 every 100ms");
    assert_eq!(often, Check { probe: Probe::Tcp, port: Some(8443), rhythm: rhythm(100, 20, 1, 5) });
}

#[test]
fn a_timeout_is_half_of_the_period_and_a_second_at_most() {
    let rhythm_of =
        |line: &str| pool(&format!("10.0.0.1\ncheck tcp port 80 {line}")).check.expect("a check").rhythm;
    assert_eq!(rhythm_of("every 500ms"), rhythm(500, 250, 3, 2));
    assert_eq!(rhythm_of("every 1m"), rhythm(60_000, 1000, 3, 2));
    assert_eq!(rhythm_of("every 1m timeout 1m"), rhythm(60_000, 60_000, 3, 2));
}

#[test]
fn a_check_through_a_balance_asks_the_services_address() {
    let asked = |check: &str, when: &str| {
        let text = format!("pool p {{\n10.0.0.1\ncheck {check} through b\n}}\nbalance b when {when} to p");
        let pool = checked(&text).pools.remove(0);
        let through = pool.through.unwrap_or_else(|| panic!("{text}"));
        assert_eq!((through.statement.as_str(), &through.via), ("b", &Via::L2));
        (
            through.services.map(|service| service.map(|service| service.to_string())),
            pool.check.expect("a check").port,
        )
    };
    let text = |service: &str| (!service.is_empty()).then(|| service.to_owned());
    let of = |four: &str, six: &str, port| ([text(four), text(six)], Some(port));
    let (four, six) = ("192.0.2.1", "2001:db8::1");
    for (check, when, expected) in [
        ("tcp", "ip.dst == 192.0.2.1 and tcp.dstport == 8443", of(four, "", 8443)),
        ("tcp", "tcp.dstport == 8443 and (ip.src != 10.0.0.1 and ip4.dst == 192.0.2.1)", of(four, "", 8443)),
        ("tcp", "ip.dst in { 192.0.2.1, 2001:db8::1 } and tcp.dstport == 25", of(four, six, 25)),
        ("tcp", "(ip.dst == 192.0.2.1 or ip.dst == 2001:db8::1) and tcp.dstport == 25", of(four, six, 25)),
        ("tcp port 99", "ip.dst == 2001:db8::1 and tcp.dstport == 25", of("", six, 99)),
        ("http \"/\"", "ip.dst == 192.0.2.1", of(four, "", 80)),
        ("https \"/\"", "ip.dst == 192.0.2.1 and tcp.dstport in { 80, 443 }", of(four, "", 443)),
        (
            "http \"/\"",
            "ip.dst == 192.0.2.1 and (tcp.dstport == 8080 or udp.dstport == 443)",
            of(four, "", 8080),
        ),
        (
            "dns \"a.test\"",
            "ip.dst == 192.0.2.1 and (tcp.dstport == 53 or udp.dstport == 5353)",
            of(four, "", 5353),
        ),
    ] {
        assert_eq!(asked(check, when), expected, "{check}, {when}");
    }
}

#[test]
fn a_check_asks_for_the_service_of_the_backends_family_if_there_is_one() {
    let through = |when: &str| {
        let text = format!("pool p {{\n10.0.0.1\ncheck tcp through b port 1\n}}\nbalance b when {when} to p");
        checked(&text).pools.remove(0).through.expect("a way")
    };
    let [four, six] = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().expect("an address"));
    let backends = ["10.0.0.1", "2001:db8::5"].map(|text| text.parse::<IpAddr>().expect("an address"));
    let both = through("ip.dst in { 192.0.2.1, 2001:db8::1 }");
    assert_eq!(backends.map(|backend| both.service(backend)), [Some(four), Some(six)]);
    let one = through("ip.dst == 2001:db8::1");
    assert_eq!(backends.map(|backend| one.service(backend)), [Some(six), Some(six)]);
}

#[test]
fn a_check_asks_at_its_port_or_the_backends_or_the_usual_one() {
    for lines in ["10.0.0.1\ncheck http \"/\"", "10.0.0.1:80\ncheck tcp", "10.0.0.1\ncheck tcp port 80"] {
        pool(lines);
    }
    let text = "pool p {\n10.0.0.1:80\n10.0.0.2\n10.0.0.3\ncheck tcp\n}\nbalance to p";
    assert_eq!(told(text), ["5 E0114 `check tcp` has no port to ask `10.0.0.2` at"]);
}

#[test]
fn packets_come_from_where_it_is_said() {
    let policy = checked(WEB);
    let seen: Vec<&Via> = balances(&policy).into_iter().map(|balance| &balance.via).collect();
    let one = Origin { v4: Some((0xc000_0201, 32)), v6: None };
    let prefixes = Origin { v4: Some((0xc000_0200, 24)), v6: Some((0x2001_0db8_0001 << 80, 64)) };
    let addresses = Origin { v4: Some((0xc000_0201, 32)), v6: Some(((0x2001_0db8 << 96) + 1, 128)) };
    let expected = [Via::L2, Via::IpIp(one), Via::Gue(prefixes, 6081), Via::Gue(addresses, 6080)];
    assert_eq!(seen, expected.iter().collect::<Vec<_>>());
}

#[test]
fn in_vxlan_a_backends_mac_is_no_next_hop() {
    let text = "pool far {\n10.0.0.1 mac 02:00:00:00:00:11\n}\n\
                balance a when udp to far via vxlan id 7 from 192.0.2.1\n\
                shadow balance to far via vxlan port 8472 id 0xffffff from 192.0.2.1";
    let policy = checked(text);
    let seen: Vec<&Via> = balances(&policy).into_iter().map(|balance| &balance.via).collect();
    let origin = Origin { v4: Some((0xc000_0201, 32)), v6: None };
    let expected =
        [Via::Vxlan { origin, port: 4789, id: 7 }, Via::Vxlan { origin, port: 8472, id: 0xff_ffff }];
    assert_eq!(seen, expected.iter().collect::<Vec<_>>());
    let hop = |policy: &Policy| policy.pools[0].fixed_hop(&policy.pools[0].backends[0]);
    assert_eq!(hop(&policy), None);
    let gateway = text.replace("\n}", "\ngateway 02:00:00:00:00:99\n}");
    assert_eq!(hop(&checked(&gateway)), Some([2, 0, 0, 0, 0, 0x99]));
    let l2 = "pool near {\n10.0.0.1 mac 02:00:00:00:00:11\n}\nbalance to near";
    assert_eq!(hop(&checked(l2)), Some([2, 0, 0, 0, 0, 0x11]));
}

/// More than so many states, and its headers are no longer told apart: all packets then pay for it.
#[test]
fn decap_alone_plans_with_its_headers_told_apart() {
    let policy = checked("decap");
    let plan = weir_compiler::plan::plan(&policy).expect("a plan");
    assert_eq!(plan.static_headers, plan.demand.headers, "{} states", plan.graph.states.len());
}

#[test]
fn only_packets_with_ip_right_behind_the_link_are_sent() {
    let policy = checked("pool p { 10.0.0.1 }\nbalance web when udp to p\nbalance to p");
    let applies = Balance::applies(&policy.protocols);
    let [named, all] = policy.statements.as_slice() else { panic!("two statements") };
    let Pred::And(parts) = &named.when else { panic!("{}", pred_text(&policy, &named.when)) };
    let [first, when] = parts.as_slice() else { panic!("{}", pred_text(&policy, &named.when)) };
    let Pred::Or(whens) = when else { panic!("{}", pred_text(&policy, when)) };
    assert_eq!((first, pred_text(&policy, &whens[0]).as_str()), (&applies, "udp"));
    assert_eq!(all.when, Pred::And(vec![applies, Pred::Const(true)]));
    assert_eq!((named.name.as_str(), all.name.as_str()), ("web", "balance@3"));
}

/// Pools, sets and statements may have the same name.
#[test]
fn names_are_apart() {
    let policy =
        checked("set web : ip = { 10.9.9.9 }\npool web { 10.0.0.1 }\nbalance web when ip.src in web to web");
    assert_eq!((policy.sets.len(), policy.pools.len(), policy.statements.len()), (1, 1, 1));
}

/// A backend that could not be read is told once; that the pool then has none is no news.
#[test]
fn one_error_is_told_once() {
    let text = "pool p {\n10.0.0.1 weight 0\n}\npool q {\n10.0.0\n}\nbalance to p\nbalance to q";
    let expected = [
        "5 E0002 no IPv4 address is written `10.0.0`",
        "2 E0114 a weight of zero takes no flows: say `drained`, or leave the backend out",
    ];
    assert_eq!(told(text), expected);
}

#[test]
fn many_backends_are_checked_in_no_time() {
    let lines: String =
        (0..70_000).map(|n| format!("{}\n", std::net::Ipv4Addr::from(0x0a00_0001 + n))).collect();
    let text = format!("pool p {{\n{lines}}}\nbalance to p");
    assert_eq!(told(&text), ["1 E0114 a pool has at most 65534 backends, `p` has 70000"]);
}

/// The ICMP errors to which a statement with this condition applies although the condition itself may not hold for them.
fn errors(when: &str) -> String {
    let declared = "set s : (ip.src, port) = { (192.0.2.1, 53) }\npool p { 10.0.0.1 }";
    let asks = "drop when (ip.src, udp.srcport) in s";
    let policy = checked(&format!("{declared}\nbalance when {when} to p\ncount when {when}\n{asks}"));
    let plain = &policy.statements[1].when;
    match &policy.statements[0].when {
        Pred::And(parts) if parts[1] == *plain => "none".to_owned(),
        Pred::And(parts) => match &parts[1] {
            Pred::Or(either) if either[0] == *plain && either.len() == 2 => pred_text(&policy, &either[1]),
            other => panic!("{when}: {}", pred_text(&policy, other)),
        },
        other => panic!("{when}: {}", pred_text(&policy, other)),
    }
}

/// What is asked of packets is asked of the way back of the quoted one, and errors are for who sent that.
#[test]
fn a_condition_is_asked_of_the_flow_that_an_error_speaks_of() {
    let four = "icmp.error and ip4.dst == icmp.error.src and";
    let six = "icmpv6.error and ip6.dst == icmpv6.error.src and";
    for (when, asked) in [
        ("ip.dst == 203.0.113.10", "icmp.error.src == 203.0.113.10"),
        ("ip4.src in { 192.0.2.0/24, 198.51.100.7 }", "icmp.error.dst in { 192.0.2.0/24, 198.51.100.7 }"),
        (
            "ip.dst == 203.0.113.10 and tcp.dstport == 443",
            "icmp.error.src == 203.0.113.10 and icmp.error.proto == 6 and icmp.error.ports.srcport == 443",
        ),
        ("ip4 and sctp.srcport != 9", "icmp.error.proto == 132 and icmp.error.ports.dstport != 9"),
        ("ip4.proto == 47", "icmp.error.proto == 47"),
        ("ip4 and gre", "icmp.error.proto == 47"),
        ("ip4 and not ip6 and not arp and udp", "icmp.error.proto == 17"),
    ] {
        assert_eq!(errors(when), format!("{four} {asked}"), "{when}");
    }
    for (when, asked) in [
        ("ip.dst == 2001:db8::10", "icmpv6.error.src == 2001:db8::10"),
        ("ip6.nxt == 50", "icmpv6.error.nxt == 50"),
        (
            "ip6 and udplite.port in { 5, 7 }",
            "((icmpv6.error.nxt == 136 and icmpv6.error.ports.dstport in { 5, 7 }) \
             or (icmpv6.error.nxt == 136 and icmpv6.error.ports.srcport in { 5, 7 }))",
        ),
    ] {
        assert_eq!(errors(when), format!("{six} {asked}"), "{when}");
    }
    let both = |asked4: &str, asked6: &str| format!("({four} {asked4}) or ({six} {asked6})");
    for (when, asked4, asked6) in [
        ("udp", "icmp.error.proto == 17", "icmpv6.error.nxt == 17"),
        (
            "(ip.src, udp.dstport) in s and udp",
            "icmp.error.proto == 17 and (icmp.error.dst, icmp.error.ports.srcport) in s and icmp.error.proto == 17",
            "icmpv6.error.nxt == 17 and (icmpv6.error.dst, icmpv6.error.ports.srcport) in s and icmpv6.error.nxt == 17",
        ),
    ] {
        assert_eq!(errors(when), both(asked4, asked6), "{when}");
    }
}

/// Of a flow whose packets an error says too little of it is not known that a condition holds.
#[test]
fn what_an_error_does_not_say_holds_for_no_error() {
    for when in [
        "frame.len > 100",
        "ip.ttl > 1",
        "tcp.flags.syn",
        "ip4 and payload[0:1] == 7",
        "not frame.len > 100",
        "not ip.ttl > 1",
        "ip.dst == 203.0.113.10 and not ip.len > 100",
        "inner.ip",
        "not inner.ip",
        "vlan[1].id == 7 and dns",
        "ip4.src[0:1] == 192",
    ] {
        assert_eq!(errors(when), "none", "{when}");
    }
    let four = "icmp.error and ip4.dst == icmp.error.src and";
    for (when, asked) in [
        (
            "ip4 and (udp.length > 9 or udp.dstport == 53)",
            "icmp.error.proto == 17 and icmp.error.ports.srcport == 53",
        ),
        // Behind an authentication header may stand anything.
        ("ip4 and not tcp", "not icmp.error.proto in { 6, 51 }"),
        ("ip4 and not tcp.flags.syn", "not icmp.error.proto in { 6, 51 }"),
        (
            "ip4 and not tcp.dstport == 22",
            "(not icmp.error.proto in { 6, 51 } \
             or (icmp.error.proto == 6 and icmp.error.ports and not icmp.error.ports.srcport == 22))",
        ),
    ] {
        assert_eq!(errors(when), format!("{four} {asked}"), "{when}");
    }
}

/// The link and ICMP are the error's own: who names them knows of what is asked.
#[test]
fn what_is_asked_of_the_link_and_of_icmp_is_asked_of_the_error() {
    let four = "icmp.error and ip4.dst == icmp.error.src and";
    for (when, asked) in [
        ("ip4 and vlan.id == 7", "vlan.id == 7"),
        ("ip4 and not vlan.id == 7", "not vlan.id == 7"),
        ("ip4 and eth.src[0:3] == 0x000c29", "eth[6:3] == 3113"),
        ("ip4 and not icmp", "not icmp"),
        ("ip4 and udp and not icmp.type == 11", "icmp.error.proto == 17 and not icmp.type == 11"),
        ("ip4 and tcp and not icmp.error.ttl == 1", "icmp.error.proto == 6 and not icmp.error.ttl == 1"),
    ] {
        assert_eq!(errors(when), format!("{four} {asked}"), "{when}");
    }
}

/// Eight servers, to which all packets for one address go.
fn servers(by: &str, cases: &str) -> String {
    let servers: String = (1..=8).map(|n| format!("10.0.1.{n} mac 02:00:00:00:01:0{n}\n")).collect();
    let service = "ip.dst in { 203.0.113.10, 2001:db8::10 }";
    format!("pool p {{\n{servers}}}\nbalance b when {service} to p {by}\ntest \"flows\" {{\n{cases}}}")
}

/// The servers to which the frames of a policy's tests go.
fn reached(text: &str) -> Vec<Vec<u8>> {
    let analysis = analyse("edge.weir", text, &NoFiles);
    assert_eq!(render(&analysis.diagnostics, &analysis.sources, Style::Plain), "", "{text}");
    let mut evaluator = Evaluator::new(&analysis.policy);
    let sent = analysis.cases.iter().map(|case| evaluator.judge(&case.frame).frame.expect("it is sent"));
    sent.map(|frame| frame[..6].to_vec()).collect()
}

/// The law: whatever makes a flow, an error goes where the flow's packets go.
#[test]
fn an_error_reaches_the_backend_of_its_flow() {
    let keys = [
        "ip.src",
        "(ip.src/28, ip.dst)",
        "tcp.srcport",
        "(udp.srcport & 63, ip.dst)",
        "(udp.srcport, ip.src)",
        "(ip.dst, eth.src)",
    ];
    let by = keys.iter().map(|key| format!("by {key}")).chain([String::new()]);
    for by in by {
        let mut cases = String::new();
        for n in 0..120_u32 {
            let (port, code) = (1024 + n * 331, n % 16);
            let (client, router, service, error) = match n % 2 {
                0 => (format!("192.0.2.{n}"), "ip4(src=198.18.0.9", "203.0.113.10", "icmp"),
                _ => (format!("2001:db8:1::{n}"), "ip6(src=2001:db8:2::9", "2001:db8::10", "icmpv6"),
            };
            let (protocol, number) =
                [("tcp", 6), ("udp", 17), ("sctp", 132), ("udplite", 136)][n as usize / 2 % 4];
            let number = if error == "icmp" { format!("proto={number}") } else { format!("nxt={number}") };
            let kind = if error == "icmp" { [3, 11, 12, 3] } else { [1, 2, 3, 4] }[n as usize / 8 % 4];
            cases += &format!(
                "{protocol}(ip.src={client}, ip.dst={service}, srcport={port}, dstport=443) => send\n\
                 {router}, dst={service}) / {error}(type={kind}, code={code}) / {error}.error(src={service}, dst={client}, \
                 {number}) / {error}.error.ports(srcport=443, dstport={port}) => send\n"
            );
        }
        let reached = reached(&servers(&by, &cases));
        for (n, pair) in reached.chunks(2).enumerate() {
            assert_eq!(pair[0], pair[1], "`{by}`, flow {n}");
        }
        let different = reached.iter().collect::<std::collections::BTreeSet<_>>().len();
        let least = if by == "by (ip.dst, eth.src)" { 1 } else { 6 };
        assert!(different >= least, "`{by}`: only {different} servers get packets");
    }
}

/// Without ports in what is quoted there are addresses, as for the flow's own packets that have none.
#[test]
fn an_error_about_a_packet_without_ports_reaches_the_backend_of_its_addresses() {
    let mut cases = String::new();
    for n in 1..40 {
        let to = "ip4(src=198.18.0.9, dst=203.0.113.10) / icmp(type=11)";
        let quoted = format!("src=203.0.113.10, dst=192.0.2.{n}");
        cases += &format!(
            "ip4(src=192.0.2.{n}, dst=203.0.113.10) / icmp(type=8) => send\n\
             {to} / icmp.error({quoted}, proto=1) => send\n\
             {to} / icmp.error({quoted}, proto=6, frag=9) => send\n\
             {to} / icmp.error({quoted}, proto=47, ihl=7) => send\n\
             ip6(src=2001:db8:1::{n}, dst=2001:db8::10) / esp => send\n\
             ip6(dst=2001:db8::10) / icmpv6 / icmpv6.error(src=2001:db8::10, dst=2001:db8:1::{n}, nxt=44) => send\n"
        );
    }
    let reached = reached(&servers("", &cases));
    for (n, packets) in reached.chunks(6).enumerate() {
        assert!(packets[..4].iter().all(|to| *to == packets[0]), "client {n}");
        assert_eq!(packets[4], packets[5], "client {n}");
    }
    assert!(reached.iter().collect::<std::collections::BTreeSet<_>>().len() > 4);
}

/// All that balances have in the intermediate representation, before the passes and behind them.
#[test]
fn programs_print_and_read_back() {
    let analysis = weir_compiler::analyse("web.weir", WEB, &weir_compiler::NoFiles);
    let options = weir_compiler::lower::Options::default();
    let programs = [analysis.lower_plainly(&options), analysis.lower(&options, &[])];
    for lowered in programs {
        let program = lowered.expect("a policy without errors").program;
        weir_compiler::ir::verify::verify(&program).expect("verified");
        let text = program.to_string();
        for word in ["pick pool0", "send ip4", "send ip6", "refuse ip6", "room balance", "note v", "recall v"]
        {
            assert!(text.contains(word), "no `{word}` in\n{text}");
        }
        let read = weir_compiler::ir::parse::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read.to_string(), text);
    }
}

/// Blocks that are alike become one, whose parameter then has one value: that nobody is told.
#[test]
fn branches_that_alike_blocks_decide_are_gone_before_registers_are_given() {
    let text = "pool web {\n10.0.1.10\ngateway 02:00:00:00:00:99\n}\n\
        pass mine when ip.dst == 203.0.113.0/24 and tcp\n\
        balance web when ip.dst == 203.0.113.10 and tcp.dstport == 443 and not icmp to web\n\
        balance any when ip.dst == 198.51.100.10 to web\n\
        balance https when ip.dst == 198.51.100.10 and tcp.dstport == 443 to web by ip.src\n";
    let options = weir_compiler::Options::new(weir_bpf::target::Target::newest(), weir_compiler::Hook::Xdp);
    let compiled = weir_compiler::compile("edge.weir", text, &NoFiles, &options);
    assert!(compiled.is_ok(), "{:?}", compiled.err().map(|analysis| analysis.diagnostics));
}
