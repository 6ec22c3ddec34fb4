//! Whether two policies judge any packet differently.
//!
//! 1. [`joint`]: both policies become one, with one table of protocols and sets.
//! 2. [`align`]: statements that correspond; lists differ only where others apply.
//! 3. [`compare`]: class by class, for all packets at once. What is equal here is equal.
//! 4. [`forge`]: a frame for each way in which they may differ, which [`fate`] (the evaluator, on each
//!    policy by itself) must confirm. What no frame confirms is told as unproven.
//! 5. [`search`]: where 3 could not look, packets that are made for the statements.
//! 6. [`describe`]: what was found, in one line.

mod align;
mod compare;
mod describe;
mod dice;
mod fate;
mod forge;
mod joint;
mod path;
mod route;
mod search;

pub use fate::Fate;

use crate::plan;
use crate::policy::{Policy, SetPart, value_text};
use crate::symbolic::{Node, Outcome, Outcomes, Space};
use compare::{Compared, DEFAULT, Lists};
use dice::Dice;
use fate::{Judge, Live};
use forge::{Forge, Forged, Taste};
use joint::Joint;
use path::Paths;
use std::collections::{BTreeMap, HashSet};

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Who counts and who decides makes a difference too.
    pub counts: bool,
    /// So many differences are shown.
    pub most: usize,
    /// So many ways of branches may be made: what the symbolic part may take in memory.
    pub room: usize,
    /// So many frames are tried where nothing can be proven.
    pub tries: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { counts: false, most: 20, room: 4_000_000, tries: 20_000 }
    }
}

/// How a difference was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// In the diagrams of both policies.
    Symbolically,
    /// By packets made for the statements.
    BySearch,
}

/// A packet that the policies treat differently.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The packet in one line.
    pub packet: String,
    /// Its frame.
    pub frame: Vec<u8>,
    /// What becomes of it in the old policy.
    pub old: Fate,
    /// What becomes of it in the new policy.
    pub new: Fate,
    /// What must be in live sets for it: the set's name and the element.
    pub given: Vec<(String, String)>,
    /// How it was found.
    pub found: Found,
}

/// What stands between the policies and a proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unproven {
    /// These protocols are defined differently: nothing was compared symbolically.
    Protocols(Vec<String>),
    /// The protocols can follow each other in too many ways.
    Ways,
    /// The statements for packets with these headers make too large a diagram.
    TooLarge(Vec<String>),
    /// These statements, old and new, may decide differently, but no frame was found that shows it.
    /// `None` is the default.
    NoFrame(Option<usize>, Option<usize>),
}

/// What was found.
#[derive(Clone, Default, Debug)]
pub struct Report {
    /// Differences, each with a frame that shows it.
    pub differences: Vec<Difference>,
    /// Pairs of statements with further differences, which are not shown.
    pub more: usize,
    /// What was not proven.
    pub unproven: Vec<Unproven>,
    /// Frames that were tried by search.
    pub tried: u64,
}

/// The answer in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Proven: no packet is treated differently.
    Equal,
    /// Some packet is.
    Different,
    /// None was found, and nothing is proven.
    NotFound,
}

impl Report {
    /// The answer in a word.
    pub fn answer(&self) -> Answer {
        match (self.differences.is_empty(), self.unproven.is_empty()) {
            (false, _) => Answer::Different,
            (true, true) => Answer::Equal,
            (true, false) => Answer::NotFound,
        }
    }
}

/// Parsers of more states than this are compared with fewer headers told apart.
const STATES: usize = 2_000;

/// Parsers of more states than this are not compared.
const MOST_STATES: usize = 10_000;

/// So many packets are made for a pair of statements before it is given up.
const ATTEMPTS: usize = 96;

/// So many of them are as plain as can be.
const PLAIN: usize = 12;

/// Compares two policies that are free of errors.
pub fn diff(old: &Policy, new: &Policy, settings: &Settings) -> Report {
    let mut case = Case::new(old, new, settings);
    match Joint::of(old, new, settings.counts) {
        Err(names) => {
            case.report.unproven.push(Unproven::Protocols(names));
            case.search_each();
        }
        Ok(joint) => case.jointly(&joint),
    }
    case.report
}

/// A comparison under way.
struct Case<'a> {
    policies: [&'a Policy; 2],
    judges: [Judge<'a>; 2],
    settings: &'a Settings,
    report: Report,
    /// Pairs of fates that have a difference to show for them.
    shown: HashSet<(Fate, Fate)>,
}

impl<'a> Case<'a> {
    fn new(old: &'a Policy, new: &'a Policy, settings: &'a Settings) -> Self {
        let judges = [Judge::new(old), Judge::new(new)];
        Self { policies: [old, new], judges, settings, report: Report::default(), shown: HashSet::new() }
    }

    fn jointly(&mut self, joint: &Joint) {
        let defaults = self.policies.map(Policy::default_verdict);
        let lists = Lists::new(joint, defaults, self.settings);
        if lists.loose().is_empty() && defaults[0] == defaults[1] {
            return;
        }
        let ways = plan::ways(&joint.policy, STATES, MOST_STATES);
        let Some(ways) = ways else {
            self.report.unproven.push(Unproven::Ways);
            return self.search_each();
        };
        let mut space = Space::new(&joint.policy, ways, self.settings.room);
        let mut outcomes = Outcomes::default();
        let compared = lists.compare(&mut space, &mut outcomes);
        self.show(&space, &outcomes, &compared, joint);
        self.tell_too_large(&space, &compared);
        if !self.report.unproven.is_empty() {
            space.diagrams.make_room(self.settings.room);
            let aims = search::aims(&mut space, lists.loose());
            self.search(&space, &aims, self.settings.tries);
        }
    }

    /// A frame for each pair of outcomes in which the policies may differ.
    fn show(&mut self, space: &Space, outcomes: &Outcomes, compared: &Compared, joint: &Joint) {
        type Name = (Option<usize>, Option<usize>, Vec<u32>, Vec<u32>);
        let mut pairs: BTreeMap<Name, Vec<(usize, Node, Node)>> = BTreeMap::new();
        for region in &compared.regions {
            for leaf in path::results(&space.diagrams, region.differ) {
                let Some((old, new)) = outcomes.pair(leaf) else { continue };
                let name = (by(old), by(new), old.meets.clone(), new.meets.clone());
                pairs.entry(name).or_default().push((region.class, region.differ, leaf));
            }
        }
        let mut forge = Forge::new(space);
        for ((old, new, ..), places) in pairs {
            if self.report.differences.len() >= self.settings.most {
                self.report.more += 1;
            } else if !self.confirm(space, &mut forge, &places) {
                let new = new.map(|new| self.in_new(joint, new));
                let unproven = Unproven::NoFrame(old, new);
                if !self.report.unproven.contains(&unproven) {
                    self.report.unproven.push(unproven);
                }
            }
        }
    }

    /// The number in the new policy of a statement that may have been found in the old one first.
    fn in_new(&self, joint: &Joint, statement: usize) -> usize {
        let last = joint.same.iter().rposition(|first| *first == statement).unwrap_or(statement);
        last.saturating_sub(joint.split)
    }

    fn confirm(&mut self, space: &Space, forge: &mut Forge, places: &[(usize, Node, Node)]) -> bool {
        let mut dice = Dice::new(1);
        for turn in 0..ATTEMPTS.max(places.len().min(4 * ATTEMPTS)) {
            let (class, differ, leaf) = places[turn % places.len()];
            let taste = if turn < places.len().min(PLAIN) { Taste::Plain } else { Taste::Any };
            let mut plain = |variable| match taste {
                Taste::Plain => forge.plain(class, variable),
                Taste::Any => None,
            };
            let path = Paths::to(&space.diagrams, leaf).pick(differ, &mut plain, &mut dice);
            let forged = path.and_then(|path| forge.make(class, &path, taste, &mut dice));
            if forged.is_some_and(|forged| self.look(space.policy, forged, Found::Symbolically)) {
                return true;
            }
        }
        false
    }

    /// Whether the policies treat a frame differently; if so that is noted.
    fn look(&mut self, policy: &Policy, forged: Forged, found: Found) -> bool {
        let live = self.policies.map(|of| live(of, policy, &forged.members));
        let fates = |frame: &[u8]| [0, 1].map(|side| self.judges[side].fate(frame, &live[side]));
        let differ = |[old, new]: &[Fate; 2]| {
            self.judges[0].counts(old, self.settings) != self.judges[1].counts(new, self.settings)
        };
        let first = fates(&forged.frame);
        if !differ(&first) {
            return false;
        }
        let [old, new] = first;
        if self.shown.insert((old.clone(), new.clone())) {
            let accept = |frame: &[u8]| fates(frame) == [old.clone(), new.clone()];
            let (packet, frame) = describe::describe(self.policies, forged.frame, accept);
            let given = given(policy, &forged.members);
            self.report.differences.push(Difference { packet, frame, old, new, given, found });
        }
        true
    }

    fn tell_too_large(&mut self, space: &Space, compared: &Compared) {
        if compared.too_large.is_empty() {
            return;
        }
        let names = |class: &usize| {
            let headers = space.classes[*class].headers.iter();
            let names: Vec<_> =
                headers.map(|header| crate::policy::header_text(space.protocols(), *header)).collect();
            if names.is_empty() { "none of them".to_owned() } else { names.join(" ") }
        };
        let classes = compared.too_large.iter().map(names).collect();
        self.report.unproven.push(Unproven::TooLarge(classes));
    }

    /// Packets that are made for the statements of one policy, and then of the other.
    fn search_each(&mut self) {
        for policy in self.policies {
            let Some(ways) = plan::ways(policy, STATES, MOST_STATES) else { continue };
            let mut space = Space::new(policy, ways, self.settings.room);
            let aims = search::aims(&mut space, &[]);
            self.search(&space, &aims, self.settings.tries / 2);
        }
    }

    fn search(&mut self, space: &Space, aims: &[search::Aim], tries: u64) {
        let most = self.settings.most;
        let tried = search::search(space, aims, tries, |forged| {
            self.look(space.policy, forged, Found::BySearch);
            self.report.differences.len() >= most
        });
        self.report.tried += tried;
    }
}

/// The statement of an outcome; `None` for the default.
fn by(outcome: &Outcome) -> Option<usize> {
    outcome.end.filter(|end| end.1 != DEFAULT).map(|end| end.1 as usize)
}

/// The members of live sets as one of the policies numbers them.
fn live(of: &Policy, policy: &Policy, members: &[(SetPart, Vec<u128>)]) -> Live {
    let mut live = Live::new();
    for (part, key) in members {
        let wanted = &policy.sets[part.set as usize];
        let same = |set: &crate::policy::Set| {
            set.live.is_some() && set.name == wanted.name && set.types == wanted.types
        };
        if let Some(set) = of.sets.iter().position(same) {
            let part = SetPart { set: set as u32, ..*part };
            live.entry(part).or_default().push(key.clone());
        }
    }
    live
}

/// The members of live sets in words.
fn given(policy: &Policy, members: &[(SetPart, Vec<u128>)]) -> Vec<(String, String)> {
    use crate::policy::{Family46, ValueType};
    let word = |(part, key): &(SetPart, Vec<u128>)| {
        let set = &policy.sets[part.set as usize];
        let family = set.parts[part.part as usize].family;
        let text = |(ty, value): (&ValueType, &u128)| match (ty, family) {
            (ValueType::Ip, Some(Family46::V4)) => value_text(ValueType::Ip4, *value),
            (ty, _) => value_text(*ty, *value),
        };
        let values: Vec<_> = set.types.iter().zip(key).map(text).collect();
        let element = if values.len() == 1 { values[0].clone() } else { format!("({})", values.join(", ")) };
        (set.name.clone(), element)
    };
    let mut given: Vec<_> = members.iter().map(word).collect();
    given.dedup();
    given
}
