//! The same policy, said in another way: equality is proven.

use crate::compare;
use crate::dice::Dice;
use crate::policy::{Atom, Policy, Rule, prefix_text};
use weir_compiler::diff::Answer;

fn proven(old: &str, new: &str) {
    let (_, _, report) = compare(old, new);
    assert_eq!(report.answer(), Answer::Equal, "{old}\n{new}\n{report:#?}");
}

/// Says a rule's condition in another way.
fn reworded(dice: &mut Dice, rule: &Rule) -> String {
    let tail = if rule.verb == "limit" { " to 5/s burst 3 per ip.src" } else { "" };
    let when = match dice.below(4) {
        0 => deep(rule),
        1 => {
            let mut atoms = rule.clone();
            dice.shuffle(&mut atoms.atoms);
            atoms.condition()
        }
        2 => rule.atoms.iter().map(|(not, atom)| split(*not, atom)).collect::<Vec<_>>().join(" and "),
        _ => format!("({0}) or ({0}) and frame.len > 100", rule.condition()),
    };
    format!("{} {} when {when}{tail}", rule.verb, rule.name)
}

/// De Morgan.
fn deep(rule: &Rule) -> String {
    let atoms = rule.atoms.iter().map(|(not, atom)| match not {
        true => atom.text(),
        false => format!("not {}", atom.text()),
    });
    format!("not ({})", atoms.collect::<Vec<_>>().join(" or "))
}

/// Prefixes in halves, lists one by one.
fn split(not: bool, atom: &Atom) -> String {
    let parts = match atom {
        Atom::Prefix(side, at, length) if *length < 32 => {
            let half = 1 << (31 - length);
            let part = |at: u32| format!("ip4.{side} == {}", prefix_text(at, length + 1));
            vec![part(*at), part(at | half)]
        }
        Atom::In(field, ranges) => {
            let part = |range: &(u32, u32)| Atom::In(*field, vec![*range]).text();
            ranges.iter().map(part).collect()
        }
        other => vec![other.text()],
    };
    let any = format!("({})", parts.join(" or "));
    if not { format!("not {any}") } else { any }
}

#[test]
fn rules_in_other_words() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let policy = Policy::random(&mut dice);
        let mut text = policy.text();
        for rule in &policy.rules {
            text = text.replacen(&rule.text(), &reworded(&mut dice, rule), 1);
        }
        proven(&policy.text(), &text);
    }
}

#[test]
fn rules_that_say_nothing_new() {
    for seed in 1_000..1_100 {
        let mut dice = Dice::new(seed);
        let policy = Policy::random(&mut dice);
        let mut more = policy.clone();
        let at = dice.below(policy.rules.len());
        let mut again = policy.rules[at].clone();
        if again.verb == "limit" {
            continue;
        }
        // What is inside an earlier rule never gets to a later one.
        again.name = "again".into();
        again.atoms.push((dice.one_in(2), Atom::Flag("syn")));
        let later = dice.between(at + 1, policy.rules.len());
        again.verb = if dice.one_in(2) { "pass" } else { "drop" };
        more.rules.insert(later, again);
        proven(&policy.text(), &more.text());
    }
}

#[test]
fn rules_that_do_not_meet_in_another_order() {
    for seed in 2_000..2_050 {
        let mut dice = Dice::new(seed);
        let rule =
            |number: u32| format!("{} when tcp.dstport == {number}\n", ["pass", "drop"][number as usize % 2]);
        let mut rules: Vec<String> = (0..40).map(rule).collect();
        let old = rules.concat();
        dice.shuffle(&mut rules);
        proven(&old, &rules.concat());
    }
}

#[test]
fn what_definitions_say_is_known() {
    let pairs = [
        ("drop when ip4 and ip4.version == 4", "drop when ip4"),
        ("drop when gre.key", "drop when gre.flags_and_version.key"),
        ("drop when tcp", "drop when tcp and tcp.data_off >= 5"),
        ("drop when tcp", "drop when tcp and frame.len >= 54"),
        ("drop when ip4[9:1] == 6 and ip4.proto == 6", "drop when ip4.proto == 6"),
        ("drop when tcp.flags & 0x3 == 2", "drop when tcp.flags.syn and not tcp.flags.fin"),
        ("drop when udp.length - 8 > 100", "drop when udp.length > 108"),
        ("drop when ip4.hdr_len > 20", "drop when ip4.ihl > 5"),
        (
            "drop when udp.payload[0:4] == 0x01020304",
            "drop when udp.payload[0:2] == 0x0102 and udp.payload[2:2] == 0x0304",
        ),
        (
            "drop when eth.src == 02:00:00:00:00:01",
            "drop when eth.src[0:3] == 0x020000 and eth.src[3:3] == 1",
        ),
        ("drop when tcp.srcport < tcp.dstport", "drop when tcp and tcp.dstport - tcp.srcport > 0"),
        ("drop when ip4 or ip6", "drop when ip"),
        ("drop when tcp and udp", "default pass"),
        ("drop when tcp.options.mss.val >= 0", "drop when tcp.options.mss.val"),
        (
            "drop when ip.src in { 10.0.0.0/8 }",
            "set a : ip = { 10.0.0.0/9, 10.128.0.0/9 }\ndrop when ip.src in a",
        ),
    ];
    for (old, new) in pairs {
        proven(old, new);
    }
}
