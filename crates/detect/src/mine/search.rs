//! The search for a rule: the shortest description of what is an attack and what is not.
//!
//! A rule is as good as its description in bits is short (minimum description length, Rissanen 1978; for rules Quinlan
//! 1995):
//!
//! ```text
//! bits = Σ cost(condition) + log2(1 + A) · missed + 4 · log2(1 + G) · harmed
//! ```
//!
//! `A` and `G` are the numbers of attack and good samples that are looked at, `missed` and `harmed` those that the
//! rule is wrong about; to point at one of `N` takes log2 N bits. A good packet that is lost counts as four packets of
//! an attack that get through. Costs of conditions are in [`super::feature`].
//!
//! Everyday answers of a service (see [`super::cause`]) count as [`EVERYDAY`] of all good samples ([`THIN`] at least), even
//! if none was seen, for a rule that tells neither length nor content.
//!
//! The search keeps the best few rules and adds a condition to each, until none that could still come is shorter:
//! conditions only ever make a rule longer and let it miss more, so `cost + missed` is a bound.

use super::candidates::{Candidate, candidates};
use super::condition::{Rule, Test};
use super::covering::THIN;
use super::feature::{Feature, Kind};
use super::table::{Bits, Table};

/// What a rule is to part: samples of an attack that are to be covered, and good ones that are not.
pub(super) struct Scene<'a> {
    pub(super) attack: &'a Table,
    pub(super) good: &'a Table,
    /// The attack's rows that are to be covered.
    pub(super) wanted: Bits,
    /// The good rows that can be harmed.
    pub(super) spared: Bits,
    /// What all good samples weigh, also those that cannot be harmed.
    pub(super) good_weight: f64,
    /// The longest everyday answer of the service, in bytes of `ip.len`.
    pub(super) everyday: Option<u16>,
}

/// A rule and what it holds for in a scene.
#[derive(Clone)]
pub(super) struct State {
    pub(super) rule: Rule,
    pub(super) covered: Bits,
    pub(super) hit: Bits,
    /// Its description, without what it harms: no rule that is made of it by more conditions is shorter.
    bound: f64,
    /// Its description.
    pub(super) bits: f64,
}

/// How much worse it is to harm than to miss.
const HARM: f64 = 4.0;
/// How many rules are kept at a time, and how many conditions are added at most.
const WIDTH: usize = 6;
const DEPTH: usize = 4;
/// The share of good traffic that is taken for everyday answers of a service.
const EVERYDAY: f64 = 0.005;
/// A rule must hold for so much of what is wanted.
const PART: f64 = 0.1;

impl Scene<'_> {
    /// A rule with what it holds for.
    pub(super) fn state(&self, rule: Rule) -> State {
        let (covered, hit) = (self.attack.rule(&self.wanted, &rule), self.good.rule(&self.spared, &rule));
        self.weigh(rule, covered, hit)
    }

    fn weigh(&self, rule: Rule, covered: Bits, hit: Bits) -> State {
        let attacks = self.wanted.count() as f64;
        let missed = attacks * (1.0 - self.attack.weight(&covered) / self.attack.weight(&self.wanted));
        let unseen = if self.leaves_everyday(&rule) { 0.0 } else { EVERYDAY };
        let bound = rule.cost() + (1.0 + attacks).log2() * missed;
        let bits = bound + self.harm(&hit) + self.harm_of(unseen);
        State { rule, covered, hit, bound, bits }
    }

    /// What it costs in bits to harm rows.
    pub(super) fn harm(&self, hit: &Bits) -> f64 {
        self.harm_of(self.share(hit))
    }

    fn harm_of(&self, share: f64) -> f64 {
        let good = (self.spared.count() as f64).max(THIN);
        HARM * (1.0 + good).log2() * good * share
    }

    /// The share of good traffic that rows are.
    pub(super) fn share(&self, hit: &Bits) -> f64 {
        if self.good_weight > 0.0 { self.good.weight(hit) / self.good_weight } else { 0.0 }
    }

    /// Whether everyday answers of the service are told from the attack's.
    pub(super) fn leaves_everyday(&self, rule: &Rule) -> bool {
        let Some(longest) = self.everyday else { return true };
        let by_length = rule.tests.get(&Feature::IpLen).is_some_and(|test| match test {
            Test::In(ranges) => ranges.iter().all(|range| range.0 > u64::from(longest)),
            Test::Masked { .. } => false,
        });
        by_length || rule.tests.keys().any(|feature| matches!(feature.kind(), Kind::Bytes(_)))
    }

    /// The shortest rule that is `base` or narrower and harms no more than `most`, as a share of good traffic.
    pub(super) fn search(&self, base: &Rule, most: f64) -> Option<State> {
        let start = self.state(base.clone());
        let candidates = candidates(self, &start);
        let needed = self.attack.weight(&self.wanted) * PART;
        let fits =
            |state: &State| self.share(&state.hit) <= most && self.attack.weight(&state.covered) >= needed;
        let nothing =
            self.weigh(Rule::default(), Bits::none(self.attack.rows()), Bits::none(self.good.rows()));
        let mut best = Some(&start).filter(|start| fits(start) && start.bits < nothing.bits).cloned();
        let mut beam = self.starts(start);
        for _ in 0..=DEPTH {
            for state in beam.iter().filter(|state| fits(state) && state.bits < nothing.bits) {
                if best.as_ref().is_none_or(|best| shorter(state, best)) {
                    best = Some(state.clone());
                }
            }
            let bar = best.as_ref().map_or(nothing.bits, |best| best.bits);
            let mut longer: Vec<State> =
                beam.iter().flat_map(|state| self.longer(state, &candidates, needed, bar)).collect();
            longer.sort_by(|a, b| a.bits.total_cmp(&b.bits).then_with(|| a.rule.cmp(&b.rule)));
            longer.dedup_by(|a, b| a.rule == b.rule);
            longer.truncate(WIDTH);
            beam = longer;
        }
        best
    }

    /// The rule to begin with, and the one that leaves everyday answers alone.
    fn starts(&self, start: State) -> Vec<State> {
        let length = self.everyday.map(|longest| Test::between(u64::from(longest) + 1, Feature::IpLen.max()));
        let long = length.and_then(|length| start.rule.with(Feature::IpLen, &length));
        let mut starts = vec![start];
        starts.extend(long.map(|rule| self.state(rule)));
        starts
    }

    /// Rules with one condition more that can still be shorter than `bar`, or lead to one.
    fn longer(&self, state: &State, candidates: &[Candidate], needed: f64, bar: f64) -> Vec<State> {
        let one = |candidate: &Candidate| {
            let rule = state.rule.with(candidate.feature, &candidate.test)?;
            let covered = state.covered.and(&candidate.covered);
            if self.attack.weight(&covered) < needed {
                return None;
            }
            let next = self.weigh(rule, covered, state.hit.and(&candidate.hit));
            (next.bound < bar).then_some(next)
        };
        candidates.iter().filter_map(one).collect()
    }
}

fn shorter(state: &State, than: &State) -> bool {
    state.bits.total_cmp(&than.bits).then_with(|| state.rule.cmp(&than.rule)).is_lt()
}
