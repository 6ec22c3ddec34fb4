//! Changes of an index that programs look into, one store of a slot after the other.
//!
//! Two laws hold for every slot at every moment: it says no later expiry than some element has that covers the slot; and
//! on the way of every key some slot says what the longest living element with that key says, but for the one that is
//! being changed. A node that comes to stand above another one leaves that one's elements where they are, so
//! elements may end lower than the first node on their way that could hold them; a node's `from` tells which may.

use super::{HEAD, Key, NODE, Node, Prefix, SLOT, STRIDE, Section, UNUSED, below, expiry, slot};

/// There are not enough unused bytes for any change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Bytes that no node has taken.
pub fn unused(section: &impl Section) -> usize {
    section.bytes().saturating_sub(taken(section))
}

/// Where the unused bytes begin; a section of zeros is an empty index.
fn taken(section: &impl Section) -> usize {
    (section.load(UNUSED) as usize).max(HEAD)
}

/// Lets an element live until a tick at least.
pub fn raise(section: &mut impl Section, key: Key, prefix: Prefix, tick: u32) -> Result<(), Full> {
    if unused(section) < key.most_growth() {
        return Err(Full);
    }
    let (mut at, mut from) = (0, 0);
    while prefix.bits() > from {
        let there = section.load(at);
        let Some(child) = below(there) else {
            let leaf = leaf(section, key, prefix, tick, from);
            section.store(at, slot(expiry(there), leaf));
            return Ok(());
        };
        let node = Node::read(section, child);
        let (length, step) = (node.length(key), node.step(key, prefix.first));
        let covered = 1 << length.saturating_sub(prefix.bits());
        if node.last.checked_sub(step).is_none_or(|more| more < covered - 1) {
            let wider = widen(section, key, node, prefix, from);
            section.store(at, slot(expiry(there), wider));
        } else if prefix.bits() <= length {
            (step..step + covered).for_each(|step| raise_slot(section, node.slot(step), tick));
            return Ok(());
        } else {
            (at, from) = (node.slot(step), length);
        }
    }
    raise_slot(section, at, tick);
    Ok(())
}

fn raise_slot(section: &mut impl Section, at: usize, tick: u32) {
    let there = section.load(at);
    if expiry(there) < tick {
        section.store(at, there >> 32 << 32 | u64::from(tick));
    }
}

/// Nodes for one element alone.
fn leaf(section: &mut impl Section, key: Key, prefix: Prefix, tick: u32, from: u32) -> usize {
    let word = key.word_at(from);
    let end = key.end(word);
    let (length, slots) = if prefix.bits() > end {
        (end, vec![slot(0, leaf(section, key, prefix, tick, end))])
    } else {
        let length = prefix.bits().next_multiple_of(STRIDE);
        (length, vec![slot(tick, 0); 1 << (length - prefix.bits())])
    };
    let (base, shift) = (key.word(prefix.first, word), end - length);
    let last = slots.len() as u64 - 1;
    write(section, Node { at: 0, base, shift, word, from, last }, &slots)
}

/// A node that holds what `node` does, as far as it is below a slot of `from` bits, and has a slot for an element that
/// is outside of it.
fn widen(section: &mut impl Section, key: Key, node: Node, prefix: Prefix, from: u32) -> usize {
    let (low, high) = node.extent(key, prefix.first);
    let here = Prefix::of(prefix.first, from as u8);
    let (first, last) = (low.max(here.first).min(prefix.first), high.min(here.last()).max(prefix.last()));
    let above = (first ^ last).leading_zeros() / STRIDE * STRIDE;
    let length = above + STRIDE;
    let block = Prefix::of(first, above as u8);
    let one = |nth: u128| {
        let part = Prefix::of(block.first | nth << (128 - length), length as u8);
        if part.last() < low || part.first > high {
            0
        } else if length == node.length(key) {
            section.load(node.slot(node.step(key, part.first)))
        } else {
            slot(0, node.at)
        }
    };
    let slots: Vec<u64> = (0..1 << STRIDE).map(one).collect();
    let (base, shift) = (key.word(block.first, node.word), key.end(node.word) - length);
    let last = slots.len() as u64 - 1;
    write(section, Node { at: 0, base, shift, word: node.word, from: node.from, last }, &slots)
}

/// Writes a node into unused bytes, which then are no longer; where it is.
fn write(section: &mut impl Section, node: Node, slots: &[u64]) -> usize {
    let at = taken(section);
    let words = node.head().into_iter().chain(slots.iter().copied());
    for (nth, word) in words.enumerate() {
        section.store(at + 8 * nth, word);
    }
    section.store(UNUSED, (at + NODE + SLOT * slots.len()) as u64);
    at
}

/// Says again, wherever an element may have been said, what those that are there say: it is gone, or lives less long
/// than before. `truth` tells when an element expires, in ticks, if it is there.
pub fn lower<E>(
    section: &mut impl Section,
    key: Key,
    prefix: Prefix,
    mut truth: impl FnMut(Prefix) -> Result<Option<u32>, E>,
) -> Result<(), E> {
    if prefix.length == 0 {
        let tick = truth(prefix)?.unwrap_or(0);
        let there = section.load(0);
        section.store(0, there >> 32 << 32 | u64::from(tick));
        return Ok(());
    }
    let mut at = 0;
    while let Some(child) = below(section.load(at)) {
        let node = Node::read(section, child);
        if prefix.bits() <= node.length(key) {
            return Lower { section, key, truth: &mut truth, shortest: prefix.bits() }.node(node, prefix);
        }
        let step = node.step(key, prefix.first);
        if step > node.last {
            break;
        }
        at = node.slot(step);
    }
    Ok(())
}

struct Lower<'a, S, T> {
    section: &'a mut S,
    key: Key,
    truth: &'a mut T,
    /// Bits of the element that changed.
    shortest: u32,
}

impl<S: Section, E, T: FnMut(Prefix) -> Result<Option<u32>, E>> Lower<'_, S, T> {
    /// The slots of a node that a prefix covers, which is at most as long as they are.
    fn node(&mut self, node: Node, prefix: Prefix) -> Result<(), E> {
        let mut latest = 0;
        for length in node.from + 1..prefix.bits() {
            let above = Prefix::of(prefix.first, length as u8);
            latest = latest.max((self.truth)(above)?.unwrap_or(0));
        }
        self.part(node, prefix, latest)
    }

    /// The same, `latest` being what longer living elements above the prefix say.
    fn part(&mut self, node: Node, prefix: Prefix, latest: u32) -> Result<(), E> {
        let (low, high) = node.extent(self.key, prefix.first);
        if prefix.last() < low || prefix.first > high {
            return Ok(());
        }
        let latest = latest.max((self.truth)(prefix)?.unwrap_or(0));
        if prefix.bits() == node.length(self.key) {
            return self.slot(node.slot(node.step(self.key, prefix.first)), prefix, latest);
        }
        let length = prefix.length + 1;
        let half = 1 << (128 - u32::from(length));
        for first in [prefix.first, prefix.first | half] {
            self.part(node, Prefix { first, length }, latest)?;
        }
        Ok(())
    }

    fn slot(&mut self, at: usize, prefix: Prefix, latest: u32) -> Result<(), E> {
        let there = self.section.load(at);
        if expiry(there) != latest {
            self.section.store(at, there >> 32 << 32 | u64::from(latest));
        }
        let Some(child) = below(there) else { return Ok(()) };
        let node = Node::read(self.section, child);
        // Only what was there before the node above it can hold elements that are this short.
        if node.from < self.shortest { self.node(node, prefix) } else { Ok(()) }
    }
}

/// Takes all elements out at once. The nodes that they were in are lost.
pub fn clear(section: &mut impl Section) {
    section.store(0, 0);
}
