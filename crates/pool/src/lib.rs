//! Pools of backends, as arithmetic: time and events come in as arguments, decisions go out.
//!
//! * [`flow`] maps what a packet says to a slot;
//! * [`ring`] gives every slot a backend, by nothing but the set of backends;
//! * [`slots`] changes that while packets are judged, so that flows stay where they are.

pub mod flow;
pub mod ring;
mod shares;
pub mod slots;
