//! Commands.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use weir_checks::Checker;
use weir_pool::probe::Probe;

use crate::support::{EVERY, failed, judge, late, rhythm, soon, target, undamped};

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7))
}

fn shell(script: &str) -> Probe {
    Probe::Exec { command: ["sh", "-c", script, "check"].map(str::to_owned).to_vec() }
}

#[test]
fn a_command_that_ends_with_0_is_well() {
    assert_eq!(judge(address(), shell("true")), Some(Ok(())));
}

#[test]
fn any_other_end_fails() {
    assert_eq!(judge(address(), shell("exit 1")), failed("exit status 1"));
    assert_eq!(judge(address(), shell("exit 42")), failed("exit status 42"));
    assert_eq!(judge(address(), shell("kill -TERM $$")), failed("killed by signal 15"));
}

#[test]
fn the_backend_is_the_last_two_arguments() {
    assert_eq!(judge(address(), shell(r#"test "$0 $*" = "check 127.0.0.1 7""#)), Some(Ok(())));
}

/// It reads nothing and writes nowhere; what it writes is not kept, however much.
#[test]
fn nothing_goes_in_and_nothing_comes_out() {
    assert_eq!(
        judge(address(), shell("read line && exit 1; head -c 1000000 /dev/zero; exit 0")),
        Some(Ok(()))
    );
}

#[test]
fn a_command_that_is_not_there_says_nothing() {
    let missing = Probe::Exec { command: vec!["/nonexistent/weir-check".to_owned()] };
    assert_eq!(judge(address(), missing), None);
}

/// A script that never ends, and a file where it says its own number and that of a command that it has started.
fn endless() -> (TempDir, PathBuf, Probe) {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("numbers");
    let script = format!("sleep 1000 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", file.display());
    (directory, file, shell(&script))
}

fn numbers(file: &Path) -> Vec<u32> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

/// Whether a process runs: a dead one whose parent has not looked yet does not.
fn runs(number: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn is_there(number: u32) -> bool {
    Path::new(&format!("/proc/{number}")).exists()
}

#[test]
fn a_command_that_is_late_is_killed_with_what_it_started() {
    let (_directory, file, probe) = endless();
    assert_eq!(judge(address(), probe), late());
    let [script, child] = numbers(&file)[..] else { panic!("no numbers") };
    assert!(soon(EVERY, || !runs(script) && !runs(child)));
}

#[test]
fn a_command_ends_with_its_check() {
    let (_directory, file, probe) = endless();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    let often = rhythm(Duration::from_secs(5), 1, 1);
    // Of these numbers, some check begins soon.
    for number in 0..20 {
        checker.set(number, target(address(), probe.clone(), often)).expect("a target");
    }
    assert!(soon(Duration::from_secs(5), || !numbers(&file).is_empty()));
    let [script, child] = numbers(&file)[..] else { panic!("no numbers") };
    assert!(runs(script) && runs(child));
    for number in 0..20 {
        checker.remove(number);
    }
    assert!(soon(Duration::from_secs(1), || !is_there(script) && !runs(child)), "gone, and waited for");
    drop(checker);
    assert!(changes.recv().is_err(), "nothing is known of it");
}

#[test]
fn a_command_ends_with_the_checker() {
    let (_directory, file, probe) = endless();
    let (checker, _changes) = Checker::start(undamped()).expect("a checker");
    for number in 0..20 {
        checker
            .set(number, target(address(), probe.clone(), rhythm(Duration::from_secs(5), 1, 1)))
            .expect("a target");
    }
    assert!(soon(Duration::from_secs(5), || !numbers(&file).is_empty()));
    let [script, child] = numbers(&file)[..] else { panic!("no numbers") };
    assert!(runs(script) && runs(child));
    drop(checker);
    assert!(!is_there(script), "waited for");
    assert!(soon(Duration::from_secs(1), || !runs(child)));
}
