//! The life of a mitigation: proposed, tried in `shadow`, enforced, watched, over.
//!
//! [`Mitigations`] takes what the miner found, counters, samples that look good, people's wishes and time; it gives
//! [`Command`]s. Nothing here reads a clock, runs a policy or writes text anywhere.
//!
//! ```text
//! proposed ──► in shadow ──► enforced ──► over: unused, old, harmful, forbidden, refused, replaced
//!     │            └───────────────────────▲
//!     └─► refused: protected, too wide, known, forbidden, edited, too many
//! ```
//!
//! * **How long in shadow** depends on how sure is what it spares: [`Config::shadow`].
//! * **Harm ends it at once**, in shadow or enforced, and keeps the same condition away for a while.
//! * **Nothing lives on beyond its reason**: what is hardly hit any more goes, and what was found long ago has to be found
//!   again. Only people can keep it longer.
//! * **What a person wrote in one's place** ([`Mitigations::edit`]) goes when it is not hit, and when it is about what is protected. That it
//!   does harm is told ([`Mitigations::harmful`]) and left to people, and it need not be found again; meanwhile nothing else is tried
//!   against the same.
//! * **What is protected decides at the door**, before anything is tried.
//! * **Time goes in steps**: a clock that jumps ahead counts as one second, one that goes back as none. So a machine that
//!   slept neither enforces what it has not watched, nor forgets what it had no chance to see hit.

mod config;
mod hits;
mod mitigation;
mod mitigations;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use hits::Hits;
pub use mitigation::{Command, Mitigation, Past, Proposal, Reason, Refusal, Stage, Written};
pub use mitigations::Mitigations;
