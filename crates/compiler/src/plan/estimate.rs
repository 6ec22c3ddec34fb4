//! What a packet that no statement decides costs, for each class.

use super::{ClassId, Costs, Goto, Plan, Site, Step, ends};
use crate::policy::{Policy, SetPart};
use std::collections::{BTreeMap, BTreeSet};

/// Estimated nanoseconds, net of an empty program, of packets that no statement decides.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Estimate {
    /// By class, on the cheapest way to it. Classes in which nobody is undecided are not there.
    pub classes: BTreeMap<ClassId, f64>,
}

impl Estimate {
    /// Of the class that costs least, and of the one that costs most.
    pub fn range(&self) -> (f64, f64) {
        let least = self.classes.values().copied().reduce(f64::min);
        let most = self.classes.values().copied().reduce(f64::max);
        (least.unwrap_or(0.0), most.unwrap_or(0.0))
    }
}

/// A place in the parser, and how many statements were decided before it.
type At = (Goto, usize);

impl Plan {
    /// Adds up what lies on the cheapest way to each class.
    pub fn estimate(&self, policy: &Policy, costs: &Costs) -> Estimate {
        let sets = self.set_costs(policy, costs);
        let mut costs = SiteCosts { plan: self, costs, sets, known: BTreeMap::new() };
        let (mut estimate, mut seen) = (Estimate::default(), BTreeSet::new());
        // The cheapest first; nanoseconds are not negative, so their bits are in their order.
        let mut todo: BTreeSet<(u64, At)> =
            BTreeSet::from([(costs.costs.program.to_bits(), (self.graph.start, 0))]);
        while let Some((bits, at)) = todo.pop_first() {
            let ns = f64::from_bits(bits);
            if !seen.insert(at) {
                continue;
            }
            match at {
                (Goto::Class(class), first) => {
                    let ns = ns + costs.of(Site::Class(class, first));
                    let least = estimate.classes.entry(class).or_insert(ns);
                    *least = least.min(ns);
                }
                (Goto::State(_), _) => {
                    let next = self.after(policy, at, ns, &mut costs);
                    todo.extend(next.into_iter().map(|(ns, at)| (ns.to_bits(), at)));
                }
            }
        }
        estimate
    }

    /// The ways on from a state.
    fn after(&self, policy: &Policy, (goto, first): At, ns: f64, costs: &mut SiteCosts) -> Vec<(f64, At)> {
        let Goto::State(id) = goto else { return Vec::new() };
        let state = &self.graph.states[id.0 as usize];
        let ns = ns + costs.costs.header;
        let absent = (ns, (Goto::Class(state.absent), first));
        let (ns, first) = match self.early.get(&(id, first)) {
            Some(chain) if ends(policy, chain) => return vec![absent],
            Some(chain) => (ns + costs.of(Site::Behind(id, first)), chain.end()),
            None => (ns, first),
        };
        let ways = state.ways().chain([Goto::Class(state.last)]);
        ways.map(|goto| (ns, (goto, first))).chain([absent]).collect()
    }
}

/// What the statements of each site cost.
struct SiteCosts<'a> {
    plan: &'a Plan,
    costs: &'a Costs,
    sets: BTreeMap<SetPart, f64>,
    known: BTreeMap<Site, f64>,
}

impl SiteCosts<'_> {
    fn of(&mut self, site: Site) -> f64 {
        if let Some(ns) = self.known.get(&site) {
            return *ns;
        }
        let (first, conditions) = self.plan.conditions(site);
        let step = |step: &Step| match step {
            Step::One(index) => self.costs.condition(&conditions[index - first], &self.sets),
            Step::Run(run) => self.costs.run(&run.table).unwrap_or(0.0),
        };
        let ns = self.plan.steps.get(&site).into_iter().flatten().map(step).sum();
        self.known.insert(site, ns);
        ns
    }
}
