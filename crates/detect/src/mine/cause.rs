//! Known kinds of attacks, as data: a name, what all packets of the kind have, and how long the service's everyday
//! answers are. A sample is of the first kind that fits.
//!
//! Sources: CISA, alert TA14-017A (UDP-based amplification); C. Rossow, "Amplification Hell", NDSS 2014; M. Kührer et
//! al., "Hell of a Handshake", WOOT 2014 (TCP reflection). Everyday lengths are those of the protocols' documents.

use super::condition::{Rule, Test};
use super::feature::Feature;

/// A kind of attack.
pub(super) struct Cause {
    /// For people.
    pub(super) name: &'static str,
    /// For statements' names.
    pub(super) word: &'static str,
    /// What all its packets have.
    pub(super) base: Base,
    /// Everyday answers of the service are IP packets of so many bytes at most.
    pub(super) everyday: Option<u16>,
    /// Whether the kind alone says that something is wrong; else it is just a kind of packet.
    pub(super) nature: Nature,
}

/// What is known of a kind beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nature {
    /// A service's answers, or other packets that few hosts have any business with.
    Telling,
    /// New connections: what a host that is full can answer by SYN cookies (RFC 4987, section 3.6).
    Opening,
    /// Any traffic.
    Plain,
}

pub(super) enum Base {
    /// UDP from one of these ports.
    UdpFrom(&'static [u64]),
    /// TCP, with flags as in [`Test::Masked`].
    Flags(u64, u64),
    /// Conditions by feature: from, to.
    Ranges(&'static [(Feature, u64, u64)]),
}

impl Cause {
    /// What all its packets have, as a rule.
    pub(super) fn rule(&self) -> Rule {
        let tests: Vec<_> = match &self.base {
            Base::UdpFrom(ports) => {
                vec![
                    (Feature::Transport, Test::exactly(17)),
                    (Feature::UdpSrcport, Test::one_of(ports.to_vec())),
                ]
            }
            Base::Flags(mask, value) => vec![
                (Feature::Transport, Test::exactly(6)),
                (Feature::TcpFlags, Test::Masked { mask: *mask, value: *value }),
            ],
            Base::Ranges(ranges) => ranges.iter().map(|row| (row.0, Test::between(row.1, row.2))).collect(),
        };
        Rule { tests: tests.into_iter().collect() }
    }
}

const fn service(
    name: &'static str,
    word: &'static str,
    ports: &'static [u64],
    everyday: Option<u16>,
) -> Cause {
    Cause { name, word, base: Base::UdpFrom(ports), everyday, nature: Nature::Telling }
}

const fn flags(name: &'static str, word: &'static str, mask: u64, value: u64, nature: Nature) -> Cause {
    Cause { name, word, base: Base::Flags(mask, value), everyday: None, nature }
}

const fn kind(
    name: &'static str,
    word: &'static str,
    ranges: &'static [(Feature, u64, u64)],
    nature: Nature,
) -> Cause {
    Cause { name, word, base: Base::Ranges(ranges), everyday: None, nature }
}

/// In the order in which they are asked; the last one fits all.
pub(super) const CAUSES: &[Cause] = &[
    kind("later fragments", "fragments", &[(Feature::FragOffset4, 8, 0xffff)], Nature::Telling),
    kind("later fragments", "fragments", &[(Feature::FragOffset6, 8, 0xffff)], Nature::Telling),
    service("quote of the day amplification", "qotd_amplification", &[17], None),
    service("chargen amplification", "chargen_amplification", &[19], None),
    // 512 bytes (RFC 1035, section 4.2.1) and the headers of UDP and IPv4.
    service("DNS amplification", "dns_amplification", &[53], Some(540)),
    service("TFTP amplification", "tftp_amplification", &[69], None),
    service("portmap amplification", "portmap_amplification", &[111], None),
    // 48 bytes and a MAC of 24 (RFC 5905, section 7.3).
    service("NTP amplification", "ntp_amplification", &[123], Some(100)),
    service("NetBIOS amplification", "netbios_amplification", &[137, 138], None),
    service("SNMP amplification", "snmp_amplification", &[161], None),
    service("CLDAP amplification", "cldap_amplification", &[389], None),
    service("ISAKMP amplification", "isakmp_amplification", &[500, 4500], None),
    service("RIP amplification", "rip_amplification", &[520], None),
    service("IPMI amplification", "ipmi_amplification", &[623], None),
    service("MS SQL amplification", "mssql_amplification", &[1434], None),
    service("SSDP amplification", "ssdp_amplification", &[1900], None),
    service("ARMS amplification", "arms_amplification", &[3283], None),
    service("WS-Discovery amplification", "wsd_amplification", &[3702], None),
    service("mDNS amplification", "mdns_amplification", &[5353], None),
    service("CoAP amplification", "coap_amplification", &[5683], None),
    service("Ubiquiti discovery amplification", "ubiquiti_amplification", &[10001], None),
    service("memcached amplification", "memcached_amplification", &[11211], None),
    service("Plex amplification", "plex_amplification", &[32410, 32414], None),
    service("DVR discovery amplification", "dvr_amplification", &[37810], None),
    flags("SYN flood", "syn_flood", 0x17, 0x02, Nature::Opening),
    flags("SYN-ACK reflection", "synack_reflection", 0x17, 0x12, Nature::Plain),
    flags("RST flood or reflection", "rst_flood", 0x04, 0x04, Nature::Plain),
    flags("FIN flood", "fin_flood", 0x17, 0x01, Nature::Telling),
    flags("flood without flags", "null_flood", 0xff, 0, Nature::Telling),
    flags("SYN and FIN at once", "synfin_flood", 0x03, 0x03, Nature::Telling),
    flags("ACK flood", "ack_flood", 0x12, 0x10, Nature::Plain),
    flags("TCP flood", "tcp_flood", 0, 0, Nature::Plain),
    kind("ping flood", "ping_flood", &[(Feature::IcmpType, 8, 8)], Nature::Plain),
    kind("ping reflection", "ping_reflection", &[(Feature::IcmpType, 0, 0)], Nature::Plain),
    kind("ICMP flood", "icmp_flood", &[(Feature::Transport, 1, 1)], Nature::Plain),
    kind("ICMPv6 flood", "icmpv6_flood", &[(Feature::Transport, 58, 58)], Nature::Plain),
    kind("UDP flood", "udp_flood", &[(Feature::Transport, 17, 17)], Nature::Plain),
    kind("GRE flood", "gre_flood", &[(Feature::Proto4, 47, 47)], Nature::Plain),
    kind("GRE flood", "gre_flood", &[(Feature::Proto6, 47, 47)], Nature::Plain),
    kind("flood", "flood", &[], Nature::Plain),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_of_the_language_and_the_last_row_fits_all() {
        for cause in CAUSES {
            assert!(
                cause.word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{}",
                cause.word
            );
        }
        assert!(CAUSES.last().unwrap().rule().tests.is_empty());
    }
}
