//! Flows through slots that change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use weir_pool::ring::{Member, NOBODY, Ring};
use weir_pool::slots::{Flow, Slots, Track, Word};

use super::traffic::{Traffic, View};

const SIZE: u32 = 31;
const SILENCE: Duration = Duration::from_secs(60);

fn ring(backends: &BTreeMap<u16, u32>) -> Ring {
    let identities: Vec<[u8; 2]> = backends.keys().map(|number| number.to_be_bytes()).collect();
    let members: Vec<Member<'_>> = identities
        .iter()
        .zip(backends)
        .map(|(identity, (number, weight))| Member { identity, weight: *weight, number: *number })
        .collect();
    Ring::build(&members, SIZE).expect("a ring")
}

/// What happens to a pool and its traffic.
#[derive(Clone, Debug)]
enum Step {
    Weigh(u16, u32),
    /// No new flows, but alive.
    Drain(u16),
    /// No longer alive, whether taken out or down.
    Die(u16),
    /// One of so many flows, from one on, sends a packet.
    Talk(usize, usize),
    /// The first packet of a flow that hashes to a slot.
    Begin(u32),
    /// A flow ends and its entry stays.
    End(prop::sample::Index),
    /// The first packet of a flow with the key of one that may have ended.
    Again(prop::sample::Index),
    /// So many seconds pass, then what can settle does.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..8_u16, 1..5_u32).prop_map(|(backend, weight)| Step::Weigh(backend, weight)),
        2 => (1..8_u16).prop_map(Step::Drain),
        2 => (1..8_u16).prop_map(Step::Die),
        4 => (1..4_usize, 0..4_usize).prop_map(|(each, from)| Step::Talk(each, from)),
        8 => (0..SIZE).prop_map(Step::Begin),
        1 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => (0..90_u64).prop_map(Step::Wait),
    ]
}

/// Slots with their traffic.
struct Model {
    slots: Slots,
    now: Duration,
    /// Those that get new flows.
    weights: BTreeMap<u16, u32>,
    alive: BTreeSet<u16>,
    traffic: Traffic,
}

impl Model {
    fn new(track: Track) -> Model {
        let weights = BTreeMap::from([(1, 1), (2, 1), (3, 2)]);
        Model {
            slots: Slots::new(&ring(&weights)),
            now: Duration::ZERO,
            alive: weights.keys().copied().collect(),
            weights,
            traffic: Traffic::tracked(track),
        }
    }

    fn step(&mut self, step: &Step) {
        let Model { slots, now, weights, alive, traffic } = self;
        let view = View { words: slots.words(), alive: &|backend| alive.contains(&backend), now: *now };
        match step {
            Step::Talk(each, from) => traffic.talk(view, *each, *from),
            Step::Begin(slot) => traffic.begin(view, *slot),
            Step::End(_) | Step::Again(_) if traffic.count() == 0 => {}
            Step::End(nth) => traffic.end(nth.index(traffic.count())),
            Step::Again(nth) => traffic.again(view, nth.index(traffic.count())),
            Step::Wait(seconds) => {
                let later = *now + Duration::from_secs(*seconds);
                traffic.talk_before(view, later, SILENCE);
                *now = later;
                self.settle();
            }
            Step::Weigh(backend, weight) => {
                alive.insert(*backend);
                weights.insert(*backend, *weight);
                self.change();
            }
            Step::Drain(backend) => {
                weights.remove(backend);
                self.change();
            }
            Step::Die(backend) => {
                weights.remove(backend);
                alive.remove(backend);
                self.change();
            }
        }
    }

    fn change(&mut self) {
        let Model { slots, now, alive, .. } = self;
        let ring = ring(&self.weights);
        let mut stored = slots.words().to_vec();
        for update in slots.change(&ring, *now, |backend| alive.contains(&backend)) {
            assert_ne!(stored[update.slot as usize], update.word, "an update that changes nothing");
            stored[update.slot as usize] = update.word;
        }
        assert_eq!(stored, slots.words());
        for (word, backend) in stored.iter().zip(ring.slots()) {
            assert_eq!(word.now(), *backend);
            assert!(word.unknown() == *backend || alive.contains(&word.unknown()));
        }
        self.traffic.mourn(&|backend| alive.contains(&backend));
    }

    fn settle(&mut self) {
        let updates = self.slots.settle(SILENCE, self.now, |slot, word| self.traffic.holds(slot, word));
        assert!(updates.iter().all(|update| update.word.is_settled()));
        self.traffic.forget(&updates);
        let unsettled = self.slots.words().iter().filter(|word| !word.is_settled()).count();
        assert_eq!(self.slots.unsettled(), unsettled);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_flow_moves_while_its_backend_lives(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new(Track::Changes);
        steps.iter().for_each(|step| model.step(step));
    }

    /// Nor if it is silent for longer than slots take to settle.
    #[test]
    fn no_flow_moves_that_is_remembered(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new(Track::All);
        steps.iter().for_each(|step| model.step(step));
    }
}

/// The rule of one slot, step by step: A's and B's flows live on while new ones go to C.
#[test]
fn what_a_slot_remembers_of() {
    let [a, b, c] = [1, 2, 3];
    let alive = |backend| backend == a || backend == b || backend == c;
    let mut slots = Slots::new(&one_of(a));
    let word = slots.words()[0];
    assert!(!word.judge(Track::Changes, Flow::Beginning, alive).remember);

    let changed = |slots: &mut Slots, backend| slots.change(&one_of(backend), Duration::ZERO, alive)[0].word;
    let word = changed(&mut slots, b);
    let chosen = |word: Word, flow| word.judge(Track::Changes, flow, alive).backend;
    assert_eq!((word.now(), word.unknown()), (b, a));
    assert_eq!([Flow::Beginning, Flow::Unknown].map(|flow| chosen(word, flow)), [b, a]);
    let word = changed(&mut slots, c);
    assert_eq!(
        [Flow::Remembered(b), Flow::Beginning, Flow::Unknown].map(|flow| chosen(word, flow)),
        [b, c, a]
    );
    assert!(word.judge(Track::Changes, Flow::Unknown, alive).remember);
}

fn one_of(backend: u16) -> Ring {
    ring(&BTreeMap::from([(backend, 1)]))
}

/// From A to B and back to A: who began in between is B's, so the slot must not look settled.
#[test]
fn there_and_back_is_not_settled() {
    let alive = |_| true;
    let mut slots = Slots::new(&one_of(1));
    slots.change(&one_of(2), Duration::ZERO, alive);
    slots.change(&one_of(1), Duration::ZERO, alive);
    let word = slots.words()[0];
    assert_eq!((word.now(), word.unknown(), word.is_settled()), (1, 1, false));
    assert_eq!(word.judge(Track::Changes, Flow::Remembered(2), alive).backend, 2);
    assert!(
        !word.judge(Track::Changes, Flow::Beginning, alive).remember,
        "all who are not remembered are A's"
    );
    slots.change(&one_of(3), Duration::ZERO, alive);
    assert_eq!(slots.words()[0].unknown(), 1);
}

/// Nothing is to be remembered when a backend dies and nothing else had changed.
#[test]
fn a_death_needs_no_entries() {
    let mut slots = Slots::new(&ring(&BTreeMap::from([(1, 1), (2, 1), (3, 1)])));
    let updates =
        slots.change(&ring(&BTreeMap::from([(1, 1), (3, 1)])), Duration::ZERO, |backend| backend != 2);
    assert!(updates.len() as u32 >= SIZE / 3);
    let settled = |word: &Word| word.is_settled() && word.now() != 2;
    let moved = updates.iter().filter(|update| settled(&update.word)).count();
    assert!(moved as u32 >= SIZE / 3, "{moved}");
    assert_eq!(slots.unsettled(), updates.len() - moved);
}

/// Before dies while the slot is unsettled: who is unknown goes where new flows go, who is remembered stays.
#[test]
fn the_dead_have_no_unknown_flows() {
    let mut slots = Slots::new(&one_of(1));
    slots.change(&one_of(2), Duration::ZERO, |_| true);
    slots.change(&one_of(3), Duration::ZERO, |_| true);
    let alive = |backend| backend != 1;
    slots.change(&one_of(3), Duration::ZERO, alive);
    let word = slots.words()[0];
    assert_eq!(word.judge(Track::Changes, Flow::Unknown, alive).backend, 3);
    assert_eq!(word.judge(Track::Changes, Flow::Remembered(2), alive).backend, 2);
    let lost = word.judge(Track::Changes, Flow::Remembered(1), alive);
    assert_eq!((lost.backend, lost.remember), (3, true));
}

/// The last backend takes no new flows: its flows stay, and nobody is remembered.
#[test]
fn nobody_gets_new_flows() {
    let alive = |backend| backend == 1;
    let mut slots = Slots::new(&one_of(1));
    let nobody = ring(&BTreeMap::new());
    slots.change(&nobody, Duration::ZERO, alive);
    let word = slots.words()[0];
    assert_eq!(word.judge(Track::Changes, Flow::Unknown, alive).backend, 1);
    let new = word.judge(Track::Changes, Flow::Beginning, alive);
    assert_eq!((new.backend, new.remember), (NOBODY, false));
    slots.change(&nobody, Duration::ZERO, |_| false);
    slots.settle(Duration::ZERO, Duration::ZERO, |_, _| false);
    slots.change(&one_of(2), Duration::ZERO, |_| true);
    assert_eq!(slots.words()[0], Word::settled(2), "nobody has no flows to keep");
}

/// Settling counts from the last change of `now`, and waits while it is held.
#[test]
fn slots_settle_in_time() {
    let seconds = Duration::from_secs;
    let mut slots = Slots::new(&one_of(1));
    slots.change(&one_of(2), seconds(0), |_| true);
    slots.change(&one_of(3), seconds(50), |_| true);
    assert_eq!(slots.unsettled(), SIZE as usize);
    assert_eq!(slots.settle(SILENCE, seconds(109), |_, _| false), []);
    assert_eq!(slots.settle(SILENCE, seconds(110), |slot, _| slot != 5).len(), 1);
    let mut again = Slots::resume(slots.words().to_vec(), seconds(120));
    assert_eq!(again.unsettled(), SIZE as usize - 1);
    assert_eq!(again.settle(SILENCE, seconds(179), |_, _| false), []);
    assert_eq!(again.settle(SILENCE, seconds(180), |_, _| false).len() as u32, SIZE - 1);
    assert!(again.words().iter().all(|word| *word == Word::settled(3)));
}

/// Where all flows are remembered, they are in settled slots too, and what is remembered decides there.
#[test]
fn all_flows_are_remembered_in_settled_slots() {
    let alive = |backend| backend != 3;
    let word = Word::settled(1);
    let judged = |word: Word, flow| {
        let choice = word.judge(Track::All, flow, alive);
        (choice.backend, choice.remember)
    };
    assert_eq!([Flow::Beginning, Flow::Unknown].map(|flow| judged(word, flow)), [(1, true); 2]);
    assert_eq!(judged(word, Flow::Remembered(2)), (2, true));
    assert_eq!(judged(word, Flow::Remembered(3)), (1, true), "the dead have no flows");
    assert_eq!(judged(Word::settled(NOBODY), Flow::Beginning), (NOBODY, false));
    assert_eq!((word.decides(Track::All), word.decides(Track::Changes)), (false, true));
    let reopened = word.reopened();
    assert_eq!((reopened.now(), reopened.unknown(), reopened.is_settled()), (1, 1, false));
}
