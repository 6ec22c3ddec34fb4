//! `weir diff` finds every seeded change, never calls different policies equal, and proves equality of what is
//! only said in another way.
//!
//! Whether a change matters is decided without it: packets around the edges of the changed rules, judged by the
//! evaluator under both policies.

mod dice;
mod equal;
mod large;
mod mutate;
mod policy;

use dice::Dice;
use mutate::{KINDS, mutate};
use policy::{Policy, packet};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use weir_compiler::diff::{self, Answer, Fate, Report, Settings};
use weir_compiler::eval::Evaluator;
use weir_compiler::{Analysis, NoFiles, analyse};

/// So many seeded changes of each kind are found: 500 in all.
const SEEDED: usize = 50;

/// So many packets are judged under both policies.
const PACKETS: usize = 60;

pub(crate) fn read(text: &str) -> Analysis {
    let analysis = analyse("p.weir", text, &NoFiles);
    assert!(!analysis.diagnostics.has_errors(), "{:?}\n{text}", analysis.diagnostics);
    analysis
}

pub(crate) fn compare(old: &str, new: &str) -> (Analysis, Analysis, Report) {
    let (old, new) = (read(old), read(new));
    let settings = Settings { tries: 2_000, ..Settings::default() };
    let report = diff::diff(&old.policy, &new.policy, &settings);
    confirmed(&old, &new, &report);
    (old, new, report)
}

/// Every difference is one for the evaluator, with fresh buckets and nobody who listens, on each policy by itself; its text
/// makes its frame.
fn confirmed(old: &Analysis, new: &Analysis, report: &Report) {
    for difference in &report.differences {
        let verdict = |analysis: &Analysis| {
            let mut evaluator = Evaluator::new(&analysis.policy);
            evaluator.sockets.listening = Some(BTreeSet::new());
            evaluator.judge(&difference.frame).verdict
        };
        let (before, after) = (&difference.old, &difference.new);
        if difference.given.is_empty() {
            assert_eq!(
                (verdict(old), verdict(new)),
                (before.verdict, after.verdict),
                "{}",
                difference.packet
            );
        }
        let leaves = |fate: &Fate| (fate.verdict, fate.decapsulated);
        assert!(leaves(before) != leaves(after) || before.limits.len() + after.limits.len() > 0);
        let case = format!("test \"w\" {{ {} => pass }}", difference.packet);
        let frame = analyse("w.weir", &case, &NoFiles).cases.remove(0).frame;
        assert_eq!(frame, difference.frame, "{}", difference.packet);
    }
}

/// The frames of packets around the edges of some rules.
fn frames(dice: &mut Dice, policies: [&Policy; 2], rules: &[usize]) -> Vec<Vec<u8>> {
    let mut text = String::from("test \"packets\" {\n");
    for _ in 0..PACKETS {
        let policy = *dice.pick(&policies);
        let rule = &policy.rules[*dice.pick(rules) % policy.rules.len()];
        text += &format!("    {} => pass\n", packet(dice, rule, &policy.sets));
    }
    analyse("packets.weir", &(text + "}\n"), &NoFiles).cases.into_iter().map(|case| case.frame).collect()
}

/// A frame that the policies treat differently, if there is one among them.
pub(crate) fn told_apart<'f>(old: &Analysis, new: &Analysis, frames: &'f [Vec<u8>]) -> Option<&'f Vec<u8>> {
    let fate = |analysis: &Analysis, frame: &[u8]| {
        let mut evaluator = Evaluator::new(&analysis.policy);
        let verdict = evaluator.judge(frame).verdict;
        let statements = analysis.policy.statements.iter().zip(&evaluator.counters);
        let limits = statements.filter(|(s, counter)| s.verb() == "limit" && counter.packets > 0);
        (verdict, limits.map(|(s, _)| s.name.clone()).collect::<Vec<_>>())
    };
    frames.iter().find(|frame| fate(old, frame) != fate(new, frame))
}

pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn seeded_differences_are_found() {
    let mut found: BTreeMap<&str, usize> = KINDS.iter().map(|kind| (*kind, 0)).collect();
    let (mut by_packets, mut equal, mut seed) = (0, 0, 0);
    while let Some(kind) = KINDS.iter().find(|kind| found[**kind] < SEEDED) {
        seed += 1;
        let mut dice = Dice::new(seed);
        let old = Policy::random(&mut dice);
        let mut new = old.clone();
        let Some(rules) = mutate(&mut dice, &mut new, kind).filter(|_| !new.rules.is_empty()) else {
            continue;
        };
        let frames = frames(&mut dice, [&old, &new], &rules);
        let (a, b, report) = compare(&old.text(), &new.text());
        let differs = told_apart(&a, &b, &frames).is_some();
        by_packets += usize::from(differs);
        let texts = || format!("seed {seed}, {kind}\n{}\n{}{:?}", old.text(), new.text(), report.unproven);
        match report.answer() {
            Answer::Different => *found.entry(kind).or_default() += 1,
            answer => {
                assert!(!differs, "{answer:?}: {}", texts());
                assert_eq!(answer, Answer::Equal, "{}", texts());
                equal += 1;
            }
        }
    }
    say(&format!("{found:?}; packets tell {by_packets} apart; {equal} changes change nothing"));
    assert!(by_packets > SEEDED * KINDS.len() / 2);
}

#[test]
fn a_tunnel_that_comes_off_is_no_plain_pass() {
    let answer = |old: &str, new: &str| compare(old, new).2.answer();
    let decap = "decap off when gre and inner.ip.dst == 10.0.0.0/8";
    assert_eq!(answer(decap, "decap off when inner.ip.dst == 10.0.0.0/8 and gre"), Answer::Equal);
    assert_eq!(answer(decap, "decap other when gre and not not inner.ip.dst == 10.0.0.0/8"), Answer::Equal);
    for other in
        ["pass off when gre and inner.ip.dst == 10.0.0.0/8", "decap off when gre", "", "drop when gre"]
    {
        assert_eq!(answer(decap, other), Answer::Different, "{other}");
        assert_eq!(answer(other, decap), Answer::Different, "{other}");
    }
    assert_eq!(answer("shadow decap off when gre", "pass"), Answer::Equal);
    // What is dropped for its congestion anyway: no packet shows a difference, and none is claimed.
    let lost = "drop lost when ip4.ecn == 3 and inner.ip4.ecn == 0 and ip4.proto == 4 and not vlan and not mpls\ndecap";
    assert_ne!(answer(lost, "decap"), Answer::Different);
}

#[test]
fn an_answer_to_echo_requests_is_no_plain_pass() {
    let answer = |old: &str, new: &str| compare(old, new).2.answer();
    let pool = "pool p {\n10.0.0.1\ngateway 02:00:00:00:00:01\n}\n";
    let plain = format!("{pool}balance web when ip.dst == 203.0.113.10 and tcp.dstport == 443 to p");
    let echo = format!("{plain} echo");
    assert_eq!(answer(&echo, &echo), Answer::Equal);
    assert_eq!(answer(&plain, &echo), Answer::Different);
    assert_eq!(answer(&echo, &plain), Answer::Different);
}

#[test]
fn an_answer_with_cookies_is_met_and_lets_go_on() {
    let answer = |old: &str, new: &str| compare(old, new).2.answer();
    let web = "answer web syncookie when tcp.dstport == 443 and ip.dst == 203.0.113.10";
    assert_eq!(
        answer(web, "answer web syncookie when ip.dst == 203.0.113.10 and tcp.dstport == 443"),
        Answer::Equal
    );
    assert_eq!(answer(web, &web.replace("answer web", "answer other")), Answer::Equal);
    for other in
        ["", "answer web syncookie when tcp.dstport == 443", "pass when tcp", "drop when tcp.flags.syn"]
    {
        assert_eq!(answer(web, other), Answer::Different, "{other}");
        assert_eq!(answer(other, web), Answer::Different, "{other}");
    }
    // What is behind it is asked of the same packets.
    assert_eq!(
        answer(&format!("{web}\ndrop when tcp"), &format!("{web}\ndrop when not not tcp")),
        Answer::Equal
    );
    assert_eq!(answer(&format!("{web}\ndrop when tcp"), &format!("{web}\npass when tcp")), Answer::Different);
    assert_eq!(answer(&format!("shadow {web}"), ""), Answer::Equal);
}
