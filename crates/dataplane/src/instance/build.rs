//! From a policy to an object whose counters fit those that run.

use super::Policy;
use super::generation::Generation;
use super::heirs::Inheritance;
use super::meta::{Recorder, Setting, Source};
use crate::Error;
use crate::cookies;
use crate::counters::{counted, slot_names};
use crate::pools::{self, meta::PoolMeta};
use crate::sets::carry::{self, Carry, Grown};
use crate::sets::content;
use crate::sets::meta::{SetMeta, describe};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;
use weir_bpf::object::Object;
use weir_compiler::codegen::rooms::Room;
use weir_compiler::lower::{self, Lowered, Slots};
use weir_compiler::{Analysis, codegen};

/// The policy's program in its object.
const PROGRAM: &str = "weir";

/// A compiled policy.
pub(crate) struct Built {
    pub(crate) source: Source,
    pub(crate) analysis: Analysis,
    pub(crate) lowered: Lowered,
    pub(crate) object: Object,
    /// What user space must know of the sets in maps.
    pub(crate) sets: Vec<SetMeta>,
    /// What becomes of their parts' contents.
    pub(crate) carries: Vec<Vec<Carry>>,
    /// What user space must know of its pools.
    pub(crate) pools: Vec<PoolMeta>,
    /// What the running program would have to be, so that only tables differ: see [`shape`].
    pub(crate) shape: u64,
    /// Whose counters go on.
    pub(crate) inheritance: Inheritance,
    pub(crate) microseconds: u64,
}

impl Built {
    /// How many instructions the program has.
    pub(crate) fn instructions(&self) -> usize {
        self.object.programs[0].slots()
    }
}

/// What a policy is compiled beside.
#[derive(Clone, Copy, Default)]
pub(crate) struct Beside<'a> {
    /// What runs.
    pub(crate) running: Option<&'a Generation>,
    /// The rooms of its tables.
    pub(crate) rooms: &'a [Room],
    /// Statements that copy their frames: then every map goes on as it is.
    pub(crate) capture: &'a [String],
    /// A set that has outgrown its maps.
    pub(crate) grown: Option<&'a Grown>,
}

/// Compiles a policy for an instance, its tables for the rooms of those that run and its sets for what they will hold.
pub(crate) fn build(policy: &Policy<'_>, setting: &Setting, beside: Beside<'_>) -> Result<Built, Error> {
    let start = Instant::now();
    let recorder = Recorder::new(policy.loader);
    let mut analysis = weir_compiler::analyse(policy.name, policy.text, &recorder);
    // What runs goes on, whatever the host has become: only a policy that is put in its place is looked at.
    if beside.capture.is_empty() && beside.grown.is_none() {
        cookies::tell(&mut analysis);
    }
    let source = Source { name: policy.name.into(), text: policy.text.into(), files: recorder.into_files() };
    let mut options = lower::Options { capture: beside.capture.to_vec(), ..lower::Options::default() };
    let mut inheritance = Inheritance::default();
    if let Some(Generation { meta, .. }) = beside.running {
        inheritance = Inheritance::of(meta, &counted(&analysis.policy));
        let names = slot_names(&analysis.policy);
        options.slots = assign_slots(&names, &inheritance.counting.slots, &meta.counting.slots);
        options.frequencies = meta.profile.frequencies.clone();
    }
    let Some(lowered) = analysis.lower(&options, &[]) else { return Err(analysis.into()) };
    let mut sets = describe(&analysis.policy, &lowered);
    let carries = carry::plan(&sets, &beside)?;
    for (part, carry) in sets.iter_mut().zip(&carries).flat_map(|(set, all)| set.parts.iter_mut().zip(all)) {
        part.bytes = carry.bytes();
    }
    let mut options = codegen::Options::new(setting.target.clone(), setting.hook.compiled());
    options.name = PROGRAM.into();
    options.frags = setting.frags;
    options.rooms = beside.rooms.to_vec();
    let parts = sets.iter().flat_map(|set| &set.parts).filter(|part| part.bytes > 0);
    options.indexes = parts.map(|part| (part.name.clone(), part.bytes)).collect();
    options.pools = analysis.policy.pools.iter().map(codegen::pools::image).collect();
    let object = codegen::generate(&lowered.program, &options)?;
    let pools = pools::meta::describe(&analysis.policy, &lowered);
    let shape = shape(&analysis, &lowered, &object, &sets);
    let microseconds = start.elapsed().as_micros() as u64;
    Ok(Built { source, analysis, lowered, object, sets, carries, pools, shape, inheritance, microseconds })
}

/// A number of all that a generation is made of but the contents of its tables, what its counters are called and the
/// lines of its policy: the code, the other maps, what they begin with, limits and sets.
fn shape(analysis: &Analysis, lowered: &Lowered, object: &Object, sets: &[SetMeta]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for program in &object.programs {
        (&program.name, &program.section, &program.insns).hash(&mut hasher);
    }
    for map in &object.maps {
        // Counters have room to grow, which is looked at by itself.
        let entries = if map.name == "counters" { 0 } else { map.max_entries };
        (&map.name, format!("{:?}", map.kind), &map.key, &map.value, entries, map.flags).hash(&mut hasher);
    }
    content::entries(&analysis.policy, lowered).hash(&mut hasher);
    format!("{:?} {:?}", lowered.program.limits, lowered.program.samples).hash(&mut hasher);
    format!("{sets:?}").hash(&mut hasher);
    hasher.finish()
}

/// Who inherits keeps the slot. New names get none that the running program still counts into, also if its name goes
/// with this reload: the last packets before the swap would be counted for another.
fn assign_slots(names: &[String], inherited: &Slots, running: &Slots) -> Slots {
    let mut taken: BTreeSet<u32> = running.values().copied().collect();
    let mut next = 0;
    let slot = |name: &String| {
        let slot = inherited.get(name).copied().unwrap_or_else(|| {
            while !taken.insert(next) {
                next += 1;
            }
            next
        });
        (name.clone(), slot)
    };
    names.iter().map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(pairs: &[(&str, u32)]) -> Slots {
        pairs.iter().map(|(name, slot)| ((*name).to_owned(), *slot)).collect()
    }

    #[test]
    fn a_slot_that_is_counted_into_goes_to_no_other_name() {
        let names = ["new", "kept", "default"].map(String::from);
        let running = slots(&[("kept", 0), ("gone", 1), ("default", 2)]);
        let next = assign_slots(&names, &running, &running);
        assert_eq!(next, slots(&[("new", 3), ("kept", 0), ("default", 2)]));
        let after = assign_slots(&["other", "new", "kept", "default"].map(String::from), &next, &next);
        assert_eq!(after["other"], 1);
        let changed =
            assign_slots(&["kept", "default"].map(String::from), &slots(&[("default", 2)]), &running);
        assert_eq!(changed["kept"], 3);
    }
}
