//! The maps of a program, in the order of their ids.
//!
//! | name | kind | entries |
//! |---|---|---|
//! | `s_…` | hash or trie | one for each set, see [`super::sets`] |
//! | `s_…p` | trie | the prefixes of a set that has both |
//! | `.data.tables` | data section | see [`super::rooms`] |
//! | `l_…` | array | one for each limit, see [`super::limits`] |
//! | `counters` | per-CPU array | see [`super::counters`] |
//! | `live` | array | prefixes in each set that has both |
//! | `capture` | ring buffer | see [`super::capture`] |
//! | `statistics` | per-CPU array of `u64` | [`Statistic`] |
//! | `scratch` | per-CPU array | see [`super::scratch`] |

use super::rooms::Room;
use super::tables::{self, Section};
use super::{CodegenError, capture, counters, counting, limits, scratch, sets};
use crate::ir::{LimitRef, Op, Program, SetKind, SetRef};
use weir_bpf::insn::MapId;
use weir_bpf::map::{MapDef, MapKind, MapType, NAME_MAX};

/// Indices of the `statistics` map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Statistic {
    /// Captures that found the ring full.
    CapturesLost = 0,
    /// Buckets of a limit that were taken from a key that still needed them.
    Evictions = 1,
}

/// The maps that a set lives in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SetMaps {
    pub(super) hash: Option<MapId>,
    pub(super) trie: Option<MapId>,
}

/// All maps.
#[derive(Clone, Debug, Default)]
pub(super) struct Maps {
    pub(super) defs: Vec<MapDef>,
    pub(super) sets: Vec<SetMaps>,
    pub(super) limits: Vec<MapId>,
    pub(super) tables: Option<Section>,
    pub(super) counters: Option<MapId>,
    pub(super) live: Option<MapId>,
    pub(super) capture: Option<MapId>,
    pub(super) statistics: Option<MapId>,
    pub(super) scratch: Option<MapId>,
    /// The first slot of scratch memory in which rows that count find the key.
    pub(super) keys: u32,
}

impl Maps {
    /// With so many slots of scratch memory, and those of keys.
    pub(super) fn of(program: &Program, rooms: &[Room], slots: u32) -> Result<Maps, CodegenError> {
        let mut maps = Maps { keys: slots, ..Maps::default() };
        let slots = slots + counting::key_words(program);
        for nth in 0..program.sets.len() {
            maps.add_set(program, SetRef(nth as u32))?;
        }
        if !program.tables.is_empty() {
            let (def, section) = tables::section(program, MapId(maps.defs.len() as u32), rooms)?;
            maps.add(def)?;
            maps.tables = Some(section);
        }
        for (nth, limit) in program.limits.iter().enumerate() {
            let name = limit_map_name(program, LimitRef(nth as u32));
            let id = maps.add(limits::map(&name, limit))?;
            maps.limits.push(id);
        }
        if program.counters > 0 {
            maps.counters = Some(maps.add(counters::map(program.counters))?);
        }
        if program.sets.iter().any(|set| set.kind == SetKind::HashAndLpm) {
            let count = program.sets.len() as u32;
            let def = MapDef::new("live", MapKind::Array, MapType::U32, MapType::U64, count);
            maps.live = Some(maps.add(def)?);
        }
        let captures = captures(program);
        if captures {
            maps.capture = Some(maps.add(capture::map())?);
        }
        if captures || !program.limits.is_empty() {
            let kind = MapKind::PerCpuArray;
            let def = MapDef::new("statistics", kind, MapType::U32, MapType::U64, 2);
            maps.statistics = Some(maps.add(def)?);
        }
        if slots > 0 {
            maps.scratch = Some(maps.add(scratch::map(slots)?)?);
        }
        Ok(maps)
    }

    fn add_set(&mut self, program: &Program, set: SetRef) -> Result<(), CodegenError> {
        let decl = &program.sets[set.index()];
        let (hash, trie) = set_map_names(program, set);
        let mut ids = SetMaps::default();
        if let Some(name) = hash {
            ids.hash = Some(self.add(sets::hash_map(&name, decl))?);
        }
        if let Some(name) = trie {
            ids.trie = Some(self.add(sets::trie_map(&name, decl)?)?);
        }
        self.sets.push(ids);
        Ok(())
    }

    fn add(&mut self, def: MapDef) -> Result<MapId, CodegenError> {
        def.check().map_err(CodegenError::Map)?;
        self.defs.push(def);
        Ok(MapId(self.defs.len() as u32 - 1))
    }
}

fn captures(program: &Program) -> bool {
    let mut insts = program.blocks.iter().flat_map(|block| &block.insts);
    insts.any(|inst| matches!(inst.op, Op::Capture { .. }))
}

/// The names of a set's hash map and of its trie, where it has them.
pub fn set_map_names(program: &Program, set: SetRef) -> (Option<String>, Option<String>) {
    let names = program.sets.iter().map(|set| set.name.as_str());
    let name = map_name("s_", names, set.index());
    match program.sets[set.index()].kind {
        SetKind::Hash => (Some(name), None),
        SetKind::Lpm => (None, Some(name)),
        SetKind::HashAndLpm => (Some(name.clone()), Some(name + "p")),
    }
}

/// The name of a limit's map.
pub fn limit_map_name(program: &Program, limit: LimitRef) -> String {
    let names = program.limits.iter().map(|limit| limit.name.as_str());
    map_name("l_", names, limit.index())
}

/// The declared name where it fits and is the only one that reads so, else the index. Names do not
/// end in `p` or a digit where that could be mistaken for a trie or an index.
fn map_name<'a>(prefix: &str, names: impl Iterator<Item = &'a str> + Clone, index: usize) -> String {
    let plain = |name: &str| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        name.chars().map(letter).collect()
    };
    let room = NAME_MAX - prefix.len() - 1;
    let own = names.clone().nth(index).map(plain).unwrap_or_default();
    let alike = |other: &str| {
        let other = plain(other);
        other == own || other.clone() + "p" == own || own.clone() + "p" == other
    };
    let unique = names.filter(|other| alike(other)).count() == 1;
    let number = own.is_empty() || own.starts_with(|c: char| c.is_ascii_digit());
    if own.len() <= room && unique && !number { format!("{prefix}{own}") } else { format!("{prefix}{index}") }
}
