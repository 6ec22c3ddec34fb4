//! Programs that others wrote, on hosts of a lab.
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::privileged;
use weir_lab::program::{Program, Scratch};
use weir_lab::{HostSpec, Lab, LabError, Topology};

const WAIT: Duration = Duration::from_secs(5);

fn lab() -> Lab {
    Topology::new().host(HostSpec::new("here")).build().expect("a lab")
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_program_is_in_its_hosts_network_alone() {
    let Some(_turn) = privileged("a_program_is_in_its_hosts_network_alone") else { return };
    let lab = lab();
    let host = lab.host("here").expect("there");
    let same = |kind: &str| {
        let said = Program::run(host, &["readlink", &format!("/proc/self/ns/{kind}")], WAIT).expect("runs");
        said.trim() == std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("a link").to_string_lossy()
    };
    assert!(!same("net"));
    assert!(same("mnt"));
}

#[test]
fn a_program_that_fails_says_why() {
    let Some(_turn) = privileged("a_program_that_fails_says_why") else { return };
    let lab = lab();
    let host = lab.host("here").expect("there");
    let error = Program::run(host, &["sh", "-c", "echo no luck >&2; exit 3"], WAIT).expect_err("fails");
    assert!(
        error.to_string().ends_with("on host `here` ended with exit status: 3 and said: no luck"),
        "{error}"
    );
    let error = Program::run(host, &["sleep", "60"], Duration::from_millis(50)).expect_err("too slow");
    assert!(matches!(error, LabError::Program { status: None, .. }), "{error}");
    let error = Program::run(host, &["no-such-program"], WAIT).expect_err("not there");
    assert!(error.to_string().contains("no-such-program"), "{error}");
}

/// What a kill does as well: the value is never dropped.
#[test]
fn a_program_ends_with_the_thread_that_started_it() {
    let Some(_turn) = privileged("a_program_ends_with_the_thread_that_started_it") else { return };
    let lab = lab();
    let start = || {
        let program = Program::start(lab.host("here").expect("there"), &["sleep", "60"]).expect("starts");
        let pid = program.id();
        // Only once it is the command itself, the sign to end is there.
        let command = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let start = Instant::now();
        while command().trim() != "sleep" && start.elapsed() < WAIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        (program, pid)
    };
    let (mut program, pid) = std::thread::scope(|scope| scope.spawn(start).join()).expect("a thread");
    let start = Instant::now();
    while program.ended().expect("known").is_none() && start.elapsed() < WAIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(program.ended().expect("known").is_some(), "{pid} is still at work");

    let program = Program::start(lab.host("here").expect("there"), &["sleep", "60"]).expect("starts");
    let pid = program.id();
    drop(program);
    assert!(!is_there(pid), "{pid} is still at work");
}

#[test]
fn a_scratch_directory_goes_with_its_value() {
    let Some(_turn) = privileged("a_scratch_directory_goes_with_its_value") else { return };
    let scratch = Scratch::create().expect("a directory");
    let path = scratch.path().to_owned();
    assert_eq!(scratch.write("file", "text").expect("a file"), path.join("file").display().to_string());
    drop(scratch);
    assert!(!path.exists());
}
