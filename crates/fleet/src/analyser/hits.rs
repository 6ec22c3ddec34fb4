//! What the edges' counters say of mitigations, together.

use crate::edge::Report;
use crate::mitigation::number;
use std::collections::{BTreeMap, BTreeSet};

/// Packets by mitigation, over all edges that there were: an edge that goes takes nothing back.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// What each edge said last, by edge and mitigation.
    last: BTreeMap<(String, u64), u64>,
    total: BTreeMap<u64, u64>,
    refused: BTreeSet<u64>,
}

impl Hits {
    /// Takes what they say now.
    pub(super) fn take(&mut self, edges: &BTreeMap<String, Report>) {
        let running = || edges.iter().filter(|(_, report)| report.running);
        for (name, report) in running() {
            for (id, packets) in &report.mitigations {
                if let Ok(id) = id.parse() {
                    self.add(name, id, *packets);
                }
            }
        }
        let refused = |report: &Report| -> BTreeSet<u64> {
            report.refused.keys().filter_map(|id| id.parse().ok()).collect()
        };
        let all = running().map(|(_, report)| refused(report));
        self.refused = all.reduce(|all, one| &all & &one).unwrap_or_default();
    }

    fn add(&mut self, edge: &str, id: u64, packets: u64) {
        let last = self.last.insert((edge.to_owned(), id), packets).unwrap_or(0);
        // A counter that is lower than before began anew.
        let more = if packets < last { packets } else { packets - last };
        *self.total.entry(id).or_default() += more;
    }

    /// Of a mitigation, by its name.
    pub(super) fn of(&self, name: &str) -> u64 {
        number(name).and_then(|id| self.total.get(&id)).copied().unwrap_or(0)
    }

    /// Mitigations that no edge takes.
    pub(super) fn refused_by_all(&self) -> Vec<u64> {
        self.refused.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_goes_takes_nothing_back() {
        let mut hits = Hits::default();
        hits.add("a", 7, 100);
        hits.add("b", 7, 50);
        hits.add("a", 7, 130);
        assert_eq!(hits.of("mitigation_7_dns"), 180);
        // It was loaded anew.
        hits.add("a", 7, 5);
        assert_eq!(hits.of("mitigation_7_dns"), 185);
        assert_eq!((hits.of("mitigation_8_dns"), hits.of("other")), (0, 0));
    }
}
