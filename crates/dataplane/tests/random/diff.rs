//! What `weir diff` says of random policies that are nearly the same: those that it calls equal treat all
//! packets alike, and what it shows as a difference is one. And what that rests on: every condition's diagram
//! says of every packet what the evaluator says.

use crate::case::{Case, Condition};
use crate::dice::Dice;
use crate::{generate, say, setting};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_compiler::diff::{self, Answer, Report, Settings};
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_compiler::plan;
use weir_compiler::policy::Action;
use weir_compiler::symbolic::Space;
use weir_compiler::{Analysis, NoFiles, analyse};

/// So many answers of a hundred may be neither proven nor shown: the generator likes protocols that name each
/// other, sums of fields, and slices of what other fields say.
const MOST_OPEN: usize = 12;

#[test]
fn diff_is_right() {
    let pairs = setting("WEIR_RANDOM_PAIRS", 100);
    let seed = setting("WEIR_RANDOM_SEED", 1);
    let next = AtomicU64::new(0);
    let seen = Mutex::new([0usize; 3]);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= pairs {
                break;
            }
            if let Some(answer) = pair(seed + number) {
                seen.lock().unwrap()[answer as usize] += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            let thread = std::thread::Builder::new().name(format!("diff {worker}")).stack_size(16 << 20);
            thread.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let [equal, different, open] = seen.into_inner().unwrap();
    say(&format!("{equal} pairs are equal, {different} are different, {open} are open"));
    let all = equal + different + open;
    assert!(open * 100 <= all * MOST_OPEN, "{open} of {all} pairs are open");
    assert!(pairs < 100 || equal > 0 && different > 0);
}

/// The law of `weir_compiler::symbolic`, for the packets of a case.
fn diagrams_agree(case: &Case, analysis: &Analysis) {
    let policy = &analysis.policy;
    let Some(ways) = plan::ways(policy, 300, 1_000) else { return };
    let mut space = Space::new(policy, ways, 300_000);
    let mut counting = policy.clone();
    counting.statements.iter_mut().for_each(|statement| statement.action = Action::Count);
    for frame in &case.packets {
        let told = || format!("seed {}\n{}\n{frame:02x?}", case.seed, case.text());
        let mut evaluator = Evaluator::new(&counting);
        evaluator.judge(frame);
        let class = space.class_of(frame).unwrap_or_else(|| panic!("no class: {}", told()));
        space.enter(class);
        assert!(space.holds(space.classes[class].packets, frame), "lacks a packet: {}", told());
        for (index, statement) in policy.statements.iter().enumerate() {
            let Ok(holds) = space.condition(&statement.when) else { return };
            let holds = space.holds(holds, frame);
            let counted = evaluator.counters[index].packets > 0;
            assert_eq!(holds, counted, "`{}`: {}", statement.name, told());
        }
    }
}

fn pair(seed: u64) -> Option<Answer> {
    let mut case = generate(seed, false, &[]);
    let old = accepted(&mut case)?;
    diagrams_agree(&case, &old);
    let mut changed = case.clone();
    change(&mut Dice::new(seed), &mut changed);
    let new = accepted(&mut changed)?;
    let settings = Settings { tries: 500, most: 8, room: 1_000_000, ..Settings::default() };
    let report = diff::diff(&old.policy, &new.policy, &settings);
    let told = || format!("seed {seed}\n{}\n{}{:#?}", case.text(), changed.text(), report.unproven);
    for frame in case.packets.iter().chain(&changed.packets) {
        let alike = fate(&old, frame) == fate(&new, frame);
        assert!(alike || report.answer() != Answer::Equal, "{}\n{frame:02x?}", told());
    }
    shown(&old, &new, &report, &told);
    Some(report.answer())
}

/// Every difference is one for the evaluator.
fn shown(old: &Analysis, new: &Analysis, report: &Report, told: &dyn Fn() -> String) {
    for difference in report.differences.iter().filter(|difference| difference.given.is_empty()) {
        let fates = (fate(old, &difference.frame), fate(new, &difference.frame));
        assert!(
            fates.0 != fates.1 || difference.old.limits.len() + difference.new.limits.len() > 0,
            "{}",
            told()
        );
    }
}

/// The verdict of a first packet, as what it leaves, and the limits that it meets.
fn fate(analysis: &Analysis, frame: &[u8]) -> (Verdict, Option<Vec<u8>>, Vec<String>) {
    let mut evaluator = Evaluator::new(&analysis.policy);
    let outcome = evaluator.judge(frame);
    let statements = analysis.policy.statements.iter().zip(&evaluator.counters);
    let limits = statements.filter(|(s, counter)| s.verb() == "limit" && !s.shadow && counter.packets > 0);
    (outcome.verdict, outcome.frame, limits.map(|(s, _)| s.name.clone()).collect())
}

/// Without the statements that the checker refuses.
fn accepted(case: &mut Case) -> Option<Analysis> {
    loop {
        let analysis = analyse("random.weir", &case.text(), &NoFiles);
        if !analysis.diagnostics.has_errors() {
            return Some(analysis);
        }
        let lines = analysis.diagnostics.iter().filter_map(|d| {
            let span = d.primary.0;
            case.statement_at(analysis.sources[span.source].line_column(span.start).0)
        });
        let bad = lines.max()?;
        case.statements.remove(bad);
    }
}

/// Changes one thing, or only how it is said.
fn change(dice: &mut Dice, case: &mut Case) {
    if case.statements.is_empty() {
        return;
    }
    let at = dice.below(case.statements.len());
    let statement = case.statements[at].clone();
    match dice.below(6) {
        0 => drop(case.statements.remove(at)),
        1 if at > 0 => case.statements.swap(at - 1, at),
        2 => case.statements.push(statement),
        3 => {
            let twice = |when| Condition::Not(Box::new(Condition::Not(Box::new(when))));
            case.statements[at].when = statement.when.map(twice);
        }
        4 => {
            let smaller = statement.when.map(|when| when.smaller()).unwrap_or_default();
            if !smaller.is_empty() {
                case.statements[at].when = Some(dice.pick(&smaller).clone());
            }
        }
        _ => {
            let again = |when: Condition| Condition::Or(vec![when.clone(), when]);
            case.statements[at].when = statement.when.map(again);
        }
    }
}
