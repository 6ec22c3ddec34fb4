//! An index made anew: nodes as wide as there are elements below them.

use super::{COUNT, HEAD, Key, NODE, Node, Prefix, SLOT, STRIDE, UNUSED, slot};

/// A node has at most so many slots for each element below it, unless it has to have more to tell them apart at all.
const FILL: u64 = 4;

/// The bytes of an index, as words: the head and all nodes. Elements are sorted, each once, with their expiries in ticks.
pub fn build(key: Key, elements: &[(Prefix, u32)]) -> Vec<u64> {
    let mut writer = Writer { key, image: vec![0; HEAD / 8] };
    let (all, others) = match elements {
        [(Prefix { length: 0, .. }, expiry), others @ ..] => (*expiry, others),
        others => (0, others),
    };
    let root = if others.is_empty() { 0 } else { writer.node(others, 0) };
    writer.image[0] = slot(all, root);
    writer.image[UNUSED / 8] = 8 * writer.image.len() as u64;
    writer.image[COUNT / 8] = elements.len() as u64;
    writer.image
}

struct Writer {
    key: Key,
    image: Vec<u64>,
}

impl Writer {
    /// Writes the node above elements which are longer than `from` and have that many bits in common; where it is.
    fn node(&mut self, elements: &[(Prefix, u32)], from: u32) -> usize {
        let node = self.shape(elements, from);
        let length = node.length(self.key);
        let mut rest = elements;
        while let Some(((prefix, expiry), others)) = rest.split_first() {
            let step = node.step(self.key, prefix.first);
            if prefix.bits() <= length {
                let covered = 1 << (length - prefix.bits());
                (step..step + covered).for_each(|step| self.raise(node.slot(step), *expiry));
                rest = others;
            } else {
                let here = rest.partition_point(|(prefix, _)| node.step(self.key, prefix.first) == step);
                let child = self.node(&rest[..here], length);
                self.image[node.slot(step) / 8] |= slot(0, child);
                rest = &rest[here..];
            }
        }
        node.at
    }

    /// Makes room for a node that is as wide as its elements are many.
    fn shape(&mut self, elements: &[(Prefix, u32)], from: u32) -> Node {
        let first = elements[0].0.first;
        let last = elements.iter().map(|(prefix, _)| prefix.last()).max().unwrap_or(first);
        let longest = elements.iter().map(|(prefix, _)| prefix.bits()).max().unwrap_or(from);
        let word = self.key.word_at(from);
        let end = self.key.end(word);
        let value = |key: u128, length: u32| self.key.word(key, word) >> (end - length);
        let slots = |length: u32| value(last, length) - value(first, length) + 1;
        let common = (first ^ last).leading_zeros();
        // One element may cover all others.
        let covered = elements[0].0.bits() == common && common.is_multiple_of(STRIDE);
        let least = if covered { common } else { common / STRIDE * STRIDE + STRIDE };
        let (mut length, most) = (least.min(end), longest.next_multiple_of(STRIDE).min(end));
        while length + STRIDE <= most && slots(length + STRIDE) <= FILL * elements.len() as u64 {
            length += STRIDE;
        }
        let shift = end - length;
        let (base, last) = (value(first, length) << shift, slots(length) - 1);
        let node = Node { at: 8 * self.image.len(), base, shift, word, from, last };
        self.image.extend(node.head());
        self.image.resize((node.at + NODE + SLOT * (last as usize + 1)) / 8, 0);
        node
    }

    fn raise(&mut self, at: usize, expiry: u32) {
        let there = self.image[at / 8];
        self.image[at / 8] = slot(super::expiry(there).max(expiry), 0) | there >> 32 << 32;
    }
}
