use crate::Hook;
use std::fmt;
use std::path::PathBuf;
use weir_compiler::Analysis;
use weir_compiler::codegen::CodegenError;
use weir_compiler::diagnostic;
use weir_compiler::policy::Statement;
use weir_kernel::KernelError;
use weir_kernel::attach::AttachError;
use weir_kernel::load::LoadError;
use weir_pool::pool::{Endpoint, PoolError};

/// Why something was not done. What ran before runs on, unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy has errors: they are in the analysis, for the one place that renders diagnostics.
    #[error("the policy has {0}")]
    Policy(Refused),
    /// The compiler made no program of it.
    #[error("the policy does not fit one program: {0}")]
    Codegen(#[from] CodegenError),
    /// The object could not be written: a bug of ours.
    #[error("the compiled program is no valid object: {0}")]
    Object(String),
    /// The kernel's verifier refuses the program.
    #[error("{}the kernel refuses the program: {message}", place_text(.place))]
    Rejected {
        /// The statement, file and line that the refused instruction comes from.
        place: Option<Place>,
        /// What the verifier says, in plain words where they are known.
        message: String,
        /// What can be done.
        fix: Option<&'static str>,
        /// The verifier's whole log.
        log: String,
    },
    /// Loading failed for another reason.
    #[error(transparent)]
    Load(LoadError),
    /// The program could not be attached; nothing is attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The policy cannot be protected as it was asked for.
    #[error("{0}")]
    Protect(String),
    /// Nothing of that name runs.
    #[error("no instance `{name}` is running{}", others(.running))]
    NoInstance {
        /// The name that was asked for.
        name: String,
        /// Those that run.
        running: Vec<String>,
    },
    /// It runs already.
    #[error("instance `{name}` is running already: use `reload` to change its policy, or another name")]
    Running {
        /// Its name.
        name: String,
    },
    /// Not a name.
    #[error("`{name}` is no name for an instance: use up to 32 letters, digits, `-` and `_`")]
    BadName {
        /// What was given.
        name: String,
    },
    /// No interfaces were named.
    #[error("name at least one interface")]
    NoInterfaces,
    /// The same interface twice.
    #[error("interface `{name}` is named twice")]
    InterfaceTwice {
        /// Its name.
        name: String,
    },
    /// Another process changes the instance.
    #[error("another process is changing instance `{name}`, and has not finished after {seconds} s")]
    Locked {
        /// The instance.
        name: String,
        /// How long this one waited.
        seconds: u64,
    },
    /// The instance has the right directory and the wrong things in it.
    #[error("instance `{name}` is damaged: {what}; `unload` removes it")]
    Damaged {
        /// The instance.
        name: String,
        /// What is missing or wrong.
        what: String,
    },
    /// No set of that name.
    #[error("the policy has no set `{name}`{}", nearest_text(.nearest))]
    NoSet {
        /// What was asked for.
        name: String,
        /// One that reads alike.
        nearest: Option<String>,
    },
    /// The set is constant.
    #[error(
        "set `{name}` cannot change while running: declare it with `max` or `timeout`, such as `set {name} : {types} max 1k`"
    )]
    NotLive {
        /// The set.
        name: String,
        /// Its types as declared.
        types: String,
    },
    /// The set is full, even without what has expired.
    #[error("set `{name}` is full: {used} of {max} {what}; raise its `max`")]
    SetFull {
        /// The set.
        name: String,
        /// How many it holds.
        used: u64,
        /// How many it can hold.
        max: u64,
        /// `elements`, `IPv4 prefixes`.
        what: String,
    },
    /// The text is no element, or one of another type.
    #[error("`{text}` is no element of set `{set}`: {why}")]
    BadElement {
        /// The set.
        set: String,
        /// What was given.
        text: String,
        /// What was expected.
        why: String,
    },
    /// No pool of that name.
    #[error("the policy has no pool `{name}`{}", nearest_text(.nearest))]
    NoPool {
        /// What was asked for.
        name: String,
        /// One that reads alike.
        nearest: Option<String>,
    },
    /// Something cannot be done to a pool.
    #[error("pool `{pool}`: {why}")]
    Pool {
        /// The pool.
        pool: String,
        /// Why not.
        why: PoolError,
    },
    /// Backends cannot be checked.
    #[error("cannot check backends: {0}")]
    Checks(String),
    /// No statement could send to it.
    #[error(
        "pool `{pool}`: nothing can be sent to `{backend}`, a statement that uses the pool has no `from` of its family"
    )]
    BackendFamily {
        /// The pool.
        pool: String,
        /// What was to be added.
        backend: Endpoint,
    },
    /// Frames in VXLAN go to the MAC address of a backend, and that of this one is not known.
    #[error(
        "pool `{pool}`: nothing can be sent to `{backend}` by `via vxlan` without its MAC address: \
         say `mac` behind it in the policy, or `--mac` where it is added"
    )]
    BackendMac {
        /// The pool.
        pool: String,
        /// What has none.
        backend: Endpoint,
    },
    /// No statement of that name.
    #[error("the policy has no statement `{name}`{}", nearest_text(.nearest))]
    NoStatement {
        /// What was asked for.
        name: String,
        /// One that reads alike.
        nearest: Option<String>,
    },
    /// One capture at a time.
    #[error("another process captures from instance `{name}`: one capture at a time")]
    Capturing {
        /// The instance.
        name: String,
    },
    /// A ring has one reader.
    #[error("another process reads the samples of instance `{name}`: one reader at a time")]
    ReadingSamples {
        /// The instance.
        name: String,
    },
    /// Nothing in the policy samples.
    #[error("the policy of instance `{name}` has no `sample`")]
    NoSamples {
        /// The instance.
        name: String,
    },
    /// A collector of samples has no address, or packets to it would not leave.
    #[error("cannot send to collector `{name}`: {source}")]
    Collector {
        /// As it was given.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A statement or the running policy changed under a capture.
    #[error("the policy was reloaded while it was captured from: start the capture again")]
    CaptureEnded,
    /// XDP on a kernel without links for it (before 5.9); tc needs none.
    #[error(
        "{hook} on `{interface}` would not outlive this process: the kernel has no links for it, use Linux 5.9"
    )]
    NoLink {
        /// Where.
        hook: Hook,
        /// On what.
        interface: String,
    },
    /// A profile was asked for, and too few packets came.
    #[error(
        "instance `{name}` has counted {packets} of the {wanted} packets that a profile takes, since it was loaded or profiled"
    )]
    FewPackets {
        /// The instance.
        name: String,
        /// How many it has.
        packets: u64,
        /// How many it takes.
        wanted: u64,
    },
    /// A file or directory.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The answer.
        source: std::io::Error,
    },
    /// An engine could not judge.
    #[error(transparent)]
    Engine(#[from] crate::engines::EngineError),
    /// The kernel's answer to a request.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A place in a policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The statement's name, where the line belongs to one.
    pub statement: Option<String>,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// The analysis of a refused policy.
pub struct Refused(pub Box<Analysis>);

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    /// In one line, with where a refused policy's first error is and what it says.
    pub fn brief(&self) -> String {
        let Self::Policy(refused) = self else { return self.to_string() };
        let records = diagnostic::records(&refused.0.diagnostics, &refused.0.sources);
        let first = records.iter().find(|record| record.severity == "error");
        first.map_or_else(
            || self.to_string(),
            |first| format!("{self}: {}:{}:{}: {}", first.file, first.line, first.column, first.message),
        )
    }

    /// What the user can do, where the message does not say it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Rejected { fix, .. } => *fix,
            Self::Locked { .. } => {
                Some("wait for it, or end it: the kernel gives the lock back when it ends")
            }
            Self::FewPackets { .. } => Some("wait until traffic has come, or reload without a profile"),
            _ => None,
        }
    }
}

impl From<Analysis> for Error {
    fn from(analysis: Analysis) -> Self {
        Self::Policy(Refused(Box::new(analysis)))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.diagnostics.iter()).finish()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use weir_compiler::diagnostic::Severity;
        let mut errors = self.0.diagnostics.iter().filter(|d| d.code.severity() == Severity::Error);
        let count = errors.clone().count();
        write!(f, "{count} error{}", if count == 1 { "" } else { "s" })?;
        match errors.next() {
            Some(first) => write!(f, "; {}: {}", self.0.sources.place(first.primary.0), first.message),
            None => Ok(()),
        }
    }
}

fn place_text(place: &Option<Place>) -> String {
    match place {
        Some(Place { statement: Some(name), line, .. }) => format!("rule `{name}`, line {line}: "),
        Some(Place { statement: None, file, line }) => format!("{file}, line {line}: "),
        None => String::new(),
    }
}

fn others(running: &[String]) -> String {
    match running {
        [] => String::new(),
        names => format!("; running: {}", names.join(", ")),
    }
}

fn nearest_text(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; there is `{name}`"))
}

/// What a refused object means in the words of the policy.
pub(crate) fn refusal(error: LoadError, analysis: &Analysis) -> Error {
    let LoadError::Rejected { explanation, log, .. } = error else {
        return Error::Load(error);
    };
    let place = explanation.source.as_ref().and_then(|source| {
        let (file, line) = (source.file.clone()?, source.line?);
        Some(Place { statement: statement_at(analysis, &file, line), file, line })
    });
    let message = match explanation.meaning {
        Some(meaning) => format!("{meaning} ({})", explanation.message),
        None => explanation.message.clone(),
    };
    Error::Rejected { place, message, fix: explanation.fix, log }
}

/// The statement that a line belongs to: the last one that begins on it or before it. The verifier's log knows files
/// without their directories.
fn statement_at(analysis: &Analysis, file: &str, line: u32) -> Option<String> {
    let begins = |statement: &Statement| {
        let source = &analysis.sources[statement.span.source];
        let first = source.line_column(statement.span.start).0;
        (source.name.rsplit('/').next() == Some(file) && first <= line).then_some(first)
    };
    let found = analysis.policy.statements.iter().filter(|statement| begins(statement).is_some());
    found.max_by_key(|statement| begins(statement)).map(|statement| statement.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_kernel::verifier_log::explain;

    #[test]
    fn a_refusal_names_the_rule() {
        let text = "pass web when tcp.dstport == 80\n\ndrop big when\n    frame.len > 1000\n";
        let analysis = weir_compiler::analyse("etc/edge.weir", text, &weir_compiler::NoFiles);
        let log = "0: R1=ctx() R10=fp0\n; frame.len > 1000 @ edge.weir:4\n\
            7: (61) r0 = *(u32 *)(r2 +0)\nR2 invalid mem access 'scalar'\nprocessed 8 insns\n";
        let error = LoadError::Rejected {
            program: "weir".into(),
            explanation: Box::new(explain(log)),
            log: log.into(),
            errno: 13,
        };
        let text = refusal(error, &analysis).to_string();
        assert!(text.starts_with("rule `big`, line 4: the kernel refuses the program: "), "{text}");
        assert!(text.contains("R2 invalid mem access 'scalar'"), "{text}");
    }
}
