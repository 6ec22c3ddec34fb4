//! What a rule matches: options → conditions.

use super::rates::Rates;
use super::values::{Address, flags, integer, number, numbered_type, prefix, range};
use super::words::Opt;
use super::{Aside, Known};
use crate::Kind;
use crate::condition::Condition;
use crate::rule::{Family, Limit};
use crate::transport::{self, Transport, header_of};
use crate::{ipset, names, numbers};

/// Conditions of one rule, as its options are read.
pub(super) struct Matches<'a> {
    known: &'a Known<'a>,
    transport: Transport,
    when: Vec<Condition>,
    pub(super) rates: Rates,
    /// How many conditions stand before the limit, which counts packets that meet those alone.
    before_rate: Option<usize>,
    pub(super) comment: Option<String>,
    /// Why no packet at this edge is meant.
    elsewhere: Option<String>,
}

type Said = Result<(), String>;

impl<'a> Matches<'a> {
    pub(super) fn new(known: &'a Known<'a>) -> Matches<'a> {
        Matches {
            known,
            transport: Transport::new(known.family),
            when: Vec::new(),
            rates: Rates::default(),
            before_rate: None,
            comment: None,
            elsewhere: None,
        }
    }

    pub(super) fn read(&mut self, options: &[Opt]) -> Said {
        // The protocol first: what ports mean depends on it, wherever it stands.
        for option in options.iter().filter(|option| matches!(option.name.as_str(), "-p" | "--protocol")) {
            self.protocol(option)?;
        }
        options.iter().try_for_each(|option| self.option(option))
    }

    /// The conditions and the limit.
    pub(super) fn finish(self) -> Result<(Vec<Condition>, Option<Limit>), Aside> {
        if let Some(why) = self.elsewhere {
            return Err((Kind::Ignored, why));
        }
        if self.before_rate.is_some_and(|before| before != self.when.len()) {
            let why = "the limit stands before other matches, and also counts packets that do not meet those";
            return Err((Kind::Refused, why.into()));
        }
        let ports = match self.transport.named().as_slice() {
            [one] => header_of(*one).filter(|(_, ports)| *ports).map(|(header, _)| header),
            _ => None,
        };
        let ip = self.ip();
        let when = self.transport.conditions().into_iter().chain(self.when).collect();
        let limit = self.rates.limit(ip, ports).map_err(|why| (Kind::Refused, why))?;
        Ok((when, limit))
    }

    fn ip(&self) -> &'static str {
        if self.known.family == Family::V6 { "ip6" } else { "ip4" }
    }

    fn option(&mut self, option: &Opt) -> Said {
        let value = option.values.first().map(String::as_str).unwrap_or_default();
        let ip = self.ip();
        match option.name.as_str() {
            "-p" | "--protocol" => {}
            "-m" | "--match" => return module(value),
            "--comment" => self.comment = Some(value.to_owned()),
            "-s" | "--source" | "--src" => return self.address("src", option, value),
            "-d" | "--destination" | "--dst" => return self.address("dst", option, value),
            "-i" | "--in-interface" => return self.interface(option, value),
            "-o" | "--out-interface" => return Err("an edge does not know where a packet will leave".into()),
            "-f" | "--fragment" => {
                let relation = if option.negated { "==" } else { "!=" };
                self.when.push(Condition::test(format!("ip4.frag {relation} 0")));
            }
            "--sport" | "--source-port" | "--sports" | "--source-ports" => {
                return self.ports("srcport", option, value);
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                return self.ports("dstport", option, value);
            }
            "--ports" => return self.ports("port", option, value),
            "--syn" => return self.flags(option.negated, "FIN,SYN,RST,ACK", "SYN"),
            "--tcp-flags" => {
                let bits = option.values.get(1).map(String::as_str).unwrap_or_default();
                return self.flags(option.negated, value, bits);
            }
            "--icmp-type" => return self.icmp(1, option, value, numbers::icmp_type(value)),
            "--icmpv6-type" => return self.icmp(58, option, value, numbers::icmpv6_type(value)),
            "--length" => self.relation(option, ip, &format!("{ip}.len"), range(value, 0xffff)?),
            "--ttl-eq" | "--ttl" | "--hl-eq" => {
                self.relation(option, ip, &format!("{ip}.ttl"), number(value, 255)?)
            }
            "--ttl-lt" | "--hl-lt" => {
                self.when.push(Condition::test(format!("{ip}.ttl < {}", number(value, 255)?)))
            }
            "--ttl-gt" | "--hl-gt" => {
                self.when.push(Condition::test(format!("{ip}.ttl > {}", number(value, 255)?)))
            }
            "--tos" => return self.tos(option, value),
            "--dscp" => self.relation(option, ip, &format!("{ip}.dscp"), number(value, 63)?),
            "--dscp-class" => {
                let class = numbers::dscp(value).ok_or_else(|| format!("no class is called `{value}`"))?;
                self.relation(option, ip, &format!("{ip}.dscp"), class.to_string());
            }
            "--ecn-ip-ect" => self.relation(option, ip, &format!("{ip}.ecn"), number(value, 3)?),
            "--ecn-tcp-cwr" => return self.flags(option.negated, "CWR", "CWR"),
            "--ecn-tcp-ece" => return self.flags(option.negated, "ECE", "ECE"),
            "--src-range" => self.relation(option, ip, &format!("{ip}.src"), self.span(value)?),
            "--dst-range" => self.relation(option, ip, &format!("{ip}.dst"), self.span(value)?),
            "--mac-source" => {
                let mac = names::mac(value).ok_or_else(|| format!("`{value}` is no Ethernet address"))?;
                self.relation(option, "eth", "eth.src", mac);
            }
            "--pkt-type" => return self.packet_type(option.negated, value),
            "--espspi" => self.spi(50, option, value)?,
            "--ahspi" => self.spi(51, option, value)?,
            "--match-set" => return self.set(option, value),
            _ => return self.rate(option),
        }
        Ok(())
    }

    fn relation(&mut self, option: &Opt, header: &str, field: &str, value: String) {
        self.relations(option.negated, header, field, vec![value]);
    }

    fn relations(&mut self, negated: bool, header: &str, field: &str, values: Vec<String>) {
        self.when.push(match negated {
            true => Condition::differs(header, field, values),
            false => Condition::Is(field.to_owned(), values),
        });
    }

    fn protocol(&mut self, option: &Opt) -> Said {
        let name = option.values.first().map(String::as_str).unwrap_or_default();
        if name == "all" {
            return Ok(());
        }
        let number =
            numbers::protocol_number(name).ok_or_else(|| format!("no protocol is called `{name}`"))?;
        match (number, self.known.family) {
            // iptables' word for all of them.
            (0, Family::V4) => return Ok(()),
            (_, Family::V6) if transport::is_extension(number.into()) => {
                return Err(format!("`-p {name}` is an extension header, which is never the protocol"));
            }
            _ => self.transport.protocol(vec![number.to_string()], option.negated),
        }
        Ok(())
    }

    /// The header whose ports are meant.
    fn header(&mut self) -> Result<(u8, &'static str), String> {
        let named = self.transport.named();
        let [number] = named.as_slice() else {
            return Err("ports need one protocol that has them (`-p`)".into());
        };
        match header_of(*number) {
            Some((header, true)) => {
                self.transport.header(*number);
                Ok((*number, header))
            }
            _ => Err(format!("Weir knows no ports of protocol {number}")),
        }
    }

    /// A header that the option itself names.
    fn fixed_header(&mut self, number: u8) -> Result<&'static str, String> {
        if self.transport.named() != [number] {
            return Err(format!("this needs the protocol it is about: `-p {number}`"));
        }
        self.transport.header(number);
        header_of(number).map(|(header, _)| header).ok_or_else(|| format!("protocol {number} is not known"))
    }

    fn address(&mut self, side: &str, option: &Opt, value: &str) -> Said {
        let (ip, mut values) = (self.ip(), Vec::new());
        let field = format!("{ip}.{side}");
        for one in value.split(',') {
            match prefix(one, self.known.family)? {
                Address::Any => {}
                Address::Prefix(text) => values.push(text),
                Address::Masked(masked) => {
                    let start = if side == "src" { 12 } else { 16 };
                    let (address, mask) = masked;
                    let relation = if option.negated { "!=" } else { "==" };
                    let test = format!("ip4[{start}:4] & {mask:#010x} {relation} {:#010x}", address & mask);
                    self.when.push(Condition::test(test));
                }
            }
        }
        match values.is_empty() {
            true if option.negated && value.ends_with("/0") => {
                self.elsewhere = Some("no address is outside of all".into());
            }
            true => {}
            false => self.relations(option.negated, ip, &field, values),
        }
        Ok(())
    }

    /// `10.0.0.1-10.0.0.9`
    fn span(&self, text: &str) -> Result<String, String> {
        let own = ipset::address(text).filter(|span| span.contains(':') == (self.known.family == Family::V6));
        own.ok_or_else(|| format!("`{text}` is no range of addresses"))
    }

    fn interface(&mut self, option: &Opt, pattern: &str) -> Said {
        let is_it = |name: &str| match pattern.strip_suffix('+') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        };
        let here = match self.known.options.interface.as_deref() {
            Some(own) => is_it(own),
            None if pattern == "lo" => false,
            None => {
                return Err(format!(
                    "say which interface the edge is at: `--interface {}`",
                    pattern.replace('+', "0")
                ));
            }
        };
        if here == option.negated {
            self.elsewhere = Some(match option.negated {
                false => {
                    format!("it is about packets that come in by `{pattern}`, and none at this edge does")
                }
                true => {
                    format!("it is about packets that do not come in by `{pattern}`, and all at this edge do")
                }
            });
        }
        Ok(())
    }

    fn ports(&mut self, side: &str, option: &Opt, value: &str) -> Said {
        let (_, header) = self.header()?;
        let values = value.split(',').map(|one| range(one, 0xffff)).collect::<Result<_, _>>()?;
        // `tcp.port` is either side, and `!=` of it both.
        self.relations(option.negated, header, &format!("{header}.{side}"), values);
        Ok(())
    }

    fn flags(&mut self, negated: bool, mask: &str, value: &str) -> Said {
        self.fixed_header(6)?;
        let (mask, value) = (flags(mask)?, flags(value)?);
        let relation = if negated { "!=" } else { "==" };
        self.when.push(Condition::test(format!("tcp.flags & {mask:#04x} {relation} {value:#04x}")));
        Ok(())
    }

    fn icmp(&mut self, number: u8, option: &Opt, value: &str, named: Option<(u8, Option<u8>)>) -> Said {
        let header = self.fixed_header(number)?;
        if number == 1 && matches!(value, "any" | "255") {
            match option.negated {
                true => self.elsewhere = Some("no type is outside of all".into()),
                false => self.when.push(Condition::test(header)),
            }
            return Ok(());
        }
        let (kind, code) = match named {
            Some(named) => named,
            None => numbered_type(value)?,
        };
        let asked = |negated: bool| match code {
            None if negated => Condition::test(format!("{header}.type != {kind}")),
            None => Condition::is(format!("{header}.type"), kind),
            Some(code) => Condition::all([
                Condition::is(format!("{header}.type"), kind),
                Condition::is(format!("{header}.code"), code),
            ]),
        };
        self.when.push(match code {
            Some(_) if option.negated => Condition::all([Condition::test(header), asked(false).not()]),
            _ => asked(option.negated),
        });
        Ok(())
    }

    fn tos(&mut self, option: &Opt, value: &str) -> Said {
        let (value, mask) = value.split_once('/').unwrap_or((value, "0xff"));
        let (value, mask) = (integer(value, 0xff)?, integer(mask, 0xff)?);
        let relation = if option.negated { "!=" } else { "==" };
        let field = format!("{}.dsfield", self.ip());
        self.when.push(Condition::test(match mask {
            0xff => format!("{field} {relation} {value:#04x}"),
            _ => format!("{field} & {mask:#04x} {relation} {value:#04x}"),
        }));
        Ok(())
    }

    fn packet_type(&mut self, negated: bool, value: &str) -> Said {
        let condition =
            packet_type(value).ok_or("whether a packet is for this machine is not in its frame")?;
        self.when.push(if negated { condition.not() } else { condition });
        Ok(())
    }

    fn spi(&mut self, number: u8, option: &Opt, value: &str) -> Said {
        let header = self.fixed_header(number)?;
        let value = range(value, u64::from(u32::MAX))?;
        self.relation(option, header, &format!("{header}.spi"), value);
        Ok(())
    }

    fn set(&mut self, option: &Opt, name: &str) -> Said {
        let Some(set) = self.known.sets.iter().find(|set| set.name == name) else {
            return Err(format!(
                "set `{name}` is not in this file: `--ipset FILE` with what `ipset save` writes"
            ));
        };
        let sides = option.values.get(1).map(String::as_str).unwrap_or_default();
        let condition = set.condition(sides, self.known.family)?;
        self.when.push(if option.negated { condition.not() } else { condition });
        Ok(())
    }

    fn rate(&mut self, option: &Opt) -> Said {
        let first = !self.rates.is_given();
        if !self.rates.take(option)? {
            return Err(format!("the option `{}` has no counterpart", option.name));
        }
        if first && self.rates.is_given() {
            self.before_rate = Some(self.when.len());
        }
        Ok(())
    }
}

/// Broadcast and multicast, as the frame's destination tells.
pub(crate) fn packet_type(name: &str) -> Option<Condition> {
    const EVERYBODY: &str = "ff:ff:ff:ff:ff:ff";
    match name {
        "broadcast" => Some(Condition::is("eth.dst", EVERYBODY)),
        "multicast" => Some(Condition::all([
            Condition::test("eth.dst[0:1] & 1 == 1"),
            Condition::test(format!("eth.dst != {EVERYBODY}")),
        ])),
        _ => None,
    }
}

/// Modules whose options are known here; of others, why not.
fn module(name: &str) -> Said {
    const KNOWN: [&str; 22] = [
        "ah",
        "comment",
        "dscp",
        "ecn",
        "esp",
        "hashlimit",
        "hl",
        "icmp",
        "icmp6",
        "icmpv6",
        "iprange",
        "length",
        "limit",
        "mac",
        "multiport",
        "pkttype",
        "sctp",
        "set",
        "tcp",
        "tos",
        "ttl",
        "udp",
    ];
    if KNOWN.contains(&name) || name == "udplite" {
        return Ok(());
    }
    Err(match name {
        "conntrack" | "state" | "connmark" | "connbytes" | "connlimit" | "helper" => {
            "Weir keeps no state of connections: each packet is judged by itself. Answers over TCP have \
             `tcp.flags.ack` or `tcp.flags.reset`"
                .into()
        }
        "mark" | "owner" | "socket" | "policy" | "realm" | "cgroup" => {
            format!("`{name}` is about what the kernel knows of a packet, not about what is in it")
        }
        "recent" => "`recent` keeps lists that packets change; a `limit … per` or a live set may do".into(),
        "addrtype" | "rpfilter" => format!("`{name}` asks this machine's routes"),
        _ => format!("the match `{name}` has no counterpart"),
    })
}
