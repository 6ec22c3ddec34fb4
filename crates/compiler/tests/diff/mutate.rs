//! One change of a policy.

use crate::dice::Dice;
use crate::policy::{Atom, FIELDS, Policy, prefix};

/// The kinds of changes, as the test counts them.
pub(crate) const KINDS: &[&str] = &[
    "bound",
    "prefix length",
    "verdict",
    "order",
    "removed",
    "element",
    "flag",
    "list",
    "negation",
    "default",
];

/// Changes one thing; which rules to aim packets at, or `None` if the policy has nothing of the kind.
pub(crate) fn mutate(dice: &mut Dice, policy: &mut Policy, kind: &str) -> Option<Vec<usize>> {
    let count = policy.rules.len();
    let at = dice.below(count);
    let all = || Some((0..count).collect());
    match kind {
        "verdict" => {
            let rule = policy.rules.iter_mut().filter(|rule| rule.verb != "limit").nth(at)?;
            rule.verb = if rule.verb == "drop" { "pass" } else { "drop" };
            return all();
        }
        "order" if at > 0 => {
            policy.rules.swap(at - 1, at);
            return Some(vec![at - 1, at]);
        }
        "removed" => drop(policy.rules.remove(at)),
        "default" => {
            policy.default = if policy.default == "pass" { "drop" } else { "pass" };
            return all();
        }
        "element" => {
            let set = dice.below(policy.sets.len());
            let used =
                |rule: &crate::policy::Rule| rule.atoms.iter().any(|(_, atom)| *atom == Atom::Member(set));
            if !policy.rules.iter().any(used) {
                return None;
            }
            match dice.one_in(2) && policy.sets[set].len() > 1 {
                true => drop(policy.sets[set].pop()),
                false => policy.sets[set].push(prefix(dice)),
            }
            return all();
        }
        "negation" => {
            let atoms = &mut policy.rules[at].atoms;
            let atom = dice.below(atoms.len());
            atoms[atom].0 = !atoms[atom].0;
        }
        _ => {
            let atoms = &mut policy.rules[at].atoms;
            let atom = dice.below(atoms.len());
            change(dice, &mut atoms[atom].1, kind)?;
        }
    }
    Some(vec![at.min(policy.rules.len().saturating_sub(1))])
}

fn change(dice: &mut Dice, atom: &mut Atom, kind: &str) -> Option<()> {
    match (kind, atom) {
        ("bound", Atom::In(_, ranges)) => {
            let count = ranges.len();
            let range = &mut ranges[dice.below(count)];
            match range.0 < range.1 && dice.one_in(2) {
                true => range.1 -= 1,
                false if range.0 > 0 => range.0 -= 1,
                false => return None,
            }
        }
        ("list", Atom::In(field, ranges)) => {
            if ranges.len() > 1 && dice.one_in(2) {
                ranges.pop();
            } else {
                let last = ranges.last()?.1;
                let more = last + 2;
                ranges.push((more, more));
                if FIELDS[*field].name == "tcp.flags & 0x17"
                    || more > 250 && FIELDS[*field].name != "tcp.dstport"
                {
                    return None;
                }
            }
        }
        ("prefix length", Atom::Prefix(_, at, length)) => {
            *length = if *length < 32 && dice.one_in(2) { *length + 1 } else { *length - 1 };
            *at &= !u32::MAX.checked_shr(*length).unwrap_or(0);
        }
        ("flag", Atom::Flag(flag)) => *flag = if *flag == "syn" { "urg" } else { "syn" },
        _ => return None,
    }
    Some(())
}
