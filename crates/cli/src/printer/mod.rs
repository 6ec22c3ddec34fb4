//! The one place that prints. Data goes to stdout, talk to stderr.

mod paint;
mod progress;
mod statements;
mod table;

pub(crate) use paint::{Paint, verdict_paint};
pub(crate) use progress::{Progress, Waiting};
pub(crate) use statements::statement_table;
pub(crate) use table::{Cell, Table};

use crate::args::ColorChoice;
use crate::failure::{Failure, written};
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use weir_compiler::diagnostic::{self, Style};
use weir_compiler::source::Sources;

/// Prints, with colours where they are wanted.
#[derive(Debug)]
pub(crate) struct Printer {
    colour_out: bool,
    colour_err: bool,
}

impl Printer {
    /// Looks at the terminal and at `NO_COLOR` (<https://no-color.org>) once.
    pub(crate) fn new(choice: ColorChoice) -> Printer {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color && !dumb,
        };
        Printer {
            colour_out: wanted(io::stdout().is_terminal()),
            colour_err: wanted(io::stderr().is_terminal()),
        }
    }

    /// Text to stdout, as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Bytes to stdout.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// A line to stdout.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.text(&format!("{}\n", text.as_ref()))
    }

    /// A line of JSON to stdout, as it is made: answers can be longer than what should be in memory.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let made = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
        written(made.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
    }

    /// A table to stdout.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(self.colour_out))
    }

    /// Text in a colour, for stdout.
    pub(crate) fn painted(&self, text: &str, paint: Paint) -> String {
        paint.apply(text, self.colour_out)
    }

    /// Something worth knowing, to stderr.
    pub(crate) fn note(&mut self, text: impl AsRef<str>) {
        self.talk("note", Paint::Cyan, text.as_ref());
    }

    /// Something to look at, to stderr.
    pub(crate) fn warning(&mut self, text: impl AsRef<str>) {
        self.talk("warning", Paint::Yellow, text.as_ref());
    }

    /// An error that does not end the command at once, to stderr.
    pub(crate) fn error(&mut self, text: impl AsRef<str>) {
        self.talk("error", Paint::Red, text.as_ref());
    }

    /// A line to stderr, as it is.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) {
        // Nobody listens to a closed stderr, and there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{}", text.as_ref());
    }

    /// What a failed command has to say, and its exit code.
    pub(crate) fn failure(&mut self, failure: &Failure) -> ExitCode {
        match failure {
            Failure::ClosedPipe => ExitCode::SUCCESS,
            Failure::Refused => ExitCode::from(1),
            Failure::Could(told) => {
                self.error(&told.message);
                if let Some(help) = &told.help {
                    self.talk("help", Paint::Cyan, help);
                }
                ExitCode::from(2)
            }
        }
    }

    /// Messages of the compiler to stderr.
    pub(crate) fn diagnostics(&mut self, found: &diagnostic::Diagnostics, sources: &Sources) {
        let text = diagnostic::render(found, sources, style(self.colour_err));
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Messages of the compiler to stdout, where they are what was asked for.
    pub(crate) fn diagnostics_as_data(
        &mut self,
        found: &diagnostic::Diagnostics,
        sources: &Sources,
    ) -> Result<(), Failure> {
        self.text(&diagnostic::render(found, sources, style(self.colour_out)))
    }

    /// A bar on stderr for what may take longer than a second; nothing if stderr is no terminal.
    pub(crate) fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        Progress::new(what, total)
    }

    /// The same for what does not say how far it is: until the answer is dropped.
    pub(crate) fn waiting(&self, what: &'static str) -> Waiting {
        Waiting::new(what)
    }

    fn talk(&mut self, label: &str, paint: Paint, text: &str) {
        let label = paint.apply(label, self.colour_err);
        self.say(format!("{label}: {text}"));
    }
}

fn style(coloured: bool) -> Style {
    if coloured { Style::Coloured } else { Style::Plain }
}
