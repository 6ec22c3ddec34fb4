//! Flows through the slots of a pool, and a tracker that remembers whatever it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_pool::ring::NOBODY;
use weir_pool::slots::{Flow, Track, Update, Word};

/// What packets see.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) words: &'a [Word],
    pub(crate) alive: &'a dyn Fn(u16) -> bool,
    pub(crate) now: Duration,
}

/// Flows, none of which may move unless its backend was dead at some time since its last packet.
#[derive(Default)]
pub(crate) struct Traffic {
    track: Track,
    flows: Vec<Connection>,
    /// Flow → backend.
    entries: BTreeMap<usize, u16>,
}

struct Connection {
    slot: u32,
    backend: u16,
    /// Its backend was alive all the time.
    kept: bool,
    ended: bool,
    /// When it sent its last packet.
    last: Duration,
}

impl Traffic {
    pub(crate) fn tracked(track: Track) -> Traffic {
        Traffic { track, ..Traffic::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.flows.len()
    }

    /// The first packet of a new flow.
    pub(crate) fn begin(&mut self, view: View<'_>, slot: u32) {
        let nowhere = Connection { slot, backend: NOBODY, kept: false, ended: true, last: view.now };
        self.flows.push(nowhere);
        self.again(view, self.flows.len() - 1);
    }

    /// A flow ends and its entry stays.
    pub(crate) fn end(&mut self, nth: usize) {
        self.flows[nth].ended = true;
    }

    /// The first packet of another flow with the same key as one that has ended.
    pub(crate) fn again(&mut self, view: View<'_>, nth: usize) {
        if self.flows[nth].ended {
            self.flows[nth].ended = false;
            self.judge(view, nth, Flow::Beginning);
        }
    }

    /// One of so many flows, from one on, sends a packet.
    pub(crate) fn talk(&mut self, view: View<'_>, each: usize, from: usize) {
        (from..self.flows.len()).step_by(each).for_each(|nth| self.packet(view, nth));
    }

    /// Who would be silent for too long at a time sends a packet; where all flows are remembered, they may be silent.
    pub(crate) fn talk_before(&mut self, view: View<'_>, time: Duration, silence: Duration) {
        if self.track == Track::All {
            return;
        }
        for nth in 0..self.flows.len() {
            if time - self.flows[nth].last >= silence {
                self.packet(view, nth);
            }
        }
    }

    fn packet(&mut self, view: View<'_>, nth: usize) {
        let Connection { slot, backend: before, kept, ended, .. } = self.flows[nth];
        if !ended {
            let backend = self.judge(view, nth, Flow::Unknown);
            assert!(!kept || backend == before, "flow {nth} of slot {slot} moved from {before} to {backend}");
        }
    }

    fn judge(&mut self, view: View<'_>, nth: usize, otherwise: Flow) -> u16 {
        let flow = &mut self.flows[nth];
        let word = view.words[flow.slot as usize];
        let known = self.entries.get(&nth).map_or(otherwise, |backend| Flow::Remembered(*backend));
        let choice = word.judge(self.track, known, view.alive);
        if choice.remember {
            self.entries.insert(nth, choice.backend);
        }
        *flow = Connection {
            backend: choice.backend,
            kept: choice.backend != NOBODY && (view.alive)(choice.backend),
            last: view.now,
            ..*flow
        };
        choice.backend
    }

    /// Flows of the dead may move from now on.
    pub(crate) fn mourn(&mut self, alive: &dyn Fn(u16) -> bool) {
        self.flows.iter_mut().for_each(|flow| flow.kept &= alive(flow.backend));
    }

    /// Whether a slot has an entry of a living flow that names another backend than new flows get, and would lose it.
    pub(crate) fn holds(&self, slot: u32, word: Word) -> bool {
        if self.track == Track::All {
            return false;
        }
        let elsewhere = |(nth, backend): (&usize, &u16)| {
            let flow = &self.flows[*nth];
            !flow.ended && flow.slot == slot && *backend != word.now()
        };
        self.entries.iter().any(elsewhere)
    }

    /// Removes the entries of slots that have settled, where they count no longer.
    pub(crate) fn forget(&mut self, settled: &[Update]) {
        if self.track == Track::All {
            return;
        }
        let settled: BTreeSet<u32> = settled.iter().map(|update| update.slot).collect();
        self.entries.retain(|nth, _| !settled.contains(&self.flows[*nth].slot));
    }
}
