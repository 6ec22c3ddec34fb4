//! Pipes that close, colours that nobody asked for, signals.

use crate::common::Place;
use std::io::Read;
use std::process::Stdio;

#[test]
fn a_closed_pipe_is_not_an_error() {
    let place = Place::new();
    for args in [
        &["debug", "plan", "p.weir"][..],
        &["explain", "--asm", "p.weir"],
        &["completions", "bash"],
        &["replay", "p.weir", "c.pcap", "--frames"],
        &["replay", "p.weir", "c.pcap", "--frames", "--json"],
    ] {
        let mut command = place.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("panic") && !said.contains("error"), "{args:?}: {said}");
    }
}

#[test]
fn a_full_disk_is() {
    let place = Place::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(&["debug", "ir", "p.weir"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout: no space left"));
}

#[test]
fn colours_are_a_choice() {
    let place = Place::new();
    place.file("bad.weir", b"drop when nonsense\n");
    let plain = place.weir(&["check", "bad.weir"]).exits(1);
    assert!(!plain.out.contains('\x1b'));
    let coloured = place.weir(&["check", "bad.weir", "--color=always"]).exits(1);
    assert!(coloured.out.contains('\x1b'));
    let never = place.weir(&["check", "bad.weir", "--color=never"]).exits(1);
    assert_eq!(never.out, plain.out);
}
