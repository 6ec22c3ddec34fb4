//! A rule over the five fields that filter sets ask for, and a list of them as a policy.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Address and length.
pub(crate) type Prefix = (u32, u32);

/// The first and the last.
pub(crate) type Ports = (u16, u16);

/// All of them.
pub(crate) const ANY_PORT: Ports = (0, u16::MAX);

/// What is asked of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Any,
    /// This one's header is there.
    Header(u8),
    /// The IP header says so.
    Number(u8),
}

/// Boxes that a packet is in or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) source: Prefix,
    pub(crate) target: Prefix,
    pub(crate) from: Ports,
    pub(crate) to: Ports,
    pub(crate) transport: Transport,
}

impl Rule {
    /// Takes every packet.
    pub(crate) const ANY: Self =
        Self { source: (0, 0), target: (0, 0), from: ANY_PORT, to: ANY_PORT, transport: Transport::Any };

    /// As a policy writes it.
    fn condition(&self) -> String {
        let mut asked = Vec::new();
        for (name, prefix) in [("src", self.source), ("dst", self.target)] {
            if prefix.1 > 0 {
                asked.push(format!("ip4.{name} == {}", prefix_text(prefix)));
            }
        }
        let before = asked.len();
        for (name, (low, high)) in [("srcport", self.from), ("dstport", self.to)] {
            let transport = self.transport.name();
            match (low, high) {
                ANY_PORT => {}
                _ if low == high => asked.push(format!("{transport}.{name} == {low}")),
                _ => asked.push(format!("{transport}.{name} in {{ {low}..{high} }}")),
            }
        }
        match self.transport {
            Transport::Header(_) if asked.len() == before => asked.push(self.transport.name().to_owned()),
            Transport::Number(number) => asked.push(format!("ip4.proto == {number}")),
            _ => {}
        }
        if asked.is_empty() {
            asked.push("ip4".to_owned());
        }
        asked.join(" and ")
    }
}

impl Transport {
    pub(crate) fn number(self) -> Option<u8> {
        match self {
            Self::Any => None,
            Self::Header(number) | Self::Number(number) => Some(number),
        }
    }

    fn name(self) -> &'static str {
        match self.number() {
            Some(6) => "tcp",
            Some(17) => "udp",
            Some(1) => "icmp",
            _ => "ip4",
        }
    }
}

/// Whether the rule at this place drops; the others pass.
pub(crate) fn drops(number: usize) -> bool {
    !number.is_multiple_of(3)
}

/// The ones that a length leaves.
pub(crate) fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

pub(crate) fn prefix_text((address, length): Prefix) -> String {
    let address = Ipv4Addr::from(address);
    if length == 32 { address.to_string() } else { format!("{address}/{length}") }
}

/// The rules as a policy; `r0` is the first.
pub(crate) fn policy(rules: &[Rule]) -> String {
    policy_of(rules, |number| if drops(number) { "drop" } else { "pass" })
}

/// The same, each rule with a verb of its own.
pub(crate) fn policy_of(rules: &[Rule], verb: impl Fn(usize) -> &'static str) -> String {
    let mut text = String::new();
    for (number, rule) in rules.iter().enumerate() {
        let _ = writeln!(text, "{} r{number} when {}", verb(number), rule.condition());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_is_written() {
        let tcp = Rule { transport: Transport::Header(6), ..Rule::ANY };
        let wide = Rule { source: (0x0a00_0000, 8), target: (0xcb00_7107, 32), ..tcp };
        let ports = Rule { from: (53, 53), to: (1024, u16::MAX), ..tcp };
        let number = Rule { transport: Transport::Number(17), ..Rule::ANY };
        let expected = [
            "pass r0 when ip4",
            "drop r1 when tcp",
            "drop r2 when ip4.src == 10.0.0.0/8 and ip4.dst == 203.0.113.7 and tcp",
            "pass r3 when tcp.srcport == 53 and tcp.dstport in { 1024..65535 }",
            "drop r4 when ip4.proto == 17",
        ];
        let text = policy(&[Rule::ANY, tcp, wide, ports, number]);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn masks_of_all_lengths() {
        assert_eq!([0, 1, 24, 32].map(mask), [0, 0x8000_0000, 0xffff_ff00, u32::MAX]);
    }
}
