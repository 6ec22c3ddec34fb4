//! The arrows between crates, as ARCHITECTURE.md's table has them, and the invariants beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn crates() -> Vec<String> {
    let entries = fs::read_dir(root().join("crates")).expect("crates");
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Crate → crates that it may use, from the table's first and third columns.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let names = |cell: &str| -> BTreeSet<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [name, _, uses] = cells.as_slice() else { continue };
        let name = names(name).into_iter().next().expect("a name");
        let uses = if uses.trim() == "all" { crates().into_iter().collect() } else { names(uses) };
        rows.insert(name, uses);
    }
    rows
}

/// What a crate uses in its product; what only its tests use does not count.
fn used(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = text.parse().expect("TOML");
    let dependencies = manifest.get("dependencies").and_then(|table| table.as_table());
    let names = dependencies.into_iter().flat_map(|table| table.keys());
    names.filter_map(|name| name.strip_prefix("weir-")).map(str::to_owned).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("sources") {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// Lines of product code: without comments, and without the tests at the ends of files.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("source");
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(str::to_owned).collect()
}

#[test]
fn arrows_point_where_the_table_says() {
    let allowed = allowed();
    assert_eq!(allowed.keys().cloned().collect::<Vec<_>>(), crates(), "the table names every crate");
    for name in crates() {
        let too_many: Vec<_> = used(&name).difference(&allowed[&name]).cloned().collect();
        assert!(too_many.is_empty(), "crate `{name}` must not use {too_many:?}");
    }
}

#[test]
fn only_the_kernel_crate_is_unsafe() {
    for name in crates().into_iter().filter(|name| name != "kernel") {
        for path in sources(&root().join("crates").join(&name).join("src")) {
            for line in code(&path) {
                let allows = line.contains("allow(unsafe_code") || line.contains("expect(unsafe_code");
                let is_unsafe =
                    line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
                assert!(!allows && !is_unsafe, "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn only_the_command_prints() {
    const PRINTS: [&str; 7] =
        ["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!(", "io::stdout(", "io::stderr("];
    for name in crates().into_iter().filter(|name| name != "cli") {
        for path in sources(&root().join("crates").join(&name).join("src")) {
            for line in code(&path) {
                let prints = PRINTS.iter().any(|print| line.contains(print));
                assert!(!prints, "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_command_prints_in_one_place() {
    let source = root().join("crates/cli/src");
    for path in sources(&source).into_iter().filter(|path| !path.starts_with(source.join("printer"))) {
        for line in code(&path) {
            let prints =
                ["println!(", "print!(", "eprintln!(", "eprint!("].iter().any(|print| line.contains(print));
            assert!(!prints, "{}: {line}", path.display());
        }
    }
}
