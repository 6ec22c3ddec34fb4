//! The data plane's half in user space: policies that run, and keep running without us.
//!
//! | module | owns |
//! |---|---|
//! | [`instance`] | load, reload, adopt, unload: an [`Instance`] is a directory of pins, this process only visits |
//! | [`counters`] | what statements counted, across reloads |
//! | [`sets`] | sets that change while running, with a lifetime for each element |
//! | [`pools`] | pools of backends that change while packets are balanced |
//! | [`capture`] | frames of chosen statements, by a variant of the running policy |
//! | [`samples`] | what statements sample: read from the program's ring, and kept to a budget |
//! | [`export`] | samples and counters to collectors, as sFlow |
//! | [`protect`] | attacks found in samples, and statements against them, put into the running policy |
//! | [`engines`] | one way to run a policy: evaluator, IR, bytecode, kernel |
//! | [`files`] | the loader that opens files |
//!
//! Everything is synchronous, nothing prints, and nothing here is a daemon: programs, maps and links are
//! pinned, and every command works on them under a lock.

pub mod capture;
mod cookies;
pub mod counters;
pub mod engines;
mod error;
pub mod export;
pub mod files;
mod hook;
pub mod instance;
pub mod pools;
pub mod protect;
pub mod samples;
pub mod sets;

pub use capture::{Capture, CapturedFrame};
pub use counters::{StatementCounters, Statistics};
pub use error::{Error, Refused};
pub use files::Files;
pub use hook::Hook;
pub use instance::{
    Attached, Change, DEFAULT_INSTANCE, Frequent, Instance, Policy, Profiled, Report, Request, Source,
    SourceFile, Status, instances_at, list_instances, unload,
};
pub use pools::{BackendStatus, FlowBackend, Keeper, LivePool, NatStatus, NoWay, PoolStatus, Unreached};
pub use samples::{Adapted, Record, Sample, SampleKeeper, SampleStatus, Samples};
pub use sets::{Filling, Lifetime, LiveElement, LiveSet, SetStatus};
pub use weir_kernel::attach::TcDoor;
pub use weir_pool::pool::{Endpoint, Event};
