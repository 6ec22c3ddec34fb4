//! Instances: a policy on interfaces, as a directory of pins.

use crate::capture::Capture;
use crate::counters::{StatementCounters, Statistics};
use crate::sets::{LiveSet, SetStatus};
use crate::{Error, Hook};
use serde::Serialize;
use weir_bpf::target::Target;
use weir_compiler::diagnostic::Diagnostics;
use weir_compiler::source::Sources;
use weir_compiler::{Loader, NoFiles};

/// The name of an instance that was given none.
pub const DEFAULT_INSTANCE: &str = "weir";

/// A policy's text and where its files come from.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// The name for messages: its path.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// Gives the files that it names.
    pub loader: &'a dyn Loader,
}

impl<'a> Policy<'a> {
    /// One that names no files.
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, loader: &NoFiles }
    }
}

/// What to load.
#[derive(Clone)]
pub struct Request<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// What it does.
    pub policy: Policy<'a>,
    /// On which interfaces of the calling thread's namespace.
    pub interfaces: Vec<String>,
    /// Where on them.
    pub hook: Hook,
    /// XDP frames may have several buffers.
    pub frags: bool,
    /// What the kernel can do; it is probed (50 ms) where nothing is given.
    pub target: Option<Target>,
}

impl<'a> Request<'a> {
    /// The default instance with native XDP.
    pub fn new(policy: Policy<'a>, interfaces: &[&str]) -> Self {
        let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        let hook = Hook::XdpNative;
        Self { instance: DEFAULT_INSTANCE, policy, interfaces, hook, frags: false, target: None }
    }
}

/// What a load or reload did.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The instance.
    pub instance: String,
    /// Its generation: 1 after a load, one more for each swap.
    pub generation: u64,
    /// What goes on with its contents: `counters`, `set blocked`, `limit syn_flood`.
    pub kept: Vec<String>,
    /// What begins anew.
    pub fresh: Vec<String>,
    /// What is no longer there.
    pub gone: Vec<String>,
    /// Instructions of the program.
    pub instructions: usize,
    /// Reading, checking, compiling.
    pub compile_us: u64,
    /// Loading, the verifier included, and filling maps.
    pub load_us: u64,
    /// The swap itself.
    pub swap_us: u64,
    /// Warnings of the compiler, to be rendered over [`Report::sources`].
    #[serde(skip)]
    pub warnings: Diagnostics,
    /// The texts that warnings point into.
    #[serde(skip)]
    pub sources: Sources,
}

/// The instance on one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attached {
    /// The interface's name in the calling thread's namespace, else the one it had when it was loaded.
    pub interface: String,
    /// Its index; 0 if the interface is gone.
    pub ifindex: u32,
    /// Where on it.
    pub hook: Hook,
    /// Whether the root program still sits there.
    pub active: bool,
}

/// What runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// Its generation.
    pub generation: u64,
    /// The policy's name (path).
    pub policy: String,
    /// The files that it named.
    pub files: Vec<String>,
    /// When it was compiled, in seconds since 1970.
    pub loaded_at: u64,
    /// Where it sits.
    pub hook: Hook,
    /// Whether XDP frames may have several buffers.
    pub frags: bool,
    /// On which interfaces.
    pub attachments: Vec<Attached>,
    /// The kernel's id of the running program.
    pub program_id: u32,
    /// Statements whose frames are being captured.
    pub capturing: Vec<String>,
    /// By statement, `default` last.
    pub counters: Vec<StatementCounters>,
    /// The sets that live in maps.
    pub sets: Vec<SetStatus>,
    /// What else was counted.
    pub statistics: Statistics,
}

/// A running policy.
///
/// Nothing of it is in this process: dropping the value changes nothing, and another process may reload the
/// instance between two calls. Each call looks at what runs then; calls that change something hold the
/// instance's lock.
#[derive(Debug)]
pub struct Instance {
    name: String,
}

impl Instance {
    /// Loads a policy and attaches it to all interfaces, or leaves nothing behind.
    pub fn load(request: &Request<'_>) -> Result<(Self, Report), Error> {
        let _ = request;
        unimplemented!()
    }

    /// Adopts a running instance, also one whose process was killed at any point: what was left half-made is removed.
    pub fn open(name: &str) -> Result<Self, Error> {
        let _ = name;
        unimplemented!()
    }

    /// Replaces the policy: all of it or, on any error, nothing.
    pub fn reload(&mut self, policy: &Policy<'_>) -> Result<Report, Error> {
        let _ = policy;
        unimplemented!()
    }

    /// Detaches it and removes everything.
    pub fn unload(self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it sits.
    pub fn attachments(&self) -> Result<Vec<Attached>, Error> {
        unimplemented!()
    }

    /// What runs, with all counters.
    pub fn status(&self) -> Result<Status, Error> {
        unimplemented!()
    }

    /// The policy's text as it runs.
    pub fn policy_text(&self) -> Result<String, Error> {
        unimplemented!()
    }

    /// By statement, `default` last.
    pub fn counters(&self) -> Result<Vec<StatementCounters>, Error> {
        unimplemented!()
    }

    /// What else the program counts.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        unimplemented!()
    }

    /// The sets that live in maps.
    pub fn sets(&self) -> Result<Vec<SetStatus>, Error> {
        unimplemented!()
    }

    /// A set to change.
    pub fn set(&self, name: &str) -> Result<LiveSet, Error> {
        let _ = name;
        unimplemented!()
    }

    /// Copies the frames of statements (by name, or `default`) to this process from now on.
    pub fn capture<T: AsRef<str>>(&self, statements: &[T]) -> Result<Capture, Error> {
        let _ = statements;
        unimplemented!()
    }
}

/// The names of the instances that run, sorted.
pub fn list_instances() -> Result<Vec<String>, Error> {
    unimplemented!()
}
