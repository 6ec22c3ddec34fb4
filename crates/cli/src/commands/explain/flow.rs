//! Which backend a flow gets, and why.

use crate::args::Explain;
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::judge::word;
use crate::policy::analyse;
use crate::printer::Printer;
use crate::running::{self, told};
use serde::Serialize;
use std::path::Path;
use weir_compiler::Analysis;
use weir_compiler::eval::{Evaluator, Flow};
use weir_compiler::notation;
use weir_compiler::state::PoolState;
use weir_compiler::syntax::parse_packet;
use weir_dataplane::{FlowBackend, Instance};
use weir_pool::slots::{Track, Word};

/// The word for the policy that runs.
const RUNNING: &str = "flow";

/// What is known of a flow.
#[derive(Serialize)]
struct Answer<'a> {
    statement: &'a str,
    pool: &'a str,
    via: &'static str,
    /// Hexadecimal, as it is 64 bits.
    hash: String,
    #[serde(flatten)]
    backend: Option<FlowBackend>,
}

pub(super) fn run(args: &Explain, packet: &str, printer: &mut Printer) -> Outcome {
    let instance = match args.policy == Path::new(RUNNING) {
        true => Some(running::open(&args.which, printer)?),
        false => None,
    };
    let mut analysis = match &instance {
        Some(instance) => instance.analysis().map_err(|error| told(error, printer))?,
        None => analyse(&args.policy, printer)?,
    };
    let frame = frame(&mut analysis, packet, printer)?;
    let policy = &analysis.policy;
    let flow = match Evaluator::new(policy).flow(&frame) {
        Ok(flow) => flow,
        Err(outcome) => {
            let by = outcome.by.map_or("default", |index| policy.statements[index].name.as_str());
            printer.line(format!("no pool: {} by `{by}`", word(outcome.verdict)))?;
            return Ok(Exit::No);
        }
    };
    let pool = &policy.pools[flow.pool];
    let backend = match &instance {
        Some(instance) => of_running(instance, &pool.name, &flow, printer)?,
        None => declared(&analysis, &flow),
    };
    let statement = &policy.statements[flow.statement];
    let via = match &statement.action {
        weir_compiler::policy::Action::Balance(balance) => balance.via.word(),
        _ => "",
    };
    let hash = format!("{:016x}", flow.hash);
    let answer = Answer { statement: &statement.name, pool: &pool.name, via, hash, backend };
    match args.json {
        true => printer.json(&answer)?,
        false => show(&answer, pool.ring, &flow, printer)?,
    }
    Ok(Exit::Fine)
}

/// The packet's frame; what is wrong with it is shown where it is.
fn frame(analysis: &mut Analysis, packet: &str, printer: &mut Printer) -> Result<Vec<u8>, Failure> {
    let mut diagnostics = weir_compiler::diagnostic::Diagnostics::default();
    let id = analysis.sources.add("packet", packet);
    let parsed = parse_packet(&analysis.sources, id, &mut diagnostics);
    let Some(parsed) = parsed.filter(|_| !diagnostics.has_errors()) else {
        printer.diagnostics(&diagnostics, &analysis.sources);
        return Err(Failure::Refused);
    };
    notation::frame(&analysis.policy, &parsed).map_err(|problem| failed(problem.message))
}

fn of_running(
    instance: &Instance,
    pool: &str,
    flow: &Flow,
    printer: &mut Printer,
) -> Result<Option<FlowBackend>, Failure> {
    let found = instance.pool(pool).and_then(|pool| pool.backend_of(flow.hash, flow.begins));
    found.map_err(|error| told(error, printer))
}

/// By the policy alone: all backends are well.
fn declared(analysis: &Analysis, flow: &Flow) -> Option<FlowBackend> {
    let pool = &analysis.policy.pools[flow.pool];
    let state = PoolState::of(pool);
    let slot = weir_pool::flow::slot(flow.hash, pool.ring);
    let number: Word = state.slots[slot as usize];
    let backend = pool.backends.get(usize::from(number.now()).checked_sub(1)?)?;
    let backend = backend.endpoint.to_string();
    let tracked = pool.track == Track::All;
    Some(FlowBackend { slot, settled: true, tracked, remembered: false, backend, new_flows: None })
}

fn show(answer: &Answer<'_>, ring: u32, flow: &Flow, printer: &mut Printer) -> Result<(), Failure> {
    let Answer { statement, pool, via, hash, backend } = answer;
    printer.line(format!("statement `{statement}` sends it to pool `{pool}` via {via}"))?;
    let Some(backend) = backend else {
        return printer.line(format!("its flow has the hash {hash}, and no backend has its slot"));
    };
    printer.line(format!("backend   {}", backend.backend))?;
    printer.line(format!("hash      {hash}: slot {} of {ring}", backend.slot))?;
    let begins = if flow.begins { "it begins now" } else { "it began before" };
    let why = match (backend.settled, backend.remembered) {
        (_, true) if backend.tracked => "the pool remembers all flows, and this one among them".to_owned(),
        (true, _) if backend.tracked => {
            format!("the slot is that backend's, the flow is not remembered, and {begins}")
        }
        (true, _) => "the slot has been that backend's since before all flows that could be open".to_owned(),
        (false, true) => "the flow is remembered, since the pool changed lately".to_owned(),
        (false, false) => format!("the pool changed lately, the flow is not remembered, and {begins}"),
    };
    printer.line(format!("because   {why}"))?;
    match &backend.new_flows {
        Some(other) => printer.line(format!("else      new flows of that slot go to {other}")),
        None => Ok(()),
    }
}
