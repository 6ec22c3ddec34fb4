use std::io;

/// The kernel's own number for "not supported", which leaks from some map types and which libc has no words for.
pub(crate) const ENOTSUPP: i32 = 524;

/// A request that the kernel refused: which, about what, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {subject}: {}", self.reason())]
pub struct KernelError {
    /// What was asked, as a verb: `open pin`, `update map`.
    pub action: &'static str,
    /// What it was asked of, as the user knows it: a path, a map's name, an interface.
    pub subject: String,
    /// The kernel's answer.
    pub source: io::Error,
    /// What the kernel added in words (netlink's extended acknowledgement), if anything.
    pub note: Option<String>,
}

impl KernelError {
    pub(crate) fn new(action: &'static str, subject: impl Into<String>, source: io::Error) -> Self {
        Self { action, subject: subject.into(), source, note: None }
    }

    /// The number of the error, as in `errno(3)`; 0 where there is none.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// The kernel's answer in words: the errno's, and its own where there are some.
    pub fn reason(&self) -> String {
        match &self.note {
            Some(note) => format!("{} ({note})", words(&self.source)),
            None => words(&self.source),
        }
    }

    /// The kernel answered that privileges are missing (`EPERM`, `EACCES`).
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), libc::EPERM | libc::EACCES)
    }

    /// The kernel answered that it is not there (`ENOENT`, `ENODEV`, `ENXIO`).
    pub fn is_missing(&self) -> bool {
        matches!(self.errno(), libc::ENOENT | libc::ENODEV | libc::ENXIO)
    }
}

/// `errno`'s words in the house style: lower case, without "(os error N)".
pub(crate) fn words(error: &io::Error) -> String {
    if error.raw_os_error() == Some(ENOTSUPP) {
        return "not supported by this kernel".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().collect::<String>() + chars.as_str(),
        None => String::new(),
    }
}
