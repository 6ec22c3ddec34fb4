//! Pools and `balance` as they are checked.

use std::net::IpAddr;
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
    let balance = |action| match action {
        &Action::Balance(ref balance) => Some(balance),
        _ => None,
    };
    policy.statements.iter().filter_map(|statement| balance(&statement.action)).collect()
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
