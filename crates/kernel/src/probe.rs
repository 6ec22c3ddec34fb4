//! What this kernel can do, found by trying, and the facts that `weir doctor` shows.

mod facts;
mod features;
mod interface;

use weir_bpf::target::{FEATURES, Feature, Target};

use crate::maps::possible_cpus;

pub use facts::{Fact, State, facts};
pub use features::why_not;
pub use interface::interface_facts;

/// A kernel's version, from `uname -r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// All of it.
    pub text: String,
}

/// How a feature was found to be there or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The kernel was asked to do it.
    Tried,
    /// The version says so: trying was not possible.
    Version,
}

/// One feature of this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub feature: Feature,
    /// It is there.
    pub present: bool,
    /// How that is known.
    pub evidence: Evidence,
}

/// What this kernel can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// For the compiler.
    pub target: Target,
    /// Every feature of the table, in its order.
    pub findings: Vec<Finding>,
    /// Why features could not be tried, if so: then the target is a guess from the version.
    pub guessed: Option<String>,
}

/// Probes this kernel: about 50 ms. Without privileges it guesses from the version, and says so.
pub fn probe() -> Probed {
    let release = Release::current();
    let by_version = Target::for_kernel(release.major, release.minor);
    let guessed = features::why_not().map(|error| error.to_string());
    let findings: Vec<Finding> = FEATURES
        .iter()
        .map(|row| {
            let tried = if guessed.is_none() { features::try_feature(row.feature) } else { None };
            Finding {
                feature: row.feature,
                present: tried.unwrap_or_else(|| by_version.has(row.feature)),
                evidence: if tried.is_some() { Evidence::Tried } else { Evidence::Version },
            }
        })
        .collect();
    Probed { target: target_of(by_version, &findings), findings, guessed }
}

/// Only the target of [`probe`].
pub fn target() -> Target {
    probe().target
}

fn target_of(mut target: Target, findings: &[Finding]) -> Target {
    for finding in findings {
        target = match finding.present {
            true => target.with(finding.feature),
            false => target.without(finding.feature),
        };
    }
    target.cpus = possible_cpus() as u32;
    target.max_instructions = if target.has(Feature::MillionInsns) { 1_000_000 } else { 4096 };
    target
}

impl Release {
    /// Of the running kernel.
    pub fn current() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self::parse(text.trim())
    }

    /// `6.18.2-arch1` → 6, 18. What cannot be read is 0.
    pub fn parse(text: &str) -> Self {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self { major, minor, text: text.to_owned() }
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let numbers = |text| {
            let release = Release::parse(text);
            (release.major, release.minor)
        };
        assert_eq!(numbers("6.18.2-arch1"), (6, 18));
        assert_eq!(numbers("5.4"), (5, 4));
        assert_eq!(numbers("6.1-rc3"), (6, 1));
        assert_eq!(numbers(""), (0, 0));
    }

    #[test]
    fn findings_make_the_target() {
        let all = |present| {
            let finding = |row: &weir_bpf::target::FeatureRow| Finding {
                feature: row.feature,
                present,
                evidence: Evidence::Tried,
            };
            FEATURES.iter().map(finding).collect::<Vec<_>>()
        };
        let target = target_of(Target::for_kernel(6, 18), &all(false));
        assert!(target.features.is_empty());
        assert_eq!(target.max_instructions, 4096);
        let target = target_of(Target::for_kernel(4, 4), &all(true));
        assert_eq!(target.missing().count(), 0);
        assert_eq!(target.max_instructions, 1_000_000);
    }
}
