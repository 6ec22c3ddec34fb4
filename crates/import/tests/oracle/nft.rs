//! Rules for nft.

use crate::packets::{Kind, PORTS, V4, V6, chance, one};
use std::fmt::Write;
use weir_lab::traffic::Random;

/// Three chains that jump to each other, sets and a map, some ten rules.
pub(crate) fn random(random: &mut Random, family: &str, kind: Kind) -> String {
    let policy = one(random, &["accept", "drop"]);
    let mut text = format!("table {family} judged {{\n{}", sets(family));
    for (chain, rules, targets) in [
        ("two", 3, &["accept", "drop", "return", "counter"][..]),
        ("one", 4, &["accept", "drop", "return", "jump two", "goto two", "counter"]),
        ("prerouting", 6, &["accept", "drop", "return", "jump one", "jump two", "goto one", "counter"]),
    ] {
        let _ = writeln!(text, "chain {chain} {{");
        if chain == "prerouting" {
            let _ = writeln!(text, "type filter hook prerouting priority -300; policy {policy};");
        }
        for _ in 0..rules {
            let _ = writeln!(text, "{} {}", matches(random, family, kind), one(random, targets));
        }
        text.push_str("}\n");
    }
    text + "}\n"
}

fn sets(family: &str) -> &'static str {
    const PORTS: &str = "set ports { type inet_service; flags interval; elements = { 22, 80-90, 5000-50000 } }\n\
        map verdicts { type inet_service : verdict; elements = { 22 : accept, 53 : drop, 80 : jump two } }\n\
        chain two { }\n";
    const FOUR: &str = "set four { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 192.0.2.1-192.0.2.50 } }\n\
        set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 53-81, 192.0.2.1 . 443 } }\n\
        set ports { type inet_service; flags interval; elements = { 22, 80-90, 5000-50000 } }\n\
        map verdicts { type inet_service : verdict; elements = { 22 : accept, 53 : drop, 80 : jump two } }\n\
        chain two { }\n";
    if family == "ip6" { PORTS } else { FOUR }
}

/// A rule asks for one family's fields; in an `inet` table some ask for neither's.
fn matches(random: &mut Random, table: &str, kind: Kind) -> String {
    let family = if table == "inet" { one(random, &["ip", "ip6", "inet"]) } else { table };
    let mut parts = Vec::new();
    if chance(random, 2) && family != "inet" {
        parts.push(address(random, family, table));
    }
    if chance(random, 3) {
        parts.push(other(random, family, table));
    }
    if chance(random, 2) {
        parts.push(transport(random, family, kind));
    }
    parts.join(" ")
}

fn not(random: &mut Random, of: u32) -> &'static str {
    if chance(random, of) { "!= " } else { "" }
}

fn address(random: &mut Random, family: &str, table: &str) -> String {
    let (side, not) = (one(random, &["saddr", "daddr"]), not(random, 4));
    if family == "ip6" {
        let address = one(random, &V6);
        return match random.below(3) {
            0 => format!("ip6 {side} {not}{{ {address}, fd00::/8 }}"),
            1 => format!("ip6 {side} {not}{address}"),
            _ => format!("ip6 {side} {not}2001:db8:2::/{}", one(random, &[16, 32, 47, 48])),
        };
    }
    let [a, b, c, d] = one(random, &V4);
    match random.below(5) {
        0 if table == "ip" => format!("ip {side} {not}@four"),
        0 => format!("ip {side} @four"),
        1 => format!("ip {side} {not}{{ {a}.{b}.{c}.{d}, 192.0.2.0-192.0.2.99 }}"),
        2 => format!("ip {side} {not}{a}.{b}.0.0/16"),
        3 => format!("ip {side} & 255.0.255.0 {}10.0.0.0", if not.is_empty() { "== " } else { not }),
        _ => format!("ip {side} {not}{a}.{b}.{c}.{d}"),
    }
}

fn other(random: &mut Random, family: &str, table: &str) -> String {
    let not = not(random, 3);
    let four = [
        format!("ip ttl {} 5", one(random, &["==", "!=", "<", ">", "<=", ">="])),
        format!("ip length {not}60-110"),
        format!("ip dscp {not}{{ ef, cs4, 1 }}"),
        format!("ip frag-off & 0x1fff {} 0", one(random, &["==", "!="])),
        "@nh,64,8 5".to_owned(),
    ];
    let six = [
        format!("ip6 hoplimit {} 5", one(random, &["==", "!=", "<", ">"])),
        format!("ip6 dscp {not}cs4"),
        format!("exthdr frag {}", one(random, &["exists", "missing"])),
        format!("frag frag-off {} 0", one(random, &["==", "!="])),
        format!("ip6 length {not}30-90"),
    ];
    let both = [
        format!("meta length {} 100", one(random, &["<", ">", "=="])),
        format!("meta pkttype {not}{}", one(random, &["broadcast", "multicast"])),
        format!("ether saddr {not}02:00:00:00:00:77"),
    ];
    let inet = [format!("meta nfproto {not}ipv6")];
    let of = |random: &mut Random, from: &[String]| from[random.below(from.len() as u32) as usize].clone();
    match (family, random.below(3)) {
        ("inet", 0) => of(random, &inet),
        ("ip", 1 | 2) => of(random, &four[..4 + usize::from(table == "ip")]),
        ("ip6", 1 | 2) => of(random, &six),
        _ => of(random, &both),
    }
}

fn transport(random: &mut Random, family: &str, kind: Kind) -> String {
    let not = not(random, 4);
    let which = if kind == Kind::Fragments { one(random, &[4, 11, 12]) } else { random.below(13) };
    match which {
        0 | 1 => format!("tcp dport {not}{}", ports(random)),
        2 => format!("udp sport {not}{}", ports(random)),
        3 => format!(
            "tcp flags {}",
            one(random, &["syn", "syn,rst", "== syn", "!= syn|ack", "& (syn|ack) == syn"])
        ),
        4 => format!("meta l4proto {not}{{ tcp, udp }}"),
        5 => format!("meta l4proto {{ tcp, udp }} th dport {not}{}", ports(random)),
        6 if family == "ip" => format!("icmp type {not}{{ echo-request, time-exceeded }}"),
        6 | 7 if family == "ip6" => format!("icmpv6 type {not}{{ echo-request, nd-neighbor-solicit }}"),
        7 if family == "ip" => format!("icmp type {not}destination-unreachable icmp code 1"),
        8 if family == "ip" => format!("ip saddr . udp dport {not}@pairs"),
        8 => format!("udp dport {not}@ports"),
        9 => "tcp sport . tcp dport { 22 . 80, 53 . 1-443 }".to_owned(),
        10 => format!("tcp option maxseg size {not}1-600"),
        12 if family == "ip" => format!("ip protocol {not}{{ tcp, esp, 103 }}"),
        12 if family == "ip6" => format!("ip6 nexthdr {not}{{ tcp, udp, 44 }}"),
        _ => format!("meta l4proto {not}{}", one(random, &["tcp", "udp", "esp", "103", "sctp"])),
    }
}

fn ports(random: &mut Random) -> String {
    let port = one(random, &PORTS);
    match random.below(4) {
        0 => port.to_string(),
        1 => format!("{}-{}", port / 2, port + 300),
        2 => format!("{{ {port}, 5000-6000 }}"),
        _ => "@ports".to_owned(),
    }
}

/// Cases that chance would not find.
pub(crate) fn written() -> Vec<String> {
    let inet = |body: &str| {
        format!(
            "table inet judged {{\n set live {{ type ipv4_addr; size 128; flags dynamic,timeout; timeout 1h; }}\n\
             chain sub {{ tcp dport 22 return; udp dport 53 accept; drop; }}\n\
             chain prerouting {{ type filter hook prerouting priority -300; policy accept;\n{body}\n}}\n}}\n"
        )
    };
    [
        "tcp dport vmap { 22 : accept, 80 : drop, 5000-50000 : jump sub }",
        "meta l4proto vmap { tcp : jump sub, udp : drop, 103 : accept }\ndrop",
        "ip saddr vmap { 10.0.0.0/8 : jump sub, 192.0.2.0/24 : drop }",
        "ip saddr . tcp dport vmap { 10.1.0.1 . 22 : drop, 10.1.0.9 . 80 : drop, 8.8.8.8 . 443 : jump sub }",
        "meta nfproto ipv4 tcp flags & (fin|syn|rst|ack) == syn goto sub\nmeta nfproto ipv6 drop",
        "udp dport 53 limit rate over 1/hour burst 5 packets drop",
        "icmp type echo-request limit rate 1/hour burst 3 packets accept\nicmp type echo-request drop",
        "add @live { ip saddr limit rate over 1/hour burst 2 packets } counter drop",
        "tcp dport 80 counter ip saddr 10.0.0.0/8 drop",
        "ip6 nexthdr 6 drop\nah spi 9 drop\nesp spi 0-2000000000 drop",
        "meta protocol ip6 jump sub\nmeta protocol ip tcp sport != { 22, 53 } drop",
    ]
    .map(inet)
    .into_iter()
    .chain([two_chains("accept"), two_chains("drop")])
    .collect()
}

/// What the first accepts the second still judges.
fn two_chains(policy: &str) -> String {
    format!(
        "table ip judged {{\n chain sub {{ tcp dport 22 return; ip saddr 10.0.0.0/8 accept; udp dport 53 drop; }}\n\
         chain prerouting {{ type filter hook prerouting priority -300; policy {policy};\n\
         ip ttl 5 jump sub\nip daddr 192.0.2.0/24 accept\ntcp dport 80 drop\nudp sport 53 accept; }}\n\
         chain second {{ type filter hook prerouting priority -250; policy accept;\n\
         ip saddr 10.1.0.0/16 drop\ntcp dport 22 accept\nip daddr 192.0.2.77 drop; }}\n}}\n"
    )
}
