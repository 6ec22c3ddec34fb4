//! How a command ends: fine (0), "your input says no" (1), "I could not" (2), "who knows" (3).

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How a command that did its work ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// All is well.
    Fine,
    /// The input was read and says no: failed tests, differences, an attack that got through.
    No,
    /// Nothing was found, and that there is nothing is not proven.
    Unproven,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Fine => ExitCode::SUCCESS,
            Exit::No => ExitCode::from(1),
            Exit::Unproven => ExitCode::from(3),
        }
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever reads our output has enough. Not an error.
    ClosedPipe,
    /// The policy has errors, which were told.
    Refused,
    /// It could not be done.
    Could(Told),
}

/// What is said about a failure.
#[derive(Debug)]
pub(crate) struct Told {
    /// Lower case, no full stop.
    pub(crate) message: String,
    /// What to do about it, where that is plain.
    pub(crate) help: Option<String>,
}

/// What a command gives back.
pub(crate) type Outcome = Result<Exit, Failure>;

/// A failure with a message.
pub(crate) fn failed(message: impl Into<String>) -> Failure {
    Failure::Could(Told { message: message.into(), help: None })
}

impl Failure {
    /// Says what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Failure {
        match self {
            Failure::Could(told) => Failure::Could(Told { help: Some(help.into()), ..told }),
            other => other,
        }
    }
}

/// Any error with words becomes "I could not".
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        failed(error.to_string())
    }
}

/// Writing to stdout: a closed pipe is the reader's good right.
pub(crate) fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
        Err(error) => Err(failed(format!("cannot write to stdout: {}", words(&error)))),
        Ok(()) => Ok(()),
    }
}

/// The system's words in the house style: lower case, without "(os error N)".
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
