//! Pools of backends, and what sends packets to them.

use super::{Key, Literal, Name, Str};
use crate::source::Span;

/// `pool NAME { … }`
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: Name,
    /// Its lines, in order.
    pub entries: Vec<PoolEntry>,
    /// The whole item.
    pub span: Span,
}

/// A line of a pool.
#[derive(Clone, Debug)]
pub enum PoolEntry {
    /// `10.0.1.10 weight 2`
    Backend(Backend),
    /// `check http "/healthz" every 2s`
    Check(Check),
    /// `down all`
    Down(Down),
    /// `track all`
    Track(Track),
    /// `mtu 9000` and its kin: a word and its value.
    Setting(Setting),
}

/// `ADDRESS [:PORT] [weight N] [drained] [mac MAC]`
#[derive(Clone, Debug)]
pub struct Backend {
    /// An address of either family.
    pub address: Literal,
    /// `:8080`, a number.
    pub port: Option<Literal>,
    /// `weight 2`
    pub weight: Option<Literal>,
    /// `drained` was said.
    pub drained: bool,
    /// `mac 02:00:00:00:00:12`
    pub mac: Option<Literal>,
    /// The whole line.
    pub span: Span,
}

/// `check PROBE [through NAME] [port N] [every D] [timeout D] [fall N] [rise N]`
#[derive(Clone, Debug)]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// `through web`: the `balance` whose way to backends it takes.
    pub through: Option<Name>,
    /// `port 8080`
    pub port: Option<Literal>,
    /// `every 2s`
    pub every: Option<Literal>,
    /// `timeout 1s`
    pub timeout: Option<Literal>,
    /// `fall 3`
    pub fall: Option<Literal>,
    /// `rise 2`
    pub rise: Option<Literal>,
    /// The whole line.
    pub span: Span,
}

/// What a check asks.
#[derive(Clone, Debug)]
pub enum Probe {
    /// `tcp`
    Tcp,
    /// `http "/healthz" [host "name"]`, or `https`
    Http {
        /// `https`
        tls: bool,
        /// The path.
        path: Str,
        /// `host "name"`
        host: Option<Str>,
    },
    /// `dns "name"`
    Dns(Str),
    /// `udp "sent" expect "answer"`
    Udp {
        /// What is sent.
        send: Str,
        /// How the answer begins.
        expect: Str,
    },
    /// `exec "/usr/bin/prog arg"`
    Exec(Str),
}

/// `down all`, `down pass` or `down drop`
#[derive(Clone, Debug)]
pub struct Down {
    /// What happens while no backend is well: `all`, `pass` or `drop`.
    pub what: Name,
    /// The whole line.
    pub span: Span,
}

/// `track all` or `track changes`
#[derive(Clone, Debug)]
pub struct Track {
    /// Which flows are remembered: `all`, or those of slots that changed lately.
    pub what: Name,
    /// The whole line.
    pub span: Span,
}

/// A word and its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Which.
    pub kind: SettingKind,
    /// The value.
    pub value: Literal,
    /// The whole line.
    pub span: Span,
}

/// The settings of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SettingKind {
    /// `gateway 02:00:00:00:00:01`
    Gateway,
    /// `mtu 9000`
    Mtu,
    /// `ring 65537`
    Ring,
    /// `settle 60s`
    Settle,
    /// `slow 30s`
    Slow,
    /// `max 256`
    Max,
    /// `flows 1M`
    Flows,
}

impl SettingKind {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Gateway, "gateway"),
        (Self::Mtu, "mtu"),
        (Self::Ring, "ring"),
        (Self::Settle, "settle"),
        (Self::Slow, "slow"),
        (Self::Max, "max"),
        (Self::Flows, "flows"),
    ];

    /// The setting that policies call by this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, word)| *word == name).map(|(kind, _)| *kind)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl PoolEntry {
    /// The whole line.
    pub fn span(&self) -> Span {
        match self {
            Self::Backend(backend) => backend.span,
            Self::Check(check) => check.span,
            Self::Down(down) => down.span,
            Self::Track(track) => track.span,
            Self::Setting(setting) => setting.span,
        }
    }

    /// The word that it begins with, of which a pool has one line; backends have none.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::Backend(_) => None,
            Self::Check(_) => Some("check"),
            Self::Down(_) => Some("down"),
            Self::Track(_) => Some("track"),
            Self::Setting(setting) => Some(setting.kind.word()),
        }
    }
}

/// The clauses of `balance`.
#[derive(Clone, Debug)]
pub struct Balance {
    /// `to web`
    pub pool: Name,
    /// `by ip.src` or `by (ip.src, tcp.srcport)`; empty if it is not said what makes a flow.
    pub by: Vec<Key>,
    /// `via …`
    pub via: Option<Via>,
    /// Where `echo` is said: the edge answers echo requests for the service.
    pub echo: Option<Span>,
}

/// `via l2`, or `via MODE [id N] [port N] [from A | from (A, B)] [ports N..N]`
#[derive(Clone, Debug)]
pub struct Via {
    /// How packets get to backends.
    pub mode: ViaMode,
    /// `id 7`, for VXLAN.
    pub id: Option<Literal>,
    /// `port 6081`, for GUE and VXLAN.
    pub port: Option<Literal>,
    /// `from …`: addresses or prefixes.
    pub from: Vec<Literal>,
    /// `ports 1024..32767`, for NAT.
    pub ports: Option<(Literal, Literal)>,
    /// The whole clause.
    pub span: Span,
}

/// How packets get to backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ViaMode {
    /// `l2`
    L2,
    /// `ipip`
    IpIp,
    /// `gue`
    Gue,
    /// `vxlan`
    Vxlan,
    /// `nat`
    Nat,
}

impl ViaMode {
    /// The mode that policies call by this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "l2" => Some(Self::L2),
            "ipip" => Some(Self::IpIp),
            "gue" => Some(Self::Gue),
            "vxlan" => Some(Self::Vxlan),
            "nat" => Some(Self::Nat),
            _ => None,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::IpIp => "ipip",
            Self::Gue => "gue",
            Self::Vxlan => "vxlan",
            Self::Nat => "nat",
        }
    }
}
