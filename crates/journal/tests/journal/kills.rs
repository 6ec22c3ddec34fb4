//! A journal whose process is killed.

use crate::common::{EPOCH, file, start, story};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use weir_journal::{State, read};

const CHILD: &str = "WEIR_JOURNAL_TO_WRITE";

/// What the child does: it tells of attacks until it is killed, and says of which it told.
fn write_until_killed(file: &Path) {
    let journal = start(file);
    let mut out = std::io::stdout();
    let first = journal.watch().live().attacks.last().map_or(1, |attack| attack.id + 1);
    for alert in first.. {
        let events = story(alert, alert, 100_000 * alert);
        journal.turn(&events, Vec::new(), Vec::new(), EPOCH);
        writeln!(out, "told {alert}").unwrap();
        out.flush().unwrap();
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[test]
fn killed_at_any_moment_it_is_whole() {
    if let Some(file) = std::env::var_os(CHILD) {
        return write_until_killed(Path::new(&file));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let (mut before, mut written) = (0, 0);
    for round in 0..25u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::killed_at_any_moment_it_is_whole", "--nocapture"])
            .env(CHILD, &file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("told")), "it began");
        std::thread::sleep(Duration::from_millis(round * 7 % 90));
        child.kill().unwrap();
        child.wait().unwrap();

        let (attacks, mitigations) = read::record(&file).unwrap();
        assert_eq!(attacks.len(), mitigations.len(), "round {round}: both or none");
        for (attack, mitigation) in attacks.iter().zip(&mitigations) {
            assert_eq!((attack.id, attack.timeline.len()), (mitigation.attack, 7), "round {round}");
            assert_eq!(mitigation.state, State::Ended);
        }
        let last = attacks.last().map_or(0, |attack| attack.id);
        assert!(last >= before, "round {round}: what was written stays");
        written += u64::from(last > before);
        before = last;
    }
    assert!(written >= 10, "most rounds wrote something: {written}");
    assert!(!read::events(&file).unwrap().is_empty());
}
