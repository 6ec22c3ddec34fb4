//! Pools, and the clauses of what sends packets to them.

use super::{Parsed, Parser, Reported, words};
use crate::diagnostic::{Code, nearest};
use crate::syntax::ast::{
    Backend, Balance, Check, Down, Literal, LiteralValue, Name, Pool, PoolEntry, Probe, Setting, SettingKind,
    Str, Track, Via, ViaMode,
};
use crate::syntax::token::Kind;

/// What begins a line of a pool besides an address.
const CLAUSES: &[&str] =
    &["check", "gateway", "mtu", "ring", "settle", "slow", "down", "max", "flows", "track"];

const PROBES: &str = "`tcp`, `http`, `https`, `dns`, `udp` or `exec`";

impl Parser<'_> {
    pub(super) fn pool(&mut self) -> Parsed<Pool> {
        let first = self.at;
        self.bump();
        let name = self.name("the pool's name")?;
        let entries = self.block(|p| p.pool_line())?;
        Ok(Pool { name, entries, span: self.since(first) })
    }

    fn pool_line(&mut self) -> Parsed<PoolEntry> {
        self.entry_start = Some(self.at);
        let entry = match self.pool_entry() {
            Ok(_) if !matches!(self.peek(), Kind::End | Kind::CloseBrace) => Err(self.after_entry()),
            entry => entry,
        };
        self.entry_start = None;
        entry
    }

    fn after_entry(&mut self) -> Reported {
        let word = self.word().unwrap_or_default();
        let meant = || nearest(word, words::CONTINUING_ENTRIES.iter().copied());
        let help = misplaced(word).or_else(|| meant().map(|meant| format!("perhaps `{meant}`")));
        let help = help.unwrap_or_else(|| "a pool has one backend or clause a line".to_owned());
        self.expected("the line's end").help(help).done()
    }

    fn pool_entry(&mut self) -> Parsed<PoolEntry> {
        let Some(word) = self.word() else { return self.backend().map(PoolEntry::Backend) };
        if let Some(kind) = SettingKind::named(word) {
            return self.setting(kind).map(PoolEntry::Setting);
        }
        match word {
            "check" => self.check().map(PoolEntry::Check),
            "down" => self.down().map(PoolEntry::Down),
            "track" => self.track().map(PoolEntry::Track),
            _ => Err(self.foreign_clause(word)),
        }
    }

    fn foreign_clause(&mut self, word: &str) -> Reported {
        let meant = || nearest(word, CLAUSES.iter().copied()).map(|meant| format!("perhaps `{meant}`"));
        let help = misplaced(word).or_else(meant).unwrap_or_else(|| {
            "there are `check`, `gateway`, `mtu`, `ring`, `settle`, `slow`, `down`, `max`, `flows` and `track`"
                .to_owned()
        });
        self.expected("a backend's address, or a clause of the pool").help(help).done()
    }

    fn setting(&mut self, kind: SettingKind) -> Parsed<Setting> {
        let first = self.at;
        self.bump();
        let value = self.literal(match kind {
            SettingKind::Gateway => "a MAC address",
            SettingKind::Mtu => "a number of bytes",
            SettingKind::Ring => "a number of slots",
            SettingKind::Settle | SettingKind::Slow => "a duration such as `60s`",
            SettingKind::Max => "a number of backends",
            SettingKind::Flows => "a number of flows",
        })?;
        Ok(Setting { kind, value, span: self.since(first) })
    }

    fn down(&mut self) -> Parsed<Down> {
        let first = self.at;
        let which = "`all`, `pass` or `drop`";
        let what = self.one_of(&["all", "pass", "drop"], which, "what happens while no backend is well")?;
        Ok(Down { what, span: self.since(first) })
    }

    fn track(&mut self) -> Parsed<Track> {
        let first = self.at;
        let what = self.one_of(&["changes", "all"], "`changes` or `all`", "which flows are remembered")?;
        Ok(Track { what, span: self.since(first) })
    }

    /// One of some words, behind the one that asks for it.
    fn one_of(&mut self, words: &[&str], which: &str, asked: &str) -> Parsed<Name> {
        self.bump();
        match self.word() {
            Some(word) if words.contains(&word) => self.name(which),
            _ => Err(self.expected(which).label(asked).done()),
        }
    }

    fn backend(&mut self) -> Parsed<Backend> {
        let first = self.at;
        let address = self.backend_address()?;
        let port = if self.take(Kind::Colon) { Some(self.backend_port()?) } else { None };
        let span = self.since(first);
        let mut backend = Backend { address, port, weight: None, drained: false, mac: None, span };
        while let Some(word) = self.word() {
            match word {
                "weight" => self.once(&mut backend.weight, "the weight, a number")?,
                "mac" => self.once(&mut backend.mac, "a MAC address")?,
                "drained" if backend.drained => return Err(self.said_twice()),
                "drained" => {
                    self.bump();
                    backend.drained = true;
                }
                _ => break,
            }
        }
        backend.span = self.since(first);
        Ok(backend)
    }

    fn backend_address(&mut self) -> Parsed<Literal> {
        let bracketed = self.take(Kind::OpenBracket);
        let address = self.literal("a backend's address, or a clause of the pool")?;
        match address.value {
            LiteralValue::Ip4(_) if bracketed => {
                let message = "only an IPv6 address stands in brackets";
                return Err(self.report(Code::Expected, address.span, message).done());
            }
            LiteralValue::Ip4(_) | LiteralValue::Ip6(_) => {}
            _ => {
                let message = "a backend is one IPv4 or IPv6 address";
                let help = "write `10.0.1.10`, `10.0.1.10:8080`, `2001:db8::10` or `[2001:db8::10]:8080`";
                return Err(self.report(Code::Expected, address.span, message).help(help).done());
            }
        }
        if bracketed {
            self.expect(Kind::CloseBracket, "`]`")?;
        }
        Ok(address)
    }

    fn backend_port(&mut self) -> Parsed<Literal> {
        let port = self.literal("the backend's port, a number")?;
        match port.value {
            LiteralValue::Int(_) => Ok(port),
            _ => {
                let message = "expected the backend's port, a number";
                Err(self.report(Code::Expected, port.span, message).done())
            }
        }
    }

    /// A word that says something once, and its value.
    fn once(&mut self, said: &mut Option<Literal>, what: &str) -> Parsed<()> {
        if said.is_some() {
            return Err(self.said_twice());
        }
        self.bump();
        *said = Some(self.literal(what)?);
        Ok(())
    }

    fn said_twice(&mut self) -> Reported {
        let (span, word) = (self.here(), self.text_of(self.raw()));
        let message = format!("`{word}` is said twice");
        self.report(Code::Expected, span, message).help("leave one of the two out").done()
    }

    fn check(&mut self) -> Parsed<Check> {
        let first = self.at;
        self.bump();
        let probe = self.probe()?;
        let span = self.since(first);
        let mut check = Check {
            probe,
            through: None,
            port: None,
            every: None,
            timeout: None,
            fall: None,
            rise: None,
            span,
        };
        while let Some(word) = self.word() {
            let (said, what) = match word {
                "through" if check.through.is_some() => return Err(self.said_twice()),
                "through" => {
                    self.bump();
                    check.through = Some(self.name("the name of a `balance` to this pool")?);
                    continue;
                }
                "port" => (&mut check.port, "the port that is asked, a number"),
                "every" => (&mut check.every, "a duration such as `2s`"),
                "timeout" => (&mut check.timeout, "a duration such as `1s`"),
                "fall" => (&mut check.fall, "a number of failures"),
                "rise" => (&mut check.rise, "a number of successes"),
                _ => break,
            };
            self.once(said, what)?;
        }
        check.span = self.since(first);
        Ok(check)
    }

    fn probe(&mut self) -> Parsed<Probe> {
        let Some(word) = self.word() else { return Err(self.unexpected(PROBES)) };
        if !matches!(word, "tcp" | "http" | "https" | "dns" | "udp" | "exec") {
            return Err(self.unexpected(PROBES));
        }
        self.bump();
        Ok(match word {
            "tcp" => Probe::Tcp,
            "dns" => Probe::Dns(self.str("the name that is asked for, in quotes")?),
            "udp" => self.udp_probe()?,
            "exec" => Probe::Exec(self.str("the program and its arguments, in quotes")?),
            _ => Probe::Http {
                tls: word == "https",
                path: self.str("the path that is asked for, in quotes")?,
                host: self.host()?,
            },
        })
    }

    fn host(&mut self) -> Parsed<Option<Str>> {
        match self.take_word("host") {
            true => self.str("the host's name in quotes").map(Some),
            false => Ok(None),
        }
    }

    fn udp_probe(&mut self) -> Parsed<Probe> {
        let send = self.str("what is sent, in quotes")?;
        if !self.take_word("expect") {
            let help = "`expect \"\"` takes any answer";
            return Err(self.expected("`expect` and how the answer begins").help(help).done());
        }
        Ok(Probe::Udp { send, expect: self.str("how the answer begins, in quotes")? })
    }

    /// The clauses of a `balance`.
    pub(super) fn balance(&mut self, conditional: bool) -> Parsed<Balance> {
        self.to(conditional, "a pool's name", "a balance says `to` which pool")?;
        let pool = self.name("a pool's name")?;
        self.no_late_when("a balance is written `balance [NAME] when CONDITION to POOL …`")?;
        let by = if self.take_word("by") { self.keys()? } else { Vec::new() };
        let via = if self.is_word("via") { Some(self.via()?) } else { None };
        let echo = self.is_word("echo").then(|| self.here());
        self.take_word("echo");
        Ok(Balance { pool, by, via, echo })
    }

    fn via(&mut self) -> Parsed<Via> {
        let first = self.at;
        self.bump();
        let mode = self.via_mode()?;
        let mut via =
            Via { mode, id: None, port: None, from: Vec::new(), ports: None, span: self.since(first) };
        loop {
            match self.word() {
                Some("id") if mode == ViaMode::Vxlan => {
                    self.once(&mut via.id, "the number of the backends' network")?;
                }
                Some("port") if matches!(mode, ViaMode::Gue | ViaMode::Vxlan) => {
                    self.once(&mut via.port, "the port to which packets go, a number")?;
                }
                Some("from") if mode != ViaMode::L2 && via.from.is_empty() => via.from = self.origins()?,
                Some("ports") if mode == ViaMode::Nat && via.ports.is_none() => {
                    via.ports = Some(self.ports()?);
                }
                _ => break,
            }
        }
        via.span = self.since(first);
        Ok(via)
    }

    fn via_mode(&mut self) -> Parsed<ViaMode> {
        let word = self.word().unwrap_or_default();
        if let Some(mode) = ViaMode::named(word) {
            self.bump();
            return Ok(mode);
        }
        Err(self.unexpected("`l2`, `ipip`, `gue`, `vxlan` or `nat`"))
    }

    /// The ports from which packets to backends come: `1024..32767`.
    fn ports(&mut self) -> Parsed<(Literal, Literal)> {
        self.bump();
        let first = self.literal("the first port, a number")?;
        if !self.take(Kind::Range) {
            return Err(self.unexpected("`..` and the last port"));
        }
        Ok((first, self.literal("the last port, a number")?))
    }

    /// Where packets to backends come from: one address or prefix, or one for each family.
    fn origins(&mut self) -> Parsed<Vec<Literal>> {
        const WHAT: &str = "an address such as `192.0.2.1`, or a prefix";
        self.bump();
        let first = self.at;
        if !self.take(Kind::OpenParen) {
            return Ok(vec![self.literal(WHAT)?]);
        }
        let mut origins = vec![self.literal(WHAT)?];
        while self.take(Kind::Comma) {
            origins.push(self.literal(WHAT)?);
        }
        self.close_paren(first)?;
        Ok(origins)
    }
}

/// Where in a pool a word belongs that stands elsewhere.
fn misplaced(word: &str) -> Option<String> {
    match word {
        "weight" | "drained" | "mac" => Some(format!("`{word}` stands behind a backend's address")),
        "host" => Some("`host` stands behind the path of `check http` and `check https`".to_owned()),
        "expect" => Some("`expect` stands behind what `check udp` sends".to_owned()),
        word if words::continues_entry(word) => Some(format!("`{word}` stands in the line of a `check`")),
        _ => None,
    }
}
