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

/// The part of the README that shows what a command prints.
fn shown(text: &str, command: &str) -> String {
    let after = text.split_once(&format!("    $ {command}\n")).expect("the command").1;
    let lines = after.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let shown: Vec<&str> = lines.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
    shown.join("\n").trim_end().to_owned()
}

#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let edge = std::fs::read_to_string(root.join("examples/edge.weir")).unwrap();
    let quoted = readme.split("```weir\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(edge.starts_with(quoted.trim_end()), "the example is quoted as it is");
    let replay = weir_in(&root.join("examples"), &["replay", "edge.weir", "attack.pcap"], b"").exits(0);
    assert_eq!(replay.out.trim_end(), shown(&readme, "weir replay edge.weir attack.pcap"));
    let place = tempfile::TempDir::new().unwrap();
    let typos = edge.replace("in friends", "in freinds").replace("tcp.flags.syn and", "tcp.flag.syn and");
    std::fs::write(place.path().join("edge.weir"), typos).unwrap();
    std::fs::copy(root.join("examples/bogons.txt"), place.path().join("bogons.txt")).unwrap();
    let check = weir_in(place.path(), &["check", "edge.weir"], b"").exits(1);
    assert!(check.out.starts_with(&shown(&readme, "weir check edge.weir")), "{}", check.out);
}
