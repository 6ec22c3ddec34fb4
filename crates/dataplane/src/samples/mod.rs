//! Samples: one in N packets, from the program's ring.
//!
//! Programs write records ([`Record`]) to a ring that goes on over reloads, whether somebody reads it or not; what
//! finds it full is lost and counted, and nothing else happens. [`Samples`] reads it. N is data in a section ([`rates`]):
//! [`SampleKeeper`] raises it where there would be more samples than a statement's budget, by [`budget`], and never
//! takes it below what the policy says. Each sample says the N that it was taken with.

pub mod budget;
mod keeper;
pub(crate) mod meta;
pub(crate) mod rates;
mod reader;
mod record;

pub use keeper::{Adapted, SampleKeeper};
pub use rates::SampleStatus;
pub use reader::{Sample, Samples};
pub use record::Record;
