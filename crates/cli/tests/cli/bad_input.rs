//! Whatever is wrong with the input: a clear message, and the exit code that says whose turn it is.

use crate::common::{Place, answer, skip, without_privileges};

#[test]
fn files_that_are_not_there() {
    let place = Place::new();
    for command in [&["check"][..], &["fmt"], &["test"], &["explain"], &["debug", "ir"], &["bench"]] {
        let args = [command, &["no.weir"]].concat();
        place.weir(&args).exits(2).says("cannot read policy `no.weir`: no such file or directory");
    }
    place.weir(&["build", "no.weir", "-o", "x.o"]).exits(2).says("`no.weir`");
    place.weir(&["replay", "no.weir", "c.pcap"]).exits(2).says("`no.weir`");
    place.weir(&["replay", "p.weir", "no.pcap"]).exits(2).says("cannot open capture `no.pcap`: no such file");
}

#[test]
fn directories() {
    let place = Place::new();
    place.weir(&["check", "."]).exits(2).says("cannot read policy `.`: is a directory");
    place.weir(&["replay", "p.weir", "."]).exits(2).says("is a directory");
    place.weir(&["build", "p.weir", "-o", "."]).exits(2).says("cannot write `.`");
}

#[test]
fn a_capture_cut_short_is_judged_as_far_as_it_goes() {
    let place = Place::new();
    let bytes = std::fs::read(place.path("c.pcap")).unwrap();
    place.file("cut.pcap", &bytes[..bytes.len() - 3]);
    let answer = place.weir(&["replay", "p.weir", "cut.pcap", "--json"]).exits(2);
    assert_eq!(answer.json()["packets"], 5);
    let answer = answer.says("capture `cut.pcap`").says("frame 6");
    assert!(answer.err.contains("at byte "), "{}", answer.err);
}

#[test]
fn one_bad_capture_among_good_ones() {
    let place = Place::new();
    place.file("junk.pcap", b"this was never a capture");
    let answer = place.weir(&["replay", "p.weir", "junk.pcap", "c.pcap", "--json"]).exits(2);
    assert_eq!(answer.json()["packets"], 6);
    answer.says("capture `junk.pcap`: neither pcap nor pcapng");
}

#[test]
fn what_is_no_capture_gives_no_zeros() {
    let place = Place::new();
    place.file("empty.pcap", b"");
    for name in ["p.weir", "empty.pcap"] {
        assert_eq!(place.weir(&["replay", "p.weir", name]).exits(2).out, "");
    }
}

#[test]
fn a_capture_in_the_place_of_a_policy() {
    let place = Place::new();
    place.file("raw.weir", b"\xd4\xc3\xb2\xa1\x02\0\x04\0");
    place
        .weir(&["replay", "raw.weir", "c.pcap"])
        .exits(2)
        .says("is not text")
        .says("help: a capture comes after");
}

#[test]
fn policies_with_errors_are_the_inputs_fault() {
    let place = Place::new();
    place.file("bad.weir", b"drop when nonsense.field == 1\n");
    for args in [
        &["replay", "bad.weir", "c.pcap"][..],
        &["test", "bad.weir"],
        &["explain", "bad.weir"],
        &["build", "bad.weir", "-o", "x.o"],
        &["bench", "bad.weir"],
        &["load", "bad.weir", "-i", "lo", "--mode", "generic"],
        &["run", "bad.weir", "-i", "lo", "--mode", "generic"],
    ] {
        let answer = place.weir(args).exits(1).says("E0101");
        assert_eq!(answer.out, "", "{args:?}");
    }
    assert!(!place.path("x.o").exists());
}

#[test]
fn a_set_file_that_is_not_there() {
    let place = Place::new();
    place.file("set.weir", b"set a : ip from \"nowhere.txt\"\ndrop when ip.src in a\n");
    place.weir(&["check", "set.weir"]).exits(1).answers("nowhere.txt");
}

#[test]
fn garbage_on_the_command_line() {
    let place = Place::new();
    for args in [
        &[][..],
        &["frobnicate"],
        &["check"],
        &["replay", "p.weir"],
        &["check", "--frob", "p.weir"],
        &["load", "p.weir"],
        &["load", "p.weir", "-i", "lo", "--mode", "magic"],
        &["block", "192.0.2.1", "--for", "soon"],
        &["explain", "p.weir", "--kernel", "new"],
        &["bench", "p.weir", "--rounds", "-1"],
        &["--color", "mauve", "check", "p.weir"],
    ] {
        let answer = place.weir(args).exits(2);
        assert!(!answer.err.is_empty(), "{args:?}");
        assert_eq!(answer.out, "", "{args:?}");
    }
    place.weir(&["--help"]).exits(0).answers("replay");
    place.weir(&["--version"]).exits(0).answers("weir ");
}

#[test]
fn instances_that_do_not_run() {
    let place = Place::new();
    for args in [
        &["status", "-n", "nobody-here"][..],
        &["top", "-n", "nobody-here"],
        &["unload", "-n", "nobody-here"],
        &["reload", "p.weir", "-n", "nobody-here"],
        &["set", "list", "-n", "nobody-here"],
        &["block", "192.0.2.1", "-n", "nobody-here"],
        &["capture", "--statement", "x", "-o", "x.pcapng", "-n", "nobody-here"],
    ] {
        let answer = place.weir(args).exits(2);
        assert!(answer.err.contains("nobody-here") || answer.err.contains("bpf"), "{args:?}: {}", answer.err);
    }
}

#[test]
fn without_privileges_it_is_said_what_is_missing() {
    let place = Place::new();
    let directory = place.path("");
    for args in [
        &["load", "p.weir", "-i", "lo", "--mode", "generic", "-n", "unprivileged"][..],
        &["run", "p.weir", "-i", "lo", "--mode", "generic"],
        &["bench", "p.weir"],
    ] {
        let Some(mut command) = without_privileges(&directory, args) else {
            return skip("without_privileges_it_is_said_what_is_missing", "there is no setpriv");
        };
        let told = answer(&mut command, b"").exits(2);
        let words = ["CAP_BPF", "permission", "permitted", "root"];
        assert!(words.iter().any(|word| told.err.contains(word)), "{args:?}: {}", told.err);
    }
}

#[test]
fn doctor_says_so_without_privileges() {
    let place = Place::new();
    let Some(mut command) = without_privileges(&place.path(""), &["doctor", "--json"]) else {
        return skip("doctor_says_so_without_privileges", "there is no setpriv");
    };
    let json = answer(&mut command, b"").exits(1).json();
    let facts = json["facts"].as_array().expect("facts");
    assert!(facts.iter().any(|fact| fact["name"] == "privileges" && fact["state"] == "bad"), "{json}");
    assert!(json["features"].as_array().is_some_and(|features| features.len() > 10));
}
