//! `balance`: what makes a flow, and how packets get to backends.

use super::Checker;
use super::literal::{Misfit, range};
use super::pool::is_host;
use super::quoted::Quoted;
use crate::diagnostic::Code;
use crate::nat::{self, Bank};
use crate::plan;
use crate::policy::{
    Backend, Balance, FieldRef, GUE_PORT, HeaderRef, KeyPart, Origin, ProtocolId, Protocols, Term,
    VXLAN_PORT, ValueType, Via,
};
use crate::source::Span;
use crate::syntax::ast::{self, Literal, LiteralValue, ViaMode};
use std::net::IpAddr;

/// The transports whose ports tell flows apart.
pub(super) const TRANSPORTS: [&str; 4] = ["tcp", "udp", "sctp", "udplite"];

/// From which ports translated packets come where nothing else is said.
const NAT_PORTS: (u16, u16) = (1024, 32_767);

/// An IPv4 prefix that leaves more open is of many networks.
const SHORTEST_PREFIX4: u8 = 8;

impl Checker<'_> {
    pub(super) fn balance(&mut self, ast: &ast::Balance) -> Option<Balance> {
        let pool = self.pool_index(&ast.pool);
        let keys = self.keys(&ast.by, Code::BadPool);
        let via = match &ast.via {
            Some(via) => self.via(via),
            None => Some(Via::L2),
        };
        let (pool, via) = (pool?, via?);
        if let Some(used) = self.pool_names.get_mut(&ast.pool.text) {
            used.ports |= via.banks().is_some();
        }
        self.reaches(ast, pool, &via)?;
        self.means_one_thing(ast, pool, &via)?;
        self.keeps_family(ast, pool, &via)?;
        let (named, protocols) = (keys?, &self.policy.protocols);
        let mut keys = error_keys(protocols, &named);
        keys.extend(named);
        keys.extend(default_keys(protocols));
        Some(Balance { pool, keys, via, families: [true; 2] })
    }

    fn via(&mut self, ast: &ast::Via) -> Option<Via> {
        let origin = self.origin(&ast.from);
        let port = match &ast.port {
            Some(port) => self.port(port),
            None if ast.mode == ViaMode::Vxlan => Some(VXLAN_PORT),
            None => Some(GUE_PORT),
        };
        Some(match ast.mode {
            ViaMode::L2 => Via::L2,
            ViaMode::Nat => {
                let (origin, ports) = (origin?, self.nat_ports(ast)?);
                let via = Via::Nat { origin, ports };
                self.has_room(ast, &via)?;
                via
            }
            ViaMode::IpIp => Via::IpIp(origin?),
            ViaMode::Gue => Via::Gue(origin?, port?),
            ViaMode::Vxlan => {
                let id = self.network(ast);
                Via::Vxlan { origin: origin?, port: port?, id: id? }
            }
        })
    }

    /// The first and the last port from which translated packets come. Those of the kernel's own connections begin above the default
    /// (`net.ipv4.ip_local_port_range`).
    fn nat_ports(&mut self, ast: &ast::Via) -> Option<(u16, u16)> {
        let Some((first, last)) = &ast.ports else { return Some(NAT_PORTS) };
        let ports = (self.port(first)?, self.port(last)?);
        match ports.0 <= ports.1 {
            true => Some(ports),
            false => {
                self.bad_pool(first.span.to(last.span), "no port is in this range", "its end comes first")
            }
        }
    }

    /// A table of flows has room for some, and not for more than memory has; no flow of another statement comes from the same port.
    fn has_room(&mut self, ast: &ast::Via, via: &Via) -> Option<()> {
        let banks = via.banks()?.into_iter().zip([false, true]);
        for (bank, six) in banks.filter_map(|(bank, six)| Some((bank?, six))) {
            let Some(literal) = ast.from.iter().find(|literal| is_six(literal) == six) else { continue };
            let flows = u64::from(bank.addresses) * u64::from(bank.ports);
            if !(u64::from(nat::WAYS)..=nat::MOST_FLOWS).contains(&flows) {
                let message = format!("{flows} flows could come from these addresses and ports");
                let found = self.diagnostics.report(Code::BadPool, literal.span, message);
                found.label(format!("expected {} to {}", nat::WAYS, nat::MOST_FLOWS));
                found.help("each takes 80 bytes: say fewer addresses, or `ports 1024..9215`");
                return None;
            }
            let meets = |other: &&(Bank, Span)| {
                let other = &other.0;
                let addresses = bank.address <= other.last_address() && other.address <= bank.last_address();
                addresses && bank.port <= other.last_port() && other.port <= bank.last_port()
            };
            if let Some((_, other)) = self.banks.iter().find(meets) {
                self.diagnostics
                    .report(Code::BadPool, literal.span, "two statements would send from the same ports")
                    .label("answers would be of either")
                    .also(*other, "the first")
                    .help("give each ports or addresses of its own: `ports 1024..16383`");
                return None;
            }
            self.banks.push((bank, literal.span));
        }
        Some(())
    }

    /// The number of the network to which a frame in VXLAN belongs.
    fn network(&mut self, ast: &ast::Via) -> Option<u32> {
        let Some(literal) = &ast.id else {
            let message = "`via vxlan` needs the number of the backends' network";
            let found = self.diagnostics.report(Code::BadPool, ast.span, message);
            found.label("says no `id`").help("say it: `via vxlan id 7 from …`");
            return None;
        };
        match literal.value {
            LiteralValue::Int(id @ 0..=0xff_ffff) => Some(id as u32),
            _ => self.bad_pool(literal.span, "an `id` is between 0 and 16777215", "no network of VXLAN"),
        }
    }

    /// What is translated stays of its family, so a flow must not get a backend of the other one.
    fn keeps_family(&mut self, ast: &ast::Balance, pool: u32, via: &Via) -> Option<()> {
        let backends = &self.policy.pools[pool as usize].backends;
        let (Some(_), Some(first)) = (via.banks(), backends.first()) else { return Some(()) };
        let six = first.endpoint.address.is_ipv6();
        let span = ast.via.as_ref().map_or(ast.pool.span, |via| via.span);
        if let Some(other) = backends.iter().find(|backend| backend.endpoint.address.is_ipv6() != six) {
            let message = format!(
                "`via nat` leaves packets IPv4 or IPv6, and `{}` has backends of both",
                ast.pool.text
            );
            self.diagnostics
                .report(Code::BadPool, span, message)
                .label("half of the flows would have no way")
                .also(other.span, "of the other family than the first")
                .help("make two pools of it, and a `balance` for each");
            return None;
        }
        let foreign = ast.via.iter().flat_map(|via| &via.from).find(|literal| is_six(literal) != six);
        let Some(literal) = foreign else { return Some(()) };
        let (family, other) = if six { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
        let message = format!("nothing comes `from` this {family} address: all backends are {other} ones");
        self.diagnostics
            .report(Code::BadPool, literal.span, message)
            .help("`via nat` leaves packets IPv4 or IPv6: leave it out");
        None
    }

    /// A backend's MAC address is its next hop, or where frames in VXLAN go: one of the two for all of a pool.
    fn means_one_thing(&mut self, ast: &ast::Balance, pool: u32, via: &Via) -> Option<()> {
        let span = ast.via.as_ref().map_or(ast.pool.span, |via| via.span);
        let (word, framed) = (via.word(), via.network().is_some());
        let used = self.pool_names.get_mut(&ast.pool.text)?;
        let (first, first_span) = *used.via.get_or_insert((word, span));
        if first != word && (framed || self.policy.pools[pool as usize].framed) {
            let message =
                format!("`{}` cannot be sent to by both `via {first}` and `via {word}`", ast.pool.text);
            self.diagnostics
                .report(Code::BadPool, span, message)
                .label("a backend's `mac` would be two things")
                .also(first_span, format!("`via {first}`"))
                .help("in VXLAN frames go to that address, else it is the next hop: make two pools of it");
            return None;
        }
        let pool = &mut self.policy.pools[pool as usize];
        pool.framed = framed;
        let nameless = |backend: &&Backend| framed && backend.mac.is_none();
        let Some(backend) = pool.backends.iter().find(nameless) else { return Some(()) };
        let message = format!("`via vxlan` to `{}` needs its MAC address", backend.endpoint);
        self.diagnostics
            .report(Code::BadPool, span, message)
            .label("frames in VXLAN go to a backend's own address")
            .also(backend.span, "says no `mac`")
            .help(format!("say it: `{} mac 02:00:00:00:00:10`", backend.endpoint));
        None
    }

    fn origin(&mut self, from: &[Literal]) -> Option<Origin> {
        let mut origin = Origin::default();
        for (nth, literal) in from.iter().enumerate() {
            let (low, length) = self.origin_prefix(literal)?;
            let twice = match low {
                IpAddr::V4(low) => origin.v4.replace((low.into(), length)).is_some(),
                IpAddr::V6(low) => origin.v6.replace((low.into(), length)).is_some(),
            };
            if twice {
                self.diagnostics
                    .report(Code::BadPool, literal.span, "packets come `from` one address of each family")
                    .label("the second of its family")
                    .also(from[nth - 1].span, "the first")
                    .help("a prefix leaves its open bits to the flow: `from 192.0.2.0/24`");
                return None;
            }
        }
        Some(origin)
    }

    /// An address or prefix, and how many of its bits are fixed.
    fn origin_prefix(&mut self, literal: &Literal) -> Option<(IpAddr, u8)> {
        let (address, length) = match literal.value {
            LiteralValue::Ip4(address) => (IpAddr::V4(address), 32),
            LiteralValue::Ip6(address) => (IpAddr::V6(address), 128),
            LiteralValue::Prefix4(address, length) => (IpAddr::V4(address), length),
            LiteralValue::Prefix6(address, length) => (IpAddr::V6(address), length),
            _ => {
                let message = "packets come `from` an address or a prefix";
                return self.bad_pool(literal.span, message, "such as `192.0.2.1` or `2001:db8:1::/64`");
            }
        };
        if let Err(Misfit::HostBits(network)) = range(literal, ValueType::Ip, false) {
            self.host_bits(literal.span, &network);
            return None;
        }
        if address.is_ipv4() && length < SHORTEST_PREFIX4 {
            let message = format!("an IPv4 prefix here fixes {SHORTEST_PREFIX4} bits at least");
            return self.bad_pool(literal.span, message, "too short");
        }
        let whole = matches!(literal.value, LiteralValue::Ip4(_) | LiteralValue::Ip6(_));
        if address.is_multicast() || whole && !is_host(address) {
            let message = format!("no host sends from `{address}`");
            return self.bad_pool(literal.span, message, "expected an address of this edge");
        }
        Some((address, length))
    }

    /// Every backend must be of a family from which packets can come.
    fn reaches(&mut self, ast: &ast::Balance, pool: u32, via: &Via) -> Option<()> {
        let Some(origin) = via.origin() else { return Some(()) };
        let lacks = |backend: &&Backend| match backend.endpoint.address {
            IpAddr::V4(_) => origin.v4.is_none(),
            IpAddr::V6(_) => origin.v6.is_none(),
        };
        let Some(backend) = self.policy.pools[pool as usize].backends.iter().find(lacks) else {
            return Some(());
        };
        let (family, example) = match backend.endpoint.address {
            IpAddr::V4(_) => ("IPv4", "192.0.2.1"),
            IpAddr::V6(_) => ("IPv6", "2001:db8::1"),
        };
        let message =
            format!("`via {}` to `{}` needs an {family} address to come from", via.word(), backend.endpoint);
        let span = ast.via.as_ref().map_or(ast.pool.span, |via| via.span);
        self.diagnostics
            .report(Code::BadPool, span, message)
            .label(format!("says no {family} address"))
            .also(backend.span, format!("an {family} backend"))
            .help(match origin == &Origin::default() {
                true => match via.network() {
                    Some(id) => format!("say it: `via vxlan id {id} from {example}`"),
                    None => format!("say it: `via {} from {example}`", via.word()),
                },
                false => format!("add it: `from (…, {example})`"),
            });
        None
    }
}

fn is_six(literal: &Literal) -> bool {
    matches!(literal.value, LiteralValue::Ip6(_) | LiteralValue::Prefix6(..))
}

/// The keys of ICMP errors, which are those of the flows that they speak of; `named` is what `by` says. They come first, as
/// errors have addresses of their own too.
fn error_keys(protocols: &Protocols, named: &[Vec<KeyPart>]) -> Vec<Vec<KeyPart>> {
    let quoted = Quoted::all(protocols);
    let by = named.iter().flat_map(|key| quoted.iter().filter_map(|quoted| quoted.key(key)));
    let [with_ports, alone] = [true, false].map(|ports| {
        let keys = quoted.iter().filter_map(move |quoted| quoted.default_key(ports));
        keys.map(|terms| terms.into_iter().map(|term| whole(protocols, term)).collect())
    });
    by.chain(with_ports).chain(alone).collect()
}

/// What makes a flow where nothing else is said, or where that is not there: addresses, ports and the protocol's
/// number, or addresses alone, which every IP packet has.
fn default_keys(protocols: &Protocols) -> Vec<Vec<KeyPart>> {
    let families: Vec<ProtocolId> = ["ip4", "ip6"].iter().filter_map(|name| protocols.find(name)).collect();
    let transports: Vec<ProtocolId> = TRANSPORTS.iter().filter_map(|name| protocols.find(name)).collect();
    let pairs = families.iter().flat_map(|ip| transports.iter().map(move |transport| (*ip, *transport)));
    let with_ports = pairs.filter_map(|(ip, transport)| {
        let number = KeyPart { term: Term::Const(number_of(protocols, ip, transport)?), ..part(8) };
        let addresses = fields(protocols, ip, ["src", "dst"])?;
        let ports = fields(protocols, transport, ["srcport", "dstport"])?;
        Some([addresses, ports, vec![number]].concat())
    });
    let alone = families.iter().filter_map(|ip| fields(protocols, *ip, ["src", "dst"]));
    with_ports.chain(alone).collect()
}

/// The number by which an IP header says that a protocol follows.
fn number_of(protocols: &Protocols, ip: ProtocolId, transport: ProtocolId) -> Option<u128> {
    let mut rows = protocols[ip].next.iter().flat_map(|next| &next.table);
    rows.find(|row| row.1 == transport).map(|row| row.0)
}

/// Fields of a protocol's first header in the outer packet.
fn fields(protocols: &Protocols, protocol: ProtocolId, names: [&str; 2]) -> Option<Vec<KeyPart>> {
    let header = HeaderRef { level: 0, protocol, index: 0 };
    let field = |name: &&str| {
        let field = protocols[protocol].field(name)?;
        Some(whole(protocols, Term::Field(FieldRef { header, field })))
    };
    names.iter().map(field).collect()
}

/// A value as a part of a key.
fn whole(protocols: &Protocols, term: Term) -> KeyPart {
    KeyPart { term: term.clone(), ..part(plan::width(protocols, &term)) }
}

/// A part of a key, of which all bits count.
fn part(width: u8) -> KeyPart {
    KeyPart { term: Term::Const(0), width, prefix: width, mapped: false }
}
