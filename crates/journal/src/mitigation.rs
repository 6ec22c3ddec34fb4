//! A mitigation, as it is kept.

use serde::{Deserialize, Serialize};

/// A mitigation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Mitigation {
    /// No other one of the same journal has it.
    pub id: u64,
    /// The attack's.
    pub attack: u64,
    /// Its name in the policy.
    pub name: String,
    /// What kind of attack it is against.
    pub cause: String,
    /// How far it has come.
    pub state: State,
    /// A person wants it to stay.
    pub pinned: bool,
    /// A person wrote the statement; the shares below are of what was found.
    #[serde(default)]
    pub edited: bool,
    /// Packets that it was hit by.
    pub hits: u64,
    /// The share of the attack that it matches.
    pub covered: f64,
    /// The share of good traffic that it matches at most, with 95 % confidence.
    pub collateral_at_most: f64,
    /// Why it ended.
    pub why: Option<String>,
    /// The statement, with its comment.
    pub text: String,
}

impl Mitigation {
    /// How far it has come, and what people said of it: `enforced, edited, pinned`.
    pub fn state_words(&self) -> String {
        let edited = if self.edited { ", edited" } else { "" };
        let pinned = if self.pinned { ", pinned" } else { "" };
        format!("{}{edited}{pinned}", self.state.word())
    }
}

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in no policy yet.
    Found,
    /// It counts what it would do.
    Shadow,
    /// It does it.
    Enforced,
    /// It is gone.
    Ended,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [State; 4] = [State::Found, State::Shadow, State::Enforced, State::Ended];

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            State::Found => "found",
            State::Shadow => "shadow",
            State::Enforced => "enforced",
            State::Ended => "ended",
        }
    }
}
