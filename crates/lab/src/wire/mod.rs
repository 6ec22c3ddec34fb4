//! Frames on an interface: sent in batches, counted by their marks, recorded.

mod count;
mod mark;
mod receive;
mod send;
mod socket;
mod tap;

pub use count::{Counter, FlowCount, Received};
pub use mark::{Flow, MARK_LEN, Mark};
pub use send::{Pace, SendOptions, Sent, send};
pub use tap::{Tap, Tapped};
