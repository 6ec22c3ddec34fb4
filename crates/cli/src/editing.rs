//! A statement that a person writes: as an argument, on standard input, or in an editor.

use crate::failure::{Failure, failed, words};
use crate::files::read_text;
use crate::printer::Printer;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below the statement in an editor.
const ABOUT: &str = "\n# One `drop` or `limit` statement; with `shadow` before it, it only counts. An empty text changes nothing.\n";

/// What was written.
pub(crate) struct Typed {
    pub(crate) text: String,
    /// Where, if in an editor.
    file: Option<PathBuf>,
}

impl Typed {
    /// What is to stand in the place of the `present` statement; nothing if an editor was closed without a change.
    pub(crate) fn get(given: Option<&str>, present: &str) -> Result<Option<Typed>, Failure> {
        match given {
            Some("-") => read_text(Path::new("-")).map(|text| Some(Typed { text, file: None })),
            Some(text) => Ok(Some(Typed { text: text.to_owned(), file: None })),
            None => Typed::in_editor(present),
        }
    }

    fn in_editor(present: &str) -> Result<Option<Typed>, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
        let editor = ["VISUAL", "EDITOR"].into_iter().find_map(set).ok_or_else(|| {
            failed("no statement is given, and no editor is set")
                .help("write the statement behind the number, or set `EDITOR`")
        })?;
        let file = std::env::temp_dir().join(format!("weir-{}.weir", std::process::id()));
        let cannot =
            |error: io::Error| failed(format!("cannot write `{}`: {}", file.display(), words(&error)));
        let mut opened =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(cannot)?;
        opened.write_all(format!("{}\n{ABOUT}", statement(present)).as_bytes()).map_err(cannot)?;
        // Editors are set with options, as for other commands.
        let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&file).status();
        let typed = match status {
            Ok(status) if status.success() => Typed { text: read_text(&file)?, file: Some(file) },
            _ => {
                let _ = fs::remove_file(&file);
                return Err(failed(format!("the editor `{editor}` failed: nothing is changed")));
            }
        };
        let new = statement(&typed.text);
        if new.is_empty() || new == statement(present) {
            typed.done();
            return Ok(None);
        }
        Ok(Some(typed))
    }

    /// It was taken, with warnings perhaps; or refused, and why.
    pub(crate) fn answered(
        &self,
        refused: Option<&str>,
        warnings: &str,
        printer: &mut Printer,
    ) -> Result<(), Failure> {
        if let Some(told) = refused {
            return Err(self.refused(told, printer));
        }
        self.done();
        if !warnings.is_empty() {
            printer.say(warnings.trim_end());
        }
        Ok(())
    }

    /// It is done with.
    fn done(&self) {
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }

    /// It was refused, with what was said of it. What was typed with care is not lost.
    fn refused(&self, told: &str, printer: &mut Printer) -> Failure {
        printer.say(told.trim_end());
        if let Some(file) = &self.file {
            printer.note(format!("what you wrote is in `{}`", file.display()));
        }
        Failure::Refused
    }
}

/// Without comments on lines of their own.
fn statement(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}
