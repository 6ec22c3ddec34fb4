//! etcd, as far as a fleet needs it: a copy of all keys below a prefix that follows what happens to them, keys that go with
//! their owner, and transactions.
//!
//! By etcd's own JSON over HTTP ("gRPC gateway", version 3.4 and later): the gRPC client libraries need `protoc` to be
//! built.
//!
//! | module | what |
//! |---|---|
//! | `options` | where etcd is, and who we are |
//! | `wire` | the messages |
//! | `connection` | one connection: requests, and the stream of a watch |
//! | `session` | a connection with everything that goes on over it |
//! | `store` | the copy, for the rest of the program: nothing there waits for the network |

mod connection;
mod options;
mod session;
mod store;
mod wire;

pub use options::{Credentials, Options};
pub use store::{Change, Entry, Link, Store};
pub use wire::{Compare, Operation, Transaction};
