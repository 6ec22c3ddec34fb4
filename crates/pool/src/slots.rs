//! What stands in memory for each slot, and how it changes while packets are judged.
//!
//! The ring alone decides, unless a flow would change its backend because the pool changed lately: only such flows are
//! remembered one by one (Mendelson et al., *Load Balancing with JET: Just Enough Tracking for Connection Consistency*, CoNEXT
//! 2021). A slot is a `u32` in the machine's order, and every change is one store of it:
//!
//! | bits | |
//! |---|---|
//! | 0–15 | `now`: the backend that gets new flows, or [`NOBODY`] |
//! | 16–31 | `before`: equal to `now` if the slot is *settled*; else the backend of the flows that are older than all that is remembered; [`SAME`] if that is `now` and yet there are others |
//!
//! # The law
//! The flows of a slot that no one remembers are *unknown*, and all of one backend: of `now` if the slot is settled or says
//! [`SAME`], else of `before`. So while a slot is not settled, every flow of another backend is remembered, and who the unknown
//! flows belong to stays the same over any number of changes, until that backend is dead or the slot settles.
//! [`Word::judge`] is the rule for packets that keeps the law.
//!
//! Where *all* flows are remembered ([`Track::All`]), an entry counts in settled slots too, and the slot's word decides only for
//! flows without one: those that are new, and those for which there was no room. The law holds as well, and entries
//! need not go when their slot settles.
//!
//! [`SAME`] is not the same as settled: when a slot goes from A to B and back to A, the flows that began in between are B's, so
//! packets have to look whether they are remembered.
//!
//! # What the caller owes
//! * A backend is written where packets find it before a slot names it, and is marked dead there before slots change for it.
//! * Where not all flows are remembered, an entry counts only for an unsettled slot. When a slot settles, its entries must be gone before it next changes: a flow
//!   that went on as one of `now` would be taken back by them. That is: store the slots, wait until no packet
//!   that saw the old ones is under way, remove the entries of settled slots.
//! * If there is no room for an entry, none makes room for it: the flow will be taken for one of `before`. So a flood of new
//!   flows costs new flows, and never those that are there.
//! * Whether a packet begins a flow: TCP with SYN and without ACK does. What cannot be known is taken for what goes on, so a
//!   new flow of UDP goes to `before` until the slot settles.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ring::{NOBODY, Ring};

/// As `before`: unknown flows are `now`'s, but some flows are remembered that may be others'.
pub const SAME: u16 = u16::MAX;

/// A slot in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Word(pub u32);

/// What is known of a flow when one of its packets comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// There is an entry for it; the backend that it names.
    Remembered(u16),
    /// There is none, and the packet is the first one of a flow.
    Beginning,
    /// There is none, and the packet is not known to be a flow's first one.
    Unknown,
}

/// Which flows are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Track {
    /// Those that would change their backend because the pool changed lately.
    #[default]
    Changes,
    /// All for which there is room.
    All,
}

impl Track {
    /// The word for it in policies.
    pub fn word(self) -> &'static str {
        match self {
            Track::Changes => "changes",
            Track::All => "all",
        }
    }
}

/// What a packet's flow gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The backend, or [`NOBODY`].
    pub backend: u16,
    /// Whether an entry must name it from now on.
    pub remember: bool,
}

impl Word {
    /// A slot of one backend, whose flows are all its own.
    pub fn settled(now: u16) -> Word {
        Word::of(now, now)
    }

    fn of(now: u16, before: u16) -> Word {
        Word(u32::from(before) << 16 | u32::from(now))
    }

    /// Who gets new flows.
    pub fn now(self) -> u16 {
        self.0 as u16
    }

    fn before(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whether the slot alone decides.
    pub fn is_settled(self) -> bool {
        self.now() == self.before()
    }

    /// Whose flows those are that no one remembers.
    pub fn unknown(self) -> u16 {
        match self.before() {
            SAME => self.now(),
            before => before,
        }
    }

    /// Whether the slot alone decides, whatever is known of a flow: that need not be looked up.
    pub fn decides(self, track: Track) -> bool {
        track == Track::Changes && self.is_settled()
    }

    /// The rule for a packet. An entry that names a dead backend is none, but must be written again: its flow is lost, and
    /// goes on where new ones go.
    pub fn judge(self, track: Track, flow: Flow, alive: impl Fn(u16) -> bool) -> Choice {
        let choice = |backend, remember| Choice { backend, remember: remember && backend != NOBODY };
        let news = track == Track::All || self.unknown() != self.now();
        match flow {
            _ if self.decides(track) => choice(self.now(), false),
            Flow::Remembered(backend) if alive(backend) => choice(backend, true),
            Flow::Remembered(_) => choice(self.now(), true),
            Flow::Beginning => choice(self.now(), news),
            Flow::Unknown => choice(self.unknown(), news),
        }
    }

    /// The slot where flows were remembered that may be others', and only those of unsettled slots will count from now on.
    pub fn reopened(self) -> Word {
        if self.is_settled() { Word::of(self.now(), SAME) } else { self }
    }

    /// The slot when it gets another `now`, or when another backend is dead.
    fn change(self, now: u16, alive: impl Fn(u16) -> bool) -> Word {
        let living = self.unknown() != NOBODY && alive(self.unknown());
        let unknown = if living { self.unknown() } else { now };
        match unknown == now {
            true if self.is_settled() => Word::settled(now),
            true => Word::of(now, SAME),
            false => Word::of(now, unknown),
        }
    }
}

/// One store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Update {
    /// Which slot, from 0.
    pub slot: u32,
    /// What it says from now on.
    pub word: Word,
}

/// All slots of a pool, as they stand in memory when every update has been stored.
#[derive(Clone, Debug)]
pub struct Slots {
    words: Vec<Word>,
    /// The slots that are not settled, and since when they have their `now`.
    unsettled: BTreeMap<u32, Duration>,
}

impl Slots {
    /// Settled as a ring says.
    pub fn new(ring: &Ring) -> Slots {
        let words = ring.slots().iter().map(|now| Word::settled(*now)).collect();
        Slots { words, unsettled: BTreeMap::new() }
    }

    /// As they were found in memory; what is not settled counts as changed then.
    pub fn resume(words: Vec<Word>, changed: Duration) -> Slots {
        let unsettled = (0..).zip(&words).filter(|(_, word)| !word.is_settled());
        let unsettled = unsettled.map(|(slot, _)| (slot, changed)).collect();
        Slots { words, unsettled }
    }

    /// What each slot says.
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// How many slots are not settled.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    /// Gives new flows to the backends of a ring of as many slots, and takes flows from those that are dead. Only what differs
    /// is an update.
    pub fn change(&mut self, ring: &Ring, now: Duration, alive: impl Fn(u16) -> bool) -> Vec<Update> {
        assert_eq!(ring.slots().len(), self.words.len(), "a ring of as many slots");
        let mut updates = Vec::new();
        for (slot, (word, backend)) in (0..).zip(self.words.iter_mut().zip(ring.slots())) {
            let changed = word.change(*backend, &alive);
            if changed == *word {
                continue;
            }
            if !changed.is_settled() && changed.now() != word.now() {
                self.unsettled.insert(slot, now);
            }
            *word = changed;
            updates.push(Update { slot, word: changed });
        }
        updates
    }

    /// Settles what has had its `now` for at least as long as a flow may be silent, unless it is `held`: then it is asked
    /// again next time. If that says of a slot whether it has an entry that names another backend than its `now`, then no flow
    /// moves that has not been silent for so long.
    pub fn settle(
        &mut self,
        silence: Duration,
        now: Duration,
        mut held: impl FnMut(u32, Word) -> bool,
    ) -> Vec<Update> {
        let due = self.unsettled.iter().filter(|(_, since)| now.saturating_sub(**since) >= silence);
        let due: Vec<u32> = due.map(|(slot, _)| *slot).collect();
        let mut updates = Vec::new();
        for slot in due {
            let word = &mut self.words[slot as usize];
            if !held(slot, *word) {
                *word = Word::settled(word.now());
                self.unsettled.remove(&slot);
                updates.push(Update { slot, word: *word });
            }
        }
        updates
    }
}
