//! The edge defends itself: samples → alerts → rules → the running policy, in one process.
//!
//! [`Protector::turn`] is the loop. It reads the samples of the policy's first `sample` statement, keeps the recent ones
//! (`recent`), lets `weir_detect` find attacks, rules and their lives, and puts the rules' text into the policy
//! (`text`) by an ordinary reload. It owns no program and no map: if it is killed, what it added last stays in the policy
//! that runs, readable there, until somebody reloads or unloads it.
//!
//! | module | what |
//! |---|---|
//! | `event` | what happened, for people and programs |
//! | `recent` | samples by destination, in bounded memory |
//! | `text` | where in a policy mitigations stand |
//! | `sources` | who sent good traffic before, so that harm is seen |
//! | `watched` | a mitigation that stands |
//! | `apply` | what their lives say, by a reload |
//! | `attack` | an attack that goes on: what to mine, when |

mod apply;
mod attack;
mod event;
mod options;
mod protector;
mod put;
mod recent;
mod sources;
mod text;
mod watched;

pub use event::{Event, What};
pub use options::Options;
pub use protector::Protector;
