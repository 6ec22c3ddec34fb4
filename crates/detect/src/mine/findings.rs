//! What was found, and how it is written.

use super::Request;
use super::answer::{Answer, Rate};
use super::cause::{CAUSES, Nature};
use super::condition::Rule;
use super::covering::Covering;
use super::destinations::Destinations;
use super::estimate::Estimate;
use super::evidence::Evidence;
use super::prefix::Protected;
use super::table::Bits;
use super::walk::features;
use crate::sample::Sample;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What [`super::mine`] found.
#[derive(Clone, PartialEq, Debug)]
pub struct Findings {
    /// Statements, the heaviest kind of attack first.
    pub statements: Vec<Statement>,
    /// Kinds of packets in the attack that no statement covers.
    pub left: Vec<Left>,
    /// The share of the attack that the statements cover together, 0 to 1.
    pub covered: f64,
    /// The share of good traffic that they match together.
    pub collateral: Estimate,
    /// The share of the attack that comes, or says so, from protected sources: it is never covered.
    pub protected: f64,
    /// Attack samples that were looked at.
    pub attack_samples: usize,
    /// Good samples that were looked at.
    pub good_samples: usize,
    /// Whether the victim is protected, so that there is no statement, whatever the samples say.
    pub refused: bool,
}

/// A statement of the policy language.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Its name in the policy: a word for the cause, with a number if there are several.
    pub name: String,
    /// What it does, as the language writes it: `drop`, or `limit`.
    pub verb: Cow<'static, str>,
    /// What stands behind `when`.
    pub condition: String,
    /// The rate of a `limit`.
    pub rate: Option<Rate>,
    /// What kind of attack it is, for people.
    pub cause: Cow<'static, str>,
    /// Whether the kind alone says that it is one: good hosts have hardly any business with such packets.
    pub is_telling: bool,
    /// The share of the attack that it matches, 0 to 1.
    pub covered: f64,
    /// The share of good traffic that it matches. The search has seen two thirds of the samples: see `unseen`.
    pub collateral: Estimate,
    /// The same, by the third of the samples that the search has not seen.
    pub unseen: Estimate,
    /// How much is known of its harm.
    pub proof: Proof,
    victim: Destinations,
    protected: Protected,
    rule: Rule,
    comment: Vec<String>,
}

/// How much is known of a statement's harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proof {
    /// Enough good samples were looked at.
    Shown,
    /// Too few: the statement says all that the attack's packets have in common, and should be tried in `shadow`.
    Thin,
}

/// Packets of the attack that no statement covers.
#[derive(Clone, PartialEq, Debug)]
pub struct Left {
    /// What kind of packets, for people.
    pub cause: &'static str,
    /// The share of the attack, 0 to 1.
    pub share: f64,
    /// What fits.
    pub answer: Answer,
    /// The statement, if the answer is one.
    pub statement: Option<Statement>,
}

impl Findings {
    pub(super) fn refused() -> Findings {
        Findings {
            statements: Vec::new(),
            left: Vec::new(),
            covered: 0.0,
            collateral: Estimate::new(0.0, 0.0),
            protected: 0.0,
            attack_samples: 0,
            good_samples: 0,
            refused: true,
        }
    }

    pub(super) fn of(covering: &Covering, evidence: &Evidence, request: &Request) -> Findings {
        let mut writer = Writer { covering, evidence, request, names: Vec::new() };
        let rules = covering.found.iter();
        let statements: Vec<_> =
            rules.map(|found| writer.statement(found.cause, &found.rule, None)).collect();
        let stuck = covering.stuck.iter().map(|&cause| writer.left(cause));
        let left = stuck.filter(|left| left.share >= request.budget.min_share).collect();
        let (attack, good) = (&evidence.attack, &evidence.good);
        let all = |open: &Bits, table: &super::table::Table| {
            let rules = covering.found.iter().map(|found| table.rule(open, &found.rule));
            rules.fold(Bits::none(table.rows()), |all, rows| all.or(&rows))
        };
        Findings {
            covered: covering.share(&all(&attack.open, &attack.table)),
            collateral: writer.harm(&all(&good.open, &good.table), &good.table.all()),
            protected: covering.share(&attack.table.all().without(&attack.open)),
            attack_samples: attack.table.rows(),
            good_samples: good.table.rows(),
            refused: false,
            statements,
            left,
        }
    }
}

impl Statement {
    /// Whether it matches a sample; `None` if the sample does not show enough to say.
    pub fn matches(&self, sample: &Sample) -> Option<bool> {
        let Some(row) = features(sample) else { return Some(false) };
        if !self.victim.contains(row.dst) || self.protected.holds(row.src) {
            return Some(false);
        }
        self.rule.holds(&row)
    }

    /// Whether another one is about the same victim and the same kind of attack.
    pub(crate) fn is_against_the_same(&self, other: &Statement) -> bool {
        self.victim == other.victim && self.cause == other.cause
    }

    /// Whom it is about.
    pub fn victim(&self) -> &Destinations {
        &self.victim
    }

    /// What its condition leaves out.
    pub fn protected(&self) -> &Protected {
        &self.protected
    }

    /// What people should know, a line each.
    pub fn comment(&self) -> &[String] {
        &self.comment
    }

    /// Whether it only takes what is above a rate.
    pub fn is_limit(&self) -> bool {
        self.rate.is_some()
    }

    /// What stands behind its name: the condition, and the rate of a `limit`.
    pub fn behind_name(&self) -> String {
        let rate = self.rate.map_or(String::new(), |rate| format!(" to {}/s per ip.src/24/56", rate.packets));
        format!("when {}{rate}", self.condition)
    }

    /// The statement as text of the policy language, with its comment; with `shadow` before it if that is asked for.
    pub fn text(&self, shadow: bool) -> String {
        let comment: String = self.comment.iter().map(|line| format!("# {line}\n")).collect();
        let shadow = if shadow { "shadow " } else { "" };
        format!("{comment}{shadow}{} {} {}\n", self.verb, self.name, self.behind_name())
    }
}

struct Writer<'a> {
    covering: &'a Covering<'a>,
    evidence: &'a Evidence,
    request: &'a Request<'a>,
    names: Vec<&'static str>,
}

impl Writer<'_> {
    fn statement(&mut self, cause: usize, rule: &Rule, rate: Option<Rate>) -> Statement {
        let (attack, good) = (&self.evidence.attack, &self.evidence.good);
        let covered = self.covering.share(&attack.table.rule(&attack.open, rule));
        let hit = good.table.rule(&good.open, rule);
        let kind = &CAUSES[cause];
        let mut statement = Statement {
            name: self.name(kind.word),
            verb: if rate.is_some() { "limit" } else { "drop" }.into(),
            condition: self.condition(rule),
            rate,
            cause: kind.name.into(),
            is_telling: kind.nature == Nature::Telling,
            covered,
            collateral: self.harm(&hit, &good.table.all()),
            unseen: self.harm(&hit.and(&good.held), &good.held),
            proof: if self.covering.is_thin() { Proof::Thin } else { Proof::Shown },
            victim: self.request.victim.clone(),
            protected: self.request.protected.clone(),
            rule: rule.clone(),
            comment: Vec::new(),
        };
        statement.comment = self.comment(&statement, hit.count());
        statement
    }

    fn left(&mut self, cause: usize) -> Left {
        let rows = self.covering.group(cause);
        let answer = Answer::to(cause, &rows, self.evidence);
        let statement = match answer {
            Answer::Limit(rate) => Some(self.statement(cause, &CAUSES[cause].rule(), Some(rate))),
            _ => None,
        };
        Left { cause: CAUSES[cause].name, share: self.covering.share(&rows), answer, statement }
    }

    /// The share of good traffic that rows are, of those that are looked at.
    fn harm(&self, hit: &Bits, of: &Bits) -> Estimate {
        let good = &self.evidence.good.table;
        let all = good.weight(of);
        let share = if all > 0.0 { good.weight(hit) / all } else { 0.0 };
        Estimate::new(share, good.effective(of))
    }

    fn name(&mut self, word: &'static str) -> String {
        self.names.push(word);
        match self.names.iter().filter(|name| **name == word).count() {
            1 => word.into(),
            several => format!("{word}_{several}"),
        }
    }

    fn condition(&self, rule: &Rule) -> String {
        let victim = self.request.victim;
        let exclusion = self.request.protected.exclusion(victim);
        let all: Vec<_> = [victim.condition()].into_iter().chain(rule.write()).chain(exclusion).collect();
        all.join(" and ")
    }

    fn comment(&self, statement: &Statement, hit: usize) -> Vec<String> {
        let percent = |share: f64| percent(share * 100.0);
        let (attack, good) = (self.evidence.attack.table.rows(), self.evidence.good.table.rows());
        let Statement { cause, covered, collateral, victim, .. } = statement;
        let mut lines = vec![
            format!(
                "{victim}: {cause}; {} of the attack, by {attack} samples{}",
                percent(*covered),
                self.one_in()
            ),
            format!(
                "good traffic matched: {hit} of {good} samples, {}, at most {} (95 % confidence)",
                percent(collateral.share),
                percent(collateral.high)
            ),
        ];
        if statement.rate.is_some() {
            lines[1] =
                "looks like good traffic; good networks of sources sent no more than half of the rate".into();
        }
        if statement.proof == Proof::Thin {
            lines.push("too few good samples to know its harm: try it in shadow".into());
        }
        lines
    }

    /// How many frames attack samples stand for, where that is the same for all.
    fn one_in(&self) -> String {
        let mut rates = self.request.attack.iter().map(|sample| sample.one_in.max(1));
        match rates.next() {
            Some(first) if rates.all(|rate| rate == first) => format!(" (1 in {first})"),
            _ => String::new(),
        }
    }
}

/// With as many digits as say something.
fn percent(value: f64) -> String {
    match value {
        0.0 => "0 %".into(),
        _ if value < 0.1 => format!("{value:.3} %"),
        _ if value < 10.0 => format!("{value:.2} %"),
        _ => format!("{value:.1} %"),
    }
}
