//! The kernel's own tools judge the same packets: rule sets run in iptables and nft, on a veth pair, and as the
//! policies that are made of them.
//!
//! The rules stand at `prerouting`, before anything puts fragments together. Every packet has a number (IPv4's
//! identification, IPv6's flow label); a table before the rules notes the numbers that arrive, one behind them
//! the numbers that were accepted. So each packet's verdict is known, and the counters of rules besides.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and figures are for people")]

mod bench;
mod iptables;
mod nft;
mod packets;

use bench::{Bench, Rules, Tool};
use packets::Kind;
use weir_lab::traffic::Random;

/// Rule sets of each kind that are made at random; with some ten rules each.
/// `WEIR_RANDOM_RULESETS` asks for more.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("WEIR_RANDOM_RULESETS").ok().and_then(|count| count.parse().ok());
    0..asked.unwrap_or(30)
}

fn kind(seed: u64) -> Kind {
    if seed.is_multiple_of(3) { Kind::Fragments } else { Kind::Headers }
}

#[test]
fn random_rules_of_iptables_mean_the_same() {
    let Some(bench) = Bench::new("random_rules_of_iptables_mean_the_same", &["iptables", "nft"]) else {
        return;
    };
    for seed in seeds() {
        for six in [false, true] {
            let mut random = Random::new(seed);
            let kind = kind(seed);
            let text = iptables::random(&mut random, six, kind);
            bench.agree(
                &Rules::Iptables { tool: Tool::Nft, six, text },
                &packets::random(&mut random, six, kind, 150),
            );
        }
    }
    bench.report();
}

/// The kernel's older engine, which compares ports of headers alone, in later fragments never.
#[test]
fn random_rules_of_the_older_iptables_mean_the_same() {
    let name = "random_rules_of_the_older_iptables_mean_the_same";
    let Some(bench) = Bench::new(name, &["iptables-legacy", "nft"]) else { return };
    if !bench.has_legacy() {
        println!("not compared: this kernel has no tables of the older iptables");
        return;
    }
    for seed in seeds() {
        for six in [false, true] {
            let mut random = Random::new(2_000 + seed);
            let text = iptables::random(&mut random, six, Kind::Headers);
            let packets = packets::random(&mut random, six, Kind::Fragments, 150);
            bench.agree(&Rules::Iptables { tool: Tool::Legacy, six, text }, &packets);
        }
    }
    bench.report();
}

#[test]
fn random_rules_of_nft_mean_the_same() {
    let Some(bench) = Bench::new("random_rules_of_nft_mean_the_same", &["nft"]) else { return };
    for seed in seeds() {
        for family in ["ip", "ip6", "inet"] {
            let mut random = Random::new(1_000 + seed);
            let kind = kind(seed);
            let text = nft::random(&mut random, family, kind);
            let mut packets = Vec::new();
            if family != "ip6" {
                packets.extend(packets::random(&mut random, false, kind, 100));
            }
            if family != "ip" {
                packets.extend(packets::random(&mut random, true, kind, 100));
            }
            bench.agree(&Rules::Nft(text), &packets);
        }
    }
    bench.report();
}

#[test]
fn written_rules_mean_the_same() {
    let Some(bench) = Bench::new("written_rules_mean_the_same", &["iptables", "nft"]) else { return };
    let mut random = Random::new(7);
    let mut packets = |six, kind| packets::random(&mut random, six, kind, 300);
    let [four, six] = [packets(false, Kind::Headers), packets(true, Kind::Headers)];
    let fragments = [packets(false, Kind::Fragments), packets(true, Kind::Fragments)];
    for (is_six, text) in iptables::written() {
        bench.agree(
            &Rules::Iptables { tool: Tool::Nft, six: is_six, text: text.clone() },
            if is_six { &six } else { &four },
        );
        if !text.contains("port") && !text.contains("type") {
            let rules = Rules::Iptables { tool: Tool::Nft, six: is_six, text };
            bench.agree(&rules, &fragments[usize::from(is_six)]);
            if !is_six {
                bench.agree(&rules, &packets::odd());
            }
        }
    }
    for text in nft::written() {
        bench.agree(&Rules::Nft(text), &[four.clone(), six.clone()].concat());
    }
    bench.report();
}
