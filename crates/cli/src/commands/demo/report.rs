//! What the demo found, as a table, as JSON and as a verdict.

use crate::failure::Failure;
use crate::judge::StatementRow;
use crate::printer::{Cell, Paint, Printer, Table, statement_table};
use crate::units::{counted, grouped};
use serde::Serialize;

/// Of an attack, this much has to be dropped.
const DROPPED: f64 = 99.0;
/// Of everyday traffic, this much has to be answered.
const ANSWERED: f64 = 99.0;

/// What the demo found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `kernel` or `interpreter`.
    pub(super) engine: &'static str,
    /// The attacks were dropped, and everybody else got through.
    pub(super) ok: bool,
    pub(super) phases: Vec<PhaseReport>,
    pub(super) statements: Vec<StatementRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct PhaseReport {
    pub(super) name: &'static str,
    pub(super) seconds: f64,
    pub(super) attack: Option<AttackReport>,
    pub(super) http: Option<ServiceReport>,
    pub(super) udp: Option<ServiceReport>,
    /// Everyday frames that were judged, and those of them that passed; of the interpreter only.
    pub(super) everyday: Option<ServiceReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct AttackReport {
    pub(super) sent: u64,
    pub(super) arrived: u64,
    pub(super) dropped_percent: f64,
    /// The statement that is made for it.
    pub(super) statement: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct ServiceReport {
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) answered_percent: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

impl AttackReport {
    pub(super) fn new(sent: u64, arrived: u64, statement: &'static str) -> AttackReport {
        let dropped_percent = 100.0 - percent(arrived, sent);
        AttackReport { sent, arrived, dropped_percent, statement }
    }
}

impl ServiceReport {
    pub(super) fn new(asked: u64, answered: u64) -> ServiceReport {
        ServiceReport {
            asked,
            answered,
            answered_percent: percent(answered, asked),
            p50_ms: None,
            p99_ms: None,
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    let exact = if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    (exact * 1000.0).round() / 1000.0
}

impl Report {
    pub(super) fn new(
        engine: &'static str,
        phases: Vec<PhaseReport>,
        statements: Vec<StatementRow>,
    ) -> Report {
        let ok = phases.iter().all(PhaseReport::ok);
        Report { engine, ok, phases, statements }
    }

    /// The tables, and the verdict in words.
    pub(super) fn show(&self, printer: &mut Printer) -> Result<(), Failure> {
        printer.line("")?;
        printer.table(&self.phase_table())?;
        printer.line("")?;
        printer.table(&statement_table(&self.statements))?;
        printer.line("")?;
        let sent: u64 = self.phases.iter().filter_map(|phase| Some(phase.attack.as_ref()?.sent)).sum();
        let arrived: u64 = self.phases.iter().filter_map(|phase| Some(phase.attack.as_ref()?.arrived)).sum();
        let held = AttackReport::new(sent, arrived, "").dropped_percent;
        let attack = format!("{held:.2} % of {} of attack", counted(sent, "frame"));
        let everyday = self.everyday();
        let kept = if self.engine == "kernel" { "never reached the server" } else { "were dropped" };
        let verdict = match self.ok {
            true => printer.painted(&format!("held: {attack} {kept}, and {everyday}"), Paint::Green),
            false => printer.painted(&format!("NOT held: {attack} {kept}, and {everyday}"), Paint::Red),
        };
        printer.line(verdict)
    }

    fn everyday(&self) -> String {
        let services = || self.phases.iter().flat_map(PhaseReport::services);
        let asked: u64 = services().map(|service| service.asked).sum();
        let answered: u64 = services().map(|service| service.answered).sum();
        match self.engine {
            "kernel" => {
                format!("{} of {} everyday requests were answered", grouped(answered), grouped(asked))
            }
            _ => format!("{} of {} everyday frames passed", grouped(answered), grouped(asked)),
        }
    }

    fn phase_table(&self) -> Table {
        let kernel = self.engine == "kernel";
        let names: &[&str] = match kernel {
            true => &[
                "phase",
                ">attack frames",
                ">reached the server",
                ">dropped",
                ">HTTP answered",
                ">median",
                ">99th",
                ">UDP answered",
                ">median",
            ],
            false => &["phase", ">attack frames", ">passed", ">dropped", ">everyday passed"],
        };
        let mut table = Table::new(names);
        for phase in &self.phases {
            let mut cells: Vec<Cell> = vec![phase.name.into()];
            match &phase.attack {
                None => cells.extend([Cell::right("–"), Cell::right("–"), Cell::right("–")]),
                Some(attack) => cells.extend([
                    Cell::right(grouped(attack.sent)),
                    Cell::right(grouped(attack.arrived)),
                    Cell::right(format!("{:.2} %", attack.dropped_percent)),
                ]),
            }
            if let Some(http) = &phase.http {
                cells.extend([share(http), time(http.p50_ms), time(http.p99_ms)]);
            }
            if let Some(udp) = &phase.udp {
                cells.extend([share(udp), time(udp.p50_ms)]);
            }
            cells.extend(phase.everyday.as_ref().map(share));
            table.row(cells);
        }
        table
    }
}

fn share(service: &ServiceReport) -> Cell {
    Cell::right(format!("{}/{}", grouped(service.answered), grouped(service.asked)))
}

fn time(ms: Option<f64>) -> Cell {
    Cell::right(ms.map_or("–".to_owned(), |ms| format!("{ms:.1} ms")))
}

impl PhaseReport {
    fn services(&self) -> impl Iterator<Item = &ServiceReport> {
        [&self.http, &self.udp, &self.everyday].into_iter().flatten()
    }

    /// An attack that never was is none that was held.
    fn ok(&self) -> bool {
        let attack = self.attack.as_ref();
        let held = attack.is_none_or(|attack| attack.sent > 0 && attack.dropped_percent > DROPPED);
        held && self.services().all(|service| service.asked > 0 && service.answered_percent >= ANSWERED)
    }
}
