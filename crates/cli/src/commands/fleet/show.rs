//! `weir fleet show`.

use super::reached;
use crate::args::fleet::FleetShow;
use crate::failure::{Exit, Failure, Outcome};
use crate::printer::{Cell, Printer, Table};
use crate::units::{duration, grouped};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_fleet::analyser::{Life, Presence};
use weir_fleet::edge::Report;
use weir_fleet::etcd::Store;
use weir_fleet::keys;
use weir_fleet::policy::policy;

/// The fleet at a moment.
#[derive(Serialize)]
struct Shown {
    edges: BTreeMap<String, Report>,
    analysers: Vec<AnalyserRow>,
    policies: Vec<PolicyRow>,
    mitigations: Vec<MitigationRow>,
    /// Against what nothing is tried, by the mitigation that was forbidden.
    forbidden: BTreeMap<u64, String>,
}

#[derive(Serialize)]
struct AnalyserRow {
    name: String,
    sflow: SocketAddr,
    leads: bool,
}

#[derive(Serialize)]
struct PolicyRow {
    name: String,
    revision: i64,
    /// Edges that are to run it, those that do, and those that refuse it.
    edges: usize,
    run: usize,
    refused: usize,
}

#[derive(Serialize)]
struct MitigationRow {
    id: u64,
    name: String,
    cause: Option<String>,
    shadow: bool,
    pinned: bool,
    /// Whether a person wrote it.
    edited: bool,
    born: Option<u64>,
    /// Packets at all edges.
    packets: u64,
    edges: usize,
    refused: BTreeMap<String, String>,
    text: String,
}

pub(super) fn run(args: &FleetShow, printer: &mut Printer) -> Outcome {
    let store = reached(&args.etcd)?;
    let shown = Shown::of(&store);
    match args.json {
        true => printer.json(&shown)?,
        false => shown.show(printer)?,
    }
    Ok(Exit::Fine)
}

impl Shown {
    fn of(store: &Store) -> Shown {
        let edges: BTreeMap<String, Report> = store.read(keys::EDGES);
        let leader = store.get(keys::LEADER).map(|entry| entry.text());
        let analysers = store.read::<Presence>(keys::ANALYSERS).into_iter().map(|(name, presence)| {
            AnalyserRow { leads: leader.as_ref() == Some(&presence.run), sflow: presence.sflow, name }
        });
        let policies = store.list(keys::POLICIES).into_iter().map(|(name, entry)| {
            let revision = policy(store, &name).ok().flatten().map_or(entry.changed, |one| one.revision);
            let ours = || edges.values().filter(|report| report.policy == name);
            PolicyRow {
                edges: ours().count(),
                run: ours().filter(|report| report.running && report.revision == revision).count(),
                refused: ours().filter(|report| report.trouble.is_some()).count(),
                revision,
                name,
            }
        });
        let lives: BTreeMap<String, Life> = store.read(keys::LIVES);
        let mitigations = store.list(keys::MITIGATIONS).into_iter().map(|(key, entry)| {
            let life = lives.get(&key);
            let counts = || edges.values().filter_map(|report| report.mitigations.get(&key));
            let refused = edges
                .iter()
                .filter_map(|(name, report)| Some((name.clone(), report.refused.get(&key)?.clone())));
            let id = key.parse().unwrap_or(0);
            MitigationRow {
                id,
                name: life.map_or(key.clone(), |life| life.standing.name()),
                cause: life.map(|life| life.standing.statement.cause.to_string()),
                shadow: life.is_some_and(|life| life.standing.in_shadow),
                pinned: life.is_some_and(|life| life.standing.pinned),
                edited: life.is_some_and(|life| life.standing.written.is_some()),
                born: life.map(|life| life.born),
                packets: counts().sum(),
                edges: counts().count(),
                refused: refused.collect(),
                text: entry.text(),
            }
        });
        let forbidden = store.list(keys::FORBIDDEN).into_iter();
        Shown {
            analysers: analysers.collect(),
            policies: policies.collect(),
            mitigations: mitigations.collect(),
            forbidden: forbidden.filter_map(|(key, entry)| Some((key.parse().ok()?, entry.text()))).collect(),
            edges,
        }
    }

    fn show(&self, printer: &mut Printer) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let ago = |time: u64| duration(Duration::from_secs(now.saturating_sub(time)));
        let mut table =
            Table::new(&["edge", "policy", ">revision", ">mitigations", "never", "since", "trouble"]);
        for (name, report) in &self.edges {
            let trouble = report.trouble.as_ref().map(|trouble| trouble.why.clone()).unwrap_or_default();
            table.row(vec![
                name.as_str().into(),
                report.policy.as_str().into(),
                Cell::right(if report.running { report.revision.to_string() } else { "–".to_owned() }),
                Cell::right(report.mitigations.len().to_string()),
                report.never.as_deref().unwrap_or_default().into(),
                ago(report.since).into(),
                trouble.into(),
            ]);
        }
        printer.table(&table)?;
        printer.line("")?;
        let mut table = Table::new(&["analyser", "sflow", ""]);
        for row in &self.analysers {
            let role = if row.leads { "decides" } else { "stands by" };
            table.row(vec![row.name.as_str().into(), row.sflow.to_string().into(), role.into()]);
        }
        printer.table(&table)?;
        printer.line("")?;
        let mut table = Table::new(&["policy", ">revision", ">edges", ">run it", ">refuse it"]);
        for row in &self.policies {
            let numbers = [row.edges, row.run, row.refused].map(|number| Cell::right(number.to_string()));
            let mut cells = vec![row.name.as_str().into(), Cell::right(row.revision.to_string())];
            cells.extend(numbers);
            table.row(cells);
        }
        printer.table(&table)?;
        printer.line("")?;
        let mut table = Table::new(&[">mitigation", "name", "is", ">packets", ">edges", "since"]);
        for row in &self.mitigations {
            let words = [
                (true, if row.shadow { "shadow" } else { "enforced" }),
                (row.edited, "edited"),
                (row.pinned, "pinned"),
            ];
            let words: Vec<&str> =
                words.into_iter().filter_map(|(holds, word)| holds.then_some(word)).collect();
            let state = words.join(", ");
            table.row(vec![
                Cell::right(row.id.to_string()),
                row.name.as_str().into(),
                state.into(),
                Cell::right(grouped(row.packets)),
                Cell::right(row.edges.to_string()),
                row.born.map(ago).unwrap_or_default().into(),
            ]);
        }
        printer.table(&table)?;
        for (id, against) in &self.forbidden {
            printer.line(format!("\nnothing is tried against {against}: mitigation {id} was forbidden"))?;
        }
        for row in &self.mitigations {
            printer.line(format!("\n{}", row.text.trim_end()))?;
            for (edge, why) in &row.refused {
                printer.warning(format!("`{edge}` refuses mitigation {}: {why}", row.id));
            }
        }
        Ok(())
    }
}
