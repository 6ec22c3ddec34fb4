//! The edge defends itself: samples → alerts → rules → the running policy, in one process.
//!
//! [`Protector`] takes the samples of the policy's first `sample` statement from whoever reads them, lets
//! [`weir_detect::defence`] decide, and puts the rules' text into the policy (`text`) by an ordinary reload. It owns no program
//! and no map: if it is killed, what it added last stays in the policy that runs, readable there, until somebody reloads or
//! unloads it.
//!
//! | module | what |
//! |---|---|
//! | `options` | what it is told, and which sources a policy protects |
//! | `services` | what alerts call by a name, of one policy or of several |
//! | `protector` | the loop around the decision |
//! | `text` | where in a policy mitigations stand |
//! | `put` | statements into the policy, by a reload |
//! | `taking` | a `drop` or `limit` as text, and a set left out of it |
//! | `written` | what people write in the place of mitigations: read, checked, shown to leave out what is protected |

mod options;
mod protector;
mod put;
mod services;
mod taking;
mod text;
mod written;

pub use options::{Options, never};
pub use protector::{NotEdited, Protector};
pub use put::Put;
pub use taking::Taking;
pub use text::{Base, inside};
pub use written::{Diagnosis, Edit, read_again};
