//! Services: the destinations of `balance` statements.

use super::admitted::{Range, destinations};
use super::{Policy, Pred};
use crate::plan::ranges_to_prefixes;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A first address, and how many bits of it count.
pub type Prefix = (IpAddr, u8);

/// A service has so many prefixes at most: who sends more destinations to a pool has a network behind it, and no service.
pub const MOST_PREFIXES: usize = 256;
/// So many statements are in a service's name.
const NAMED: usize = 3;

/// What clients reach by the packets of a `balance`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The name of the statement; of several statements for the same destinations `web+web_tls`, and no more than three of them.
    pub name: String,
    /// Its destinations: prefixes that are apart, those of IPv4 first, each family rising.
    pub prefixes: Vec<Prefix>,
}

/// The services of statements, by their names and conditions.
pub(crate) fn services<'a>(
    policy: &Policy,
    balances: impl Iterator<Item = (&'a str, &'a Pred)>,
) -> Vec<Service> {
    let mut found: Vec<(Vec<Prefix>, Vec<&str>)> = Vec::new();
    let mut known = HashMap::new();
    for (name, when) in balances {
        let Some(prefixes) = prefixes(policy, when) else { continue };
        let at = *known.entry(prefixes.clone()).or_insert(found.len());
        match found.get_mut(at) {
            Some((_, names)) => names.push(name),
            None => found.push((prefixes, vec![name])),
        }
    }
    found.into_iter().map(|(prefixes, names)| Service { name: joined(&names), prefixes }).collect()
}

fn joined(names: &[&str]) -> String {
    let more = if names.len() > NAMED { "+…" } else { "" };
    names[..names.len().min(NAMED)].join("+") + more
}

/// The destinations that a condition admits; `None` if these are none, all of a family, or too many to be a service.
fn prefixes(policy: &Policy, when: &Pred) -> Option<Vec<Prefix>> {
    let [four, six] = destinations(policy, when)?;
    let mut all = split(four?, 32, |first| Ipv4Addr::from(first as u32).into())?;
    all.extend(split(six?, 128, |first| Ipv6Addr::from(first).into())?);
    let is_service = (1..=MOST_PREFIXES).contains(&all.len()) && all.iter().all(|(_, length)| *length > 0);
    is_service.then_some(all)
}

fn split(ranges: Vec<Range>, width: u8, address: impl Fn(u128) -> IpAddr) -> Option<Vec<Prefix>> {
    if ranges.len() > MOST_PREFIXES {
        return None;
    }
    let prefixes = ranges.into_iter().flat_map(|(low, high)| ranges_to_prefixes(width, low, high));
    Some(prefixes.map(|(first, length)| (address(first), length)).collect())
}

#[cfg(test)]
mod tests {
    use crate::{Loader, analyse};

    struct List;

    impl Loader for List {
        fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
            Ok((path.to_owned(), "192.0.2.1\n192.0.2.9\n2001:db8::/64\n".to_owned()))
        }
    }

    /// The services of a policy: `NAME: PREFIX …`.
    fn services(statements: &str) -> Vec<String> {
        let text = format!(
            "set two : ip = {{ 203.0.113.10, 203.0.113.20 }}\nset listed : ip from \"list.txt\"\n\
             set live : ip max 10\nset pairs : (ip, tcp.dstport) = {{ (203.0.113.10, 80), (2001:db8::1, 443) }}\n\
             pool web {{\n    10.0.0.1\n}}\n{statements}"
        );
        let analysis = analyse("test.weir", &text, &List);
        assert!(!analysis.diagnostics.has_errors(), "{text}\n{:?}", analysis.diagnostics);
        let service = |one: &super::Service| {
            let prefixes = one.prefixes.iter().map(|(address, length)| format!(" {address}/{length}"));
            format!("{}:{}", one.name, prefixes.collect::<String>())
        };
        analysis.policy.services.iter().map(service).collect()
    }

    #[test]
    fn a_service_is_what_the_condition_admits() {
        for (condition, expected) in [
            ("ip.dst == 203.0.113.10 and tcp.dstport == 443", "203.0.113.10/32"),
            (
                "tcp.dstport == 443 and ip.dst in { 203.0.113.10, 2001:db8::1 }",
                "203.0.113.10/32 2001:db8::1/128",
            ),
            ("ip.dst in two and udp", "203.0.113.10/32 203.0.113.20/32"),
            ("ip.dst in listed", "192.0.2.1/32 192.0.2.9/32 2001:db8::/64"),
            ("(ip.dst, tcp.dstport) in pairs", "203.0.113.10/32 2001:db8::1/128"),
            ("ip.dst == 192.0.2.0/30 or ip6.dst == 2001:db8::/48", "192.0.2.0/30 2001:db8::/48"),
            ("ip.dst in { 192.0.2.0..192.0.2.5 }", "192.0.2.0/30 192.0.2.4/31"),
            ("ip.dst in { 192.0.2.0/30 } and not ip.dst == 192.0.2.1", "192.0.2.0/32 192.0.2.2/31"),
            ("ip.dst in listed and ip.dst != 192.0.2.9", "192.0.2.1/32"),
            ("ip4 and ip.dst in listed and not ip.dst in two", "192.0.2.1/32 192.0.2.9/32"),
            (
                "tcp and (ip.dst == 192.0.2.1 and tcp.dstport == 80 or ip.dst == 192.0.2.8)",
                "192.0.2.1/32 192.0.2.8/32",
            ),
            ("ip.dst in live and ip.dst in { 192.0.2.1 }", "192.0.2.1/32"),
        ] {
            assert_eq!(
                services(&format!("balance web when {condition} to web\n")),
                [format!("web: {expected}")]
            );
        }
    }

    #[test]
    fn what_is_for_anyone_or_for_a_network_is_none() {
        for condition in [
            "tcp.dstport == 443",
            "ip.dst == 203.0.113.10 or ip6",
            "ip.dst in live",
            "not ip.dst == 203.0.113.10",
            "ip4.dst == 0.0.0.0/0",
            "ip.dst in { 0.0.0.0/1, 128.0.0.0/1 }",
            "ip.dst == 203.0.113.10 and ip.dst == 203.0.113.11",
        ] {
            assert_eq!(services(&format!("balance web when {condition} to web\n")), [""; 0], "{condition}");
        }
        let odd = |most: u32| {
            (0..most).map(|n| format!("10.0.{}.{}", n / 100, n % 100 * 2 + 1)).collect::<Vec<_>>()
        };
        let of =
            |most| services(&format!("balance web when ip.dst in {{ {} }} to web\n", odd(most).join(", ")));
        assert_eq!((of(256).len(), of(257).len()), (1, 0));
        assert_eq!(services("shadow balance web when ip.dst == 203.0.113.10 to web\n"), [""; 0]);
        assert_eq!(services("drop web when ip.dst == 203.0.113.10\n"), [""; 0]);
    }

    #[test]
    fn statements_for_the_same_destinations_are_one_service() {
        let balance = |name: &str, port: u16, to: &str| {
            format!("balance {name} when ip.dst in {to} and tcp.dstport == {port} to web\n")
        };
        let two = balance("web", 80, "two") + &balance("dns", 53, "listed") + &balance("tls", 443, "two");
        let expected =
            ["web+tls: 203.0.113.10/32 203.0.113.20/32", "dns: 192.0.2.1/32 192.0.2.9/32 2001:db8::/64"];
        assert_eq!(services(&two), expected);
        let many: String = (1..6).map(|port| balance(&format!("p{port}"), port, "two")).collect();
        assert_eq!(services(&many), ["p1+p2+p3+…: 203.0.113.10/32 203.0.113.20/32"]);
        let unnamed = services("balance when ip.dst == 203.0.113.10 to web\n");
        assert_eq!(unnamed, ["balance@8: 203.0.113.10/32"]);
    }
}
