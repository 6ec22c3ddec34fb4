//! An attack and its timeline.

use serde::{Deserialize, Serialize};

/// An attack. All times are nanoseconds since 1970.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attack {
    /// No other one of the same journal has it.
    pub id: u64,
    /// To whom it goes: an address, a prefix, or the name of a service.
    pub victim: String,
    /// The victim's addresses, as prefixes.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The highest rate that was told, at least.
    pub packets_per_second: u64,
    /// Likewise.
    pub bits_per_second: u64,
    /// How many sources, about.
    pub sources: u64,
    /// When the first sample of it was taken.
    pub first_ns: u64,
    /// When it was over; nothing while it goes on.
    pub ended_ns: Option<u64>,
    /// What happened, in its order.
    pub timeline: Vec<Moment>,
}

/// Something that happened in an attack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at_ns: u64,
    /// What.
    pub step: Step,
    /// To which mitigation.
    pub mitigation: Option<u64>,
}

/// What it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The first packet of it was sampled.
    FirstPacket,
    /// It was seen that there is too much.
    Alert,
    /// It grew.
    Grew,
    /// A rule was found.
    Rule,
    /// A part of it looks like good traffic.
    NothingFits,
    /// A mitigation counts what it would do.
    Tried,
    /// It does it.
    Enforced,
    /// The first sample of a packet that it dropped.
    FirstDrop,
    /// A person wrote another statement in its place.
    Edited,
    /// What a person wrote does harm.
    Harms,
    /// It is gone.
    Removed,
    /// The attack is over.
    Over,
    /// The protection ended before the attack did.
    Interrupted,
}

impl Step {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Step::FirstPacket => "first packet",
            Step::Alert => "alert",
            Step::Grew => "grew",
            Step::Rule => "rule",
            Step::NothingFits => "nothing fits",
            Step::Tried => "tried",
            Step::Enforced => "enforced",
            Step::FirstDrop => "first drop",
            Step::Edited => "edited",
            Step::Harms => "does harm",
            Step::Removed => "removed",
            Step::Over => "over",
            Step::Interrupted => "protection ended",
        }
    }
}
