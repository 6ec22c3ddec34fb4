//! One statement a vector: the heaviest kind of what is left of the attack is covered first, then the next.

use super::Request;
use super::cause::{CAUSES, Cause, Nature};
use super::condition::Rule;
use super::evidence::{Evidence, Side};
use super::polish;
use super::search::Scene;
use super::table::Bits;
use std::collections::BTreeSet;

/// With fewer good samples than these (of one weight) nothing is known of the harm: the bound is then above 5 %.
pub(super) const THIN: f64 = 59.0;

/// Fewer good samples of a kind than these are as good as none: the rule of three says nothing below.
const FEW: f64 = 3.0;

/// A rule that was found, and for which kind of attack.
pub(super) struct Found {
    pub(super) cause: usize,
    pub(super) rule: Rule,
}

/// Which part of the samples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Seen,
    Held,
    All,
}

/// What has been covered so far.
pub(super) struct Covering<'a> {
    evidence: &'a Evidence,
    request: &'a Request<'a>,
    pub(super) found: Vec<Found>,
    /// Attack rows that no rule holds for, and may.
    pub(super) left: Bits,
    /// Kinds for which there is no rule, or none any more.
    pub(super) stuck: BTreeSet<usize>,
}

impl<'a> Covering<'a> {
    /// Covers what can be.
    pub(super) fn of(evidence: &'a Evidence, request: &'a Request) -> Covering<'a> {
        let left = evidence.attack.open.clone();
        let mut covering = Covering { evidence, request, found: Vec::new(), left, stuck: BTreeSet::new() };
        while let Some(cause) = covering.heaviest() {
            let rule = covering.rule(cause);
            match rule.filter(|_| covering.found.len() < request.budget.max_statements) {
                Some(rule) => covering.take(Found { cause, rule }),
                None => drop(covering.stuck.insert(cause)),
            }
        }
        covering.join();
        covering
    }

    /// Attack rows of a kind that are left.
    pub(super) fn group(&self, cause: usize) -> Bits {
        let mut rows = Bits::none(self.evidence.causes.len());
        self.left.rows().filter(|&row| self.evidence.causes[row] == cause).for_each(|row| rows.insert(row));
        rows
    }

    /// The share of the attack that rows are.
    pub(super) fn share(&self, rows: &Bits) -> f64 {
        let attack = &self.evidence.attack.table;
        let all = attack.weight(&attack.all());
        if all > 0.0 { attack.weight(rows) / all } else { 0.0 }
    }

    fn heaviest(&self) -> Option<usize> {
        let mut best = None;
        let mut weight = self.request.budget.min_share;
        for cause in (0..CAUSES.len()).filter(|cause| !self.stuck.contains(cause)) {
            let share = self.share(&self.group(cause));
            if share >= weight && (share > weight || best.is_none()) && share > 0.0 {
                (best, weight) = (Some(cause), share);
            }
        }
        best
    }

    fn take(&mut self, found: Found) {
        self.left = self.left.without(&self.evidence.attack.table.rule(&self.left, &found.rule));
        self.found.push(found);
    }

    /// The good rows that the rules so far harm.
    fn harmed(&self) -> Bits {
        let Side { table, open, .. } = &self.evidence.good;
        let rules = self.found.iter().map(|found| table.rule(open, &found.rule));
        rules.fold(Bits::none(table.rows()), |all, rows| all.or(&rows))
    }

    fn scene(&self, cause: &Cause, wanted: &Bits, part: Part) -> Scene<'a> {
        let Evidence { attack, good, .. } = self.evidence;
        let of = |side: &Side, rows: &Bits| match part {
            Part::All => rows.clone(),
            Part::Held => rows.and(&side.held),
            Part::Seen => rows.without(&side.held),
        };
        Scene {
            attack: &attack.table,
            good: &good.table,
            wanted: of(attack, wanted),
            spared: of(good, &good.open),
            good_weight: good.table.weight(&of(good, &good.table.all())),
            everyday: cause.everyday,
        }
    }

    /// A rule for what is left of a kind, if one spares good traffic and covers enough. If the samples that were held
    /// back refute what was found without them, they are looked at as well.
    fn rule(&self, index: usize) -> Option<Rule> {
        let cause = &CAUSES[index];
        let (base, wanted) = (cause.rule(), self.group(index));
        let [all, seen, held] =
            [Part::All, Part::Seen, Part::Held].map(|part| self.scene(cause, &wanted, part));
        let most = self.request.budget.max_collateral - all.share(&self.harmed());
        let fits = |rule: &Rule| all.share(&all.state(rule.clone()).hit) <= most;
        let rule = [&seen, &all].into_iter().filter(|scene| scene.wanted.count() > 0).find_map(|scene| {
            let found = scene.search(&base, most)?.rule;
            let pruned = polish::prune(&all, &held, &base, found, most);
            let rounded = Some(polish::round(&all, &base, pruned.clone())).filter(fits);
            rounded.or(Some(pruned).filter(fits))
        })?;
        let rule = polish::sharpen(&all, &base, rule, self.unknown(cause, &base));
        if self.is_thin() && cause.nature != Nature::Telling && rule == base {
            return None;
        }
        let covers = self.share(&all.state(rule.clone()).covered);
        (covers >= self.request.budget.min_share && covers > 0.0).then_some(rule)
    }

    /// How many conditions a rule needs because of what is not known: two if hardly any good sample is there, or none
    /// of a kind that is good traffic elsewhere; one if there are some of the kind, too few to count on.
    fn unknown(&self, cause: &Cause, base: &Rule) -> usize {
        let good = &self.evidence.good.table;
        let alike = good.effective(&good.rule(&good.all(), base));
        match () {
            () if self.is_thin() => 2,
            () if cause.nature == Nature::Telling || alike >= THIN => 0,
            () if alike >= FEW => 1,
            () => 2,
        }
    }

    /// Whether too few good samples are there to say what a rule would harm.
    pub(super) fn is_thin(&self) -> bool {
        let good = &self.evidence.good.table;
        good.effective(&good.all()) < THIN
    }

    /// Joins rules that ask for the same fields, as long as good traffic is spared.
    fn join(&mut self) {
        let good = &self.evidence.good;
        let limit = self.request.budget.max_collateral;
        let all = good.table.weight(&good.table.all());
        let mut at = 0;
        while at < self.found.len() {
            let partner = (at + 1..self.found.len()).find_map(|other| {
                let joined = polish::join(&self.found[at].rule, &self.found[other].rule)?;
                Some((other, joined)).filter(|_| related(&self.found[at], &self.found[other]))
            });
            let Some((other, joined)) = partner else {
                at += 1;
                continue;
            };
            let single = std::mem::replace(&mut self.found[at].rule, joined);
            let second = self.found.remove(other);
            if all > 0.0 && good.table.weight(&self.harmed()) / all > limit {
                self.found[at].rule = single;
                self.found.insert(other, second);
                at += 1;
            }
        }
    }
}

/// Whether two rules are of one kind of attack, or of TCP segments that hosts send in answer to the same forged ones.
fn related(a: &Found, b: &Found) -> bool {
    let answers = |found: &Found| ["synack_reflection", "rst_flood"].contains(&CAUSES[found.cause].word);
    a.cause == b.cause || (answers(a) && answers(b))
}
