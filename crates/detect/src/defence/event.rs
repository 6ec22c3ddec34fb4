//! What happened.

use serde::Serialize;
use std::fmt;

/// Something that the protection saw or did.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`, the clock of samples.
    pub time_ns: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What it was.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// There is more traffic to a victim than there should be.
    Attack {
        /// The alert's number.
        alert: u64,
        /// To whom it goes: an address, a prefix, or the name of a service.
        victim: String,
        /// The victim's addresses, as prefixes.
        addresses: Vec<String>,
        /// Packets a second, at least.
        packets_per_second: u64,
        /// Bits a second, at least.
        bits_per_second: u64,
        /// How many sources, about.
        sources: u64,
        /// When its window had the first sample.
        first_ns: u64,
        /// Whether it has grown since it was told of.
        grew: bool,
    },
    /// That is over.
    AttackEnded {
        /// The alert's number.
        alert: u64,
        /// Whose it was.
        victim: String,
        /// The victim's addresses, as prefixes.
        addresses: Vec<String>,
    },
    /// A rule was found.
    Found {
        /// Of which alert.
        alert: u64,
        /// The mitigation's number.
        id: u64,
        /// The statement's name.
        name: String,
        /// What kind of attack it is against.
        cause: String,
        /// The share of the attack that it matches.
        covered: f64,
        /// The share of good traffic that it matches at most, with 95 % confidence.
        collateral_at_most: f64,
        /// Samples of the attack, and good ones, that it rests on.
        samples: (u64, u64),
        /// The statement, with its comment.
        text: String,
    },
    /// A rule was found, and is not even tried.
    NotTried {
        /// The condition.
        rule: String,
        /// Why not.
        why: String,
    },
    /// A part of the attack looks like good traffic.
    NothingFits {
        /// Of which alert.
        alert: u64,
        /// What kind of packets.
        cause: String,
        /// The share of what is left.
        share: f64,
        /// Whether SYN cookies would help the host that it goes to.
        cookies: bool,
    },
    /// A mitigation counts what it would do.
    Tried(Named),
    /// It does it.
    Enforced(Named),
    /// The first sample of a packet that it dropped.
    Drops(Named),
    /// A person wrote another statement in its place, which stands there now.
    Edited {
        /// Which.
        #[serde(flatten)]
        named: Named,
        /// The statement before, with its comment.
        old: String,
        /// The statement now, likewise.
        new: String,
        /// Whether it only counts.
        shadow: bool,
    },
    /// What a person wrote does harm; it stays until a person takes it away.
    Harms {
        /// Which.
        #[serde(flatten)]
        named: Named,
        /// What was seen.
        why: String,
    },
    /// It is gone.
    Ended {
        /// Which.
        #[serde(flatten)]
        named: Named,
        /// Why.
        why: String,
        /// Packets that it was hit by.
        hits: u64,
    },
    /// The policy was not taken as it should be: the one before runs on.
    Refused {
        /// Why.
        why: String,
    },
}

/// So many addresses of a service are shown beside its name.
const SHOWN: usize = 4;

/// A victim for people: a service with its addresses, or the first of these.
pub fn with_addresses(victim: &str, addresses: &[String]) -> String {
    match addresses {
        [] => victim.to_owned(),
        [one] if one == victim => victim.to_owned(),
        all => {
            let shown = all[..all.len().min(SHOWN)].join(", ");
            let more = all.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{victim} ({shown}{more})")
        }
    }
}

/// A mitigation.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Named {
    /// Its number.
    pub id: u64,
    /// Its name in the policy.
    pub name: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Attack {
                alert,
                victim,
                addresses,
                packets_per_second,
                bits_per_second,
                sources,
                grew,
                ..
            } => write!(
                f,
                "attack {alert} on {} {}: {packets_per_second} packets/s or more, {:.1} Mbit/s, about {sources} sources",
                with_addresses(victim, addresses),
                if *grew { "grew" } else { "began" },
                *bits_per_second as f64 / 1e6,
            ),
            What::AttackEnded { alert, victim, .. } => write!(f, "attack {alert} on {victim} is over"),
            What::Found { name, text, .. } => write!(f, "found `{name}`:\n{}", text.trim_end()),
            What::NotTried { rule, why } => write!(f, "not tried: `{rule}`: {why}"),
            What::NothingFits { alert, cause, share, cookies } => {
                let share = share * 100.0;
                write!(f, "attack {alert}: {share:.0} % of it is {cause} that looks like good traffic")?;
                match cookies {
                    true => {
                        f.write_str("; if its service is on this host, `answer … syncookie` keeps it going")
                    }
                    false => Ok(()),
                }
            }
            What::Tried(named) => write!(f, "`{}` is tried in shadow", named.name),
            What::Enforced(named) => write!(f, "`{}` is enforced", named.name),
            What::Drops(named) => write!(f, "`{}` drops", named.name),
            What::Edited { named, old, new, .. } => {
                let [old, new] = [old, new].map(|text| text.trim_end());
                write!(f, "`{}` was edited by a person, from\n{old}\nto\n{new}", named.name)
            }
            What::Harms { named, why } => {
                write!(f, "`{}` does harm: {why}; it stays, as a person wrote it", named.name)
            }
            What::Ended { named, why, hits } => {
                write!(f, "`{}` ended after {hits} packets: {why}", named.name)
            }
            What::Refused { why } => write!(f, "the policy stays as it was: {why}"),
        }
    }
}
