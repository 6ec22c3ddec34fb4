//! What the compiler has to say about a policy.
//!
//! Every stage collects into [`Diagnostics`] and goes on, so that all errors are told at once.

mod nearest;
mod render;

pub use nearest::{nearest, translated};
pub use render::{Label, Record, Style, records, render};

use crate::source::Span;
use std::collections::HashSet;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but perhaps does not say what was meant.
    Warning,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Stable code, such as `E0102`; [`Code::EXPLAINED`] says what each means.
    pub code: Code,
    /// What is wrong, lower case, no full stop, the value that matters last.
    pub message: String,
    /// The place, and what to say under it.
    pub primary: (Span, String),
    /// Other places that belong to it.
    pub secondary: Vec<(Span, String)>,
    /// The fix, where one is plain.
    pub help: Option<String>,
}

/// All messages of a compilation, in the order in which they were found.
#[derive(Clone, Default, Debug)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds a message and returns it, so that labels and help can be added.
    pub fn report(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.0.push(Diagnostic {
            code,
            message: message.into(),
            primary: (span, String::new()),
            secondary: Vec::new(),
            help: None,
        });
        self.0.last_mut().expect("just pushed")
    }

    /// Adds those of others.
    pub fn append(&mut self, others: Diagnostics) {
        self.0.extend(others.0);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.code.severity() == Severity::Error)
    }

    /// Orders them by their places, so that a reader goes through the texts once.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|d| (d.primary.0, d.code.severity(), d.code.text()));
    }

    /// Keeps the first of those that say the same of the same place.
    pub fn dedupe(&mut self) {
        let mut told = HashSet::new();
        self.0.retain(|d| told.insert((d.code, d.primary.0, d.message.clone())));
    }

    /// Keeps those that fit.
    pub fn retain(&mut self, fits: impl FnMut(&Diagnostic) -> bool) {
        self.0.retain(fits);
    }

    /// `2 errors, 1 warning`; empty if there is neither.
    pub fn summary(&self) -> String {
        let counted = [(Severity::Error, "error"), (Severity::Warning, "warning")];
        let parts = counted.iter().filter_map(|&(severity, word)| {
            let found = self.0.iter().filter(|d| d.code.severity() == severity);
            match found.count() {
                0 => None,
                1 => Some(format!("1 {word}")),
                n => Some(format!("{n} {word}s")),
            }
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl Diagnostic {
    /// Says something under the place itself.
    pub fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.primary.1 = text.into();
        self
    }

    /// Shows another place.
    pub fn also(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        self.secondary.push((span, text.into()));
        self
    }

    /// Says how to mend it.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }
}

macro_rules! codes {
    ($($variant:ident $code:literal $severity:ident $meaning:literal)*) => {
        /// The stable codes of messages.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Code { $(#[doc = $meaning] $variant),* }

        impl Code {
            /// Every code: its name, how bad it is, what it means.
            pub const EXPLAINED: &'static [(Code, &'static str, Severity, &'static str)] =
                &[$((Code::$variant, $code, Severity::$severity, $meaning)),*];
        }
    };
}

codes! {
    Character      "E0001" Error "a character that the language does not use"
    BadLiteral     "E0002" Error "a constant that cannot be read"
    Expected       "E0003" Error "something else was expected here"
    Planned        "E0004" Error "a statement that this version does not have yet"
    TooDeep        "E0005" Error "parentheses or negations nested too deep"
    UnknownName    "E0101" Error "no field, protocol, set or pool has this name"
    Duplicate      "E0102" Error "the same name twice"
    TypeMismatch   "E0103" Error "values that cannot be compared or used together"
    BadPrefix      "E0104" Error "an address with bits below its prefix length"
    OutOfRange     "E0105" Error "a constant that the field cannot hold"
    NotACondition  "E0106" Error "a value where a condition is needed"
    Ambiguous      "E0107" Error "a field that means several values where one is needed"
    BadSlice       "E0108" Error "a slice that is empty, too long or out of place"
    BadSet         "E0109" Error "a set that cannot be built as written"
    BadProtocol    "E0110" Error "a protocol definition that does not hold together"
    BadInclude     "E0111" Error "a file that cannot be included"
    BadLimit       "E0112" Error "a limit that cannot be kept as written"
    BadTest        "E0113" Error "a test packet that cannot be built"
    BadPool        "E0114" Error "a pool, or a way to its backends, that cannot be as written"
    BadEcho        "E0115" Error "an `echo` that does not know for whom it answers"
    BadSample      "E0116" Error "a sample that cannot be taken as written"
    Protected      "E0117" Error "a mitigation that may match what is protected"
    TooComplex     "E0201" Error "more than one program can hold"
    Unsupported    "E0202" Error "the target cannot do this"
    NeverMatches   "W0301" Warning "a statement that no packet reaches"
    AlwaysTrue     "W0302" Warning "a condition that no packet fails"
    AlwaysFalse    "W0303" Warning "a condition that no packet meets"
    Unused         "W0304" Warning "a set or a pool that nothing uses"
    TagTaken       "W0305" Warning "a header that the kernel takes off before the program sees the packet"
    ServiceTaken   "W0306" Warning "a `balance` whose service earlier statements take"
    CookiesLate    "W0307" Warning "SYN cookies that this host makes under pressure only"
}

impl Code {
    fn row(self) -> &'static (Code, &'static str, Severity, &'static str) {
        &Self::EXPLAINED[self as usize]
    }

    /// The code as it is printed.
    pub fn text(self) -> &'static str {
        self.row().1
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        self.row().2
    }
}
