//! Golden policies: every file of `tests/policy` on every engine at hand.
//!
//! A case is a policy. What its tests say must come true on each engine, and all engines must count the
//! same. Beside the language itself a case speaks in comments:
//!
//! | comment | means |
//! |---|---|
//! | `#! E0103 words` | this line (where the comment stands alone: the next) is told of, with this code and these words |
//! | `#? words` | behind it: and with this help |
//! | `#= NAME 3 over 1 bytes 126` | what a statement counted over the test before: packets, packets over its limit, bytes; `answered`, `valid`, `invalid` |
//!
//! Any other message is a failure. Each test begins with full buckets and without flows that are translated.

mod cookies;
mod one_cpu;
mod routed;

use one_cpu::OneCpu;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use weir_bpf::target::Target;
use weir_compiler::diagnostic::Code;
use weir_compiler::lower::{self, Lowered};
use weir_compiler::notation;
use weir_compiler::policy::{Action, Policy, Statement};
use weir_compiler::sampling::Odds;
use weir_compiler::{Analysis, Compilation, Hook, Options, compile};
use weir_dataplane::counters::CookieCounters;
use weir_dataplane::engines::{By, Bytecode, Engine, EngineError, Ir, Kernel, Plain, Sampled};
use weir_dataplane::{Files, StatementCounters};

/// From where cargo runs the tests of this crate.
const ROOT: &str = "../../tests/policy";

/// The suite cannot silently shrink.
const LEAST_CASES: usize = 380;
const LEAST_REFUSALS: usize = 163;

/// A case that is right and fails.
struct Known {
    case: &'static str,
    /// The failures that are known have these words; others are failures still.
    words: &'static str,
    reason: &'static str,
}

/// All of them; one that passes is a failure.
const KNOWN: &[Known] = &[];

/// Codes that no case here brings about, with the reason.
const UNREACHED: &[(&str, &str)] = &[
    ("E0117", "told of what people write in the place of mitigations; the protection's own tests have it"),
    ("E0201", "no small policy is too large: 400 comparisons of slices fit"),
    ("E0202", "the cases are compiled for the newest kernel, which lacks nothing"),
    ("W0305", "told at tc only; the compiler's own tests have it"),
    ("W0307", "told where a policy is loaded; the data plane's own tests have it"),
];

/// Any time will do: limits in the cases refill so slowly that the kernel's own clock does not matter.
const NOW: u64 = 3_600_000_000_000;

macro_rules! topics {
    ($($topic:ident)*) => {
        const TOPICS: &[&str] = &[$(stringify!($topic)),*];
        $(#[test] fn $topic() { run(stringify!($topic)); })*
    };
}

topics! {
    answers arithmetic balance decap ethernet found frames headers ip4 ip6 lists logic notation options protocols refused relations samples slices
    statements transport tunnels
}

#[test]
fn every_folder_is_a_topic() {
    let mut folders: Vec<_> =
        std::fs::read_dir(ROOT).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, TOPICS);
}

#[test]
fn nothing_was_lost() {
    let cases: usize = TOPICS.iter().map(|topic| files(topic).len()).sum();
    assert!(cases >= LEAST_CASES, "{cases} cases, {LEAST_CASES} are expected at least");
    let refusals = files("refused").len();
    assert!(refusals >= LEAST_REFUSALS, "{refusals} refusals, {LEAST_REFUSALS} are expected at least");
    for Known { case, .. } in KNOWN {
        assert!(Path::new(ROOT).join(case).exists(), "`{case}` is known to fail, but is not there");
    }
}

#[test]
fn every_code_is_expected_somewhere() {
    let all = TOPICS.iter().flat_map(|topic| files(topic));
    let told: BTreeSet<String> = all.flat_map(|file| expected(&file)).map(|message| message.code).collect();
    for (_, code, _, meaning) in Code::EXPLAINED {
        let unreached = UNREACHED.iter().any(|(name, _)| name == code);
        assert_ne!(told.contains(*code), unreached, "{code}: {meaning}");
    }
}

fn files(topic: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(Path::new(ROOT).join(topic)).unwrap_or_else(|error| panic!("{topic}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "weir"));
    files.sort();
    files
}

/// Runs every case of a topic; all failures are told at the end.
fn run(topic: &str) {
    let kernel = kernel(topic);
    // Only what leaves asks for routes, and only answers ask for sockets.
    let asks = matches!(topic, "answers" | "balance");
    let routed = kernel.filter(|_| asks).map(|_| routed::namespace().expect("a namespace with routes"));
    let _stay = OneCpu::stay();
    let mut failures = Vec::new();
    for file in files(topic) {
        let name = format!("{topic}/{}", file.file_name().unwrap().to_string_lossy());
        let found = catch_unwind(AssertUnwindSafe(|| match &routed {
            Some(routed) => routed.run(|| case(&file, kernel)).expect("a thread in a namespace"),
            None => case(&file, kernel),
        }));
        let found = found.unwrap_or_else(|_| vec![format!("{name}: panicked, see above")]);
        failures.extend(unknown(&name, found));
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// Leaves out the failures that are known.
fn unknown(name: &str, mut found: Vec<String>) -> Vec<String> {
    for known in KNOWN.iter().filter(|known| known.case == name) {
        let before = found.len();
        found.retain(|failure| !failure.contains(known.words));
        if found.len() == before {
            let (words, reason) = (known.words, known.reason);
            found.push(format!("{name} passes, but is known to fail ({words}): {reason}"));
        }
    }
    found
}

/// What the kernel can do, if it lets us; else a word on standard error.
fn kernel(topic: &str) -> Option<&'static Target> {
    static TARGET: OnceLock<Result<Target, String>> = OnceLock::new();
    let probed = TARGET.get_or_init(|| {
        let reason = weir_kernel::probe::why_not();
        reason.map_or_else(|| Ok(weir_kernel::probe::target()), |error| Err(error.to_string()))
    });
    match probed {
        Ok(target) => Some(target),
        Err(error) => {
            let required = std::env::var("WEIR_REQUIRE_KERNEL").as_deref() == Ok("1");
            assert!(!required, "{topic} must run in the kernel (WEIR_REQUIRE_KERNEL=1), but: {error}");
            let _ = writeln!(std::io::stderr(), "skipped the kernel for {topic}: {error}");
            None
        }
    }
}

/// Everything that is wrong with a case.
fn case(file: &Path, kernel: Option<&Target>) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let name = file.display().to_string();
    let target = kernel.cloned().unwrap_or_else(Target::newest);
    let compiled = |hook| compile(&name, &text, &Files, &Options::new(target.clone(), hook));
    let xdp = match compiled(Hook::Xdp) {
        Ok(xdp) => xdp,
        Err(analysis) => return messages(file, &analysis),
    };
    let mut failures = messages(file, &xdp.analysis);
    let changes = |statement: &Statement| {
        let changes =
            matches!(statement.action, Action::Decap | Action::Balance(_) | Action::Answer(_) | Action::Echo);
        (changes || matches!(statement.action, Action::Syncookie)) && !statement.shadow
    };
    let tc = match (compiled(Hook::TcIngress), xdp.analysis.policy.statements.iter().any(changes)) {
        (Ok(tc), false) => Some(tc),
        (Err(_), true) => None,
        (Ok(_), true) => {
            failures.push(format!("{name}: compiles for tc, where no frame can be changed"));
            None
        }
        (Err(_), false) => {
            failures.push(format!("{name}: compiles for XDP and not for tc"));
            return failures;
        }
    };
    // As if every run of statements were worth a table.
    let mut options = Options::new(target.clone(), Hook::Xdp);
    options.lower.shortest_run = Some(1);
    let Ok(tables) = compile(&name, &text, &Files, &options) else {
        failures.push(format!("{name}: does not compile with tables"));
        return failures;
    };
    let plain = xdp.analysis.lower_plainly(&lower::Options::default()).expect("it compiled");
    if xdp.analysis.cases.is_empty() && expected(file).is_empty() {
        failures.push(format!("{name}: nothing is expected"));
    }
    let _listeners = kernel.map_or_else(Vec::new, |_| listeners(&xdp));
    let bench =
        Bench { xdp: &xdp, tc: tc.as_ref(), tables: &tables, plain: &plain, kernel: kernel.is_some() };
    failures.extend(bench.run(&text));
    failures
}

/// Somebody listens in the kernel wherever a segment goes, if any is answered.
fn listeners(xdp: &Compilation) -> Vec<TcpListener> {
    let answers = |statement: &Statement| matches!(statement.action, Action::Syncookie);
    if !xdp.analysis.policy.statements.iter().any(answers) {
        return Vec::new();
    }
    cookies::always().expect("a namespace with cookies");
    let port = |case: &notation::Case| {
        let segment = cookies::segment(&case.frame)?;
        Some(u16::from_be_bytes([case.frame[segment + 2], case.frame[segment + 3]]))
    };
    let ports: BTreeSet<u16> = xdp.analysis.cases.iter().filter_map(port).collect();
    ports.into_iter().map(cookies::listen).collect()
}

/// A message that a case expects.
struct Expected {
    file: String,
    line: u32,
    code: String,
    words: String,
    help: Option<String>,
}

/// The messages that a case and the files that it names expect.
fn expected(file: &Path) -> Vec<Expected> {
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut parts = line.split("#!");
        let code = parts.next().unwrap_or_default();
        let below = u32::from(code.trim().is_empty());
        for part in parts {
            let (message, help) = match part.split_once("#?") {
                Some((message, help)) => (message, Some(help.trim().to_owned())),
                None => (part, None),
            };
            let (code, words) = message.trim().split_once(' ').unwrap_or((message.trim(), ""));
            found.push(Expected {
                file: file.display().to_string(),
                line: index as u32 + 1 + below,
                code: code.to_owned(),
                words: words.trim().to_owned(),
                help,
            });
        }
        let named = ["include \"", "from \""]
            .iter()
            .find_map(|word| Some(code.split_once(word)?.1.split_once('"')?.0));
        if let Some(named) = named.filter(|_| !code.trim_start().starts_with('#')) {
            let beside = file.parent().unwrap().join(named);
            if beside != file {
                found.extend(expected(&beside));
            }
        }
    }
    found
}

/// Compares what was told with what was expected.
fn messages(file: &Path, analysis: &Analysis) -> Vec<String> {
    let mut told: Vec<(String, bool)> = Vec::new();
    let expected = expected(file);
    let mut met = vec![false; expected.len()];
    for message in analysis.diagnostics.iter() {
        let source = &analysis.sources[message.primary.0.source];
        let line = source.line_column(message.primary.0.start).0;
        let help = message.help.as_deref();
        let wanted = expected.iter().position(|e| {
            let place = e.file == source.name && e.line == line && e.code == message.code.text();
            let words = message.message.contains(&e.words);
            place
                && words
                && e.help.as_deref().is_none_or(|wanted| help.is_some_and(|help| help.contains(wanted)))
        });
        if let Some(index) = wanted {
            met[index] = true;
        }
        let help = help.map(|help| format!(" (help: {help})")).unwrap_or_default();
        let text = format!("{}:{line}: {} {}{help}", source.name, message.code.text(), message.message);
        told.push((text, wanted.is_some()));
    }
    let missing = expected.iter().zip(met).filter(|(_, met)| !met).map(|(e, _)| {
        let help = e.help.as_ref().map(|help| format!(" (help: {help})")).unwrap_or_default();
        format!("{}:{}: not told: {} {}{help}", e.file, e.line, e.code, e.words)
    });
    let unexpected =
        told.iter().filter(|(_, wanted)| !wanted).map(|(text, _)| format!("{text}: not expected"));
    missing.chain(unexpected).collect()
}

/// A policy, compiled in every way.
struct Bench<'a> {
    xdp: &'a Compilation,
    /// Nothing for policies that change frames.
    tc: Option<&'a Compilation>,
    tables: &'a Compilation,
    plain: &'a Lowered,
    kernel: bool,
}

/// An engine with what it counted at the beginning of a test.
struct Running<'a> {
    name: &'static str,
    engine: Box<dyn Engine + 'a>,
    start: Vec<StatementCounters>,
    /// What it has sampled since then.
    samples: Vec<Sampled>,
    /// It could not take every frame of this test.
    partial: bool,
}

impl<'a> Bench<'a> {
    fn policy(&self) -> &'a Policy {
        &self.xdp.analysis.policy
    }

    /// All engines; a kernel that refuses the program is told.
    fn engines(&self, failures: &mut Vec<String>) -> Vec<Running<'a>> {
        let mut engines: Vec<(&'static str, Box<dyn Engine + 'a>)> = vec![
            ("evaluator", Box::new(Plain::new(self.policy()))),
            ("IR before the passes", Box::new(Ir::of(self.policy(), self.plain))),
            ("IR after the passes", Box::new(Ir::new(self.xdp))),
            ("bytecode of XDP", Box::new(Bytecode::new(self.xdp))),
            ("IR with tables", Box::new(Ir::new(self.tables))),
            ("bytecode with tables", Box::new(Bytecode::new(self.tables))),
        ];
        engines.extend(self.tc.map(|tc| ("bytecode of tc", Box::new(Bytecode::new(tc)) as Box<dyn Engine>)));
        let tc = self.tc.map(|tc| (KERNEL_TC, tc));
        let hooks = [("kernel, XDP", self.xdp), ("kernel with tables", self.tables)].into_iter().chain(tc);
        for (name, compilation) in hooks.filter(|_| self.kernel) {
            match Kernel::load(compilation) {
                Ok(kernel) => engines.push((name, Box::new(kernel))),
                Err(error) => {
                    let analysis = &self.xdp.analysis;
                    failures.push(format!("{}: {name}: {error}", analysis.sources[analysis.main].name));
                }
            }
        }
        // Every Nth packet is a sample, the first time the Nth: samplers are each CPU's own.
        let odds: Vec<Odds> = self
            .policy()
            .samples()
            .map(|(_, sample)| Odds::fixed(sample.one_in, ((sample.one_in - 1) % 1024) as u16))
            .collect();
        for (name, engine) in engines.iter_mut().filter(|_| !odds.is_empty()) {
            if let Err(error) = engine.set_odds(&odds) {
                failures.push(format!("{name}: {error}"));
            }
        }
        let running =
            |(name, engine)| Running { name, engine, start: Vec::new(), samples: Vec::new(), partial: false };
        engines.into_iter().map(running).collect()
    }

    /// Runs every test; each begins with full buckets.
    fn run(&self, text: &str) -> Vec<String> {
        let analysis = &self.xdp.analysis;
        let mut failures = Vec::new();
        let mut engines = Vec::new();
        let keeps = |s: &Statement| matches!(s.action, Action::Limit(_) | Action::Answer(_));
        let keeps = self.policy().statements.iter().any(keeps);
        let tests: Vec<&[notation::Case]> = analysis.cases.chunk_by(|a, b| a.test == b.test).collect();
        for (index, cases) in tests.iter().enumerate() {
            if keeps || engines.is_empty() {
                engines = self.engines(&mut failures);
            }
            for running in &mut engines {
                running.start = running.engine.counters().unwrap_or_default();
            }
            for case in *cases {
                failures.extend(engines.iter_mut().flat_map(|running| self.packet(running, case)));
            }
            let line =
                |cases: &[notation::Case]| analysis.sources[analysis.main].line_column(cases[0].span.start).0;
            let end = tests.get(index + 1).map_or(u32::MAX, |next| line(next));
            failures.extend(self.totals(&mut engines, text, line(cases)..end));
        }
        failures
    }

    /// Sends a packet: the verdict, and by the counters who decided.
    fn packet(&self, running: &mut Running<'_>, case: &notation::Case) -> Option<String> {
        let analysis = &self.xdp.analysis;
        let place = analysis.sources.place(case.span);
        let fail = |what: String| Some(format!("{place}: {}: {what}", running.name));
        let mut before = Vec::new();
        let mut last = None;
        if running.name == KERNEL_TC && !takes_at_tc(&case.frame) {
            running.partial = true;
            return None;
        }
        for turn in 1..=case.times {
            if turn == case.times {
                before = match running.engine.counters() {
                    Ok(counters) => counters,
                    Err(error) => return fail(error.to_string()),
                };
            }
            match running.engine.judge(&case.frame, NOW) {
                Ok(mut judgement) => {
                    running.samples.append(&mut judgement.samples);
                    last = Some(judgement);
                }
                // The test run's own limit; the other engines judge these frames.
                Err(EngineError::Length { .. }) => {
                    running.partial = true;
                    return None;
                }
                Err(error) => return fail(format!("{error}, for {:02x?}", case.frame)),
            }
        }
        let judgement = last?;
        let after = running.engine.counters().ok()?;
        let by = self.deciders(&before, &after).join(" and ");
        let said = match judgement.by {
            By::Unknown => by.clone(),
            By::Default => "default".to_owned(),
            By::Statement(index) => self.policy().statements[index].name.clone(),
        };
        if said != by {
            return fail(format!("says that `{said}` decided, and counts for `{by}`"));
        }
        let wanted = case.by.as_ref().unwrap_or(&by);
        let fits = (judgement.verdict, &by) == (case.verdict, wanted);
        let (verdict, expected) = (judgement.verdict, case.verdict);
        if let Some(expected) = case.leaves.as_ref().filter(|_| fits) {
            let mut got = judgement.frame.as_ref().unwrap_or(&case.frame).clone();
            if running.name.starts_with(KERNEL) && self.answers(&by) {
                cookies::put_cookie(&mut got, expected);
            }
            if got != *expected {
                return fail(format!("expected to leave as {expected:02x?}, got {got:02x?}"));
            }
        }
        if fits { None } else { fail(format!("expected {expected:?} by {wanted}, got {verdict:?} by {by}")) }
    }

    /// Whether a statement answers with cookies.
    fn answers(&self, name: &str) -> bool {
        let mut statements = self.policy().statements.iter();
        statements.any(|one| one.name == name && matches!(one.action, Action::Syncookie))
    }

    /// Who ended the packet's way, as the counters tell: one statement or `default`.
    fn deciders(&self, before: &[StatementCounters], after: &[StatementCounters]) -> Vec<String> {
        let statements = self.policy().statements.iter().map(Some).chain([None]);
        let counted = statements.zip(before.iter().zip(after));
        let decided = counted.filter(|(statement, (before, after))| match statement {
            None => after.packets > before.packets,
            Some(Statement { shadow: true, .. }) => false,
            Some(Statement {
                action: Action::Verdict(_) | Action::Decap | Action::Balance(_) | Action::Answer(_) | Action::Echo,
                ..
            }) => after.packets > before.packets,
            Some(Statement { action: Action::Syncookie, .. }) => ended(after) > ended(before),
            Some(Statement { action: Action::Limit(_), .. }) => after.over_packets > before.over_packets,
            Some(_) => false,
        });
        decided.map(|(_, (_, after))| after.name.clone()).collect()
    }

    /// What all statements counted over a test, the same by every engine.
    fn totals(&self, engines: &mut [Running<'_>], text: &str, lines: std::ops::Range<u32>) -> Vec<String> {
        let analysis = &self.xdp.analysis;
        let name = &analysis.sources[analysis.main].name;
        let mut failures = Vec::new();
        let mut first: Option<(Vec<Total>, Vec<Sampled>)> = None;
        for running in engines {
            let end = running.engine.counters().unwrap_or_default();
            let totals: Vec<Total> = running.start.iter().zip(&end).map(Total::between).collect();
            let samples = std::mem::take(&mut running.samples);
            if std::mem::take(&mut running.partial) {
                continue;
            }
            for (line, wanted) in counts(text, &lines) {
                let got = totals.iter().find(|total| total.name == wanted.name);
                if got.is_none_or(|got| !got.fits(&wanted)) {
                    let what = format!("expected {wanted:?}, got {got:?}");
                    failures.push(format!("{name}:{line}: {}: {what}", running.name));
                }
            }
            let (first, sampled) = first.get_or_insert_with(|| (totals.clone(), samples.clone()));
            if *sampled != samples {
                let what = format!("samples {samples:02x?}, the evaluator {sampled:02x?}");
                failures.push(format!("{name}:{}: {}: {what}", lines.start, running.name));
            }
            for (a, b) in first.iter().zip(&totals).filter(|(a, b)| a != b) {
                let what = format!("counts {b:?}, the evaluator {a:?}");
                failures.push(format!("{name}:{}: {}: {what}", lines.start, running.name));
            }
        }
        failures
    }
}

const KERNEL_TC: &str = "kernel, tc";
const KERNEL: &str = "kernel";

/// Segments whose way ended where SYNs are answered.
fn ended(counters: &StatementCounters) -> u64 {
    counters.cookies.map_or(0, |cookies| cookies.answered + cookies.invalid)
}

/// The kernel's test run at tc refuses frames that are nothing but Ethernet, and IP packets without a
/// whole IP header (`bpf_prog_test_run_skb`).
fn takes_at_tc(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14 + 1,
    };
    frame.len() >= least
}

/// What a statement counted over a test; in expectations what is not said is `None`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Total {
    name: String,
    packets: Option<u64>,
    over: Option<u64>,
    bytes: Option<u64>,
    answered: Option<u64>,
    valid: Option<u64>,
    invalid: Option<u64>,
}

impl Total {
    fn between((start, end): (&StatementCounters, &StatementCounters)) -> Self {
        let cookies = |part: fn(CookieCounters) -> u64| Some(part(end.cookies?) - part(start.cookies?));
        Self {
            name: end.name.clone(),
            packets: Some(end.packets - start.packets),
            over: Some(end.over_packets - start.over_packets),
            bytes: Some(end.bytes - start.bytes),
            answered: cookies(|cookies| cookies.answered),
            valid: cookies(|cookies| cookies.valid),
            invalid: cookies(|cookies| cookies.invalid),
        }
    }

    fn fits(&self, wanted: &Total) -> bool {
        let fits = |got: Option<u64>, wanted: Option<u64>| wanted.is_none() || got == wanted;
        let packets = fits(self.packets, wanted.packets);
        let rest = [
            (self.over, wanted.over),
            (self.bytes, wanted.bytes),
            (self.answered, wanted.answered),
            (self.valid, wanted.valid),
            (self.invalid, wanted.invalid),
        ];
        packets && rest.into_iter().all(|(got, wanted)| fits(got, wanted))
    }
}

/// The `#=` lines among some lines, with their numbers.
fn counts(text: &str, lines: &std::ops::Range<u32>) -> Vec<(u32, Total)> {
    let numbered = text.lines().zip(1u32..).filter(|(_, number)| lines.contains(number));
    let wanted = numbered.filter_map(|(line, number)| {
        let mut words = line.trim().strip_prefix("#=")?.split_whitespace();
        let mut total = Total { name: words.next()?.to_owned(), ..Total::default() };
        total.packets = words.next().and_then(|word| word.parse().ok());
        while let (Some(what), Some(value)) = (words.next(), words.next()) {
            match what {
                "over" => total.over = value.parse().ok(),
                "bytes" => total.bytes = value.parse().ok(),
                "answered" => total.answered = value.parse().ok(),
                "valid" => total.valid = value.parse().ok(),
                "invalid" => total.invalid = value.parse().ok(),
                _ => panic!("line {number}: `{what}` is not counted"),
            }
        }
        assert!(total.packets.is_some(), "line {number}: `#= NAME PACKETS`");
        Some((number, total))
    });
    wanted.collect()
}
