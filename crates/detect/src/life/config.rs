//! How long, how many, how much.

use super::Proposal;
use crate::mine::{Proof, Protected};
use std::time::Duration;

/// What bounds the lives of mitigations. The defaults have their reasons with them.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// What no mitigation may be about, or match.
    pub protected: Protected,
    /// One that matches more of the good samples than this is not even tried: one in 200, ten times what the miner aims at.
    pub max_collateral: f64,
    /// A proven one is in shadow no time if at most this share of good traffic can be hit, with 95 % confidence: 5 %,
    /// which 59 good samples without a hit show.
    pub sure: f64,
    /// Else it is in shadow for so long: one second.
    pub unsure_shadow: Duration,
    /// With hardly any good samples it is in shadow for so long: three seconds, in which good traffic of hosts that were
    /// seen before comes by.
    pub thin_shadow: Duration,
    /// It is harmful if so many samples that look good are matched: three, as one can be forged by chance.
    pub harmful_samples: u64,
    /// And if they are more than this share of those that came: one in a hundred.
    pub harmful_share: f64,
    /// It goes when it was not hit for so long: a minute, twice what the detection waits for pulses to come back.
    pub idle: Duration,
    /// After so long it has to be found again: an hour.
    pub longest: Duration,
    /// A condition that was harmful, or that the edge refused, is not tried again for so long: ten minutes.
    pub rest: Duration,
    /// How many there are at most: 16, so that packets do not pay for an attacker's variety.
    pub most: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            protected: Protected::default(),
            max_collateral: 0.005,
            sure: 0.05,
            unsure_shadow: Duration::from_secs(1),
            thin_shadow: Duration::from_secs(3),
            harmful_samples: 3,
            harmful_share: 0.01,
            idle: Duration::from_secs(60),
            longest: Duration::from_secs(3600),
            rest: Duration::from_secs(600),
            most: 16,
        }
    }
}

impl Config {
    /// How long a proposal is tried before it drops anything.
    pub fn shadow(&self, proposal: &Proposal) -> Duration {
        match proposal.proof {
            Proof::Thin => self.thin_shadow,
            Proof::Shown if proposal.collateral.high > self.sure => self.unsure_shadow,
            Proof::Shown => Duration::ZERO,
        }
    }
}
