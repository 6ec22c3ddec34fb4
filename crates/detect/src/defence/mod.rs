//! The whole decision: samples, counters and time in, the statements that should stand out.
//!
//! [`Defence`] puts the other modules together: it lets [`crate::traffic`] find attacks, keeps samples so that [`crate::mine`]
//! finds rules, and lets [`crate::life`] say what becomes of them. Whoever has packets to defend does the rest: hands it
//! samples, reads counters of mitigations that stand, puts [`Command`](crate::life::Command)s into force, and says how that
//! went. So one edge that defends itself and analysers of many edges decide alike.
//!
//! | module | what |
//! |---|---|
//! | `decide` | the loop |
//! | `handover` | a mitigation that another defence goes on with |
//! | `event` | what happened, for people and programs |
//! | `evidence` | the samples that a mitigation was found by |
//! | `memory` | what is kept over a restart |
//! | `recent` | samples by destination, in bounded memory |
//! | `attack` | an attack that goes on: what to mine, when |
//! | `sources` | who sent good traffic before, so that harm is seen |
//! | `watched` | a mitigation that stands |
//! | `written` | what a person wrote in the place of one |

mod attack;
mod decide;
mod event;
mod evidence;
mod handover;
mod memory;
mod recent;
mod sources;
mod watched;
mod written;

pub use decide::Defence;
pub use event::{Event, Named, What, with_addresses};
pub use evidence::Evidence;
pub use handover::Standing;
pub use memory::Memory;
pub use written::Matcher;
