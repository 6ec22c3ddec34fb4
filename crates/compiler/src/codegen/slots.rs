//! Spill slots: values that are not there at the same time share one.
//!
//! The allocator looks at a handful of slots for each value that it spills before it takes a new one, and a slot's value is the same
//! in all of a function to it. The kernel's stack has 512 bytes. So this takes its slots apart where one value ends and another
//! begins, and gives out as few as it can: from first to last, each the lowest that is free wherever the value is.
//!
//! Only moves touch slots, so what lives in them can be read off these: from a store to the last load behind it, on all ways.

use super::machine::Function;
use regalloc2::{Allocation, Edit, Function as _, InstPosition, Output, ProgPoint, SpillSlot};
use std::collections::{BTreeMap, BTreeSet};

/// A place in the list of moves, or the end of a block.
type Position = u32;

/// A time in one block during which a slot holds one value.
#[derive(Clone, Copy)]
struct Span {
    from: Position,
    to: Position,
}

/// A move that touches a slot.
struct Access {
    edit: usize,
    slot: usize,
    stores: bool,
}

/// Gives the slots of a function out anew.
pub(super) fn share(function: &Function, output: &mut Output) {
    if output.num_spillslots < 2 {
        return;
    }
    let blocks = accesses(function, output);
    let live = live_in(function, &blocks);
    let mut webs = Webs::default();
    let mut touched: Vec<(usize, usize)> = Vec::new();
    let mut entries: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut exits: Vec<(usize, usize, usize)> = Vec::new();
    let mut at: Position = 0;
    for (nth, list) in blocks.iter().enumerate() {
        let first = at;
        let mut held: BTreeMap<usize, usize> = BTreeMap::new();
        for slot in &live[nth] {
            let span = webs.begin(first);
            entries.insert((nth, *slot), span);
            held.insert(*slot, span);
        }
        for access in list {
            at += 1;
            if access.stores {
                held.insert(access.slot, webs.begin(at));
            }
            // A load of what was never stored cannot be; it would begin a value of its own.
            let span = *held.entry(access.slot).or_insert_with(|| webs.begin(at));
            webs.spans[span].to = at;
            touched.push((access.edit, span));
        }
        at += 1;
        for next in successors(function, nth) {
            for slot in &live[next] {
                if let Some(span) = held.get(slot) {
                    webs.spans[*span].to = at;
                    exits.push((*span, next, *slot));
                }
            }
        }
        at += 1;
    }
    for (span, next, slot) in exits {
        webs.join(span, entries[&(next, slot)]);
    }
    let slots = webs.give_out();
    for (edit, span) in touched {
        let slot = Allocation::stack(SpillSlot::new(slots[webs.root(span)]));
        let Edit::Move { from, to } = &mut output.edits[edit].1;
        if from.is_stack() {
            *from = slot;
        } else {
            *to = slot;
        }
    }
    output.num_spillslots = slots.iter().map(|slot| slot + 1).max().unwrap_or(0);
}

fn successors(function: &Function, block: usize) -> impl Iterator<Item = usize> + '_ {
    function.block_succs(regalloc2::Block::new(block)).iter().map(|next| next.index())
}

/// By block, in order.
fn accesses(function: &Function, output: &Output) -> Vec<Vec<Access>> {
    let mut blocks: Vec<Vec<Access>> = Vec::with_capacity(function.num_blocks());
    let mut edits = output.edits.iter().enumerate().peekable();
    for block in 0..function.num_blocks() {
        let last = function.block_insns(regalloc2::Block::new(block)).last();
        let end = ProgPoint::new(last, InstPosition::After);
        let mut list = Vec::new();
        while let Some((edit, (_, Edit::Move { from, to }))) = edits.next_if(|(_, (point, _))| *point <= end)
        {
            let (place, stores) = if to.is_stack() { (to, true) } else { (from, false) };
            if let Some(slot) = place.as_stack() {
                list.push(Access { edit, slot: slot.index(), stores });
            }
        }
        blocks.push(list);
    }
    blocks
}

/// The slots whose values are still loaded, at each block's beginning.
fn live_in(function: &Function, blocks: &[Vec<Access>]) -> Vec<BTreeSet<usize>> {
    let mut live = vec![BTreeSet::new(); blocks.len()];
    let mut todo: Vec<usize> = (0..blocks.len()).collect();
    while let Some(block) = todo.pop() {
        let mut here: BTreeSet<usize> = successors(function, block)
            .flat_map(|next| live[next].iter().copied().collect::<Vec<_>>())
            .collect();
        for access in blocks[block].iter().rev() {
            match access.stores {
                true => here.remove(&access.slot),
                false => here.insert(access.slot),
            };
        }
        if here != live[block] {
            live[block] = here;
            todo.extend(
                function.block_preds(regalloc2::Block::new(block)).iter().map(|before| before.index()),
            );
        }
    }
    live
}

/// Spans that hold the same value are one web.
#[derive(Default)]
struct Webs {
    spans: Vec<Span>,
    parents: Vec<usize>,
}

impl Webs {
    fn begin(&mut self, at: Position) -> usize {
        self.spans.push(Span { from: at, to: at });
        self.parents.push(self.parents.len());
        self.parents.len() - 1
    }

    fn root(&self, span: usize) -> usize {
        let mut root = span;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        root
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        let (low, high) = (one.min(other), one.max(other));
        self.parents[high] = low;
        // Ways to the root stay short.
        let mut at = high;
        while self.parents[at] != low {
            at = std::mem::replace(&mut self.parents[at], low);
        }
    }

    /// A slot for each web, by its root.
    fn give_out(&self) -> Vec<usize> {
        let mut webs: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
        for (nth, span) in self.spans.iter().enumerate() {
            webs.entry(self.root(nth)).or_default().push(*span);
        }
        let mut given = vec![0; self.spans.len()];
        // By slot: from where to where it is taken.
        let mut taken: Vec<BTreeMap<Position, Position>> = Vec::new();
        for (root, spans) in webs {
            let free = |taken: &BTreeMap<Position, Position>| spans.iter().all(|span| is_free(taken, *span));
            let slot = taken.iter().position(free).unwrap_or_else(|| {
                taken.push(BTreeMap::new());
                taken.len() - 1
            });
            taken[slot].extend(spans.iter().map(|span| (span.from, span.to)));
            given[root] = slot;
        }
        given
    }
}

fn is_free(taken: &BTreeMap<Position, Position>, span: Span) -> bool {
    taken.range(..=span.to).next_back().is_none_or(|(_, to)| *to < span.from)
}
