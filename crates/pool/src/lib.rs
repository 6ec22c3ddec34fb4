//! Pools of backends, as arithmetic: time and events come in as arguments, decisions go out.
//!
//! * [`flow`] maps what a packet says to a slot;
//! * [`ring`] gives every slot a backend, by nothing but the set of backends;
//! * [`slots`] changes that while packets are judged, so that flows stay where they are.
//! * [`pool`] is a pool's backends and what is done to them;
//! * [`health`] says when backends are checked and what the results mean, [`probe`] what they are asked; [`damping`] distrusts those that flap.
//!
//! All times are those of one clock that never goes back, since any moment before the first one.

pub mod damping;
pub mod flow;
pub mod health;
pub mod pool;
pub mod probe;
pub mod ring;
mod shares;
pub mod slots;
