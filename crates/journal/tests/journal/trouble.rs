//! A journal that cannot be what it should.

use crate::common::{EPOCH, began, file, options, start, story, tell, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use weir_journal::{Error, Journal, Options, read};

/// A file system of so many kilobytes.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, kilobytes: u32) -> Option<Small> {
        let options = format!("size={kilobytes}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_told_once_and_survived() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_small) = Small::mount(directory.path(), 6000) else {
        assert!(std::env::var_os("WEIR_REQUIRE_KERNEL").is_none(), "a file system cannot be mounted");
        println!("skipped: a_full_disk_is_told_once_and_survived: no privilege to mount");
        return;
    };
    let file = file(&directory);
    let journal = start(&file);
    tell(&journal, &story(1, 1, 5000));
    wait("it is written", || read::record(&file).is_ok_and(|(attacks, _)| attacks.len() == 1));
    assert!(journal.troubles().is_empty());
    let ballast = directory.path().join("ballast");
    let full = fs::write(&ballast, vec![1; 8 << 20]);
    assert!(full.is_err());

    let mut alert = 2;
    let mut more = || {
        tell(&journal, &story(alert, alert, 5000 * alert));
        alert += 1;
    };
    let start = Instant::now();
    while journal.watch().figures().failures == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the disk is full");
        more();
    }
    (0..50).for_each(|_| more());
    let troubles = journal.troubles();
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].contains("not written: no space left on device"), "{troubles:?}");
    assert!(read::record(&file).unwrap().0.iter().any(|attack| attack.id == 1), "what was there stays");

    fs::remove_file(&ballast).unwrap();
    wait("there is room again", || !journal.troubles().is_empty());
    drop(journal);
    let (attacks, _) = read::record(&file).unwrap();
    assert_eq!(attacks.len() as u64, alert - 1, "nothing is missing");
}

#[test]
fn where_nothing_can_be_written_all_else_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let live = directory.path().join("attacks.json");
    let file = directory.path().join("file/edge.redb");
    let (journal, memory) = Journal::start(Options { file: Some(file), live: Some(live) }).unwrap();
    assert_eq!(memory, Default::default());
    tell(&journal, &story(1, 1, 5000));
    wait("it is known", || journal.watch().live().attacks.len() == 1);
    let troubles = journal.troubles();
    assert!(troubles.len() == 1 && troubles[0].contains("is not written: "), "{troubles:?}");
    assert_eq!(journal.watch().figures().failures, 1);
}

#[test]
fn a_damaged_one_is_moved_aside() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.redb");
    let journal = start(&whole);
    (1..30).for_each(|alert| tell(&journal, &story(alert, alert, 5000 * alert)));
    drop(journal);
    let whole = fs::read(&whole).unwrap();

    let mut seed = 12345u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut aside, mut mended) = (0, 0);
    for round in 0..60 {
        let place = tempfile::tempdir().unwrap();
        let path = file(&place);
        let mut bytes = whole.clone();
        match round % 4 {
            // Most ways to cut it off are near neither end.
            0 if round % 8 == 0 => bytes.truncate(1 + random(500)),
            0 => bytes.truncate(1 + random(whole.len() - 1)),
            // Killed while it was made.
            1 => bytes.iter_mut().take(4 + random(4096)).for_each(|byte| *byte = 0),
            2 => (0..200).for_each(|_| bytes[4 + random(whole.len() - 4)] ^= 1 + random(255) as u8),
            _ => {
                let from = 4 + random(whole.len() - 4100);
                bytes[from..from + 4096].fill(random(256) as u8);
            }
        }
        fs::write(&path, &bytes).unwrap();
        let (journal, _) = Journal::start(options(&path)).unwrap();
        tell(&journal, &[began(1000, 5000, 5010)]);
        let troubles = journal.finish();
        let is_aside = fs::read_dir(place.path())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("edge.redb.damaged-"));
        assert_eq!(is_aside, !troubles.is_empty(), "round {round}: {troubles:?}");
        (aside, mended) = (aside + u32::from(is_aside), mended + u32::from(!is_aside));
        let (attacks, _) = read::record(&path).unwrap();
        assert!(attacks.iter().any(|attack| attack.id == 1000), "round {round}: another one is written");
    }
    assert!(aside >= 20, "{aside} were moved aside, {mended} were not");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("notes.txt");
    fs::write(&file, "do not forget\n").unwrap();
    let journal = start(&file);
    tell(&journal, &story(1, 1, 5000));
    let troubles = journal.finish();
    assert!(troubles[0].contains("it is no journal"), "{troubles:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "do not forget\n");
    assert!(matches!(read::record(&file), Err(Error::Foreign)));
}

#[test]
fn two_processes_do_not_write_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let first = start(&file);
    tell(&first, &story(1, 1, 5000));
    let second = start(&file);
    tell(&second, &story(1, 1, 9000));
    let troubles = second.finish();
    assert!(
        troubles[0].contains("another process writes it") && troubles[0].contains("--journal"),
        "{troubles:?}"
    );
    drop(first);
    let (attacks, _) = read::record(&file).unwrap();
    assert_eq!(attacks.len(), 1);
    assert_eq!(attacks[0].first_ns, EPOCH.as_nanos() as u64 + 5_000_000_000);
}

#[test]
fn nobody_waits_for_a_disk() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("attacks.json");
    let (journal, _) = Journal::start(Options { file: None, live: Some(live.clone()) }).unwrap();
    // Whoever opens this to write waits for a reader.
    let pipe = live.with_extension("new");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());

    let start = Instant::now();
    (1..2000).for_each(|alert| journal.turn(&story(alert, alert, 5000), Vec::new(), Vec::new(), EPOCH));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(journal.watch().figures().lost > 1000, "{:?}", journal.watch().figures());
    let start = Instant::now();
    let troubles = journal.finish();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(troubles[0].contains("does not answer"), "{troubles:?}");
    // The thread may go.
    drop(fs::read(&pipe));
}

#[test]
fn what_is_not_there_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let error = read::record(&file(&directory)).unwrap_err();
    assert!(matches!(error, Error::Missing(_)) && error.to_string().contains("edge.redb"));
}
