//! Drives the files of `tests/ir`: a program in text form and what is expected of it.
//!
//! The first line says what to do: `# print`, `# verify`, or `# pass NAME…` (one after the other;
//! `# pass all` for the whole order). For `print` and `pass`, what comes out stands behind a line
//! `# ----`. For `verify`, each refusal stands behind the line that is wrong, as `#! message`.
//! With `WEIR_BLESS=1` what is expected is written anew.

use std::fmt::Write as _;
use std::path::Path;
use weir_compiler::ir::parse::parse_with_places;
use weir_compiler::ir::verify::{Location, verify};
use weir_compiler::passes::{optimise, pass};

const RULE: &str = "# ----\n";
const REFUSAL: &str = " #! ";

#[test]
fn files_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ir");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let failed: Vec<String> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let actual = answer(&text).map_err(|error| format!("{name}: {error}"))?;
    if actual == text {
        return Ok(());
    }
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(path, actual).unwrap();
        return Ok(());
    }
    Err(format!("{name}: expected\n{text}\nbut got\n{actual}"))
}

/// The file as it should be.
fn answer(text: &str) -> Result<String, String> {
    let (head, rest) = text.split_once('\n').ok_or("the file is empty")?;
    let mut words = head.trim_start_matches("# ").split(' ');
    match words.next() {
        Some("verify") => refusals(text),
        Some("print") => transformed(head, rest, &[]),
        Some("pass") => transformed(head, rest, &words.collect::<Vec<_>>()),
        _ => Err(format!("`{head}` says nothing")),
    }
}

fn transformed(head: &str, rest: &str, passes: &[&str]) -> Result<String, String> {
    let input = rest.split(RULE).next().unwrap_or_default();
    let mut program = parse_with_places(input).map_err(|error| error.to_string())?.program;
    verify(&program).map_err(|errors| format!("{errors:?}"))?;
    for name in passes {
        match (*name, pass(name)) {
            ("all", _) => optimise(&mut program, &[]),
            (_, Some(pass)) => {
                (pass.run)(&mut program);
            }
            _ => return Err(format!("no pass `{name}`")),
        }
    }
    verify(&program).map_err(|errors| format!("afterwards: {errors:?}\n{program}"))?;
    Ok(format!("{head}\n{input}{RULE}{program}"))
}

/// The text with the verifier's messages behind the lines that they are about.
fn refusals(text: &str) -> Result<String, String> {
    let parsed = parse_with_places(text).map_err(|error| error.to_string())?;
    let errors = verify(&parsed.program).err().unwrap_or_default();
    let line_of = |at: &Location| parsed.places.get(at).copied().unwrap_or(1);
    let mut annotated = String::new();
    for (line, number) in text.lines().zip(1..) {
        annotated += line.split(REFUSAL).next().unwrap_or_default();
        for error in errors.iter().filter(|error| line_of(&error.at) == number) {
            write!(annotated, "{REFUSAL}{}", error.message).unwrap();
        }
        annotated.push('\n');
    }
    Ok(annotated)
}
