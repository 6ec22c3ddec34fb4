use super::{Command, Config, Mitigations, Past, Proposal, Reason, Refusal, Written};
use crate::mine::{Destinations, Estimate, Prefix, Proof, Protected};
use std::time::Duration;

pub(super) fn proposal(rest: &str, proof: Proof, high: f64) -> Proposal {
    Proposal {
        victim: Prefix::new([192, 0, 2, 1].into(), 32).into(),
        cause: "DNS amplification".into(),
        word: "dns_amplification".into(),
        verb: "drop".into(),
        rest: format!("when {rest}"),
        comment: vec!["why".into()],
        proof,
        collateral: Estimate { share: 0.0, low: 0.0, high, samples: 100.0 },
        spares: Protected::default(),
    }
}

fn proven() -> Proposal {
    proposal("udp.srcport == 53", Proof::Shown, 0.03)
}

fn thin() -> Proposal {
    proposal("udp.srcport == 53", Proof::Thin, 1.0)
}

/// Lives, their time in tenths of a second, and a counter.
struct Play {
    lives: Mitigations,
    tenths: u64,
    told: Vec<String>,
}

impl Play {
    fn new(config: Config) -> Play {
        let mut play = Play { lives: Mitigations::new(config), tenths: 1000, told: Vec::new() };
        play.go(1, |_| ());
        play
    }

    fn go(&mut self, tenths: u64, mut each: impl FnMut(&mut Mitigations)) {
        for _ in 0..tenths {
            self.tenths += 1;
            each(&mut self.lives);
            let commands = self.lives.tick(Duration::from_millis(100 * self.tenths));
            self.told.extend(commands.iter().map(|command| match command {
                Command::Try(_) => "try".to_owned(),
                Command::Enforce(_) => "enforce".to_owned(),
                Command::Remove(_, reason) => reason.words().to_owned(),
            }));
        }
    }

    /// A hundred packets more each time.
    fn hit(&mut self, id: u64, tenths: u64) {
        let mut count = 0;
        self.go(tenths, |lives| {
            count += 100;
            lives.hit(id, count);
        });
    }
}

#[test]
fn what_is_proven_is_enforced_at_once_and_reads_as_a_statement() {
    let mut play = Play::new(Config::default());
    play.lives.propose(proven()).unwrap();
    play.go(1, |_| ());
    assert_eq!(play.told, ["enforce"]);
    let text = play.lives.standing().next().unwrap().text();
    assert_eq!(text, "# why\ndrop mitigation_1_dns_amplification when udp.srcport == 53\n");
}

#[test]
fn the_less_is_known_the_longer_it_is_tried() {
    for (proposal, least, most) in
        [(proposal("udp", Proof::Shown, 0.2), 9, 12), (proposal("udp", Proof::Thin, 1.0), 29, 32)]
    {
        let mut play = Play::new(Config::default());
        let id = play.lives.propose(proposal).unwrap();
        play.hit(id, least);
        assert_eq!(play.told, ["try"]);
        assert!(play.lives.standing().next().unwrap().text().contains("shadow drop"));
        play.hit(id, most - least);
        assert_eq!(play.told, ["try", "enforce"]);
    }
}

#[test]
fn what_nothing_hits_in_shadow_is_never_enforced() {
    let mut play = Play::new(Config::default());
    play.lives.propose(thin()).unwrap();
    play.go(700, |_| ());
    assert_eq!(play.told, ["try", Reason::Unused.words()]);
    assert_eq!(play.lives.standing().count(), 0);
}

#[test]
fn harm_ends_it_at_once_and_keeps_it_away() {
    for proposal in [proven(), thin()] {
        let mut play = Play::new(Config::default());
        let id = play.lives.propose(proposal.clone()).unwrap();
        play.hit(id, 3);
        play.lives.looked_good(id, 1000, 3);
        play.hit(id, 1);
        assert_eq!(play.lives.standing().count(), 1, "three of a thousand are within what may be");
        play.lives.looked_good(id, 0, 8);
        play.hit(id, 1);
        assert_eq!(play.told.last().unwrap(), Reason::Harm.words());
        assert_eq!(play.lives.propose(proposal.clone()), Err(Refusal::Forbidden));
        play.go(6100, |_| ());
        assert!(play.lives.propose(proposal).is_ok());
    }
}

#[test]
fn a_better_one_takes_the_place_of_others_when_it_is_enforced() {
    let mut play = Play::new(Config::default());
    let mut old = |port| {
        let proposal = proposal(&format!("udp.srcport == 53 and udp.dstport == {port}"), Proof::Shown, 0.03);
        play.lives.propose(proposal).unwrap()
    };
    let (old, pinned, edited) = (old(1), old(2), old(3));
    let tried = play.lives.propose(thin()).unwrap();
    play.lives.replace(vec![old, pinned, edited], tried);
    play.hit(tried, 10);
    assert_eq!(play.told, ["enforce", "enforce", "enforce", "try"], "in shadow it is in nobody's place");
    play.lives.pin(pinned, true);
    play.lives.edit(edited, &written("when udp", false)).unwrap();
    play.hit(tried, 25);
    assert_eq!(play.told[4..], ["enforce", Reason::Replaced.words()]);
    let left: Vec<u64> = play.lives.standing().map(|one| one.id).collect();
    assert_eq!(left, [pinned, edited, tried], "what people want to stay, or wrote, stays");
}

#[test]
fn good_traffic_that_falls_ends_what_is_enforced() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.go(1, |_| ());
    play.lives.fell(id);
    play.go(1, |_| ());
    assert_eq!(play.told, ["enforce", Reason::Fell.words()]);
}

#[test]
fn it_goes_when_it_is_hardly_hit() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 1000);
    assert_eq!(play.told, ["enforce"]);
    // A packet every ten seconds, where there were a thousand each second.
    let (mut count, mut tenths) = (100_000, 0);
    play.go(620, |lives| {
        tenths += 1;
        count += u64::from(tenths % 100 == 0);
        lives.hit(id, count);
    });
    assert_eq!(play.told, ["enforce", Reason::Unused.words()]);
}

#[test]
fn who_goes_on_with_one_knows_how_hard_it_was_hit() {
    for (highest, expected) in [(1000.0, &[Reason::Unused.words()][..]), (0.0, &[])] {
        let mut play = Play::new(Config::default());
        assert!(play.lives.adopt(7, proven(), Past { highest, ..Past::default() }));
        let mut tenths = 0;
        // What came before is in the counter; then five packets a second.
        play.go(700, |lives| {
            tenths += 1;
            lives.hit(7, 1_000_000 + tenths / 2);
        });
        assert_eq!(play.told, expected, "{highest}");
    }
}

#[test]
fn what_is_hit_for_long_has_to_be_found_again() {
    let mut play = Play::new(Config { longest: Duration::from_secs(20), ..Config::default() });
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 202);
    assert_eq!(play.told, ["enforce", Reason::Old.words()]);
    assert!(play.lives.propose(proven()).is_ok());
}

#[test]
fn people_pin_and_forbid() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    assert!(play.lives.pin(id, true));
    play.go(1200, |_| ());
    assert_eq!(play.told, ["enforce"]);
    play.lives.pin(id, false);
    play.go(1, |_| ());
    assert_eq!(play.told, ["enforce", Reason::Unused.words()]);
    let id = play.lives.propose(proven()).unwrap();
    assert!(play.lives.forbid(id) && !play.lives.forbid(id) && !play.lives.pin(id, true));
    play.go(36_000, |_| ());
    let narrower = Proposal { rest: format!("{} and ip.ttl == 9", proven().rest), ..proven() };
    assert_eq!(
        play.lives.propose(narrower.clone()),
        Err(Refusal::Forbidden),
        "for ever, and however it is said"
    );
    play.lives.forbid_all(narrower.against(), false);
    assert!(play.lives.propose(narrower).is_ok());
}

#[test]
fn what_people_said_holds_over_a_restart() {
    let other = |cause: &str| Proposal { cause: cause.into(), ..proposal(cause, Proof::Shown, 0.0) };
    let mut before = Mitigations::new(Config::default());
    let forbidden = before.propose(proven()).unwrap();
    let pinned = before.propose(other("tcp")).unwrap();
    before.propose(other("icmp")).unwrap();
    assert!(before.forbid(forbidden) && before.pin(pinned, true));

    let recall = |config: Config| {
        let mut after = Play::new(config);
        after.lives.number_behind(before.last_id());
        before.forbidden().iter().for_each(|against| after.lives.forbid_all(against.clone(), true));
        for one in before.standing().filter(|one| one.pinned) {
            let past = Past { pinned: true, hits: 7, ..Past::default() };
            assert!(after.lives.restore(one.id, one.proposal.clone(), past));
        }
        after.go(1200, |_| ());
        after
    };
    let mut after = recall(Config::default());
    assert_eq!(after.told, ["enforce"], "the pinned one, and it stays");
    let one = after.lives.standing().next().unwrap();
    assert_eq!((one.name(), one.hits.packets), (format!("mitigation_{pinned}_dns_amplification"), 7));
    assert_eq!(after.lives.propose(proven()), Err(Refusal::Forbidden));
    let next = after.lives.propose(other("udp")).unwrap();
    assert_eq!(next, before.last_id() + 1, "no number is given twice");

    let victims = proven().victim.prefixes().to_vec();
    let protected = Protected { victims, ..Protected::default() };
    let after = recall(Config { protected, ..Config::default() });
    assert_eq!(after.told, [Reason::Protected.words()], "and that is said");
}

#[test]
fn what_is_protected_wide_or_too_much_is_not_tried() {
    let prefix = |last: u8, length| Prefix::new([192, 0, 2, last].into(), length);
    let protected = Protected { victims: vec![prefix(0, 24)], ..Protected::default() };
    let mut lives = Mitigations::new(Config { protected: protected.clone(), ..Config::default() });
    let spares = Proposal { spares: protected, ..proven() };
    assert_eq!(lives.propose(spares), Err(Refusal::Protected));
    let sources = Protected { sources: vec![prefix(9, 32)], ..Protected::default() };
    let mut lives = Mitigations::new(Config { protected: sources, ..Config::default() });
    assert_eq!(lives.propose(proven()), Err(Refusal::Protected), "its condition does not leave them out");
    let mut lives = Mitigations::new(Config { most: 1, ..Config::default() });
    let mut wide = proven();
    wide.collateral.share = 0.01;
    assert_eq!(lives.propose(wide.clone()), Err(Refusal::Wide));
    wide.collateral.share = f64::NAN;
    assert_eq!(lives.propose(wide), Err(Refusal::Wide));
    lives.propose(proven()).unwrap();
    assert_eq!(lives.propose(proven()), Err(Refusal::Known));
    assert_eq!(lives.propose(proposal("tcp", Proof::Shown, 0.0)), Err(Refusal::Full));
}

#[test]
fn a_clock_that_jumps_decides_nothing() {
    let mut lives = Mitigations::new(Config::default());
    lives.tick(Duration::from_secs(100));
    let id = lives.propose(thin()).unwrap();
    lives.tick(Duration::from_secs(100));
    for jump in [86_400, 10, 90_000] {
        lives.hit(id, jump);
        assert_eq!(lives.tick(Duration::from_secs(jump)), [], "{jump}");
    }
    assert_eq!(lives.now(), Duration::from_secs(2));
}

#[test]
fn a_counter_that_begins_anew_is_no_hit_that_never_was() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.go(1, |lives| lives.hit(id, 1000));
    play.go(1, |lives| lives.hit(id, 1000));
    play.go(1, |lives| lives.hit(id, 10));
    assert_eq!(play.lives.standing().next().unwrap().hits.packets, 1010);
}

fn written(rest: &str, in_shadow: bool) -> Written {
    Written { verb: "drop".into(), rest: rest.into(), in_shadow, spares: Protected::default() }
}

#[test]
fn what_a_person_wrote_takes_the_place_and_the_life_goes_on() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 10);
    let old = play.lives.edit(id, &written("when udp", false)).unwrap();
    assert!(old.text().ends_with(" when udp.srcport == 53\n"));
    play.go(1, |lives| lives.hit(id, 1030));
    let one = play.lives.standing().next().unwrap();
    let text = "# written by a person, against DNS amplification to 192.0.2.1\ndrop mitigation_1_dns_amplification when udp\n";
    assert_eq!((one.text().as_str(), one.hits.packets, one.edited), (text, 1030, true));
    assert_eq!(play.told, ["enforce"], "it stands already");
    assert_eq!(play.lives.edit(7, &written("when udp", false)), None);
}

#[test]
fn an_edited_one_in_shadow_only_counts_until_it_is_edited_again() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 1);
    play.lives.edit(id, &written("when udp", true)).unwrap();
    play.hit(id, 300);
    let one = play.lives.standing().next().unwrap();
    assert!(one.in_shadow() && one.text().contains("shadow drop"));
    play.lives.edit(id, &written("when udp", false)).unwrap();
    play.hit(id, 1);
    assert!(!play.lives.standing().next().unwrap().in_shadow());
    assert_eq!(play.told, ["enforce"]);
}

#[test]
fn harm_of_an_edited_one_is_told_once_and_left_to_people() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 1);
    play.lives.looked_good(id, 1000, 3);
    play.lives.edit(id, &written("when udp", false)).unwrap();
    assert!(play.lives.harmful().is_empty(), "what the one before did is not its own");
    play.lives.looked_good(id, 100, 50);
    play.hit(id, 10);
    let told: Vec<Reason> = play.lives.harmful().into_iter().map(|(_, reason)| reason).collect();
    assert_eq!((told, play.lives.harmful().len()), (vec![Reason::Harm], 0));
    assert_eq!(play.lives.standing().count(), 1);
    play.lives.edit(id, &written("when udp.srcport == 53", false)).unwrap();
    play.lives.fell(id);
    assert_eq!(play.lives.harmful()[0].1, Reason::Fell, "another one has harm of its own");
}

#[test]
fn an_edited_one_goes_when_it_is_not_hit_and_need_not_be_found_again() {
    let mut play = Play::new(Config { longest: Duration::from_secs(20), ..Config::default() });
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 100);
    play.lives.edit(id, &written("when udp", false)).unwrap();
    play.hit(id, 400);
    assert_eq!(play.lives.standing().count(), 1, "old, and hit");
    play.go(620, |_| ());
    assert_eq!(play.told, ["enforce", Reason::Unused.words()]);
}

#[test]
fn nothing_is_tried_against_what_a_person_edited_and_all_else_is() {
    let mut play = Play::new(Config::default());
    let id = play.lives.propose(proven()).unwrap();
    play.hit(id, 1);
    play.lives.edit(id, &written("when udp.srcport == 53 and ip.len > 1000", false)).unwrap();
    assert_eq!(play.lives.propose(proven()), Err(Refusal::Edited));
    let other = Proposal { cause: "SYN flood".into(), ..proposal("tcp.flags.syn", Proof::Shown, 0.0) };
    assert!(play.lives.propose(other).is_ok());
    assert!(play.lives.forbid(id));
    play.lives.forbid_all(proven().against(), false);
    assert!(play.lives.propose(proven()).is_ok(), "when it is gone it is a mitigation like others");
}

#[test]
fn an_edited_one_ends_when_it_meets_what_is_protected_unless_it_is_shown_to_leave_that_out() {
    let sources = vec![Prefix::new([192, 0, 2, 9].into(), 32)];
    let protected = Protected { sources, ..Protected::default() };
    for shown in [true, false] {
        let mut play = Play::new(Config::default());
        let id = play.lives.propose(proven()).unwrap();
        play.hit(id, 1);
        play.lives.edit(id, &written("when udp and not ip.src == 192.0.2.9", false)).unwrap();
        if shown {
            play.lives.spares_too(id, &protected);
        }
        play.lives.protect(protected.clone());
        play.hit(id, 1);
        assert_eq!(play.lives.standing().count(), usize::from(shown), "{:?}", play.told);
    }
}

/// Whoever forbade something for an address, or for a service by its name, does not get it under another victim.
#[test]
fn what_is_forbidden_for_an_address_is_for_its_service() {
    let prefix = |last| Prefix::new([192, 0, 2, last].into(), 32);
    let web = |addresses: &[u8]| {
        let prefixes = addresses.iter().map(|last| prefix(*last)).collect();
        Proposal { victim: Destinations::new(Some("web".into()), prefixes), ..proven() }
    };
    let mut lives = Mitigations::new(Config::default());
    let id = lives.propose(proven()).unwrap();
    assert!(lives.forbid(id));
    assert_eq!(lives.propose(web(&[1, 7])), Err(Refusal::Forbidden));
    let id = lives.propose(web(&[2, 7])).unwrap();
    assert!(lives.forbid(id));
    assert_eq!(lives.propose(web(&[2, 8])), Err(Refusal::Forbidden), "other addresses, the same name");
}
