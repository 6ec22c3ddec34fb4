//! Policies as functions of what packets may hold: exact where the language allows it.
//!
//! * [`bits`]: which bits of a packet the statements ask for, cut into variables,
//! * [`ways`]: the packet classes, and which packets can be in each,
//! * [`condition`]: from a condition to a diagram over the variables,
//! * [`diagram`]: interval decision diagrams, in which equal functions are the same node,
//! * [`frame`]: what variables are in a frame, and so what a function comes to for it,
//! * [`lists`]: lists of statements, first match first,
//! * [`unreachable`]: what `weir check` warns of.
//!
//! The law that everything here keeps: a diagram holds every packet that it should hold. It may hold
//! some that cannot be, because variables are taken as independent: a slice of what follows a
//! header and the fields of the next header, or sums of several fields. So what is equal here is
//! equal; what differs here is only a difference once a frame shows it.

mod bits;
mod condition;
mod diagram;
mod frame;
mod linear;
mod lists;
mod ranges;
mod rename;
mod space;
mod unreachable;
mod ways;

pub use bits::{Home, Region, Spot, asked_terms, spot};
pub use diagram::{Branch, Diagrams, Node, TooLarge, Way};
pub use frame::{Reader, value};
pub use linear::Sum;
pub use lists::{Outcome, Outcomes};
pub use ranges::shift;
pub use rename::Names;
pub use space::{Segment, Space, Variable};
pub use unreachable::warn;
pub use ways::Class;
