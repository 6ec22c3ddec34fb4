//! Far jumps without `gotol`: islands of hops stand between stretches of code, and a far jump
//! goes from island to island. A label has one hop in an island, however many jumps use it.

use std::collections::BTreeMap;

use super::{Island, Layout, Plan, REACH, Stop};
use crate::asm::{AsmError, Assembler, Item, Label};

/// Slots between the places where an island may stand.
const SPACING: u32 = 2_048;
/// Items that are searched for a place that code does not run into.
const SEARCH: usize = 256;

pub(super) fn plan(asm: &Assembler) -> Result<Plan, AsmError> {
    let slots: Vec<u8> = asm.items.iter().map(Item::slots).collect();
    let mut plan = Plan { islands: places(asm, &slots), slots, stops: vec![Stop::Label; asm.items.len()] };
    // Hops are only added from pass to pass, so this ends; a pass that adds none is the answer.
    loop {
        let layout = plan.layout();
        let routes = Routes::find(asm, &plan, &layout)?;
        let settled = routes
            .hops
            .iter()
            .zip(&plan.islands)
            .all(|(found, island)| found.keys().all(|label| island.hops.contains_key(label)));
        plan.stops = routes.stops;
        for (island, hops) in plan.islands.iter_mut().zip(routes.hops) {
            // The last pass leaves what is used only: the kernel refuses unreachable code, and
            // with less between them all places come nearer.
            match settled {
                true => island.hops = hops,
                false => island.hops.extend(hops),
            }
            island.labels = island.hops.keys().copied().collect();
        }
        if settled {
            return Ok(plan);
        }
    }
}

/// The possible islands: at regular distances, where one can be had behind code that does not
/// run on, and never between two functions.
fn places(asm: &Assembler, slots: &[u8]) -> Vec<Island> {
    let mut islands = Vec::new();
    let mut since = 0;
    let mut at = 0;
    while at < asm.items.len() {
        if since >= SPACING {
            let window = at..asm.items.len().min(at + SEARCH);
            let free = window.clone().find(|at| allowed(asm, *at) && !runs_on(asm, *at));
            let place = free.or_else(|| window.clone().find(|at| allowed(asm, *at)));
            if let Some(place) = place {
                islands.push(Island {
                    before: place as u32,
                    skip: runs_on(asm, place),
                    hops: BTreeMap::new(),
                    labels: Vec::new(),
                });
                at = place;
                since = 0;
            }
        }
        since += u32::from(slots[at]);
        at += 1;
    }
    islands
}

fn allowed(asm: &Assembler, at: usize) -> bool {
    asm.functions.iter().all(|f| f.start != at)
}

fn runs_on(asm: &Assembler, at: usize) -> bool {
    match &asm.items[at - 1] {
        Item::Plain(insn) => !insn.ends_block(),
        Item::Jump(_) => false,
        _ => true,
    }
}

/// A way for every jump, by the layout at hand.
struct Routes {
    stops: Vec<Stop>,
    hops: Vec<BTreeMap<Label, Stop>>,
}

impl Routes {
    fn find(asm: &Assembler, plan: &Plan, layout: &Layout) -> Result<Routes, AsmError> {
        let mut routes = Routes {
            stops: vec![Stop::Label; asm.items.len()],
            hops: vec![BTreeMap::new(); plan.islands.len()],
        };
        for (at, item) in asm.items.iter().enumerate() {
            let Some(label) = item.jump_label() else {
                continue;
            };
            let to = layout.items[asm.place(label)];
            let stop = next_stop(plan, layout, layout.items[at], to);
            routes.stops[at] = stop.ok_or(AsmError::TooDense { at })?;
            routes.follow(plan, layout, (at, label, to))?;
        }
        Ok(routes)
    }

    /// Adds the hops behind a jump's first stop, up to one that is known.
    fn follow(
        &mut self,
        plan: &Plan,
        layout: &Layout,
        (at, label, to): (usize, Label, u32),
    ) -> Result<(), AsmError> {
        let mut stop = self.stops[at];
        while let Stop::Island(nth) = stop {
            let nth = nth as usize;
            if self.hops[nth].contains_key(&label) {
                break;
            }
            let here = layout.islands[nth] + plan.islands[nth].hop(label);
            stop = next_stop(plan, layout, here, to).ok_or(AsmError::TooDense { at })?;
            self.hops[nth].insert(label, stop);
        }
        Ok(())
    }
}

/// The label if it is near, else the farthest island on the way that is.
fn next_stop(plan: &Plan, layout: &Layout, from: u32, to: u32) -> Option<Stop> {
    if from.abs_diff(to) <= REACH {
        return Some(Stop::Label);
    }
    let end = |nth: usize| layout.islands[nth] + plan.islands[nth].slots();
    let nth = if from < to {
        let reached = partition(plan.islands.len(), |nth| end(nth) <= from + REACH);
        let nth = reached.checked_sub(1)?;
        (layout.islands[nth] > from).then_some(nth)
    } else {
        let nth = partition(plan.islands.len(), |nth| layout.islands[nth] + REACH < from);
        (nth < plan.islands.len() && end(nth) < from).then_some(nth)
    };
    nth.map(|nth| Stop::Island(nth as u32))
}

/// The first of `0..len` for which `before` is false.
fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        match before(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}
