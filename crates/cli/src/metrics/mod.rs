//! What runs, as metrics for Prometheus.

mod names;
mod text;

use crate::failure::{Failure, failed, words};
use crate::running::rows;
use names::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use text::Text;
use weir_dataplane::counters::UnsentCounters;
use weir_dataplane::export::CollectorStatus;
use weir_dataplane::{Instance, PoolStatus, Status};
use weir_journal::{Figures, Live, State};
use weir_telemetry::Page;

/// Collectors of sFlow, as the thread that sends to them says.
pub(crate) type Collectors = Arc<Mutex<Vec<CollectorStatus>>>;

/// A policy that runs, and who knows of it.
pub(crate) struct Source {
    /// What it is called.
    pub(crate) name: String,
    pub(crate) instance: Instance,
    /// What its protection met, if it is protected.
    pub(crate) live: Option<Arc<Live>>,
    /// What only the process that runs it knows.
    pub(crate) own: Option<Own>,
}

/// What only the process that runs a policy knows.
#[derive(Clone, Default)]
pub(crate) struct Own {
    pub(crate) journal: Option<weir_journal::Watch>,
    pub(crate) hooks: weir_telemetry::Watch,
    pub(crate) collectors: Collectors,
}

/// What an analyser knows of itself; it says so each time round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Analysing {
    /// Whether it is the one that decides.
    pub(crate) leads: bool,
    /// What came as sFlow.
    pub(crate) came: Came,
}

/// Datagrams and samples that came.
#[derive(Clone, Copy, Default)]
pub(crate) struct Came {
    pub(crate) datagrams: u64,
    pub(crate) samples: u64,
    /// Datagrams that did not come, came twice, are not from listed agents, are malformed, could not be handed on.
    pub(crate) lost: u64,
    pub(crate) again: u64,
    pub(crate) strange: u64,
    pub(crate) malformed: u64,
    pub(crate) unsent: u64,
}

/// A page that is written each time.
pub(crate) fn serve(
    address: SocketAddr,
    page: impl FnMut() -> String + Send + 'static,
) -> Result<Page, Failure> {
    Page::serve(address, page)
        .map_err(|error| failed(format!("cannot serve metrics at {address}: {}", words(&error))))
}

fn begun() -> Text {
    let mut text = Text::default();
    text.put(&BUILD, &[env!("CARGO_PKG_VERSION")], 1);
    text
}

/// The page of an analyser.
pub(crate) fn analyser(name: &str, now: Analysing, own: &Own) -> String {
    let mut text = begun();
    text.put(&LEADS, &[name], now.leads.into());
    let Came { datagrams, samples, lost, again, strange, malformed, unsent } = now.came;
    text.put(&RECEIVED, &[name], datagrams);
    text.put(&RECEIVED_SAMPLES, &[name], samples);
    let problems = [
        ("lost", lost),
        ("again", again),
        ("strange", strange),
        ("malformed", malformed),
        ("unsent", unsent),
    ];
    problems.iter().for_each(|(problem, count)| text.put(&RECEIVED_NOT, &[name, problem], *count));
    if let Some(journal) = &own.journal {
        attacks(&mut text, name, &journal.live());
    }
    process(&mut text, name, own);
    text.finish()
}

/// The page of policies.
pub(crate) fn page(sources: &[Source]) -> String {
    let mut text = begun();
    for source in sources {
        let name = source.name.as_str();
        let status = source.instance.status();
        text.put(&UP, &[name], status.is_ok().into());
        if let Ok(status) = status {
            policy(&mut text, name, status);
        }
        if let Some(live) = &source.live {
            attacks(&mut text, name, live);
        }
        if let Some(own) = &source.own {
            process(&mut text, name, own);
        }
    }
    text.finish()
}

fn policy(text: &mut Text, name: &str, status: Status) {
    text.put(&GENERATION, &[name], status.generation);
    for at in &status.attachments {
        text.put(&ATTACHED, &[name, &at.interface, &at.hook.to_string()], at.active.into());
    }
    for row in rows(status.counters) {
        let verb = if row.shadow { format!("shadow {}", row.action) } else { row.action };
        let labels = [name, &row.name, &verb];
        text.put(&PACKETS, &labels, row.packets);
        text.put(&BYTES, &labels, row.bytes);
        if let Some(over) = row.over {
            text.put(&OVER, &labels, over);
        }
        if let Some(UnsentCounters { nobody, damaged, long, unreachable, full }) = row.unsent {
            let reasons = [
                ("nobody", nobody),
                ("damaged", damaged),
                ("long", long),
                ("unreachable", unreachable),
                ("full", full),
            ];
            reasons.iter().for_each(|(why, packets)| text.put(&UNSENT, &[name, &row.name, why], *packets));
        }
    }
    text.put(&EVICTIONS, &[name], status.statistics.evictions);
    for set in &status.sets {
        text.put(&ELEMENTS, &[name, &set.name], set.elements);
        if let Some(max) = set.max {
            text.put(&MOST_ELEMENTS, &[name, &set.name], max);
        }
    }
    status.pools.iter().for_each(|one| pool(text, name, one));
    for sample in &status.samples {
        text.put(&ONE_IN, &[name, &sample.name], sample.one_in.into());
        text.put(&SAMPLES, &[name, &sample.name], sample.taken);
        text.put(&SAMPLES_LOST, &[name, &sample.name], sample.lost);
    }
}

fn pool(text: &mut Text, name: &str, pool: &PoolStatus) {
    let labels = [name, &pool.name];
    text.put(&POOL_FLOWS, &labels, pool.flows as u64);
    text.put(&POOL_UNSETTLED, &labels, pool.unsettled as u64);
    text.put(&POOL_MOVED, &labels, pool.moved);
    for backend in &pool.backends {
        for state in ["up", "down", "draining"] {
            let is_so = (backend.state == state).into();
            text.put(&BACKEND_STATE, &[name, &pool.name, &backend.backend, state], is_so);
        }
        let labels = [name, &pool.name, &backend.backend];
        text.put(&BACKEND_WEIGHT, &labels, backend.weight.into());
        text.put(&BACKEND_PACKETS, &labels, backend.packets);
        text.put(&BACKEND_BYTES, &labels, backend.bytes);
        text.put(&BACKEND_FLOWS, &labels, backend.flows);
    }
}

fn attacks(text: &mut Text, name: &str, live: &Live) {
    // Numbers go up by one with each, whatever is forgotten.
    text.put(&ATTACKS, &[name], live.attacks.last().map_or(0, |attack| attack.id));
    text.put(&MITIGATIONS_FOUND, &[name], live.mitigations.last().map_or(0, |one| one.id));
    let running = || live.attacks.iter().filter(|attack| attack.ended_ns.is_none());
    text.put(&ATTACKS_RUNNING, &[name], running().count() as u64);
    for attack in running() {
        text.put(&ATTACK_PACKETS, &[name, &attack.id.to_string(), &attack.victim], attack.packets_per_second);
    }
    for state in State::ALL.into_iter().filter(|state| *state != State::Ended) {
        let of = live.mitigations.iter().filter(|one| one.state == state);
        text.put(&MITIGATIONS, &[name, state.word()], of.clone().count() as u64);
        for one in of {
            text.put(&HITS, &[name, &one.name, &one.cause], one.hits);
        }
    }
}

fn process(text: &mut Text, name: &str, own: &Own) {
    if let Some(journal) = &own.journal {
        let Figures { events, lost, failures } = journal.figures();
        text.put(&EVENTS, &[name], events);
        text.put(&JOURNAL_LOST, &[name], lost);
        text.put(&JOURNAL_FAILURES, &[name], failures);
    }
    for hook in own.hooks.status() {
        for (result, count) in [("sent", hook.sent), ("failed", hook.failed), ("lost", hook.lost)] {
            text.put(&HOOK_MESSAGES, &[name, &hook.name, result], count);
        }
    }
    let collectors = own.collectors.lock().unwrap_or_else(PoisonError::into_inner);
    for collector in collectors.iter() {
        text.put(&DATAGRAMS, &[name, &collector.name], collector.sent);
        text.put(&DATAGRAMS_FAILED, &[name, &collector.name], collector.failed);
    }
}
