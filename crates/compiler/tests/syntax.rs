//! Golden cases: texts that are refused, with what is said about them, and texts that are formatted.
//!
//! A file of `tests/syntax/` holds cases parted by `====` lines: a text, `----`, what comes of it.
//! `WEIR_BLESS=1` rewrites the expectations; read the difference before you commit it.

use std::path::{Path, PathBuf};
use weir_compiler::diagnostic::{Diagnostics, Style, records, render};
use weir_compiler::source::Sources;
use weir_compiler::syntax::{format, parse, parse_elements_file};

fn cases(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax");
    let entries = std::fs::read_dir(directory).expect("the cases' directory");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(kind)));
    paths.sort();
    paths
}

/// Checks each case of the files of a kind; returns how many there are.
fn check(kind: &str, actual: impl Fn(&str) -> String) -> usize {
    let mut count = 0;
    for path in cases(kind) {
        let text = std::fs::read_to_string(&path).expect("a file of cases");
        let mut now = Vec::new();
        for case in text.split("====\n") {
            let (input, expected) = case.split_once("----\n").unwrap_or((case, ""));
            let output = actual(input);
            if std::env::var_os("WEIR_BLESS").is_none() {
                assert_eq!(output, expected, "{}, case:\n{input}", path.display());
            }
            now.push(format!("{input}----\n{output}"));
            count += 1;
        }
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(&path, now.join("====\n")).expect("the file can be written");
        }
    }
    count
}

fn refusal(text: &str) -> String {
    let (mut sources, mut told) = (Sources::default(), Diagnostics::default());
    let id = sources.add("edge.weir", text);
    parse(&sources, id, &mut told);
    told.sort();
    assert!(told.has_errors(), "nothing is refused in:\n{text}");
    format!("{}\n{}\n", render(&told, &sources, Style::Plain), told.summary())
}

#[test]
fn refusals_are_told_where_they_are_and_how_to_mend_them() {
    assert!(check("refuse", refusal) >= 50);
}

#[test]
fn texts_are_formatted() {
    let formatted = |text: &str| {
        let mut sources = Sources::default();
        let id = sources.add("edge.weir", text);
        match format(&sources, id) {
            Ok(text) => text,
            Err(told) => panic!("{}", render(&told, &sources, Style::Plain)),
        }
    };
    assert!(check("format", formatted) >= 30);
}

#[test]
fn bad_lines_of_a_set_file_are_named() {
    check("elements", |text| {
        let (mut sources, mut told) = (Sources::default(), Diagnostics::default());
        let id = sources.add("bogons.txt", text);
        let mut good = String::new();
        parse_elements_file(&sources, id, &mut told, |element| good += &format!("{element}\n"));
        good + &render(&told, &sources, Style::Plain)
    });
}

#[test]
fn programs_read_json() {
    let (mut sources, mut told) = (Sources::default(), Diagnostics::default());
    let id = sources.add("edge.weir", "pass\ndrop x when a && b\n");
    parse(&sources, id, &mut told);
    let json = serde_json::to_value(records(&told, &sources)).expect("plain data");
    let expected = serde_json::json!([{
        "code": "E0003", "severity": "error",
        "message": "this is written `and`, not `&&`",
        "file": "edge.weir", "line": 2, "column": 15, "end_line": 2, "end_column": 17,
        "help": "write `and` instead", "labels": [],
    }]);
    assert_eq!(json, expected);
}
