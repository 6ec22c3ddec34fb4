//! Each file in `examples/`: it compiles without a warning, is formatted, and its tests pass.

use crate::common::weir_in;
use std::path::Path;

#[test]
fn every_example_holds() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names: Vec<String> = std::fs::read_dir(&examples)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".weir"))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let json = weir_in(&examples, &[&["check", "--json"][..], &names].concat(), b"").exits(0).json();
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(0), "{json}");
    weir_in(&examples, &[&["fmt", "--check"][..], &names].concat(), b"").exits(0);
    let json = weir_in(&examples, &[&["test", "--json"][..], &names].concat(), b"").exits(0).json();
    let files = json["cases"].as_array().unwrap().iter().map(|case| case["file"].as_str().unwrap());
    let tested: std::collections::BTreeSet<&str> = files.collect();
    assert_eq!(tested.len(), names.len(), "each example has a test");
    for name in names {
        weir_in(&examples, &["build", name, "-o", "/dev/null", "--kernel", "6.18"], b"").exits(0);
    }
}
