//! One mitigation, and what is said of it.

use super::Hits;
use crate::mine::{Destinations, Estimate, Proof, Protected, Statement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the miner offers.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// Whom it is for.
    pub victim: Destinations,
    /// What kind of attack it is against, for people.
    pub cause: String,
    /// The word for that, in names.
    pub word: String,
    /// `drop` or `limit`.
    pub verb: String,
    /// All that stands behind the name: `when …`, and the rate of a limit.
    pub rest: String,
    /// What people should know, a line each.
    pub comment: Vec<String>,
    /// How much is known of its harm.
    pub proof: Proof,
    /// The share of good traffic that it matches.
    pub collateral: Estimate,
    /// What its condition leaves out.
    pub spares: Protected,
}

impl Proposal {
    /// What it is against, in words: whoever forbids it forbids all that is against the same, as the miner finds another
    /// condition the next time.
    pub fn against(&self) -> String {
        format!("{} to {}", self.cause, self.victim)
    }

    /// The same as a person wrote it: victim and cause stay, so it goes on standing against the same.
    pub fn written(self, written: &Written) -> Proposal {
        let Written { verb, rest, spares, .. } = written.clone();
        let comment = vec![format!("written by a person, against {}", self.against())];
        Proposal { verb, rest, spares, comment, ..self }
    }

    /// Whether something that people forbade is against the same: for its victim by name, or for one of the addresses.
    pub(super) fn is_forbidden(&self, forbidden: &BTreeSet<String>) -> bool {
        let against = |prefix| forbidden.contains(&format!("{} to {prefix}", self.cause));
        forbidden.contains(&self.against()) || self.victim.prefixes().iter().any(against)
    }

    /// Of a statement that was mined.
    pub fn of(statement: &Statement) -> Proposal {
        Proposal {
            victim: statement.victim().clone(),
            cause: statement.cause.to_string(),
            word: statement.name.clone(),
            verb: statement.verb.to_string(),
            rest: statement.behind_name(),
            comment: statement.comment().to_vec(),
            proof: statement.proof,
            collateral: match statement.is_limit() {
                // It matches good traffic, and takes nothing of it as far as is known: that has to be tried.
                true => Estimate { share: 0.0, low: 0.0, high: 1.0, samples: 0.0 },
                false => statement.collateral,
            },
            spares: statement.protected().clone(),
        }
    }
}

/// What a person wrote in a mitigation's place. Whoever hands it in has shown that it is a statement of the policy language
/// and leaves out what is protected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// `drop` or `limit`.
    pub verb: String,
    /// All that stands behind the name, on one line.
    pub rest: String,
    /// Whether it only counts.
    pub in_shadow: bool,
    /// What it was shown to leave out.
    pub spares: Protected,
}

impl Written {
    /// As a statement of the policy language.
    pub fn text(&self, name: &str) -> String {
        let Written { verb, rest, in_shadow, .. } = self;
        format!("{}{verb} {name} {rest}", if *in_shadow { "shadow " } else { "" })
    }
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It counts what it would do, at least until then.
    Shadow {
        /// By the clock of the lives.
        until: Duration,
    },
    /// It does it.
    Enforced,
}

impl Stage {
    /// In shadow for as long as the person who wants it so.
    pub(super) const WATCHED: Stage = Stage::Shadow { until: Duration::MAX };
}

/// A statement that the edge adds to the policy by itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Mitigation {
    /// No other one of these lives has it.
    pub id: u64,
    /// What it is.
    pub proposal: Proposal,
    /// How far it has come.
    pub stage: Stage,
    /// A person wants it to stay, whatever is seen.
    pub pinned: bool,
    /// A person wrote it: what it is against is as before.
    pub edited: bool,
    /// What it was hit by, in shadow and since.
    pub hits: Hits,
    /// Samples of its victim that look good, since it is there.
    pub good: u64,
    /// Those of them that it matches.
    pub harmed: u64,
    pub(super) born: Duration,
    /// How old it was when these lives began with it.
    pub(super) before: Duration,
    pub(super) fell: bool,
    /// Those that end when it is enforced.
    pub(super) replaces: Vec<u64>,
    /// That a person's own does harm was told.
    pub(super) is_told: bool,
}

/// What became of a mitigation elsewhere, before these lives go on with it.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Past {
    /// Whether it only counts so far.
    pub in_shadow: bool,
    /// Whether a person wants it to stay.
    pub pinned: bool,
    /// Whether a person wrote it.
    pub edited: bool,
    /// Packets that it was hit by.
    pub hits: u64,
    /// The highest rate of them, a second.
    pub highest: f64,
    /// How old it is.
    pub age: Duration,
}

impl Mitigation {
    /// One that nothing is known of.
    pub(super) fn new(id: u64, proposal: Proposal, stage: Stage, now: Duration) -> Mitigation {
        Mitigation {
            id,
            proposal,
            stage,
            pinned: false,
            edited: false,
            hits: Hits::new(now),
            good: 0,
            harmed: 0,
            born: now,
            before: Duration::ZERO,
            fell: false,
            replaces: Vec::new(),
            is_told: false,
        }
    }

    /// The same as a person wrote it. What was seen of the one before says nothing of it, but hits are counted on.
    pub fn edited_as(&self, written: &Written, now: Duration) -> Mitigation {
        let proposal = self.proposal.clone().written(written);
        let stage = if written.in_shadow { Stage::WATCHED } else { Stage::Enforced };
        let Mitigation { id, pinned, hits, born, before, .. } = *self;
        let new = Mitigation::new(id, proposal, stage, now);
        Mitigation { pinned, hits: hits.of_another(now), born, before, edited: true, ..new }
    }

    /// What a person wrote, if a person did.
    pub fn written(&self) -> Option<Written> {
        let Proposal { verb, rest, spares, .. } = &self.proposal;
        self.edited.then(|| Written {
            verb: verb.clone(),
            rest: rest.clone(),
            in_shadow: self.in_shadow(),
            spares: spares.clone(),
        })
    }

    /// Its name in the policy.
    pub fn name(&self) -> String {
        format!("mitigation_{}_{}", self.id, self.proposal.word)
    }

    /// Whether it only counts.
    pub fn in_shadow(&self) -> bool {
        matches!(self.stage, Stage::Shadow { .. })
    }

    /// How old it is.
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.born) + self.before
    }

    /// As a statement of the policy language, with its comment.
    pub fn text(&self) -> String {
        let Proposal { verb, rest, comment, .. } = &self.proposal;
        let comment: String = comment.iter().map(|line| format!("# {line}\n")).collect();
        let shadow = if self.in_shadow() { "shadow " } else { "" };
        format!("{comment}{shadow}{verb} {} {rest}\n", self.name())
    }
}

/// What is to be done. The mitigation is as it is from then on.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Put it into the policy, in shadow.
    Try(Mitigation),
    /// Let it do what it says.
    Enforce(Mitigation),
    /// Take it out.
    Remove(Mitigation, Reason),
}

impl Command {
    /// Which mitigation it is about.
    pub fn mitigation(&self) -> &Mitigation {
        let (Command::Try(one) | Command::Enforce(one) | Command::Remove(one, _)) = self;
        one
    }
}

/// Why one ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It was hardly hit for its time.
    Unused,
    /// It has to be found again.
    Old,
    /// It matches samples that look good.
    Harm,
    /// The victim's good traffic fell when it began.
    Fell,
    /// A person does not want it.
    Forbidden,
    /// What it matches is protected now.
    Protected,
    /// The edge did not take it.
    Refused,
    /// A better one is enforced.
    Replaced,
}

impl Reason {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Reason::Unused => "it is hardly hit any more",
            Reason::Old => "it has to be found again",
            Reason::Harm => "it matches traffic that looks good",
            Reason::Fell => "the victim's good traffic fell",
            Reason::Forbidden => "it was forbidden",
            Reason::Protected => "what it is about is protected now",
            Reason::Refused => "the edge refused it",
            Reason::Replaced => "a better one is in its place",
        }
    }
}

/// Why a proposal is not tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The victim is protected, or its condition does not leave out what is.
    Protected,
    /// It matches too much good traffic.
    Wide,
    /// It is there already.
    Known,
    /// A person forbade it, or it did harm a while ago.
    Forbidden,
    /// A person edited what stands against the same.
    Edited,
    /// There are as many as there may be.
    Full,
}

impl Refusal {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Refusal::Protected => "what it is about is protected",
            Refusal::Wide => "it matches too much good traffic",
            Refusal::Known => "it is there already",
            Refusal::Forbidden => "it was forbidden, or did harm a while ago",
            Refusal::Edited => "a person edited what stands against it",
            Refusal::Full => "there are as many mitigations as there may be",
        }
    }
}
