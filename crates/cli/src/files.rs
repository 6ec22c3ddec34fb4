//! Files that the user names, `-` being standard input and output.

use crate::failure::{Failure, failed, words};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// How standard input is called in messages.
pub(crate) const STDIN: &str = "<stdin>";

/// Whether the name means standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// The name for messages.
pub(crate) fn shown(path: &Path) -> String {
    if is_standard(path) { STDIN.to_owned() } else { path.display().to_string() }
}

/// The whole text of a file that is no policy.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = read("", path)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        failed(format!("`{}` is not text: line {line} is not UTF-8", shown(path)))
    })
}

/// The whole text of a policy.
pub(crate) fn read_policy(path: &Path) -> Result<String, Failure> {
    let bytes = read("policy ", path)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let failure = failed(format!("policy `{}` is not text: byte {at} is not UTF-8", shown(path)));
        match error.as_bytes() {
            [0x0a | 0xd4 | 0xa1 | 0x4d, ..] => {
                failure.help("a capture comes after the policy: `weir replay POLICY CAPTURE`")
            }
            _ => failure,
        }
    })
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = match is_standard(path) {
        true => io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => fs::read(path).map(|read| bytes = read),
    };
    let cannot = |error| failed(format!("cannot read {what}`{}`: {}", shown(path), words(&error)));
    result.map_err(cannot).map(|()| bytes)
}

/// Replaces a file at once: readers see the old text or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |error| failed(format!("cannot write `{}`: {}", path.display(), words(&error)));
    // A link stays a link: what it leads to is replaced.
    let target = fs::canonicalize(path).map_err(cannot)?;
    let permissions = fs::metadata(&target).map_err(cannot)?.permissions();
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = target.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, permissions))
        .and_then(|()| fs::rename(&beside, &target));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot(error)
    })
}

/// Writes a file, or standard output.
pub(crate) fn write(path: &Path, bytes: &[u8], printer: &mut crate::printer::Printer) -> Result<(), Failure> {
    if is_standard(path) {
        return printer.bytes(bytes);
    }
    fs::write(path, bytes)
        .map_err(|error| failed(format!("cannot write `{}`: {}", path.display(), words(&error))))
}
