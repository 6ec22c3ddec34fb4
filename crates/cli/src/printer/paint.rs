//! Colours, which never are the only carrier of a meaning.

/// A way to set off text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Paint {
    /// As it is.
    #[default]
    Plain,
    /// Headings.
    Bold,
    /// What matters less.
    Dim,
    /// Drops and errors.
    Red,
    /// Passes and what is well.
    Green,
    /// Warnings.
    Yellow,
    /// Notes.
    Cyan,
}

impl Paint {
    /// The text, with ANSI escapes if colours are wanted.
    pub(crate) fn apply(self, text: &str, coloured: bool) -> String {
        let code = match self {
            Paint::Plain => return text.to_owned(),
            _ if !coloured => return text.to_owned(),
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "1;31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Cyan => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The colour of a verb or verdict.
pub(crate) fn verdict_paint(word: &str) -> Paint {
    match word {
        "drop" => Paint::Red,
        "pass" => Paint::Green,
        "limit" => Paint::Yellow,
        _ => Paint::Plain,
    }
}
