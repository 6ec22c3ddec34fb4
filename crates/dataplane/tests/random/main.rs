//! Random policies on random packets: the evaluator, the IR before and after the passes, the bytecode and the
//! kernel agree on every verdict, on who decided and on every counter; the verifier accepts every program.
//!
//! | variable | means | unless set |
//! |---|---|---|
//! | `WEIR_RANDOM_POLICIES` | how many policies | 20 |
//! | `WEIR_RANDOM_SEED` | the first policy's seed; the next ones have the next numbers | 1 |
//! | `WEIR_RANDOM_KERNEL` | every which of them is loaded into the kernel too, 0 for none | 4 |
//! | `WEIR_RANDOM_PAIRS` | how many pairs of policies `weir diff` compares | 100 |
//! | `WEIR_REQUIRE_KERNEL` | `1`: no privileges are a failure | |
//!
//! A failure names its seed: the same seed and one policy are the same case. Real frames are spoilt too where the
//! captures stand beside the checkout.

mod balance;
mod case;
mod cookie;
#[path = "../cookies/mod.rs"]
mod cookies;
mod dice;
mod diff;
mod judge;
mod literal;
#[path = "../one_cpu/mod.rs"]
mod one_cpu;
mod packet;
mod panics;
mod policy;
mod protocol;
#[path = "../routed/mod.rs"]
mod routed;
mod shrink;
mod vocabulary;

use case::Case;
use dice::Dice;
use judge::{Failure, Kind, Seen, hex, judge};
use panics::caught;
use policy::Clock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use vocabulary::{Focus, Vocabulary};
use weir_bpf::target::Target;
use weir_compiler::policy::Protocols;
use weir_compiler::{Hook, NoFiles, analyse};

const CAPTURES: &str = "../../../shared/data/captures";

/// A long run says how far it is, after so many seconds.
const TELL_EVERY: u64 = 10;

/// After so many failures the rest is not looked at.
const MOST_FAILURES: usize = 4;

/// A test in which nothing matches proves nothing: percentages, with what is seen being well above.
const LEAST_DECIDED: usize = 40;
const LEAST_APPLIED: usize = 15;
/// Of a thousand.
const LEAST_CHANGED: usize = 5;
/// The generator is no test of error messages: so many statements of a hundred may be refused.
const MOST_REFUSED: usize = 20;

/// So many policies of a hundred have tables with rows that count.
const LEAST_COUNTING: usize = 15;

/// So many policies of a hundred may be more than one program can hold, told by the compiler or by
/// the verifier; the generator likes protocols that name each other.
const MOST_TOO_LARGE: usize = 10;

/// All that was seen.
#[derive(Default)]
struct Total {
    policies: usize,
    seen: Seen,
    loads: usize,
    generated: usize,
    refused: usize,
    too_large: usize,
    left_out: usize,
    largest: usize,
    counting: usize,
    reasons: BTreeMap<String, usize>,
}

#[test]
fn engines_agree() {
    let policies = setting("WEIR_RANDOM_POLICIES", 20);
    let seed = setting("WEIR_RANDOM_SEED", 1);
    let every = setting("WEIR_RANDOM_KERNEL", 4);
    let kernel = kernel().filter(|_| every > 0);
    let target = kernel.clone().unwrap_or_else(Target::newest);
    let captured = captured();
    let started = Instant::now();
    let (next, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let total = Mutex::new(Total::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= policies || failures.lock().unwrap().len() >= MOST_FAILURES {
                break;
            }
            let seed = seed + number;
            let in_kernel = kernel.is_some() && seed.is_multiple_of(every);
            let done = caught(|| one(seed, in_kernel, &target, &captured, &total));
            // What panics outside of judging has no case that could be made smaller.
            if let Err(text) = done.unwrap_or_else(|panic| Err(again(seed, in_kernel) + ": " + &panic)) {
                failures.lock().unwrap().push(text);
            }
            let seconds = started.elapsed().as_secs();
            if told.fetch_max(seconds / TELL_EVERY, Ordering::Relaxed) < seconds / TELL_EVERY {
                let failed = failures.lock().unwrap().len();
                say(&format!("{} of {policies} policies in {seconds} s, {failed} failures", number + 1));
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            let thread = std::thread::Builder::new().name(format!("judge {worker}")).stack_size(16 << 20);
            thread.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let total = total.into_inner().unwrap();
    let Seen {
        packets, decided, changed, sampled, statements, applied, over, kernel: tested, counting, ..
    } = total.seen;
    say(&format!(
        "{} policies from seed {seed} in {:.1} s: {packets} packets, {decided} of them decided by a statement, {changed} left a tunnel, {sampled} samples; \
         {applied} of {statements} statements applied to a packet, {over} packets were over a limit; \
         {} policies and {tested} packets in the kernel; {} of {} statements were refused; {} policies were too large for one program, \
         {} that are larger than most were left out; the largest program has {} instructions; {} have tables with {counting} rows that count",
        total.policies,
        started.elapsed().as_secs_f32(),
        total.loads,
        total.refused,
        total.generated,
        total.too_large,
        total.left_out,
        total.largest,
        total.counting,
    ));
    if std::env::var("WEIR_RANDOM_REASONS").is_ok() {
        total.reasons.iter().for_each(|(reason, count)| say(&format!("{count:6} {reason}")));
    }
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    if policies >= 20 {
        assert!(
            decided * 100 >= packets * LEAST_DECIDED,
            "{decided} of {packets} packets are decided by a statement"
        );
        assert!(changed * 1_000 >= packets * LEAST_CHANGED, "{changed} of {packets} packets leave a tunnel");
        assert!(
            applied * 100 >= statements * LEAST_APPLIED,
            "{applied} of {statements} statements apply to any packet"
        );
        assert!(
            total.too_large as u64 * 100 <= policies * MOST_TOO_LARGE as u64,
            "{} of {policies} policies are too large for one program",
            total.too_large
        );
        assert!(
            total.counting * 100 >= total.policies * LEAST_COUNTING,
            "{} of {} policies have tables with rows that count",
            total.counting,
            total.policies
        );
        assert!(
            total.refused * 100 <= total.generated * MOST_REFUSED,
            "{} of {} statements are refused",
            total.refused,
            total.generated
        );
    }
}

/// Makes a policy, and tries it.
fn one(
    seed: u64,
    kernel: bool,
    target: &Target,
    captured: &[Vec<u8>],
    total: &Mutex<Total>,
) -> Result<(), String> {
    let mut case = generate(seed, kernel, captured);
    let generated = case.statements.len();
    let mut reasons = Vec::new();
    let outcome = loop {
        match judge(&case, target) {
            Err(failure) if matches!(failure.kind, Kind::Refused(_)) => {
                let mut bad: Vec<usize> =
                    failure.lines.iter().filter_map(|line| case.statement_at(*line)).collect();
                bad.sort_unstable();
                bad.dedup();
                if bad.is_empty() || failure.lines.iter().any(|line| case.statement_at(*line).is_none()) {
                    break Err(failure);
                }
                reasons.extend(
                    failure.what.lines().map(|l| l.split_once(": ").map_or(l, |(_, what)| what).to_owned()),
                );
                bad.iter().rev().for_each(|&index| drop(case.statements.remove(index)));
            }
            outcome => break outcome,
        }
    };
    let mut total_now = total.lock().unwrap();
    total_now.generated += generated;
    total_now.refused += generated - case.statements.len();
    for reason in reasons {
        *total_now.reasons.entry(reason).or_default() += 1;
    }
    match outcome {
        Ok(seen) => {
            total_now.policies += 1;
            total_now.loads += usize::from(case.kernel);
            total_now.largest = total_now.largest.max(seen.instructions);
            total_now.counting += usize::from(seen.counting > 0);
            let sum = &mut total_now.seen;
            sum.packets += seen.packets;
            sum.decided += seen.decided;
            sum.changed += seen.changed;
            sum.sampled += seen.sampled;
            sum.statements += seen.statements;
            sum.applied += seen.applied;
            sum.over += seen.over;
            sum.kernel += seen.kernel;
            sum.counting += seen.counting;
            Ok(())
        }
        Err(failure) if failure.kind == Kind::TooComplex => {
            total_now.too_large += 1;
            Ok(())
        }
        Err(failure) if failure.kind == Kind::Large => {
            total_now.left_out += 1;
            Ok(())
        }
        Err(failure) if std::env::var("WEIR_RANDOM_RAW").is_ok() => Err(report(&case, kernel, &failure)),
        Err(failure) => {
            drop(total_now);
            let (case, failure) = shrink::shrink(case, failure, target);
            Err(report(&case, kernel, &failure))
        }
    }
}

fn generate(seed: u64, kernel: bool, captured: &[Vec<u8>]) -> Case {
    let mut dice = Dice::new(seed);
    let dice = &mut dice;
    let mut protocols = protocol::protocols(dice);
    let table = loop {
        let analysis = analyse("random.weir", &protocols.join("\n"), &NoFiles);
        if !analysis.diagnostics.has_errors() {
            break analysis.policy.protocols;
        }
        protocols = if dice.one_in(4) { Vec::new() } else { protocol::protocols(dice) };
    };
    let mut frames = packet::frames(dice, &table, &protocols.join("\n"), 8);
    frames.extend((0..dice.below(4)).filter_map(|_| real(dice, &table, captured)));
    if frames.is_empty() {
        frames.push(Focus::new(&table, vec![0; 60]));
    }
    let clock = if kernel { Clock::Kernel } else { Clock::Ours };
    let hook = *dice.pick(&[Hook::Xdp, Hook::Xdp, Hook::Xdp, Hook::TcIngress]);
    let mut author = policy::Author::new(Vocabulary { protocols: &table }, &frames, clock, hook);
    let size = match dice.below(100) {
        0 if dice.one_in(4) => dice.between(100, 300),
        0..=20 => dice.between(10, 40),
        _ => dice.between(1, 9),
    };
    let statements = (0..size).map(|number| author.statement(dice, number)).collect();
    let sets = author.sets();
    let packets = packet::packets(dice, &table, &frames, 32);
    let default = *dice.pick(&[None, Some("pass"), Some("drop")]);
    let old = !kernel && dice.one_in(8);
    // The oldest kernel has no XDP frames of several buffers, nor what came with them and captures need.
    let (frags, capture) = (!old && dice.one_in(6), dice.one_in(8) && !(old && hook == Hook::Xdp));
    Case { seed, protocols, sets, statements, default, packets, hook, frags, capture, old, kernel }
}

fn real(dice: &mut Dice, table: &Protocols, captured: &[Vec<u8>]) -> Option<Focus> {
    (!captured.is_empty()).then(|| Focus::new(table, dice.pick(captured).clone()))
}

/// The first frames of every capture; none where there are no captures.
fn captured() -> Vec<Vec<u8>> {
    let folders = ["attack", "benign", "structure"];
    let mut files: Vec<_> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(Path::new(CAPTURES).join(folder)).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    if files.is_empty() {
        say(&format!("skipped the frames of captures: there is no {CAPTURES}"));
    }
    let readers = files.iter().filter_map(|file| weir_packet::capture::Capture::open(file).ok());
    let frames = readers.flat_map(|reader| reader.take(60).filter_map(Result::ok).collect::<Vec<_>>());
    frames.filter_map(|frame| Some(frame.to_ethernet().ok()?.into_owned())).collect()
}

/// What the kernel can do, if it can be asked.
fn kernel() -> Option<Target> {
    match weir_kernel::probe::why_not() {
        None => Some(weir_kernel::probe::target()),
        Some(error) => {
            let required = std::env::var("WEIR_REQUIRE_KERNEL").as_deref() == Ok("1");
            assert!(
                !required,
                "random policies must run in the kernel (WEIR_REQUIRE_KERNEL=1), but: {error}"
            );
            say(&format!("skipped the kernel for random policies: {error}"));
            None
        }
    }
}

/// The variables that make the same case again.
fn again(seed: u64, kernel: bool) -> String {
    format!("WEIR_RANDOM_SEED={seed} WEIR_RANDOM_POLICIES=1 WEIR_RANDOM_KERNEL={}", u8::from(kernel))
}

fn report(case: &Case, kernel: bool, failure: &Failure) -> String {
    let mut text = format!("{:?}: {}\n", failure.kind, failure.what);
    let _ = writeln!(text, "{}, made smaller:", again(case.seed, kernel));
    let (hook, frags, capture, old) = (case.hook, case.frags, case.capture, case.old);
    let _ = writeln!(text, "# {hook:?}, frags {frags}, capture {capture}, old {old}\n{}", case.text());
    let _ = writeln!(text, "test \"seed {}\" {{", case.seed);
    for packet in &case.packets {
        let _ = writeln!(text, "    hex({}) => ", hex(packet));
    }
    text + "}"
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")),
        Err(_) => otherwise,
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
