//! One case on all engines.

use crate::case::Case;
use crate::one_cpu::OneCpu;
use crate::panics::caught;
use weir_bpf::target::Target;
use weir_compiler::diagnostic::{Code, Severity};
use weir_compiler::policy::{Policy, Sample};
use weir_compiler::sampling::Odds;
use weir_compiler::{Analysis, Compilation, Hook, NoFiles, Options, analyse};
use weir_dataplane::engines::{By, Bytecode, Engine, EngineError, Ir, Judgement, Kernel, Plain};
use weir_dataplane::{Error, StatementCounters};

/// Any time will do: limits refill so slowly that the kernel's own clock does not matter.
const NOW: u64 = 3_600_000_000_000;

/// Parsers with more states than this are tried for every fourth seed only: five of a hundred policies took
/// half of the time.
const LARGE: usize = 1_000;
const LARGE_EVERY: u64 = 4;

/// What went wrong; a case is made smaller as long as the same goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Refused(Code),
    TooComplex,
    /// It was not tried, being larger than most.
    Large,
    Panicked,
    Fault,
    Verifier,
    Disagreement,
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    /// Lines of the policy that the front end did not like.
    pub(crate) lines: Vec<u32>,
}

/// What was seen of one case.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) packets: usize,
    pub(crate) decided: usize,
    /// Packets that leave as other frames.
    pub(crate) changed: usize,
    /// Samples that were taken.
    pub(crate) sampled: usize,
    pub(crate) statements: usize,
    pub(crate) applied: usize,
    pub(crate) over: usize,
    pub(crate) kernel: usize,
    pub(crate) instructions: usize,
    /// Rows of tables that count and go on.
    pub(crate) counting: usize,
}

fn failure<T>(kind: Kind, what: String) -> Result<T, Failure> {
    Err(Failure { kind, what, lines: Vec::new() })
}

/// Runs a case; a panic is a failure like others, and told once the case is small.
pub(crate) fn judge(case: &Case, target: &Target) -> Result<Seen, Failure> {
    caught(|| engines(case, target)).unwrap_or_else(|panic| failure(Kind::Panicked, panic))
}

fn options(case: &Case, target: &Target) -> Options {
    let target = if case.old { Target::for_kernel(5, 10) } else { target.clone() };
    let mut options = Options::new(target, case.hook);
    options.frags = case.frags;
    // Tables for runs that are not worth one, too.
    options.lower.shortest_run = [None, Some(1), Some(2)][(case.seed % 3) as usize];
    // Several functions for some programs that fit one, too.
    options.part = [2, 9].get((case.seed / 3 % 16) as usize).copied();
    options
}

fn engines(case: &Case, target: &Target) -> Result<Seen, Failure> {
    let analysis = analyse("random.weir", &case.text(), &NoFiles);
    let states = analysis.plan.as_ref().map_or(0, |plan| plan.graph.states.len());
    if states > LARGE && !case.seed.is_multiple_of(LARGE_EVERY) {
        return failure(Kind::Large, format!("{states} states of the parser"));
    }
    let mut options = options(case, target);
    if case.capture {
        options.lower.capture = analysis.policy.statements.iter().take(1).map(|s| s.name.clone()).collect();
    }
    let compilation = analysis.compile(&options).or_else(|analysis| refused(&analysis))?;
    let policy = &compilation.analysis.policy;
    let plain = compilation.analysis.lower_plainly(&options.lower);
    let Some(plain) = plain else { return failure(Kind::Fault, "it compiles, and has no IR".into()) };
    let packets: Vec<&[u8]> = case
        .packets
        .iter()
        .map(Vec::as_slice)
        .filter(|packet| !case.kernel || testable(packet, case.hook))
        .collect();

    let mut oracle = Plain::new(policy);
    let mut others: Vec<(&str, Box<dyn Engine + '_>)> = vec![
        ("IR before the passes", Box::new(Ir::of(policy, &plain))),
        ("IR after the passes", Box::new(Ir::new(&compilation))),
        ("bytecode", Box::new(Bytecode::new(&compilation))),
    ];
    // What chance says is the same for all engines but the kernel.
    let odds = odds(policy).filter(|_| case.kernel);
    for engine in others.iter_mut().map(|(_, engine)| &mut **engine).chain([&mut oracle as &mut dyn Engine]) {
        odds.iter().for_each(|odds| engine.set_odds(odds).unwrap_or_else(|error| panic!("{error}")));
    }
    let mut seen = Seen { packets: packets.len(), statements: policy.statements.len(), ..Seen::default() };
    let mut expected = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let wanted = ask("evaluator", &mut oracle, packet)?;
        for (name, engine) in &mut others {
            let got = ask(name, engine.as_mut(), packet)?;
            agree(name, index, packet, &wanted, &got)?;
        }
        seen.decided += usize::from(wanted.0.by != By::Default);
        seen.changed += usize::from(wanted.0.frame.is_some());
        seen.sampled += wanted.0.samples.len();
        expected.push(wanted);
    }
    if let Some((_, counters)) = expected.last() {
        let statements = &counters[..policy.statements.len()];
        seen.applied = statements.iter().filter(|c| c.packets > 0).count();
        seen.over = statements.iter().map(|c| c.over_packets as usize).sum();
    }
    let tables = compilation.lowered.program.tables.iter();
    seen.counting = tables.filter_map(|decl| Some(decl.table.counting()?.rows().len())).sum();
    seen.instructions = compilation.object.programs[0].insns.len();
    if case.kernel {
        seen.kernel = in_kernel(&compilation, &packets, &expected)?;
    }
    Ok(seen)
}

type Answer = (Judgement, Vec<StatementCounters>);

fn ask(name: &str, engine: &mut dyn Engine, packet: &[u8]) -> Result<Answer, Failure> {
    let fault = |error: EngineError| Failure {
        kind: Kind::Fault,
        what: format!("{name}: {error}, for {}", hex(packet)),
        lines: Vec::new(),
    };
    let judgement = engine.judge(packet, NOW).map_err(fault)?;
    Ok((judgement, engine.counters().map_err(fault)?))
}

fn agree(name: &str, index: usize, packet: &[u8], wanted: &Answer, got: &Answer) -> Result<(), Failure> {
    if wanted.0.agrees(&got.0) && wanted.1 == got.1 {
        return Ok(());
    }
    let mut what = format!("packet {index}, {}\n", hex(packet));
    what += &format!(
        "  evaluator: {:?} by {:?}; {name}: {:?} by {:?}",
        wanted.0.verdict, wanted.0.by, got.0.verdict, got.0.by
    );
    if wanted.0.samples != got.0.samples {
        what += &format!("\n  samples: evaluator {:?}; {name} {:?}", wanted.0.samples, got.0.samples);
    }
    for (engine, judgement) in [("evaluator", &wanted.0), (name, &got.0)] {
        what += &judgement
            .frame
            .as_ref()
            .map(|frame| format!("\n  {engine}: as {}", hex(frame)))
            .unwrap_or_default();
    }
    for (a, b) in wanted.1.iter().zip(&got.1).filter(|(a, b)| a != b) {
        let numbers = |c: &StatementCounters| {
            format!("{} packets, {} bytes, {} over", c.packets, c.bytes, c.over_packets)
        };
        what += &format!("\n  `{}`: evaluator {}; {name} {}", a.name, numbers(a), numbers(b));
    }
    failure(Kind::Disagreement, what)
}

/// The same packets in the kernel; gives back how many.
fn in_kernel(compilation: &Compilation, packets: &[&[u8]], expected: &[Answer]) -> Result<usize, Failure> {
    let mut kernel = match Kernel::load(compilation) {
        Ok(kernel) => kernel,
        Err(Error::Rejected { message, log, place, .. }) => {
            let lines: Vec<_> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(12)..];
            // Neither says that the program is wrong, only that the verifier has seen enough of it.
            let large = log.contains("BPF program is too large") || log.contains("jumps is too complex");
            let kind = if large { Kind::TooComplex } else { Kind::Verifier };
            return failure(kind, format!("{message} at {place:?}\n  {}", end.join("\n  ")));
        }
        Err(error) => return failure(Kind::Verifier, error.to_string()),
    };
    // Samplers are each CPU's own.
    let mut _stay = None;
    if let Some(odds) = odds(&compilation.analysis.policy) {
        _stay = Some(OneCpu::stay());
        kernel.set_odds(&odds).unwrap_or_else(|error| panic!("{error}"));
    }
    for (index, (packet, wanted)) in packets.iter().zip(expected).enumerate() {
        let got = ask("kernel", &mut kernel, packet)?;
        agree("kernel", index, packet, wanted, &got)?;
    }
    Ok(packets.len())
}

/// Samples that are not at random, if there are any: of small N each is the Nth, of others all are.
fn odds(policy: &Policy) -> Option<Vec<Odds>> {
    let one = |(_, sample): (usize, &Sample)| {
        let gap = u16::try_from(sample.one_in - 1).ok().filter(|gap| *gap < 10).unwrap_or(0);
        Odds::fixed(sample.one_in, gap)
    };
    let odds: Vec<Odds> = policy.samples().map(one).collect();
    (!odds.is_empty()).then_some(odds)
}

/// What the kernel's test runs take (`bpf_prog_test_run_xdp`, `bpf_prog_test_run_skb`).
fn testable(packet: &[u8], hook: Hook) -> bool {
    let least = match (hook, packet.get(12..14)) {
        (Hook::Xdp, _) => 14,
        (_, Some([0x08, 0x00])) => 14 + 20,
        (_, Some([0x86, 0xdd])) => 14 + 40,
        _ => 14 + 1,
    };
    (least..=3_400).contains(&packet.len())
}

fn refused(analysis: &Analysis) -> Result<Compilation, Failure> {
    let errors = || analysis.diagnostics.iter().filter(|d| d.code.severity() == Severity::Error);
    let place = |d: &weir_compiler::diagnostic::Diagnostic| {
        let source = &analysis.sources[d.primary.0.source];
        (source.name == "random.weir").then(|| source.line_column(d.primary.0.start).0)
    };
    let lines = errors().filter_map(place).collect();
    let texts: Vec<_> = errors()
        .map(|d| format!("line {}: {} {}", place(d).unwrap_or(0), d.code.text(), d.message))
        .collect();
    let kind = match errors().next().map(|d| d.code) {
        _ if errors().any(|d| d.code == Code::TooComplex) => Kind::TooComplex,
        Some(code) => Kind::Refused(code),
        None => Kind::Fault,
    };
    Err(Failure { kind, what: texts.join("\n"), lines })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
