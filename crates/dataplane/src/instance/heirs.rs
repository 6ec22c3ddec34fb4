//! Which counters go on in a new policy: those of statements that mean what one of the running policy means.
//!
//! A statement that was renamed or moved (one without a name is called by its line) has another name and the same
//! meaning: it inherits. One of the same name that means something else begins anew.

use super::meta::{Carried, Counting, Meta};
use crate::counters::{Counted, parts};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use weir_compiler::lower::Slots;

/// What the running policy leaves.
#[derive(Default)]
pub(crate) struct Inheritance {
    /// Its counters, by the names that they have in the new policy.
    pub(crate) counting: Counting,
    /// New names with the old ones, where these differ.
    pub(crate) renamed: BTreeMap<String, String>,
    /// Names that both have and whose meaning changed.
    pub(crate) changed: BTreeSet<String>,
}

impl Inheritance {
    /// What a running policy leaves to the statements of a new one.
    pub(crate) fn of(running: &Meta, new: &[Counted]) -> Self {
        let old_names = old_names(&running.statements, new);
        let there: BTreeSet<&str> = running.statements.iter().map(|old| old.name.as_str()).collect();
        let fresh = new.iter().map(|new| &new.name).filter(|name| !old_names.contains_key(*name));
        let changed = fresh.filter(|name| there.contains(name.as_str())).cloned().collect();
        let renamed = old_names.iter().filter(|(new, old)| new != old);
        let renamed = renamed.map(|(new, old)| (new.clone(), old.clone())).collect();
        Self { counting: running.counting.under(&old_names), renamed, changed }
    }
}

/// For each statement that inherits, the old name by its new one. Of several with the same meaning those of the same name
/// inherit, then the others in their order.
fn old_names(old: &[Counted], new: &[Counted]) -> BTreeMap<String, String> {
    let meanings: BTreeMap<&str, u64> = old.iter().map(|old| (old.name.as_str(), old.meaning)).collect();
    let same = |counted: &Counted| meanings.get(counted.name.as_str()) == Some(&counted.meaning);
    let mut heirs: BTreeMap<String, String> =
        new.iter().filter(|new| same(new)).map(|new| (new.name.clone(), new.name.clone())).collect();
    let mut left = BTreeMap::<u64, VecDeque<&str>>::new();
    for old in old.iter().filter(|old| !heirs.contains_key(&old.name)) {
        left.entry(old.meaning).or_default().push_back(&old.name);
    }
    for new in new {
        if heirs.contains_key(&new.name) {
            continue;
        }
        if let Some(old) = left.get_mut(&new.meaning).and_then(VecDeque::pop_front) {
            heirs.insert(new.name.clone(), old.to_owned());
        }
    }
    heirs
}

impl Counting {
    /// The same counters by other names; `old_names` are those of statements, which may have more: of what is over a limit, or lost.
    fn under(&self, old_names: &BTreeMap<String, String>) -> Counting {
        let pairs: Vec<(String, String)> = old_names
            .iter()
            .flat_map(|(new, old)| {
                let part = move |part| (format!("{new}/{part}"), format!("{old}/{part}"));
                [(new.clone(), old.clone())].into_iter().chain(parts().map(part))
            })
            .collect();
        let slots = |slots: &Slots| -> Slots {
            let slot = |(new, old): &(String, String)| Some((new.clone(), *slots.get(old)?));
            pairs.iter().filter_map(slot).collect()
        };
        let base = |(new, old): &(String, String)| Some((new.clone(), *self.bases.get(old)?));
        let carried = |carried: &Carried| Carried { map: carried.map.clone(), slots: slots(&carried.slots) };
        Counting {
            slots: slots(&self.slots),
            bases: pairs.iter().filter_map(base).collect(),
            carried: self.carried.iter().map(carried).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(all: &[(&str, u64)]) -> Vec<Counted> {
        let counted = |(name, meaning): &(&str, u64)| Counted {
            name: (*name).to_owned(),
            action: "drop".to_owned(),
            shadow: false,
            meaning: *meaning,
        };
        all.iter().map(counted).collect()
    }

    #[test]
    fn what_means_the_same_inherits() {
        let old = statements(&[("a", 1), ("drop@3", 2), ("drop@4", 2), ("b", 3)]);
        let new = statements(&[("drop@4", 2), ("drop@5", 2), ("a", 4), ("c", 3), ("d", 1), ("e", 9)]);
        let names = old_names(&old, &new);
        let found: Vec<(&str, &str)> = names.iter().map(|(new, old)| (new.as_str(), old.as_str())).collect();
        assert_eq!(found, [("c", "b"), ("d", "a"), ("drop@4", "drop@4"), ("drop@5", "drop@3")]);
    }
}
