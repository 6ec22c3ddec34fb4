//! Ten thousand rules, one of them changed.

use crate::dice::Dice;
use crate::{compare, say};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::Instant;
use weir_compiler::diff::Answer;

const RULES: usize = 10_000;

fn rules(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let prefix = |dice: &mut Dice| {
        let length = *dice.pick(&[16, 20, 24, 24, 28, 32]);
        let at = dice.word() as u32 & !u32::MAX.checked_shr(length).unwrap_or(0);
        format!("{}/{length}", Ipv4Addr::from(at))
    };
    let rule = |number: usize| {
        let verb = if dice.one_in(2) { "drop" } else { "pass" };
        let mut rule = format!("{verb} r{number} when ip4.src == {}", prefix(&mut dice));
        if dice.one_in(3) {
            let _ = write!(rule, " and ip4.dst == {}", prefix(&mut dice));
        }
        if dice.one_in(2) {
            let low = dice.below(60_000);
            let _ = write!(rule, " and tcp.dstport in {{ {low}..{} }}", low + dice.below(2_000));
        }
        rule + "\n"
    };
    (0..RULES).map(rule).collect()
}

#[test]
fn every_rule_of_ten_thousand_in_other_words() {
    let old = rules(2);
    let new: Vec<_> = old.iter().map(|rule| rule.replace(" when ", " when frame.len > 0 and ")).collect();
    let (_, _, report) = compare(&old.concat(), &new.concat());
    assert_eq!(report.answer(), Answer::Equal);
}

#[test]
fn one_rule_of_ten_thousand() {
    let old = rules(1);
    for (at, change) in [(17, "drop"), (5_000, "swap"), (9_999, "gone")] {
        let mut new = old.clone();
        match change {
            "drop" => {
                new[at] =
                    new[at].replace("pass ", "drop x").replace("drop r", "pass r").replace("drop x", "drop ")
            }
            "swap" => new[at] = format!("{} when ip4.src == 203.0.113.0/24\n", ["pass", "drop"][1]),
            _ => drop(new.remove(at)),
        }
        let started = Instant::now();
        let (_, _, report) = compare(&old.concat(), &new.concat());
        say(&format!(
            "{change}: {} differences, {:.2?} with reading",
            report.differences.len(),
            started.elapsed()
        ));
        assert_eq!(report.answer(), Answer::Different);
    }
}
