//! `check`, `fmt`, `test`, `explain`, `build`, `debug`, `completions`, `man`.

use crate::common::Place;

#[test]
fn check_is_fine_with_a_policy_that_is() {
    let place = Place::new();
    let answer = place.weir(&["check", "p.weir"]).exits(0).says("p.weir: ok, 6 statements");
    assert_eq!(answer.out, "");
    let json = place.weir(&["check", "--json", "p.weir"]).exits(0).json();
    assert_eq!(json["errors"], 0);
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(0));
}

#[test]
fn check_tells_all_errors_at_once_with_their_places() {
    let place = Place::new();
    place.file("bad.weir", b"drop a when tcp.dstprot == 80\npass b when ip.src in nowhere\n");
    let answer = place.weir(&["check", "bad.weir"]).exits(1).answers("E0101").answers("bad.weir:1:17");
    assert!(answer.out.contains("bad.weir:2:"), "{}", answer.out);
    assert!(!answer.out.contains('\x1b'), "no colours in a pipe");
    let json = place.weir(&["check", "--json", "bad.weir", "p.weir"]).exits(1).json();
    assert_eq!(json["errors"], 2);
    let first = &json["diagnostics"][0];
    assert_eq!((first["code"].as_str(), first["severity"].as_str()), (Some("E0101"), Some("error")));
    assert_eq!((first["file"].as_str(), first["line"].as_u64()), (Some("bad.weir"), Some(1)));
    place.weir(&["check", "--color", "always", "bad.weir"]).exits(1).answers("\x1b[");
}

#[test]
fn check_reads_standard_input() {
    let place = Place::new();
    place.weir_reads(&["check", "-"], b"default drop\n").exits(0).says("<stdin>: ok");
    place.weir_reads(&["check", "-"], b"drop when\n").exits(1).answers("<stdin>:1");
}

#[test]
fn fmt_changes_in_place_and_once() {
    let place = Place::new();
    place.file("ugly.weir", b"default    pass\ndrop x   when udp\n");
    place.weir(&["fmt", "--check", "ugly.weir"]).exits(1).answers("ugly.weir");
    place.weir(&["fmt", "ugly.weir"]).exits(0);
    let formatted = place.read("ugly.weir");
    assert_ne!(formatted, "default    pass\ndrop x   when udp\n");
    place.weir(&["fmt", "--check", "ugly.weir"]).exits(0);
    assert_eq!(place.weir_reads(&["fmt"], b"default    pass\n").exits(0).out, "default pass\n");
    place.weir_reads(&["fmt", "--check", "-"], b"default    pass\n").exits(1).answers("<stdin>");
}

#[test]
fn fmt_leaves_a_broken_policy_alone() {
    let place = Place::new();
    place.file("broken.weir", b"drop    when (\n");
    place.weir(&["fmt", "broken.weir"]).exits(1).says("error[");
    assert_eq!(place.read("broken.weir"), "drop    when (\n");
}

#[cfg(unix)]
#[test]
fn fmt_keeps_links_and_permissions() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let place = Place::new();
    place.file("real.weir", b"default    pass\n");
    std::fs::set_permissions(place.path("real.weir"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("real.weir", place.path("link.weir")).unwrap();
    place.weir(&["fmt", "link.weir"]).exits(0);
    assert_eq!(place.read("real.weir"), "default pass\n");
    assert!(place.path("link.weir").symlink_metadata().unwrap().is_symlink());
    let mode = place.path("real.weir").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn test_passes_and_fails() {
    let place = Place::new();
    place
        .weir(&["test", "p.weir"])
        .exits(0)
        .answers("ok   p.weir: answers")
        .answers("2 cases passed, 0 failed");
    place.file("bad.weir", b"drop a when udp\ntest \"t\" {\n    udp => pass\n    tcp => drop by a\n}\n");
    let answer = place.weir(&["test", "bad.weir"]).exits(1);
    assert!(answer.out.contains("FAIL bad.weir: t"), "{}", answer.out);
    assert!(
        answer.out.contains("bad.weir:3: udp") && answer.out.contains("found    drop by a"),
        "{}",
        answer.out
    );
    let json = place.weir(&["test", "--json", "bad.weir", "p.weir"]).exits(1).json();
    assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(2), Some(2)));
    assert_eq!(json["cases"][1]["expected"]["statement"], "a");
    assert!(json["cases"][1]["found"]["statement"].is_null());
}

#[test]
fn test_starts_each_test_anew() {
    let place = Place::new();
    let twice = "limit a when udp to 1/h burst 1\n\
                 test \"one\" { udp => pass }\n\
                 test \"two\" {\n    udp => pass\n    udp => drop by a\n}\n";
    place.file("limit.weir", twice.as_bytes());
    place.weir(&["test", "limit.weir"]).exits(0);
}

#[test]
fn explain_names_structures_and_costs() {
    let place = Place::new();
    let answer = place.weir(&["explain", "--kernel", "6.18", "p.weir"]).exits(0);
    for text in ["packet classes", "index of prefixes", "comparison tree", "instructions", "estimated cost"] {
        assert!(answer.out.contains(text), "`{text}` is not in:\n{}", answer.out);
    }
    let json = place.weir(&["explain", "--json", "--kernel", "6.18", "p.weir"]).exits(0).json();
    assert!(json["program"]["instructions"].as_u64() > Some(100));
    assert_eq!(json["sets"][0]["structure"], "comparison tree");
    assert!(json["maps"].as_array().is_some_and(|maps| maps.iter().any(|map| map["name"] == "counters")));
}

#[test]
fn explain_tells_what_else_would_have_cost_how_much() {
    let place = Place::new();
    let rules = (0..60).map(|nth| format!("drop r{nth} when ip4.src == 10.0.{nth}.0/24 and ip4.ttl > 9\n"));
    let list = (0..20).map(|nth| format!("192.0.2.{}", 2 * nth)).collect::<Vec<_>>().join(", ");
    let sets = format!(
        "set live : ip4 timeout 1h max 10\nset fixed : ip4 = {{ {list} }}\n\
                        drop a when ip4.dst in live\ndrop b when ip4.dst in fixed\n"
    );
    place.file("many.weir", (sets + &rules.collect::<String>()).as_bytes());
    let json = place.weir(&["explain", "--json", "--kernel", "6.18", "many.weir"]).exits(0).json();
    let choice = |choices: &serde_json::Value, structure: &str| {
        let of = |choice: &&serde_json::Value| choice["structure"] == structure;
        choices.as_array().and_then(|all| all.iter().find(of).cloned()).expect("a structure")
    };
    let live = &json["sets"][0]["choices"];
    assert_eq!(choice(live, "table")["impossible"], "it changes while running");
    assert_eq!(choice(live, "index of prefixes")["chosen"], true);
    let fixed = &json["sets"][1]["choices"];
    assert_eq!(choice(fixed, "table")["chosen"], true);
    assert!(choice(fixed, "table")["ns"].as_f64() < choice(fixed, "LPM trie")["ns"].as_f64());
    let group = &json["groups"][0];
    assert_eq!((group["first"].as_str(), group["statements"].as_u64()), (Some("r0"), Some(60)));
    assert_eq!(choice(&group["choices"], "table")["chosen"], true);
    assert_eq!(choice(&group["choices"], "hash map")["impossible"], "they ask for ranges or prefixes");
    let (table, chain) = (choice(&group["choices"], "table"), choice(&group["choices"], "comparison chain"));
    assert!(table["ns"].as_f64() < chain["ns"].as_f64(), "{group}");
    assert!(json["program"]["most_ns"].as_f64() > table["ns"].as_f64());
    place.weir(&["explain", "many.weir"]).exits(0).answers("estimated time").answers("comparison chain");
}

#[test]
fn explain_shows_the_program_with_the_policys_lines() {
    let place = Place::new();
    let answer = place.weir(&["explain", "--asm", "p.weir"]).exits(0);
    assert!(answer.out.contains("drop          big     when udp.srcport == 53"), "{}", answer.out);
    assert!(answer.out.contains("exit"));
}

#[test]
fn build_writes_an_object() {
    let place = Place::new();
    place.weir(&["build", "p.weir", "-o", "p.o"]).exits(0).says("section `xdp`");
    assert!(std::fs::read(place.path("p.o")).unwrap().starts_with(b"\x7fELF"));
    let json =
        place.weir(&["build", "p.weir", "-o", "q.o", "--kernel", "5.15", "--hook", "tc-ingress", "--json"]);
    assert_eq!(json.exits(0).json()["section"], "classifier");
    place
        .weir(&["build", "p.weir", "-o", "p.o", "--name", "9 lives"])
        .exits(2)
        .says("not a name for a program");
}

#[test]
fn debug_prints_every_stage() {
    let place = Place::new();
    for (stage, text) in [("ast", "Statement"), ("plan", "Plan"), ("ir", "load"), ("bpf", "exit")] {
        place.weir(&["debug", stage, "p.weir"]).exits(0).answers(text);
    }
    place.weir(&["debug", "ir", "p.weir", "--without", "all"]).exits(0).answers("load");
}

#[test]
fn completions_for_shells() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        place.weir(&["completions", shell]).exits(0).answers("replay");
    }
    place.weir(&["completions", "tea"]).exits(2);
}

#[test]
fn man_pages_for_every_subcommand() {
    let place = Place::new();
    place.weir(&["man", "pages"]).exits(0).answers("pages/weir-replay.1");
    assert!(place.read("pages/weir.1").contains(".TH weir 1"));
    assert!(place.read("pages/weir-set-add.1").contains("ELEMENT"));
    assert!(!place.path("pages/weir-debug.1").exists(), "hidden");
}
