//! What user space must know of a set: where its parts live and how elements are written.

use serde::{Deserialize, Serialize};
use weir_compiler::codegen::set_map_name;
use weir_compiler::index::Key;
use weir_compiler::ir::{SetDecl, SetKind, SetRef};
use weir_compiler::lower::{Lowered, set_elements};
use weir_compiler::policy::{Family46, Policy, SetPart, ValueType};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SetMeta {
    pub(crate) name: String,
    /// `ip`, `u16`, `bytes4`: as policies write them.
    pub(crate) types: Vec<String>,
    pub(crate) live: Option<LiveMeta>,
    /// Those that live in maps.
    pub(crate) parts: Vec<PartMeta>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LiveMeta {
    pub(crate) timeout: Option<u64>,
    pub(crate) max: u32,
}

/// One family's part of a set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PartMeta {
    /// The policy's name for it, with `.4` or `.6` where the set was split.
    pub(crate) name: String,
    /// Its index in the program.
    pub(crate) index: u32,
    /// 4 or 6 where the set was split.
    pub(crate) family: Option<u8>,
    pub(crate) kind: Kind,
    /// Widths of the values of an element in bits.
    pub(crate) widths: Vec<u8>,
    /// Widths of the scalars of a key in bits.
    pub(crate) words: Vec<u8>,
    pub(crate) max: u32,
    /// The name of its map.
    pub(crate) map: String,
    /// Bytes of the section that its index is in, as large as it has become; 0 if it is in none.
    pub(crate) bytes: u32,
    /// Of live sets: the elements that the policy itself has, as scalars and bits that count; sorted.
    pub(crate) own: Vec<(Vec<u64>, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kind {
    Hash,
    Lpm,
    Index,
}

impl PartMeta {
    pub(crate) fn decl(&self, expires: bool) -> SetDecl {
        let (name, words, max) = (self.name.clone(), self.words.clone(), self.max);
        SetDecl { name, kind: self.kind.kind(), words, expires, max }
    }

    /// Whether elements of another generation's part are elements of this one.
    pub(crate) fn is_like(&self, other: &PartMeta) -> bool {
        self.name == other.name && self.kind == other.kind && self.words == other.words
    }

    /// What its keys look like, if it is in an index.
    pub(crate) fn key(&self) -> Option<Key> {
        Key::of(&self.words).filter(|_| self.kind == Kind::Index)
    }

    /// The pin of the map with its elements, if it is in an index; see [`super::truth`].
    pub(crate) fn truth(&self) -> Option<String> {
        self.key().map(|_| format!("own-{}", self.map.rsplit('.').next().unwrap_or_default()))
    }

    /// What its elements are, for people.
    pub(crate) fn noun(&self) -> String {
        match (self.kind, self.family) {
            (Kind::Index, Some(family)) => format!("IPv{family} addresses and prefixes"),
            (_, Some(family)) => format!("IPv{family} elements"),
            (_, None) => "elements".into(),
        }
    }
}

impl Kind {
    pub(crate) fn kind(self) -> SetKind {
        match self {
            Kind::Hash => SetKind::Hash,
            Kind::Lpm => SetKind::Lpm,
            Kind::Index => SetKind::Index,
        }
    }
}

/// All sets of a policy.
pub(crate) fn describe(policy: &Policy, lowered: &Lowered) -> Vec<SetMeta> {
    let describe = |(nth, set): (usize, &weir_compiler::policy::Set)| SetMeta {
        name: set.name.clone(),
        types: set.types.iter().map(ToString::to_string).collect(),
        live: set.live.map(|live| LiveMeta { timeout: live.timeout, max: live.max }),
        parts: parts(policy, lowered, nth as u32),
    };
    policy.sets.iter().enumerate().map(describe).collect()
}

fn parts(policy: &Policy, lowered: &Lowered, set: u32) -> Vec<PartMeta> {
    let own = lowered.sets.iter().enumerate().filter(|(_, name)| name.set == set);
    own.map(|(index, name)| part(policy, lowered, index as u32, *name)).collect()
}

fn part(policy: &Policy, lowered: &Lowered, index: u32, name: SetPart) -> PartMeta {
    let part = &policy.sets[name.set as usize].parts[name.part as usize];
    let decl = &lowered.program.sets[index as usize];
    let mut own = if decl.expires { set_elements(policy, name) } else { Vec::new() };
    own.sort_unstable();
    PartMeta {
        name: decl.name.clone(),
        index,
        family: part.family.map(|family| if family == Family46::V4 { 4 } else { 6 }),
        kind: match decl.kind {
            SetKind::Hash => Kind::Hash,
            SetKind::Lpm => Kind::Lpm,
            SetKind::Index => Kind::Index,
        },
        widths: part.widths.clone(),
        words: decl.words.clone(),
        max: decl.max,
        map: set_map_name(&lowered.program, SetRef(index)),
        bytes: 0,
        own,
    }
}

/// The type that is written so.
pub(crate) fn type_of(text: &str) -> ValueType {
    match text {
        "bool" => ValueType::Bool,
        "ip4" => ValueType::Ip4,
        "ip6" => ValueType::Ip6,
        "ip" => ValueType::Ip,
        "mac" => ValueType::Mac,
        other => match other.strip_prefix("bytes") {
            Some(bytes) => ValueType::Bytes(bytes.parse().unwrap_or(1)),
            None => ValueType::Int(other.trim_start_matches('u').parse().unwrap_or(64)),
        },
    }
}
