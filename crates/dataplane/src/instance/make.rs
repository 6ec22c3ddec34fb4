//! Makes a generation beside the running one: everything but the swap. All of it can fail without a trace.

use super::Change;
use super::build::Built;
use super::generation::{Generation, pin_name};
use super::heirs::Inheritance;
use super::live;
use super::meta::{CaptureMeta, Carried, Counting, LimitMeta, Meta, Setting, Source};
use super::place::{self, Place};
use super::profile::Profile;
use crate::Error;
use crate::counters::{counted, parts};
use crate::engines::totals_of;
use crate::error::refusal;
use crate::pools;
use crate::samples;
use crate::sets::Filling;
use crate::sets::carry;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_bpf::map::MapDef;
use weir_compiler::codegen::rooms::SECTION;
use weir_compiler::codegen::{NOTES, limit_map_name};
use weir_compiler::ir::LimitRef;
use weir_compiler::lower::Slots;
use weir_compiler::policy::Action;
use weir_kernel::load::{self, Loaded, Reuse};
use weir_kernel::maps::Map;
use weir_kernel::program::Program;

/// A generation that is pinned and could run.
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) change: Change,
    /// Where its tables begin.
    pub(crate) space: u64,
    pub(crate) program: Program,
    pub(crate) kept: Vec<String>,
    pub(crate) fresh: Vec<String>,
    pub(crate) gone: Vec<String>,
}

/// What is used again, and what came of it.
#[derive(Default)]
struct Plan {
    options: load::Options,
    /// Maps that the program does not use, by the names of their pins.
    beside: Vec<(String, Map)>,
    kept: Vec<String>,
    fresh: Vec<String>,
    gone: Vec<String>,
}

/// Makes the successor of a running generation, or the first one.
pub(crate) fn successor(
    place: &Place,
    built: &Built,
    setting: &Setting,
    running: Option<&Generation>,
    tell: &mut dyn FnMut(Filling),
) -> Result<Made, Error> {
    let mut plan = Plan::default();
    let (sets, carries) = (built.sets.clone(), &built.carries);
    let counting = counting(&mut plan, built, running)?;
    let limits = limits(&mut plan, built, running)?;
    statistics(&mut plan, built, running)?;
    samples(&mut plan, built, running)?;
    carry::share(&sets, carries, &mut plan.options.reuse)?;
    let meta = meta(built, setting, running, None);
    pools::carry::share(&meta.pools, running, &mut plan.options.reuse)?;
    pools::carry::report(&meta.pools, running, (&mut plan.kept, &mut plan.fresh, &mut plan.gone));
    carry::report(&sets, carries, running, (&mut plan.kept, &mut plan.fresh, &mut plan.gone));
    let meta = Meta { sets, limits, counting, ..meta };
    let options = std::mem::take(&mut plan.options);
    let mut loaded = load(built, options)?;
    plan.beside.extend(fill(built, &loaded, tell)?);
    pools::carry::fill(&meta.pools, running, &loaded)?;
    pin(place, &meta, &built.source, &mut loaded, &plan.beside).map(|program| Made {
        number: meta.generation,
        change: Change::Program,
        space: 0,
        program,
        kept: plan.kept,
        fresh: plan.fresh,
        gone: plan.gone,
    })
}

/// Makes a variant of the running generation that captures: every map is shared, so that the two count, limit and
/// hold as one.
pub(crate) fn variant(
    place: &Place,
    built: &Built,
    plain: &Generation,
    capture: CaptureMeta,
) -> Result<Made, Error> {
    let mut options = load::Options::default();
    let own = ["capture", "scratch", SECTION];
    for map in built.object.maps.iter().filter(|map| !own.contains(&map.name.as_str())) {
        if let Some(there) = plain.find_map(&map.name)? {
            options.max_entries.insert(map.name.clone(), there.info().max_entries);
            options.reuse.insert(map.name.clone(), Reuse::Map(there));
        }
    }
    let carried = plain.meta.counting.carried.iter().map(|carried| carried.map.clone());
    let truths = plain.meta.sets.iter().flat_map(|set| &set.parts).filter_map(|part| part.truth());
    let mut beside = Vec::new();
    for name in carried.chain(truths) {
        if let Some(map) = plain.find_map(&name)? {
            beside.push((name, map));
        }
    }
    let setting = &plain.meta.setting;
    let meta = Meta {
        sets: plain.meta.sets.clone(),
        limits: plain.meta.limits.clone(),
        pools: plain.meta.pools.clone(),
        counting: plain.meta.counting.clone(),
        loaded_at: plain.meta.loaded_at,
        ..meta(built, setting, Some(plain), Some(capture))
    };
    let mut loaded = load(built, options)?;
    let program = pin(place, &meta, &built.source, &mut loaded, &beside)?;
    let change = Change::Program;
    Ok(Made { number: meta.generation, change, space: 0, program, kept: vec![], fresh: vec![], gone: vec![] })
}

/// Makes a successor that differs from the running generation in its tables alone: the program and its maps are
/// shared, and its tables are written beside those in use. Nothing if that cannot be.
pub(crate) fn tables_alone(
    place: &Place,
    built: &Built,
    setting: &Setting,
    running: &Generation,
) -> Result<Option<Made>, Error> {
    if running.meta.capture.is_some() || running.meta.shape != built.shape {
        return Ok(None);
    }
    let mut plan = Plan::default();
    let (sets, carries) = (built.sets.clone(), &built.carries);
    let room = running.map("counters")?.info().max_entries;
    let counting = counting(&mut plan, built, Some(running))?;
    let limits = limits(&mut plan, built, Some(running))?;
    let grown = wanted(built, "counters").is_some_and(|wanted| wanted.max_entries > room);
    let limited = plan.fresh.iter().chain(&plan.gone).any(|name| name.starts_with("limit "));
    if grown || limited || !carry::all_go_on(&sets, carries) {
        return Ok(None);
    }
    carry::report(&sets, carries, Some(running), (&mut plan.kept, &mut plan.fresh, &mut plan.gone));
    let Some(space) = live::write(built, running)? else { return Ok(None) };
    let meta = Meta { sets, limits, counting, space, ..meta(built, setting, Some(running), None) };
    pools::carry::report(&meta.pools, Some(running), (&mut plan.kept, &mut plan.fresh, &mut plan.gone));
    let program = share(place, &meta, &built.source, running, &plan.beside)?;
    Ok(Some(Made {
        number: meta.generation,
        change: if space == running.meta.space { Change::Text } else { Change::Tables },
        space,
        program,
        kept: plan.kept,
        fresh: plan.fresh,
        gone: plan.gone,
    }))
}

/// Pins what the running generation has once more, with another meta and source; the program last.
fn share(
    place: &Place,
    meta: &Meta,
    source: &Source,
    running: &Generation,
    beside: &[(String, Map)],
) -> Result<Program, Error> {
    let path = place.generation(meta.generation);
    let own = |name: &str| matches!(name, "meta" | "source" | "program") || name.starts_with("carried-");
    complete(&path, || {
        let entries =
            std::fs::read_dir(running.path()).map_err(|error| Error::io("list", running.path(), error))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !own(&name.to_string_lossy()) {
                let to = path.join(&name);
                std::fs::hard_link(entry.path(), &to).map_err(|error| Error::io("link", to, error))?;
            }
        }
        beside.iter().try_for_each(|(name, map)| map.pin(&path.join(name)))?;
        source.to_map()?.pin(&path.join("source"))?;
        meta.to_map()?.pin(&path.join("meta"))?;
        let program = running.program()?;
        program.pin(&path.join("program"))?;
        Ok(program)
    })
}

/// Makes a generation's directory and fills it, or leaves none.
fn complete<T>(path: &Path, fill: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    place::remove_dir(path)?;
    let made = std::fs::create_dir(path).map_err(|error| Error::io("create", path, error));
    let filled = made.and_then(|()| fill());
    if filled.is_err() {
        // The next command would remove it as well.
        let _ = place::remove_dir(path);
    }
    filled
}

fn meta(
    built: &Built,
    setting: &Setting,
    running: Option<&Generation>,
    capture: Option<CaptureMeta>,
) -> Meta {
    Meta {
        version: Meta::version(),
        generation: running.map_or(1, |running| running.number + 1),
        loaded_at: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        setting: setting.clone(),
        policy: built.source.name.clone(),
        files: built.source.names(),
        program: built.object.programs[0].name.clone(),
        shape: built.shape,
        space: 0,
        statements: counted(&built.analysis.policy),
        counting: Counting::default(),
        sets: Vec::new(),
        limits: Vec::new(),
        pools: built.pools.clone(),
        samples: samples::meta::describe(&built.analysis.policy),
        profile: running.map_or_else(Profile::default, |running| running.meta.profile.clone()),
        capture,
    }
}

fn load(built: &Built, options: load::Options) -> Result<Loaded, Error> {
    load::load_object(&built.object, options).map_err(|error| refusal(error, &built.analysis))
}

/// The counters go on in the same map. A name that is new begins at what its slot does not hold; a map that became
/// too small is kept for what it holds, and counts on until the last packet has left the old program.
fn counting(plan: &mut Plan, built: &Built, running: Option<&Generation>) -> Result<Counting, Error> {
    let slots = built.lowered.slots.clone();
    report_statements(plan, built, running);
    let Some(running) = running else { return Ok(Counting { slots, ..Counting::default() }) };
    let inherited = &built.inheritance.counting;
    let mut counting =
        Counting { carried: carried(plan, running, inherited, &slots)?, ..Counting::default() };
    let map = running.map("counters")?;
    let room = map.info().max_entries;
    let mut totals = Vec::new();
    if wanted(built, "counters").is_some_and(|wanted| wanted.max_entries > room) {
        let name = format!("carried-{}", running.number);
        counting.carried.push(Carried { map: name.clone(), slots: common(&inherited.slots, &slots) });
        plan.beside.push((name, map));
    } else {
        totals = totals_of(&map)?;
        plan.options.max_entries.insert("counters".into(), room);
        plan.options.reuse.insert("counters".into(), Reuse::Map(map));
    }
    for (name, slot) in &slots {
        let base = if inherited.slots.contains_key(name) {
            inherited.bases.get(name).copied().unwrap_or_default()
        } else {
            let there = totals.get(*slot as usize).copied().unwrap_or_default();
            (there.packets.wrapping_neg(), there.bytes.wrapping_neg())
        };
        if base != (0, 0) {
            counting.bases.insert(name.clone(), base);
        }
    }
    counting.slots = slots;
    Ok(counting)
}

/// Says which statements count on. The slots of what is over a limit, or lost, belong to the statement's name.
fn report_statements(plan: &mut Plan, built: &Built, running: Option<&Generation>) {
    let (new, none) = (&built.lowered.slots, Slots::new());
    let Inheritance { counting, renamed, changed } = &built.inheritance;
    // What has another name now is told first: of ten thousand that are the same nobody reads.
    let mut same = Vec::new();
    for name in new.keys().filter(|name| !is_part(name)) {
        match (counting.slots.contains_key(name), renamed.get(name)) {
            (true, Some(old)) => plan.kept.push(format!("statement {name} (was {old})")),
            (true, None) => same.push(format!("statement {name}")),
            (false, _) if changed.contains(name) => plan.fresh.push(format!("statement {name} (changed)")),
            (false, _) => plan.fresh.push(format!("statement {name}")),
        }
    }
    plan.kept.append(&mut same);
    let old = running.map_or(&none, |running| &running.meta.counting.slots);
    let gone = |name: &&String| !is_part(name) && !new.contains_key(*name);
    let left: BTreeSet<&String> = renamed.values().collect();
    let gone = old.keys().filter(gone).filter(|name| !left.contains(name));
    plan.gone.extend(gone.map(|name| format!("statement {name}")));
}

/// Whether a slot is not the first one of a statement.
fn is_part(name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(_, part)| parts().any(|known| known == part))
}

/// The slots of names that both have.
fn common(slots: &Slots, other: &Slots) -> Slots {
    let both = slots.iter().filter(|(name, _)| other.contains_key(*name));
    both.map(|(name, slot)| (name.clone(), *slot)).collect()
}

/// The maps that became too small earlier, as far as names in them are still in the policy. A name that was gone in
/// between begins anew.
fn carried(
    plan: &mut Plan,
    running: &Generation,
    inherited: &Counting,
    slots: &Slots,
) -> Result<Vec<Carried>, Error> {
    let mut all = Vec::new();
    let names = common(&inherited.slots, slots);
    for old in &inherited.carried {
        let kept = common(&old.slots, &names);
        if !kept.is_empty() {
            plan.beside.push((old.map.clone(), running.map(&old.map)?));
            all.push(Carried { map: old.map.clone(), slots: kept });
        }
    }
    Ok(all)
}

fn limits(plan: &mut Plan, built: &Built, running: Option<&Generation>) -> Result<Vec<LimitMeta>, Error> {
    let mut all = Vec::new();
    for (index, statement) in built.lowered.limits.iter().enumerate() {
        let statement = &built.analysis.policy.statements[*statement];
        let Action::Limit(limit) = &statement.action else { continue };
        let name = statement.name.clone();
        let map = limit_map_name(&built.lowered.program, LimitRef(index as u32));
        let declaration = format!("{:?} {:?}", built.lowered.program.limits[index], limit.keys);
        let old =
            running.and_then(|running| Some((running, running.meta.limits.iter().find(|l| l.name == name)?)));
        match old.filter(|(_, old)| old.declaration == declaration) {
            Some((running, old)) => {
                plan.options.reuse.insert(map.clone(), Reuse::Map(running.map(&old.map)?));
                plan.kept.push(format!("limit {name}"));
            }
            None => plan.fresh.push(format!("limit {name}")),
        }
        all.push(LimitMeta { name, map, declaration });
    }
    let names: BTreeSet<&str> = all.iter().map(|limit| limit.name.as_str()).collect();
    let before = running.iter().flat_map(|running| &running.meta.limits);
    plan.gone.extend(
        before.filter(|old| !names.contains(old.name.as_str())).map(|old| format!("limit {}", old.name)),
    );
    Ok(all)
}

fn statistics(plan: &mut Plan, built: &Built, running: Option<&Generation>) -> Result<(), Error> {
    let Some(running) = running else { return Ok(()) };
    for name in ["statistics", NOTES] {
        if wanted(built, name).is_some()
            && let Some(map) = running.find_map(name)?
        {
            plan.options.reuse.insert(name.into(), Reuse::Map(map));
        }
    }
    Ok(())
}

fn samples(plan: &mut Plan, built: &Built, running: Option<&Generation>) -> Result<(), Error> {
    let all = samples::meta::describe(&built.analysis.policy);
    samples::meta::share(&all, running, |name, reuse| {
        plan.options.reuse.insert(name.to_owned(), reuse);
    })
}

fn wanted<'a>(built: &'a Built, name: &str) -> Option<&'a MapDef> {
    built.object.maps.iter().find(|map| map.name == name)
}

/// Fills the sets; answers the maps beside the program's.
fn fill(built: &Built, loaded: &Loaded, tell: &mut dyn FnMut(Filling)) -> Result<Vec<(String, Map)>, Error> {
    let mut beside = Vec::new();
    for (set, carries) in built.sets.iter().zip(&built.carries) {
        for (part, carry) in set.parts.iter().zip(carries) {
            beside.extend(carry::fill(part, carry, built, loaded, tell)?);
        }
    }
    Ok(beside)
}

/// Pins everything, the program last: a directory with a program is complete.
fn pin(
    place: &Place,
    meta: &Meta,
    source: &Source,
    loaded: &mut Loaded,
    beside: &[(String, Map)],
) -> Result<Program, Error> {
    let path = place.generation(meta.generation);
    let program = loaded.programs.remove(&meta.program);
    let program = program.ok_or_else(|| Error::Object("the program is not in it".into()))?.program;
    complete(&path, || {
        for (name, map) in &loaded.maps {
            map.pin(&path.join(pin_name(name)))?;
        }
        beside.iter().try_for_each(|(name, map)| map.pin(&path.join(name)))?;
        source.to_map()?.pin(&path.join("source"))?;
        meta.to_map()?.pin(&path.join("meta"))?;
        program.pin(&path.join("program"))?;
        Ok(program)
    })
}
