//! What is kept, and for how long.

use crate::common::{
    EPOCH, at, began, file, found, found_out, named, options, over, standing, start, story, tell, wait,
};
use std::io::Cursor;
use std::time::Duration;
use weir_detect::defence::{Memory, What};
use weir_journal::Step;
use weir_journal::record::ATTACKS;
use weir_journal::{Journal, Live, Options, State, read};
use weir_packet::capture::{Capture, Frame};

fn ms(at_ns: u64) -> u64 {
    (at_ns - EPOCH.as_nanos() as u64) / 1_000_000
}

#[test]
fn an_attack_has_a_timeline_that_outlives_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let journal = start(&file);
    tell(&journal, &story(1, 1, 5000));
    assert!(journal.finish().is_empty());

    let (attacks, mitigations) = read::record(&file).unwrap();
    let steps: Vec<(Step, u64)> =
        attacks[0].timeline.iter().map(|moment| (moment.step, ms(moment.at_ns))).collect();
    let expected = [
        (Step::FirstPacket, 5000),
        (Step::Alert, 5023),
        (Step::Rule, 5050),
        (Step::Enforced, 5060),
        (Step::FirstDrop, 5065),
        (Step::Removed, 65_000),
        (Step::Over, 66_000),
    ];
    assert_eq!(steps, expected);
    assert_eq!((ms(attacks[0].first_ns), attacks[0].ended_ns.map(ms)), (5000, Some(66_000)));
    let one = &mitigations[0];
    assert_eq!((one.state, one.hits, one.attack), (State::Ended, 120_000, 1));
    assert_eq!(one.why.as_deref(), Some("it is hardly hit any more"));
    let events = read::events(&file).unwrap();
    assert_eq!(events.len(), 6);
    assert_eq!(events[0].event["victim"], "192.0.2.1");
    assert!(events[1].text.starts_with("found `mitigation_1_ntp_amplification`"));
}

#[test]
fn others_read_it_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let live = directory.path().join("run/attacks.json");
    let options = Options { file: Some(file.clone()), live: Some(live.clone()) };
    let (journal, _) = Journal::start(options).unwrap();
    tell(&journal, &story(1, 1, 5000)[..4]);
    wait("it is written", || read::record(&file).is_ok_and(|(attacks, _)| attacks.len() == 1));
    let (attacks, mitigations) = read::record(&file).unwrap();
    assert_eq!((attacks[0].ended_ns, mitigations[0].state), (None, State::Enforced));

    journal.turn(&[], Vec::new(), standing(1, 777), EPOCH);
    wait("hits are seen", || {
        Live::read(&live).unwrap().is_some_and(|live| live.mitigations.iter().any(|one| one.hits == 777))
    });
    assert_eq!(*journal.watch().live(), Live::read(&live).unwrap().unwrap());
    drop(journal);
    assert_eq!(Live::read(&live).unwrap(), None, "nobody writes it any more");
    let (attacks, mitigations) = read::record(&file).unwrap();
    assert_eq!(attacks[0].timeline.last().unwrap().step, Step::Interrupted);
    assert_eq!((mitigations[0].hits, mitigations[0].why.as_deref()), (777, Some("the protection ended")));
}

#[test]
fn a_defence_goes_on_from_what_it_knew() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let mut defence = found_out();
    let one = defence.standing().next().unwrap().clone();
    assert!(defence.pin(one.id, true));
    let (journal, memory) = Journal::start(options(&file)).unwrap();
    assert_eq!(memory, Default::default());
    let memory = defence.memory();
    assert_eq!((memory.attacks, memory.mitigations, memory.pinned.len()), (1, 1, 1));
    journal.remember(memory.clone());
    drop(journal);
    let (journal, again) = Journal::start(options(&file)).unwrap();
    assert_eq!(again, memory);

    // What was told and not remembered has its number all the same.
    tell(&journal, &[began(7, 1000, 1000), found(7, 9, 1100)]);
    assert!(defence.forbid(one.id));
    journal.remember(defence.memory());
    drop(journal);
    let (_, again) = Journal::start(options(&file)).unwrap();
    assert_eq!((again.attacks, again.mitigations), (7, 9));
    assert!(again.pinned.is_empty() && again.forbidden.contains(&one.proposal.against()));
}

#[test]
fn samples_behind_a_rule_are_a_capture() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let mut defence = found_out();
    let evidence = defence.evidence();
    let (attack, good) = (evidence[0].attack().count(), evidence[0].good().count());
    assert!(attack >= 20 && good >= 20, "{attack} and {good}");
    let journal = start(&file);
    journal.turn(&defence.events(), evidence, Vec::new(), EPOCH);
    drop(journal);

    assert!(read::capture(&file, 2).unwrap().is_none());
    let capture = read::capture(&file, 1).unwrap().unwrap();
    let frames: Vec<_> = Capture::read(Cursor::new(capture)).unwrap().map(Result::unwrap).collect();
    let of = |kind: &str| frames.iter().filter(|frame| frame.interface.as_deref() == Some(kind)).count();
    assert_eq!((of("attack"), of("good")), (attack.min(500), good.min(500)));
    for frame in &frames {
        let kind = frame.interface.as_deref().unwrap();
        assert_eq!(frame.comment, Some(format!("{kind}, passed, 1 in 50")));
    }
    let is_ntp = |frame: &&Frame| frame.data[34..36] == [0, 123];
    assert!(frames.iter().filter(is_ntp).all(|frame| frame.interface.as_deref() == Some("attack")));
    assert!(frames.iter().filter(is_ntp).count() >= 20);
    let time = Duration::from_nanos(frames[0].timestamp_ns) - EPOCH;
    assert!((100..110).contains(&time.as_secs()), "{time:?}");
}

#[test]
fn an_edited_mitigation_has_the_text_that_a_person_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let journal = start(&file);
    let text = "# written by a person\nshadow drop mitigation_1_ntp_amplification when udp\n";
    let edited = What::Edited { named: named(1), old: "drop …".into(), new: text.into(), shadow: true };
    let harms = What::Harms { named: named(1), why: "it matches traffic that looks good".into() };
    tell(&journal, &[began(1, 0, 0), found(1, 1, 10), at(20, What::Enforced(named(1)))]);
    journal.turn(&[at(30, edited), at(40, harms)], Vec::new(), Vec::new(), EPOCH);
    let (say, said) = std::sync::mpsc::channel();
    let remember = |journal: &Journal| {
        let say = say.clone();
        journal.remember_then(Memory::default(), move |is_kept| say.send(is_kept).unwrap());
        said.recv_timeout(Duration::from_secs(30)).unwrap()
    };
    assert!(remember(&journal));
    // It is still written, and who reads sees all that was said to be there.
    let (attacks, mitigations) = read::record(&file).unwrap();
    let one = &mitigations[0];
    assert_eq!((one.text.as_str(), one.state, one.edited), (text, State::Shadow, true));
    assert_eq!(one.state_words(), "shadow, edited");
    let steps: Vec<Step> = attacks[0].timeline.iter().map(|moment| moment.step).collect();
    assert_eq!(steps[3..], [Step::Enforced, Step::Edited, Step::Harms]);
    let logged = read::events(&file).unwrap();
    assert_eq!(logged[3].event["new"], text);
    // Nothing is said to be kept that is kept nowhere.
    let nowhere = Journal::start(Options::default()).unwrap().0;
    assert!(!remember(&nowhere));
}

#[test]
fn the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let journal = start(&file);
    // The first one goes on all the time.
    tell(&journal, &[began(1, 0, 0), found(1, 1, 0), at(1, What::Enforced(named(1)))]);
    let last = ATTACKS as u64 + 500;
    for alert in 2..=last {
        tell(&journal, &[began(alert, alert, alert), found(alert, alert, alert), over(alert, alert)]);
    }
    tell(&journal, &[at(last, What::Drops(named(1)))]);
    assert_eq!(journal.watch().live().attacks.len(), ATTACKS);
    drop(journal);
    let (attacks, mitigations) = read::record(&file).unwrap();
    assert_eq!((attacks.len(), mitigations.len()), (ATTACKS, ATTACKS));
    assert_eq!((attacks[0].id, attacks[1].id, attacks[ATTACKS - 1].id), (1, 502, last));
    assert!(attacks[0].timeline.iter().any(|moment| moment.step == Step::FirstDrop));
    assert!(read::events(&file).unwrap().len() as u64 <= weir_journal::store::EVENTS);
}

#[test]
fn a_long_attack_keeps_its_beginning_and_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(&directory);
    let journal = start(&file);
    tell(&journal, &[began(1, 0, 5)]);
    (0..300).for_each(|ms| tell(&journal, &[began(1, 0, 10 + ms)]));
    tell(&journal, &[over(1, 1000)]);
    drop(journal);
    let timeline = &read::record(&file).unwrap().0[0].timeline;
    assert_eq!(timeline.len(), 100);
    assert_eq!((timeline[1].step, timeline[99].step), (Step::Alert, Step::Over));
}
