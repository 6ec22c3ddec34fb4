//! Random changes of an index against a plain list.

use super::edit::{self, Full};
use super::{COUNT, HEAD, Key, NEVER, NODE, Node, Prefix, SLOT, Section, UNUSED, below, build, find, tick};
use std::collections::BTreeMap;

/// splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.bits() >> 32) as u32 % end
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }
}

/// The elements with their expiries, and the index that should say the same.
struct Both {
    key: Key,
    list: BTreeMap<Prefix, u32>,
    section: Vec<u64>,
    grown: u32,
}

impl Both {
    fn new(bits: &[u8], room: usize) -> Both {
        let key = Key::of(bits).unwrap();
        let mut both = Both { key, list: BTreeMap::new(), section: Vec::new(), grown: 0 };
        both.grow(room);
        both
    }

    /// Another section, made of the list.
    fn grow(&mut self, room: usize) {
        let elements: Vec<(Prefix, u32)> = self.list.iter().map(|(prefix, tick)| (*prefix, *tick)).collect();
        self.section = build(self.key, &elements);
        assert_eq!(self.section[UNUSED / 8], 8 * self.section.len() as u64);
        assert_eq!(self.section[COUNT / 8], elements.len() as u64);
        self.section.resize(self.section.len() + room / 8, 0);
        self.grown += 1;
    }

    fn add(&mut self, prefix: Prefix, tick: u32, room: usize) {
        let before = self.list.insert(prefix, tick);
        match edit::raise(&mut self.section, self.key, prefix, tick) {
            Ok(()) if before.is_some_and(|before| before > tick) => self.lower(prefix),
            Ok(()) => {}
            Err(Full) => self.grow(room),
        }
    }

    fn delete(&mut self, prefix: Prefix) {
        self.list.remove(&prefix);
        self.lower(prefix);
    }

    fn lower(&mut self, prefix: Prefix) {
        let truth = |prefix| Ok::<_, ()>(self.list.get(&prefix).copied());
        edit::lower(&mut self.section, self.key, prefix, truth).unwrap();
    }

    /// By the list.
    fn latest(&self, key: u128) -> u32 {
        let holds = |length: u32| self.list.get(&Prefix::of(key, length as u8)).copied();
        (0..=self.key.bits()).filter_map(holds).max().unwrap_or(0)
    }

    fn check(&self, key: u128, what: &str) {
        let key = Prefix::of(key, self.key.bits() as u8).first;
        assert_eq!(find(&self.section, self.key, key), self.latest(key), "{key:032x} {what}");
    }

    /// Nodes on the longest way.
    fn levels(&self, at: usize) -> u32 {
        let Some(child) = below(self.section.load(at)) else { return 0 };
        let node = Node::read(&self.section, child);
        let slots = (0..=node.last).map(|step| self.levels(node.slot(step)));
        1 + slots.max().unwrap_or(0)
    }
}

/// Prefixes that are often inside of each other, or beside each other.
fn prefix(random: &mut Random, key: Key, near: &[u128]) -> Prefix {
    let base = near[random.below(near.len() as u32) as usize];
    let keep = random.below(key.bits() + 1);
    let address = base ^ random.wide().checked_shr(keep).unwrap_or(0);
    let length = match random.below(8) {
        0 => random.below(key.bits() + 1),
        1..4 => key.bits(),
        _ => (keep + random.below(12)).min(key.bits()),
    };
    Prefix::of(address, length as u8)
}

fn changes(bits: &[u8], seed: u64, rounds: usize, room: usize) -> Both {
    let mut random = Random(seed);
    let mut both = Both::new(bits, room);
    let near: Vec<u128> = (0..4).map(|_| random.wide()).collect();
    for round in 0..rounds {
        let there = both.list.len() as u32;
        let known = both.list.keys().nth(random.below(there.max(1)) as usize).copied();
        let what = format!("seed {seed} round {round}");
        let changed = match (random.below(5), known) {
            (0 | 1, Some(known)) => {
                both.delete(known);
                known
            }
            (2, Some(known)) => {
                both.add(known, 1 + random.below(50), room);
                known
            }
            _ => {
                let new = prefix(&mut random, both.key, &near);
                let tick = if random.below(4) == 0 { NEVER } else { 1 + random.below(50) };
                both.add(new, tick, room);
                new
            }
        };
        for key in
            [changed.first, changed.last(), changed.first.wrapping_sub(1), changed.last().wrapping_add(1)]
        {
            both.check(key, &what);
        }
        for _ in 0..20 {
            let there = both.list.keys().nth(random.below(there.max(1)) as usize).copied();
            let inside = there.map_or(0, |prefix| prefix.first | random.wide() & !super::mask(prefix.bits()));
            both.check(inside, &what);
            both.check(prefix(&mut random, both.key, &near).first, &what);
        }
    }
    assert!(both.levels(0) <= both.key.levels(), "seed {seed}");
    both
}

#[test]
fn changes_say_what_a_list_says() {
    for bits in [&[32][..], &[48], &[64], &[64, 64]] {
        for seed in 0..12 {
            let both = changes(bits, seed, 600, if seed % 2 == 0 { 1 << 20 } else { 6_000 });
            assert!(seed % 2 == 0 || both.grown > 1, "seed {seed} of {bits:?}");
        }
    }
}

#[test]
fn what_is_built_says_what_a_list_says() {
    for (bits, count) in [(&[32][..], 3_000), (&[64, 64], 3_000), (&[32], 1), (&[64, 64], 1), (&[32], 0)] {
        let mut random = Random(count);
        let mut both = Both::new(bits, 0);
        let near: Vec<u128> = (0..40).map(|_| random.wide()).collect();
        for _ in 0..count {
            let element = prefix(&mut random, both.key, &near);
            both.list.insert(element, 1 + random.below(50));
        }
        both.grow(0);
        for prefix in both.list.keys() {
            for key in
                [prefix.first, prefix.last(), prefix.first.wrapping_sub(1), prefix.last().wrapping_add(1)]
            {
                both.check(key, "built");
            }
        }
        for _ in 0..2_000 {
            both.check(prefix(&mut random, both.key, &near).first, "built");
        }
        assert!(both.levels(0) <= both.key.levels());
    }
}

/// Every length in one place, added from the shortest and from the longest on, and taken away again.
#[test]
fn all_lengths_of_one_address() {
    for (bits, backwards) in [(&[32][..], false), (&[32], true), (&[64, 64], false), (&[64, 64], true)] {
        let mut both = Both::new(bits, 1 << 20);
        let address = 0x2001_0db8_5a5a_c3c3_0f0f_3333_9999_1234_u128 << 1;
        let mut lengths: Vec<u8> = (0..=both.key.bits() as u8).collect();
        if backwards {
            lengths.reverse();
        }
        for length in &lengths {
            both.add(Prefix::of(address, *length), u32::from(*length) + 1, 0);
        }
        for length in lengths {
            for probe in 0..both.key.bits() {
                both.check(address ^ 1 << (127 - probe), "one bit differs");
            }
            both.check(address, "the address");
            both.delete(Prefix::of(address, length));
        }
        both.check(address, "nothing is left");
        assert_eq!(both.grown, 1);
    }
}

#[test]
fn random_prefixes_take_two_nodes_and_few_bytes() {
    let mut random = Random(1);
    let mut both = Both::new(&[32], 0);
    while both.list.len() < 100_000 {
        let length = 16 + random.below(17) as u8;
        both.list.insert(Prefix::of(random.wide(), length), NEVER);
    }
    both.grow(0);
    let bytes = both.section.len() * 8 / both.list.len();
    assert!(bytes <= 64, "{bytes} bytes an element");
    let nodes = |key: u128| {
        let (mut at, mut nodes) = (0, 0);
        while let Some(child) = below(both.section.load(at)) {
            let node = Node::read(&both.section, child);
            let step = node.step(both.key, key);
            nodes += 1;
            if step > node.last {
                break;
            }
            at = node.slot(step);
        }
        nodes
    };
    let total: u32 = (0..10_000).map(|_| nodes(random.wide())).sum();
    assert!(total <= 22_000, "{total} nodes in 10,000 ways");
}

#[test]
fn one_change_takes_no_more_bytes_than_it_may() {
    for bits in [&[32][..], &[64, 64]] {
        let mut random = Random(9);
        let mut both = Both::new(bits, 4 << 20);
        let near = [random.wide()];
        for _ in 0..5_000 {
            let before = edit::unused(&both.section);
            let new = prefix(&mut random, both.key, &near);
            both.add(new, NEVER, 0);
            let taken = before - edit::unused(&both.section);
            assert!(taken <= both.key.most_growth(), "{taken} bytes for {new:?}");
        }
        assert_eq!(both.grown, 1);
    }
}

#[test]
fn an_empty_section_holds_nothing_until_its_slots_do() {
    let key = Key::of(&[32]).unwrap();
    let mut section = build(key, &[]);
    assert_eq!(section.len() * 8, HEAD);
    assert_eq!(edit::unused(&section), edit::unused(&vec![0; HEAD / 8]));
    assert_eq!(find(&section, key, 0), 0);
    let prefix = key.prefix(&[0x0a00_0000], 8);
    assert_eq!(edit::raise(&mut section, key, prefix, 1), Err(Full));
    section.resize((HEAD + key.most_growth()) / 8, 0);
    assert_eq!(edit::raise(&mut section, key, prefix, 1), Ok(()));
    assert_eq!(section.load(UNUSED) as usize, HEAD + NODE + SLOT);
    edit::clear(&mut section);
    assert_eq!(find(&section, key, prefix.first), 0);
}

#[test]
fn ticks_are_rounded_up() {
    assert_eq!([0, 1, 1 << 26, (1 << 26) + 1, u64::MAX].map(tick), [NEVER, 1, 1, 2, NEVER]);
}

#[test]
fn keys_of_one_or_two_words() {
    let scalars = |words: &[u8], scalars: &[u64], length| {
        let key = Key::of(words).unwrap();
        key.value(key.prefix(scalars, length))
    };
    assert_eq!(scalars(&[32], &[0x0a01_0203], 16), 0x0a01_0000);
    assert_eq!(scalars(&[64, 64], &[0x2001_0db8 << 32, 1], 128), 0x2001_0db8 << 96 | 1);
    assert_eq!(scalars(&[48], &[0x0200_0000_0001], 48), 0x0200_0000_0001);
    assert_eq!([&[16, 16][..], &[30], &[], &[32, 64]].map(Key::of), [None; 4]);
}
