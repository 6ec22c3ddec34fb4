//! A failing case made smaller, as long as the same goes wrong.

use crate::case::{Case, Statement};
use crate::judge::{Failure, judge};
use std::time::{Duration, Instant};
use weir_bpf::target::Target;
use weir_compiler::Hook;

/// Longer than this nothing is made smaller.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn shrink(mut case: Case, mut failure: Failure, target: &Target) -> (Case, Failure) {
    let start = Instant::now();
    'again: loop {
        for smaller in candidates(&case) {
            if start.elapsed() > PATIENCE {
                return (case, failure);
            }
            match judge(&smaller, target) {
                Err(same) if same.kind == failure.kind => {
                    (case, failure) = (smaller, same);
                    continue 'again;
                }
                _ => {}
            }
        }
        return (case, failure);
    }
}

/// Smaller cases, those that leave out most first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    found.extend(without(&case.packets).map(|packets| Case { packets, ..case.clone() }));
    found.extend(without(&case.statements).map(|statements| Case { statements, ..case.clone() }));
    found.extend(without(&case.sets).map(|sets| Case { sets, ..case.clone() }));
    found.extend(without(&case.protocols).map(|protocols| Case { protocols, ..case.clone() }));
    for (index, statement) in case.statements.iter().enumerate() {
        let mut change = |statement: Statement| {
            let mut smaller = case.clone();
            smaller.statements[index] = statement;
            found.push(smaller);
        };
        let when = statement.when.iter().flat_map(|when| when.smaller());
        for when in when {
            change(Statement { when: Some(when), ..statement.clone() });
        }
        for head in
            ["likely ", "unlikely ", "shadow "].iter().filter_map(|word| statement.head.strip_prefix(word))
        {
            change(Statement { head: head.to_owned(), ..statement.clone() });
        }
        if statement.head.contains("limit") {
            let head = statement.head.replace("limit", "drop");
            change(Statement { head, when: statement.when.clone(), tail: String::new() });
        }
    }
    for protocol in 0..case.protocols.len() {
        let lines: Vec<_> = case.protocols[protocol].lines().collect();
        found.extend(without(&lines).map(|lines| {
            let mut smaller = case.clone();
            smaller.protocols[protocol] = lines.join("\n");
            smaller
        }));
    }
    if case.hook != Hook::Xdp || case.frags || case.capture || case.default.is_some() {
        let plain = Case { hook: Hook::Xdp, frags: false, capture: false, default: None, ..case.clone() };
        found.push(Case { hook: Hook::Xdp, ..case.clone() });
        found.push(Case { capture: false, ..case.clone() });
        found.push(Case { default: None, frags: false, ..case.clone() });
        found.push(plain);
    }
    if case.old {
        found.push(Case { old: false, ..case.clone() });
    }
    if case.kernel {
        found.push(Case { kernel: false, ..case.clone() });
    }
    // Same size and simpler would go round in circles: only what differs counts.
    found.retain(|smaller| {
        smaller.text() != case.text()
            || smaller.packets != case.packets
            || (smaller.hook, smaller.frags, smaller.capture, smaller.old, smaller.kernel)
                != (case.hook, case.frags, case.capture, case.old, case.kernel)
    });
    found
}

/// Lists with half left out, a quarter, … one.
fn without<T: Clone>(items: &[T]) -> impl Iterator<Item = Vec<T>> + '_ {
    let sizes = std::iter::successors(Some(items.len()), |size| (*size > 1).then(|| size.div_ceil(2)));
    sizes.filter(|size| *size > 0).flat_map(move |size| {
        (0..items.len()).step_by(size).map(move |at| {
            let end = (at + size).min(items.len());
            [&items[..at], &items[end..]].concat()
        })
    })
}
