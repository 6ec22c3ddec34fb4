//! Samples: one in N packets, from the program's ring.

mod record;

pub use record::Record;
