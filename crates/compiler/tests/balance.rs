//! Pools and `balance` as they are checked.

use std::time::Duration;
use weir_compiler::diagnostic::{Style, render};
use weir_compiler::policy::{
    Action, Balance, KeyPart, Origin, Policy, Pool, Pred, Protocols, Via, pred_text, term_text,
};
use weir_compiler::{NoFiles, analyse};
use weir_pool::health::Rhythm;
use weir_pool::pool::AllDown;
use weir_pool::probe::{Check, Probe};

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

#[test]
fn flows_are_told_by_addresses_ports_and_protocol_or_by_addresses() {
    let policy = checked("pool p { 10.0.0.1 }\nbalance to p");
    assert_eq!(keys(&policy, balances(&policy)[0]), DEFAULT_KEYS);
}

#[test]
fn what_is_named_comes_before() {
    let policy = checked(WEB);
    let balances = balances(&policy);
    let named = |nth: usize| {
        let keys = keys(&policy, balances[nth]);
        let (named, rest) = keys.split_at(keys.len() - DEFAULT_KEYS.len());
        assert_eq!(rest, DEFAULT_KEYS);
        named.to_vec()
    };
    assert_eq!(named(0), [""; 0]);
    assert_eq!(named(1), ["ip4.src:32 mapped", "ip6.src:128 mapped"]);
    assert_eq!(named(2), ["ip4.src:32 mapped, tcp.srcport:16", "ip6.src:128 mapped, tcp.srcport:16"]);
    let policy = checked("pool p { 10.0.0.1 }\nbalance to p by (ip.src/24, ip.len)");
    let first = &keys(&policy, self::balances(&policy)[0])[..2];
    assert_eq!(first, ["ip4.src:32/24 mapped, ip4.len:16", "ip6.src:128/64 mapped, (ip6.plen + 40):32"]);
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
    assert_eq!((first, pred_text(&policy, when).as_str()), (&applies, "udp"));
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
