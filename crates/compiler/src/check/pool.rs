//! Pools: their backends, and what they say once.

use super::{Checker, PoolUse};
use crate::diagnostic::{Code, nearest};
use crate::policy::{Backend, FLOWS, MTU, Pool};
use crate::source::Span;
use crate::syntax::ast::{self, Literal, LiteralValue, PoolEntry, SettingKind};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use weir_pool::pool::{AllDown, Endpoint, Settings};
use weir_pool::ring::{LAST_NUMBER, SIZE, check_size};
use weir_pool::slots::Track;

/// The largest ring: as a prime number, more slots than any pool has use for, and 4 MB of them.
const LARGEST_RING: u128 = 1_000_003;

/// A pool has room for twice as many backends as it begins with, and for so many at least.
const LEAST_ROOM: usize = 64;

/// The least that every host takes in one piece, of each family (RFC 791, RFC 8200).
const LEAST_MTU: [u16; 2] = [576, 1280];

/// 16 bytes each: 256 MiB.
const MOST_FLOWS: u128 = 1 << 24;

impl Checker<'_> {
    pub(super) fn pools(&mut self) {
        for item in self.items() {
            if let ast::Item::Pool(pool) = item {
                self.pool(pool);
            }
        }
    }

    fn pool(&mut self, ast: &ast::Pool) {
        if let Some(first) = self.pool_names.get(&ast.name.text) {
            let span = first.span;
            return self.duplicate("pools", &ast.name.text, ast.name.span, span);
        }
        let index = self.policy.pools.len() as u32;
        self.pool_names.insert(
            ast.name.text.clone(),
            PoolUse { index, span: ast.name.span, used: false, via: None, ports: false },
        );
        self.said_once(ast);
        let backends = self.backends(ast);
        let check = entry(ast, |entry| match entry {
            PoolEntry::Check(check) => Some(check),
            _ => None,
        });
        // What is told of once need not be told again.
        let asks_there = check.is_some_and(|check| check.through.is_none());
        let ports = asks_there || self.is_told(ast.span);
        if let Some(pool) = self.pool_names.get_mut(&ast.name.text) {
            pool.ports = ports;
        }
        let check = check.and_then(|check| self.check(check, &backends));
        let defaults = Settings::default();
        let value = |kind| setting(ast, kind);
        let pool = Pool {
            name: ast.name.text.clone(),
            span: ast.name.span,
            flows: self.flows(value(SettingKind::Flows)),
            max: self.room(ast, value(SettingKind::Max), backends.len()),
            ring: self.ring(value(SettingKind::Ring), backends.len()),
            settle: self.time(value(SettingKind::Settle)).unwrap_or(defaults.settle.as_nanos() as u64),
            slow: self.time(value(SettingKind::Slow)).unwrap_or(defaults.slow.as_nanos() as u64),
            down: all_down(ast),
            track: track(ast),
            gateway: value(SettingKind::Gateway).and_then(|literal| self.next_hop(literal)),
            mtu: self.mtu(value(SettingKind::Mtu), &backends),
            framed: false,
            check,
            through: None,
            backends,
        };
        self.policy.pools.push(pool);
    }

    /// The pool that a statement names; it counts as used.
    pub(super) fn pool_index(&mut self, name: &ast::Name) -> Option<u32> {
        if let Some(pool) = self.pool_names.get_mut(&name.text) {
            pool.used = true;
            return Some(pool.index);
        }
        let near = nearest(&name.text, self.pool_names.keys().map(String::as_str)).map(str::to_owned);
        if let Some(meant) = near.as_ref().and_then(|near| self.pool_names.get_mut(near)) {
            // It was most likely meant, so that it is unused is no news.
            meant.used = true;
        }
        let message = format!("no pool is called `{}`", name.text);
        let found = self.diagnostics.report(Code::UnknownName, name.span, message);
        found.label("unknown");
        match near {
            Some(near) => found.help(format!("there is `{near}`")),
            None => found.help(format!("declare it: `pool {} {{ … }}`, with a backend a line", name.text)),
        };
        None
    }

    pub(super) fn check_uses_of_pools(&mut self) {
        self.refuse_useless_ports();
        let unused = self.pool_names.iter().filter(|(_, pool)| !pool.used);
        let mut unused: Vec<_> = unused.map(|(name, pool)| (pool.span, name.clone())).collect();
        unused.sort_unstable();
        for (span, name) in unused {
            self.diagnostics.report(Code::Unused, span, format!("no `balance` sends packets to `{name}`"));
        }
    }

    pub(super) fn bad_pool<T>(&mut self, span: Span, message: impl Into<String>, label: &str) -> Option<T> {
        self.diagnostics.report(Code::BadPool, span, message).label(label);
        None
    }

    fn said_once(&mut self, ast: &ast::Pool) {
        let mut said: HashMap<&str, Span> = HashMap::new();
        for entry in &ast.entries {
            let Some(word) = entry.word() else { continue };
            if let Some(first) = said.get(word) {
                self.diagnostics
                    .report(Code::Duplicate, entry.span(), format!("`{}` says `{word}` twice", ast.name.text))
                    .label("the second")
                    .also(*first, "the first");
                continue;
            }
            said.insert(word, entry.span());
        }
    }

    fn backends(&mut self, ast: &ast::Pool) -> Vec<Backend> {
        let mut backends: Vec<Backend> = Vec::new();
        let mut places: HashMap<Endpoint, Span> = HashMap::new();
        for entry in &ast.entries {
            let PoolEntry::Backend(line) = entry else { continue };
            let Some(backend) = self.backend(line) else { continue };
            match places.get(&backend.endpoint) {
                Some(first) => {
                    let message = format!("`{}` is a backend twice", backend.endpoint);
                    let found = self.diagnostics.report(Code::Duplicate, backend.span, message);
                    found.label("the second").also(*first, "the first");
                    found.help("write one line, with both weights");
                }
                None => {
                    places.insert(backend.endpoint, backend.span);
                    backends.push(backend);
                }
            }
        }
        if backends.iter().all(|backend| backend.drained) && !self.is_told(ast.span) {
            let message = format!("pool `{}` has no backend that takes flows", ast.name.text);
            let found = self.diagnostics.report(Code::BadPool, ast.name.span, message);
            found.help(match backends.is_empty() {
                true => "write one a line: `10.0.1.10`",
                false => "leave out `drained` for one of them",
            });
        }
        backends
    }

    /// Whether something in a text was found wrong already.
    fn is_told(&self, text: Span) -> bool {
        let inside = |span: Span| {
            (span.source, span.start >= text.start, span.end <= text.end) == (text.source, true, true)
        };
        self.diagnostics.iter().any(|told| inside(told.primary.0))
    }

    fn backend(&mut self, line: &ast::Backend) -> Option<Backend> {
        let address = match line.address.value {
            LiteralValue::Ip4(address) => IpAddr::V4(address),
            LiteralValue::Ip6(address) => IpAddr::V6(address),
            _ => return None,
        };
        let port = match &line.port {
            Some(port) => self.port(port),
            None => Some(0),
        };
        let weight = match &line.weight {
            Some(weight) => self.weight(weight),
            None => Some(1),
        };
        let mac = line.mac.as_ref().map(|mac| self.next_hop(mac));
        if !is_host(address) {
            let message = format!("no host has the address `{address}`");
            return self.bad_pool(line.address.span, message, "expected the address of a backend");
        }
        let endpoint = Endpoint { address, port: port? };
        let mac = if let Some(mac) = mac { Some(mac?) } else { None };
        Some(Backend { endpoint, span: line.span, weight: weight?, drained: line.drained, mac })
    }

    fn weight(&mut self, literal: &Literal) -> Option<u16> {
        match literal.value {
            LiteralValue::Int(0) => self.bad_pool(
                literal.span,
                "a weight of zero takes no flows: say `drained`, or leave the backend out",
                "expected a weight above zero",
            ),
            LiteralValue::Int(weight @ 1..=65_535) => Some(weight as u16),
            _ => self.bad_pool(literal.span, "a weight is between 1 and 65535", "such as `weight 2`"),
        }
    }

    /// A port, of a backend or of what is asked of one.
    pub(super) fn port(&mut self, literal: &Literal) -> Option<u16> {
        match literal.value {
            LiteralValue::Int(port @ 1..=65_535) => Some(port as u16),
            _ => self.bad_pool(literal.span, "a port is between 1 and 65535", "no port"),
        }
    }

    /// The MAC address of one interface.
    fn next_hop(&mut self, literal: &Literal) -> Option<[u8; 6]> {
        match literal.value {
            LiteralValue::Mac([0, 0, 0, 0, 0, 0]) => {
                self.bad_pool(literal.span, "no interface has a MAC address of zeros", "expected a next hop")
            }
            LiteralValue::Mac(mac) if mac[0] & 1 == 1 => self.bad_pool(
                literal.span,
                "packets for a backend go to one interface, not to a group",
                "a multicast address",
            ),
            LiteralValue::Mac(mac) => Some(mac),
            _ => self.bad_pool(literal.span, "a next hop is a MAC address", "such as `02:00:00:00:00:01`"),
        }
    }

    /// Where no `via` changes ports, a backend's port says only where a check asks.
    fn refuse_useless_ports(&mut self) {
        for pool in &self.policy.pools {
            let used = self.pool_names.get(&pool.name).filter(|used| used.used && !used.ports);
            let backend = pool.backends.iter().find(|backend| backend.endpoint.port != 0);
            let (Some(_), Some(backend)) = (used, backend) else { continue };
            let port = backend.endpoint.port;
            self.diagnostics
                .report(Code::BadPool, backend.span, "only `via nat` changes ports")
                .label(format!("packets keep their port, so `{port}` says nothing"))
                .help("leave the port out; it only says where a `check` asks");
        }
    }

    fn room(&mut self, ast: &ast::Pool, literal: Option<&Literal>, backends: usize) -> u16 {
        let most = usize::from(LAST_NUMBER);
        if backends > most {
            let message = format!("a pool has at most {most} backends, `{}` has {backends}", ast.name.text);
            self.diagnostics.report(Code::BadPool, ast.name.span, message).help("make two pools of it");
            return LAST_NUMBER;
        }
        let Some(literal) = literal else {
            return (2 * backends).next_power_of_two().clamp(LEAST_ROOM, most) as u16;
        };
        let (message, label) = match literal.value {
            LiteralValue::Int(max) if (backends.max(1) as u128..=most as u128).contains(&max) => {
                return max as u16;
            }
            LiteralValue::Int(max) if max < backends as u128 => {
                let message = format!("`{}` has {backends} backends and room for {max}", ast.name.text);
                (message, "raise it, or leave it out")
            }
            _ => (format!("a pool has room for 1 to {most} backends"), "such as `max 256`"),
        };
        self.bad_pool(literal.span, message, label).unwrap_or(LAST_NUMBER)
    }

    fn flows(&mut self, literal: Option<&Literal>) -> u32 {
        let Some(literal) = literal else { return FLOWS };
        match literal.value {
            LiteralValue::Int(flows @ 1..=MOST_FLOWS) => flows as u32,
            _ => {
                let message = format!("a pool remembers 1 to {MOST_FLOWS} flows");
                self.bad_pool(literal.span, message, "such as `flows 1M`").unwrap_or(FLOWS)
            }
        }
    }

    fn ring(&mut self, literal: Option<&Literal>, backends: usize) -> u32 {
        let Some(literal) = literal else { return SIZE };
        let message = match literal.value {
            LiteralValue::Int(size @ 0..=LARGEST_RING) => match check_size(size as u32) {
                Err(error) => error.to_string(),
                Ok(()) if size < backends as u128 => {
                    format!("a ring of {size} slots has none for some of {backends} backends")
                }
                Ok(()) => return size as u32,
            },
            _ => format!("a ring has a number of slots, {LARGEST_RING} at most"),
        };
        self.bad_pool(literal.span, message, "such as `ring 65537`").unwrap_or(SIZE)
    }

    fn time(&mut self, literal: Option<&Literal>) -> Option<u64> {
        let literal = literal?;
        self.duration(literal)
    }

    /// A duration in nanoseconds.
    pub(super) fn duration(&mut self, literal: &Literal) -> Option<u64> {
        match literal.value {
            LiteralValue::Duration(nanoseconds) => Some(nanoseconds),
            _ => self.bad_pool(literal.span, "expected a duration", "such as `60s` or `500ms`"),
        }
    }

    fn mtu(&mut self, literal: Option<&Literal>, backends: &[Backend]) -> u16 {
        let Some(literal) = literal else { return MTU };
        let six = backends.iter().find(|backend| backend.endpoint.address.is_ipv6());
        let least = LEAST_MTU[usize::from(six.is_some())];
        let bytes = match literal.value {
            LiteralValue::Int(bytes) => bytes,
            LiteralValue::Size(bytes) => u128::from(bytes),
            _ => 0,
        };
        if (u128::from(least)..=65_535).contains(&bytes) {
            return bytes as u16;
        }
        let message = format!("an `mtu` is here between {least} and 65535 bytes");
        let found = self.diagnostics.report(Code::BadPool, literal.span, message);
        found.label("such as `mtu 1500`");
        if let Some(six) = six {
            found.also(six.span, "every IPv6 link takes 1280 bytes");
        }
        MTU
    }
}

/// What all packets to a host may be sent to or from: no group, nor the placeholder for no address.
pub(super) fn is_host(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// The first line of a kind.
pub(super) fn entry<'a, T>(ast: &'a ast::Pool, of: impl Fn(&'a PoolEntry) -> Option<T>) -> Option<T> {
    ast.entries.iter().find_map(of)
}

fn setting(ast: &ast::Pool, kind: SettingKind) -> Option<&Literal> {
    entry(ast, |entry| match entry {
        PoolEntry::Setting(setting) if setting.kind == kind => Some(&setting.value),
        _ => None,
    })
}

fn all_down(ast: &ast::Pool) -> AllDown {
    let said = entry(ast, |entry| match entry {
        PoolEntry::Down(down) => Some(down.what.text.as_str()),
        _ => None,
    });
    match said {
        Some("pass") => AllDown::Pass,
        Some("drop") => AllDown::Drop,
        _ => AllDown::All,
    }
}

fn track(ast: &ast::Pool) -> Track {
    let said = entry(ast, |entry| match entry {
        PoolEntry::Track(track) => Some(track.what.text.as_str()),
        _ => None,
    });
    if said == Some(Track::All.word()) { Track::All } else { Track::Changes }
}
