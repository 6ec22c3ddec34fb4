//! Commands.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use weir_checks::Checker;
use weir_pool::health::Health;
use weir_pool::probe::Probe;

use crate::support::{EVERY, UNMADE, failed, judge, late, rhythm, soon, target, undamped};

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
fn a_command_that_is_not_there_says_nothing_of_the_backend() {
    let missing = Probe::Exec { command: vec!["/nonexistent/weir-check".to_owned()] };
    assert_eq!(judge(address(), missing.clone()), None);
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    checker.set(1, target(address(), missing, rhythm(EVERY, 1, 1))).expect("a target");
    let (_, told) = changes.recv_timeout(EVERY * 5).expect("why it is not asked");
    let why = format!("{UNMADE}`/nonexistent/weir-check`: no such file or directory");
    assert_eq!((told.health, told.reason), (Health::Up, Some(why)));
}

/// A script that never ends, and a directory with a file for each time that it runs: its own number and that of a
/// command that it has started.
fn endless() -> (TempDir, Probe) {
    let directory = TempDir::new().expect("a directory");
    let script = r#"sleep 1000 & echo $$ $! > "$0/$$.new"; mv "$0/$$.new" "$0/$$"; wait"#;
    let path = directory.path().to_str().expect("text").to_owned();
    let command = ["sh".to_owned(), "-c".to_owned(), script.to_owned(), path].to_vec();
    (directory, Probe::Exec { command })
}

/// Scripts, and the commands that they have started.
fn numbers(directory: &TempDir) -> Vec<(u32, u32)> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("a file").path());
    let shown = entries.filter(|path| path.extension().is_none());
    let texts = shown.map(|path| fs::read_to_string(path).expect("numbers"));
    let number = |text: &str| text.parse().expect("a number");
    texts.map(|text| text.trim().split_once(' ').map(|(a, b)| (number(a), number(b))).expect("two")).collect()
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
    let (directory, probe) = endless();
    assert_eq!(judge(address(), probe), late());
    let numbers = numbers(&directory);
    assert!(!numbers.is_empty());
    assert!(soon(EVERY, || numbers.iter().all(|(script, child)| !runs(*script) && !runs(*child))));
}

/// Twenty checks that begin one after the other, when some of them have.
fn begun() -> (TempDir, Checker, Vec<(u32, u32)>) {
    let (directory, probe) = endless();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    for number in 0..20 {
        let seldom = rhythm(Duration::from_secs(5), 1, 1);
        checker.set(number, target(address(), probe.clone(), seldom)).expect("a target");
    }
    assert!(soon(Duration::from_secs(5), || numbers(&directory).len() >= 5));
    let numbers = numbers(&directory);
    assert!(numbers.iter().all(|(script, child)| runs(*script) && runs(*child)));
    assert!(changes.try_recv().is_err(), "nothing is known as yet");
    (directory, checker, numbers)
}

#[test]
fn a_command_ends_with_its_check() {
    let (_directory, checker, numbers) = begun();
    for number in 0..20 {
        checker.remove(number);
    }
    let gone = || numbers.iter().all(|(script, child)| !is_there(*script) && !runs(*child));
    assert!(soon(Duration::from_secs(1), gone), "and was waited for");
}

#[test]
fn a_command_ends_with_the_checker() {
    let (_directory, checker, numbers) = begun();
    drop(checker);
    assert!(numbers.iter().all(|(script, _)| !is_there(*script)), "all were waited for");
    assert!(soon(Duration::from_secs(1), || numbers.iter().all(|(_, child)| !runs(*child))));
}
