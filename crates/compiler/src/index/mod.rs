//! The index of a set of prefixes that changes while programs look into it: a level-compressed trie in one data section.
//!
//! All numbers are in the machine's order (eBPF runs in it). The section begins with its head:
//!
//! | bytes | |
//! |---|---|
//! | 0–7 | the slot of the prefix of no bits: where every walk begins |
//! | 8–15 | where the unused bytes begin ([`UNUSED`]) |
//! | 16–23 | how many elements there are ([`COUNT`]) |
//! | 24–31 | what is being changed ([`PENDING`]), which is user space's |
//! | 32–47 | the prefix that is, its upper bits first |
//! | 48–63 | – |
//!
//! Zeros are the head of an empty index.
//!
//! Behind it lie nodes, each `u64 minus`, `u64 meta` and then its slots of eight bytes. A slot is a `u32` time of expiry,
//! in ticks ([`tick`]), and a `u32` place of the node below it, in eight bytes; 0 is none of either. `meta` is, from its
//! low bit:
//!
//! | bits | |
//! |---|---|
//! | 0–5 | shift, a multiple of four |
//! | 6 | number of the word |
//! | 8–15 | [`from`](Node::from): elements that end here are longer than so many bits |
//! | 16–47 | last slot |
//!
//! A walk takes at a node the slot `(word + minus) >> shift` modulo 2^64, and ends if that is beyond the last one: what is
//! outside of a node's slots is in no element, so the bits that all elements below have in common cost no node. A key is in
//! the set as long as the latest expiry on its way has not come. An element ends in the first node on its way whose
//! slots are at least as long as it is, in all slots that it covers; each slot says the latest expiry of those that cover it.
//!
//! Shifts are multiples of four and fall from node to node, whoever made them: a way has [`Key::levels`] nodes at most, and
//! the number of instructions that walk it does not depend on what it holds.
//!
//! Changes while packets come ([`edit`]): a new node is written into unused bytes and then linked by the store of one slot;
//! another expiry is the store of one slot. No byte that a packet may be looking at is ever used again.

mod build;
pub mod edit;
#[cfg(test)]
mod tests;

pub use build::build;

/// Bytes of the head.
pub const HEAD: usize = 64;
/// Where it says where the unused bytes begin.
pub const UNUSED: usize = 8;
/// Where it says how many elements there are.
pub const COUNT: usize = 16;
/// Where it says what is being changed.
pub const PENDING: usize = 24;

/// Where in `meta` the number of the word is.
pub const WORD: u32 = 6;
/// Where in `meta` the last slot begins.
pub const LAST: u32 = 16;
const FROM: u32 = 8;

/// Bytes of a node before its slots.
pub const NODE: usize = 16;
/// Bytes of a slot.
pub const SLOT: usize = 8;

/// Bits that the slots of a node made for one element tell apart, and of which shifts are multiples.
const STRIDE: u32 = 4;

/// A tick is two to the power of so many nanoseconds: 67 ms. So many ticks as a slot can hold are nine years of uptime.
pub const TICK: u32 = 26;

/// The expiry of what never expires.
pub const NEVER: u32 = u32::MAX;

/// An expiry in nanoseconds (0 for never) as slots hold it: rounded up, so that an element lives at most a tick longer. What
/// is too late for a slot never expires, until user space removes it.
pub fn tick(expiry: u64) -> u32 {
    match expiry {
        0 => NEVER,
        _ => u32::try_from(expiry.div_ceil(1 << TICK)).unwrap_or(NEVER),
    }
}

/// The first bits of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    /// Its lowest key, from the most significant of 128 bits on. What covers comes before what it covers.
    pub first: u128,
    /// How many bits of it count.
    pub length: u8,
}

impl Prefix {
    /// The first bits of a key.
    pub fn of(key: u128, length: u8) -> Prefix {
        Prefix { first: key & mask(length.into()), length }
    }

    fn last(self) -> u128 {
        self.first | !mask(self.length.into())
    }

    fn bits(self) -> u32 {
        self.length.into()
    }
}

fn mask(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or(0)
}

/// What keys look like: one word of a multiple of four bits, or two of 64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    bits: u32,
}

impl Key {
    /// For words of these widths in bits, if an index can be made of them.
    pub fn of(words: &[u8]) -> Option<Key> {
        match words {
            [64, 64] => Some(Key { bits: 128 }),
            [bits] if (1..=64).contains(bits) && u32::from(*bits).is_multiple_of(STRIDE) => {
                Some(Key { bits: u32::from(*bits) })
            }
            _ => None,
        }
    }

    /// All of its bits.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// How many words it has.
    pub fn words(self) -> u32 {
        self.bits.div_ceil(64)
    }

    /// More nodes than that no way has.
    pub fn levels(self) -> u32 {
        self.bits / STRIDE
    }

    /// More bytes than that no change of one element takes.
    pub fn most_growth(self) -> usize {
        let (wide, leaf) = (NODE + (SLOT << STRIDE), 2 * NODE + (SLOT << (STRIDE - 1)) + SLOT);
        self.levels() as usize * wide + leaf
    }

    /// An element from the scalars that programs have of it.
    pub fn prefix(self, scalars: &[u64], length: u32) -> Prefix {
        let value = scalars.iter().fold(0, |value: u128, word| value << 64 | u128::from(*word));
        Prefix::of(value << (128 - self.bits), length as u8)
    }

    /// The value whose first bits these are, the others being 0.
    pub fn value(self, prefix: Prefix) -> u128 {
        prefix.first >> (128 - self.bits)
    }

    fn word_at(self, bit: u32) -> u32 {
        if self.bits > 64 { bit / 64 } else { 0 }
    }

    /// The first bit behind a word.
    fn end(self, word: u32) -> u32 {
        self.bits.min(64 * (word + 1))
    }

    fn word(self, key: u128, word: u32) -> u64 {
        (key >> (128 - self.end(word))) as u64
    }
}

/// Words in a row that a program reads at the same time.
pub trait Section {
    /// How many bytes there are.
    fn bytes(&self) -> usize;
    /// The word at a multiple of eight.
    fn load(&self, at: usize) -> u64;
    /// Stores a word: whoever sees it sees what was stored before.
    fn store(&mut self, at: usize, word: u64);
}

impl Section for Vec<u64> {
    fn bytes(&self) -> usize {
        self.len() * 8
    }

    fn load(&self, at: usize) -> u64 {
        self[at / 8]
    }

    fn store(&mut self, at: usize, word: u64) {
        self[at / 8] = word;
    }
}

/// A node without its slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Node {
    /// Where it is in the section.
    at: usize,
    base: u64,
    shift: u32,
    word: u32,
    /// Elements that end here are longer than that. Below a node nothing has less.
    from: u32,
    last: u64,
}

impl Node {
    fn read(section: &impl Section, at: usize) -> Node {
        let meta = section.load(at + 8);
        Node {
            at,
            base: section.load(at).wrapping_neg(),
            shift: meta as u32 & 63,
            word: (meta >> WORD) as u32 & 1,
            from: (meta >> FROM) as u32 & 255,
            last: meta >> LAST,
        }
    }

    /// What stands before its slots.
    fn head(&self) -> [u64; 2] {
        let meta = u64::from(self.shift) | u64::from(self.word) << WORD;
        [self.base.wrapping_neg(), meta | u64::from(self.from) << FROM | self.last << LAST]
    }

    /// Bits of the prefixes that its slots are.
    fn length(&self, key: Key) -> u32 {
        key.end(self.word) - self.shift
    }

    /// The slot of a key; whether it is there is another question.
    fn step(&self, key: Key, of: u128) -> u64 {
        key.word(of, self.word).wrapping_sub(self.base) >> self.shift
    }

    fn slot(&self, step: u64) -> usize {
        self.at + NODE + SLOT * step as usize
    }

    /// The lowest and the highest key that its slots hold, among those that begin as `near` does.
    fn extent(&self, key: Key, near: u128) -> (u128, u128) {
        let unit = 128 - key.end(self.word);
        let span = ((u128::from(self.last) + 1) << self.shift) - 1;
        let low = near & mask(64 * self.word) | u128::from(self.base) << unit;
        (low, (low + (span << unit)) | !mask(128 - unit))
    }
}

fn slot(expiry: u32, node: usize) -> u64 {
    u64::from(expiry) | (node as u64 / 8) << 32
}

fn expiry(slot: u64) -> u32 {
    slot as u32
}

/// Where the node below a slot is.
fn below(slot: u64) -> Option<usize> {
    match slot >> 32 {
        0 => None,
        place => Some(place as usize * 8),
    }
}

/// The latest expiry of the elements that hold a key, in ticks; 0 if none does.
pub fn find(section: &impl Section, key: Key, of: u128) -> u32 {
    let mut found = section.load(0);
    let mut latest = expiry(found);
    while let Some(at) = below(found) {
        let node = Node::read(section, at);
        let step = node.step(key, of);
        if step > node.last {
            break;
        }
        found = section.load(node.slot(step));
        latest = latest.max(expiry(found));
    }
    latest
}
