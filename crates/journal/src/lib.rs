//! What a defence saw and did: attacks, mitigations and their timelines, kept over restarts.
//!
//! [`Journal`] takes the [`Event`](weir_detect::defence::Event)s of a [`Defence`](weir_detect::defence::Defence), the samples
//! behind what it found, and what it should know after a restart. A thread of its own writes: whoever tells it something never
//! waits, and what does not fit into its queue is counted. So one edge and analysers of many edges keep the same journal.
//!
//! | module | what |
//! |---|---|
//! | `record` | attacks and mitigations, as events make them |
//! | `attack`, `mitigation` | one of them |
//! | `store` | the database |
//! | `journal` | what it is told |
//! | `writer` | the thread that writes |
//! | `open` | a database is opened, moved aside or given up |
//! | `pending` | what is not in the database yet |
//! | `capture` | samples as a capture |
//! | `live` | a file for other commands, while the journal is written |
//! | `read` | the database, for other commands |
//!
//! # What holds
//! * Killed at any moment, the database opens again with all that was committed and nothing half.
//! * A database that cannot be written is told of once, and tried again: what did not get lost in the meantime is written then.
//! * One that is damaged is moved aside, and another one begun.
//! * All is bounded: [`record::ATTACKS`] attacks with their mitigations, [`store::EVENTS`] events, [`store::CAPTURES`]
//!   captures; the oldest go.
//! * One process writes, others read at the same time.

mod attack;
mod capture;
mod clock;
mod error;
mod journal;
mod live;
mod mitigation;
mod open;
mod pending;
mod process;
pub mod read;
pub mod record;
mod shared;
pub mod store;
mod writer;

pub use attack::{Attack, Moment, Step};
pub use error::Error;
pub use journal::{Journal, Options, Standing};
pub use live::Live;
pub use mitigation::{Mitigation, State};
pub use record::Record;
pub use shared::{Figures, Watch};
pub use store::Logged;
