//! The maps of a program, in the order of their ids.
//!
//! | name | kind | entries |
//! |---|---|---|
//! | `s_…` | hash or trie | one for each set, see [`super::sets`] |
//! | `.data.…` | data section | one for each set of prefixes that changes, see [`super::indexes`] |
//! | `.data.tables` | data section | see [`super::rooms`] |
//! | `.data.p_…` | data section | one for each pool, see [`super::pools`] |
//! | `b_…` | per-CPU array | one for each pool, see [`super::pools`] |
//! | `.data.n_…` | data section | one for each statement that translates, see [`super::nat`] |
//! | `.data.notes` | data section | see [`super::notes`] |
//! | `l_…` | array | one for each limit, see [`super::limits`] |
//! | `counters` | per-CPU array | see [`super::counters`] |
//! | `capture` | ring buffer | see [`super::capture`] |
//! | `samples`, `sampling`, `.data.sampling` | ring buffer, per-CPU array, data section | see [`super::samples`] |
//! | `statistics` | per-CPU array of `u64` | [`Statistic`] |
//! | `scratch` | per-CPU array | see [`super::scratch`] |

use super::tables::{self, Section};
use super::{
    CodegenError, Options, capture, counters, counting, indexes, limits, nat, notes, pools, samples, scratch,
    sets,
};
use crate::ir::{LimitRef, NatRef, Op, PoolRef, Program, SetKind, SetRef};
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

/// All maps.
#[derive(Clone, Debug, Default)]
pub(super) struct Maps {
    pub(super) defs: Vec<MapDef>,
    pub(super) sets: Vec<MapId>,
    pub(super) limits: Vec<MapId>,
    pub(super) pools: Vec<MapId>,
    /// By pool: what counts for its backends.
    pub(super) backends: Vec<MapId>,
    pub(super) nats: Vec<MapId>,
    pub(super) notes: Option<MapId>,
    pub(super) tables: Option<Section>,
    pub(super) counters: Option<MapId>,
    pub(super) capture: Option<MapId>,
    pub(super) samples: Option<samples::SampleMaps>,
    pub(super) statistics: Option<MapId>,
    pub(super) scratch: Option<MapId>,
    /// The first slot of scratch memory in which rows that count find the key.
    pub(super) keys: u32,
}

impl Maps {
    /// With so many slots of scratch memory, and those of keys.
    pub(super) fn of(program: &Program, options: &Options, slots: u32) -> Result<Maps, CodegenError> {
        let mut maps = Maps { keys: slots, ..Maps::default() };
        let slots = slots + counting::key_words(program);
        for nth in 0..program.sets.len() {
            let id = maps.add(set_map(program, SetRef(nth as u32), options)?)?;
            maps.sets.push(id);
        }
        if !program.tables.is_empty() {
            let (def, section) = tables::section(program, MapId(maps.defs.len() as u32), &options.rooms)?;
            maps.add(def)?;
            maps.tables = Some(section);
        }
        for (nth, pool) in program.pools.iter().enumerate() {
            let name = pool_map_name(program, PoolRef(nth as u32));
            let id = maps.add(pools::map(&name, pool, options.pools.get(nth)))?;
            maps.pools.push(id);
            let id = maps.add(pools::counters(&pool_counters_name(program, PoolRef(nth as u32)), pool))?;
            maps.backends.push(id);
        }
        for (nth, decl) in program.nats.iter().enumerate() {
            let id = maps.add(nat::map(&nat_map_name(program, NatRef(nth as u32)), decl))?;
            maps.nats.push(id);
        }
        if let Some(def) = notes::map(program) {
            maps.notes = Some(maps.add(def)?);
        }
        for (nth, limit) in program.limits.iter().enumerate() {
            let name = limit_map_name(program, LimitRef(nth as u32));
            let id = maps.add(limits::map(&name, limit))?;
            maps.limits.push(id);
        }
        if program.counters > 0 {
            maps.counters = Some(maps.add(counters::map(program.counters))?);
        }
        let captures = captures(program);
        if captures {
            maps.capture = Some(maps.add(capture::map())?);
        }
        maps.samples = samples::SampleMaps::of(program, &mut |def| maps.add(def))?;
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

fn set_map(program: &Program, set: SetRef, options: &Options) -> Result<MapDef, CodegenError> {
    let (name, decl) = (set_map_name(program, set), &program.sets[set.index()]);
    match decl.kind {
        SetKind::Hash => Ok(sets::hash_map(&name, decl)),
        SetKind::Lpm => sets::trie_map(&name, decl),
        SetKind::Index => {
            let bytes = options.indexes.get(&decl.name).copied().unwrap_or(indexes::START_BYTES);
            indexes::map(&name, decl, bytes)
        }
    }
}

/// The name of a set's map.
pub fn set_map_name(program: &Program, set: SetRef) -> String {
    // A set's section is none of those that programs have for other ends.
    let names = program.sets.iter().map(|set| set.name.as_str()).chain(["tables", "notes", "sampling"]);
    let prefix = if program.sets[set.index()].kind == SetKind::Index { indexes::SECTION } else { "s_" };
    map_name(prefix, names, set.index())
}

/// The name of a limit's map.
pub fn limit_map_name(program: &Program, limit: LimitRef) -> String {
    let names = program.limits.iter().map(|limit| limit.name.as_str());
    map_name("l_", names, limit.index())
}

/// The name of a pool's map.
pub fn pool_map_name(program: &Program, pool: PoolRef) -> String {
    let names = program.pools.iter().map(|pool| pool.name.as_str());
    map_name(pools::SECTION, names, pool.index())
}

/// The name of the map that counts for a pool's backends.
pub fn pool_counters_name(program: &Program, pool: PoolRef) -> String {
    let names = program.pools.iter().map(|pool| pool.name.as_str());
    map_name(pools::COUNTERS, names, pool.index())
}

/// The name of the map of the flows that a statement translates.
pub fn nat_map_name(program: &Program, nat: NatRef) -> String {
    let names = program.nats.iter().map(|nat| nat.name.as_str());
    map_name(nat::SECTION, names, nat.index())
}

/// The declared name where it fits and is the only one that reads so, else the index, which is no name of a set.
fn map_name<'a>(prefix: &str, names: impl Iterator<Item = &'a str> + Clone, index: usize) -> String {
    let plain = |name: &str| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        name.chars().map(letter).collect()
    };
    let own = names.clone().nth(index).map(plain).unwrap_or_default();
    let unique = names.filter(|other| plain(other) == own).count() == 1;
    let number = own.is_empty() || own.starts_with(|c: char| c.is_ascii_digit());
    let fits = prefix.len() + own.len() <= NAME_MAX;
    if fits && unique && !number { format!("{prefix}{own}") } else { format!("{prefix}{index}") }
}
