//! Rules for iptables-restore.

use crate::packets::{Kind, PORTS, V4, V6, chance, one};
use std::fmt::Write;
use weir_lab::traffic::Random;

/// Three chains of table `raw` that jump to each other, some ten rules.
pub(crate) fn random(random: &mut Random, six: bool, kind: Kind) -> String {
    let policy = one(random, &["ACCEPT", "DROP"]);
    let mut text =
        format!("*raw\n:PREROUTING {policy} [0:0]\n:OUTPUT ACCEPT [0:0]\n:one - [0:0]\n:two - [0:0]\n");
    for (chain, rules, targets) in [
        ("PREROUTING", 6, &["ACCEPT", "DROP", "RETURN", "one", "two", ""][..]),
        ("one", 4, &["ACCEPT", "DROP", "RETURN", "two", "goto two", ""]),
        ("two", 3, &["ACCEPT", "DROP", "RETURN", ""]),
    ] {
        for _ in 0..rules {
            let target = one(random, targets);
            let target = match target.strip_prefix("goto ") {
                Some(chain) => format!(" -g {chain}"),
                None if target.is_empty() => String::new(),
                None => format!(" -j {target}"),
            };
            let _ = writeln!(text, "-A {chain}{}{target}", matches(random, six, kind));
        }
    }
    text + "COMMIT\n"
}

fn matches(random: &mut Random, six: bool, kind: Kind) -> String {
    let mut text = String::new();
    for side in ["-s", "-d"] {
        if chance(random, 3) {
            let _ = write!(text, "{} {side} {}", not(random, 4), address(random, six));
        }
    }
    let mut others = vec![0, 1, 2, 3, 4, 5, 6];
    if !six {
        others.extend([7, 8]);
    }
    if chance(random, 3) {
        let which = one(random, &others);
        text += &other(random, which, six);
    }
    if chance(random, 2) {
        return text + &transport(random, six, kind);
    }
    text
}

fn not(random: &mut Random, of: u32) -> &'static str {
    if chance(random, of) { " !" } else { "" }
}

fn address(random: &mut Random, six: bool) -> String {
    if six {
        let lengths = [16, 32, 48, 64, 127, 128];
        return format!("{}/{}", one(random, &V6), one(random, &lengths));
    }
    let [a, b, c, d] = one(random, &V4);
    let masks = ["8", "16", "24", "25", "31", "32", "255.0.255.0"];
    format!("{a}.{b}.{c}.{d}/{}", one(random, &masks))
}

fn other(random: &mut Random, which: u32, six: bool) -> String {
    let not = not(random, 3);
    match which {
        0 => format!(" -m length{not} --length {}", one(random, &["60", "84:110", ":100", "400:65535"])),
        1 if six => format!(" -m hl{} 5", one(random, &[" --hl-eq", " ! --hl-eq", " --hl-lt", " --hl-gt"])),
        1 => format!(" -m ttl{} 5", one(random, &[" --ttl-eq", " ! --ttl-eq", " --ttl-lt", " --ttl-gt"])),
        2 => format!(" -m tos{not} --tos {}", one(random, &["0x04/0xff", "0x20/0xe0", "0x03/0x03"])),
        3 => format!(" -m dscp{not} --dscp {}", one(random, &["0x2e", "8", "0"])),
        4 => format!(" -m mac{not} --mac-source 02:00:00:00:00:77"),
        5 => format!(" -m pkttype{not} --pkt-type {}", one(random, &["broadcast", "multicast"])),
        6 if six => format!(" -m iprange{not} --src-range 2001:db8:1::1-2001:db8:2::ffff"),
        6 => format!(" -m iprange{not} --dst-range 10.1.0.5-192.0.2.50"),
        7 => format!("{not} -f"),
        _ => format!(" -m ecn{not} --ecn-ip-ect 3"),
    }
}

fn transport(random: &mut Random, six: bool, kind: Kind) -> String {
    let not = not(random, 4);
    let icmp = if six { "ipv6-icmp" } else { "icmp" };
    let which = if kind == Kind::Fragments { 5 } else { random.below(9) };
    match which {
        0 | 1 => format!(" -p tcp -m tcp{not} --dport {}", ports(random)),
        2 => format!(" -p udp -m udp{not} --sport {}", ports(random)),
        3 => format!(
            " -p tcp -m tcp{not} --tcp-flags {}",
            one(
                random,
                &["SYN,ACK SYN", "FIN,SYN,RST,ACK SYN", "ALL NONE", "FIN,PSH,URG FIN,PSH,URG", "RST RST"]
            )
        ),
        4 => {
            let side = one(random, &["--sports", "--dports", "--ports"]);
            format!(" -p {} -m multiport{not} {side} 22,80:82,5353", one(random, &["tcp", "udp"]))
        }
        5 => format!("{not} -p {}", one(random, &["tcp", "udp", icmp, "50", "103", "132"])),
        6 if six => {
            format!(" -p ipv6-icmp -m icmp6{not} --icmpv6-type {}", one(random, &["128", "1/3", "135"]))
        }
        6 => format!(" -p icmp -m icmp{not} --icmp-type {}", one(random, &["8", "3/1", "any", "11"])),
        7 => format!(" -p sctp -m sctp{not} --dport 1:30000"),
        _ => format!(" -p udp -m udp --sport {} --dport {}", ports(random), ports(random)),
    }
}

fn ports(random: &mut Random) -> String {
    let port = one(random, &PORTS);
    if chance(random, 2) { port.to_string() } else { format!("{}:{}", port / 2, port + 300) }
}

/// Cases that chance would not find, and whether they are of IPv6.
pub(crate) fn written() -> Vec<(bool, String)> {
    let table = |rules: &str| {
        format!(
            "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:a - [0:0]\n:b - [0:0]\n:c - [0:0]\n{rules}COMMIT\n"
        )
    };
    let four = [
        // Numbers hold for what is cut off and for later fragments.
        "-A PREROUTING -p tcp -j DROP\n-A PREROUTING ! -p udp\n-A PREROUTING -p 51 -j DROP\n",
        // The header must be there for a port to differ.
        "-A PREROUTING -p udp -m udp ! --dport 53 -j DROP\n-A PREROUTING -p tcp -m tcp ! --sport 80 -j DROP\n",
        // Return, return in a chain that was gone to, and what follows in each.
        "-A PREROUTING -s 10.0.0.0/8 -j a\n-A PREROUTING -p udp -j DROP\n-A a -p tcp -g b\n-A a -j DROP\n\
         -A b -s 10.1.0.0/16 -j RETURN\n-A b -j c\n-A c -d 192.0.2.0/24 -j RETURN\n-A c -p tcp -j DROP\n",
        // A bucket of five for an hour, what is above it dropped behind, or by itself.
        "-A PREROUTING -p udp -m limit --limit 1/hour --limit-burst 5 -j ACCEPT\n-A PREROUTING -p udp -j DROP\n",
        "-A PREROUTING -p tcp -j a\n-A a -m limit --limit 1/hour --limit-burst 7 -j RETURN\n-A a -j DROP\n",
        "-A PREROUTING -p udp -m hashlimit --hashlimit-above 1/hour --hashlimit-burst 3 --hashlimit-mode srcip,dstport \
         --hashlimit-name h --hashlimit-htable-expire 3600000 -j DROP\n",
        "-A PREROUTING -m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 3 --hashlimit-mode srcip \
         --hashlimit-srcmask 16 --hashlimit-name h --hashlimit-htable-expire 3600000 -j ACCEPT\n-A PREROUTING -j DROP\n",
        // Rules that differ in one value.
        "-A PREROUTING -s 10.1.0.1/32 -j DROP\n-A PREROUTING -s 192.0.2.0/24 -j DROP\n\
         -A PREROUTING -p tcp -m tcp --dport 22 -j DROP\n-A PREROUTING -p tcp -m tcp --dport 80:90 -j DROP\n",
    ];
    let six = [
        "-A PREROUTING -p tcp -j DROP\n-A PREROUTING ! -p udp\n-A PREROUTING -p 103 -j DROP\n",
        "-A PREROUTING -p ipv6-icmp -j a\n-A PREROUTING -p udp -m udp --dport 53 -j DROP\n\
         -A a -p ipv6-icmp -m icmp6 ! --icmpv6-type 128 -j RETURN\n-A a -j DROP\n",
        "-A PREROUTING -p udp -m hashlimit --hashlimit-above 1/hour --hashlimit-burst 3 --hashlimit-mode srcip \
         --hashlimit-name h --hashlimit-htable-expire 3600000 -j DROP\n",
    ];
    let of = |six: bool, rules: &[&str]| -> Vec<(bool, String)> {
        rules.iter().map(|rules| (six, table(rules))).collect()
    };
    [of(false, &four), of(true, &six)].concat()
}
