//! Where the real captures are, and how foreign tools are asked.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every capture, or none with the reason printed.
pub(crate) fn captures(test: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    if found.is_empty() {
        println!("skipped {test}: no captures at ../shared/data/captures of the repository");
    }
    found
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Whether a tool can be run; prints the reason if not.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        println!("skipped {test}: `{tool}` is not installed");
    }
    there
}

/// The fields of every frame as tshark sees them: one row a frame.
pub(crate) fn tshark(capture: &Path, options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture).args(options).args(["-T", "fields"]);
    command.args(["-E", "separator=/t", "-E", "occurrence=a"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
