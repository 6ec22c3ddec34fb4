//! What `weir demo ddos` found.

use crate::failure::Failure;
use crate::printer::{Cell, Paint, Printer, Table};
use crate::units::grouped;
use serde::Serialize;

/// The median attack has to be met within so many milliseconds,
const MEDIAN_MS: f64 = 500.0;
/// and each has to lose more than this share, in percent, while good traffic loses no more than that.
const DROPPED: f64 = 75.0;
const LOST: f64 = 1.0;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Each attack was met by a rule of its own, soon enough, and good traffic was spared.
    pub(super) ok: bool,
    /// Frames a second of each attack.
    rate: u64,
    seconds: f64,
    /// From the first frame of an attack to the first sample that the right rule dropped, in milliseconds.
    median_ms: Option<f64>,
    /// The machine's load averages at the end, over 1, 5 and 15 minutes; and its processors.
    load: String,
    cpus: usize,
    attacks: Vec<AttackReport>,
}

/// Times are in milliseconds since just before the attack's first frame was sent.
#[derive(Debug, Serialize)]
pub(super) struct AttackReport {
    pub(super) name: String,
    pub(super) sent: u64,
    pub(super) arrived: u64,
    pub(super) good_sent: u64,
    pub(super) good_arrived: u64,
    /// Frames that reached the server and were not counted: they look lost, and are not.
    pub(super) not_counted: u32,
    pub(super) alert_ms: Option<f64>,
    pub(super) enforced_ms: Option<f64>,
    pub(super) dropping_ms: Option<f64>,
    pub(super) rule: Option<String>,
    pub(super) text: Option<String>,
}

impl AttackReport {
    fn dropped_percent(&self) -> f64 {
        lost(self.sent, self.arrived)
    }

    fn good_lost_percent(&self) -> f64 {
        lost(self.good_sent, self.good_arrived)
    }

    fn ok(&self) -> bool {
        self.dropping_ms.is_some() && self.dropped_percent() >= DROPPED && self.good_lost_percent() <= LOST
    }
}

fn lost(sent: u64, arrived: u64) -> f64 {
    if sent == 0 { 0.0 } else { 100.0 * sent.saturating_sub(arrived) as f64 / sent as f64 }
}

impl Report {
    pub(super) fn new(rate: u64, seconds: f64, attacks: Vec<AttackReport>) -> Report {
        let mut times: Vec<f64> = attacks.iter().filter_map(|attack| attack.dropping_ms).collect();
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        let median_ms = match times.len() {
            0 => None,
            count if count % 2 == 1 => Some(times[middle]),
            _ => Some((times[middle - 1] + times[middle]) / 2.0),
        };
        let ok = median_ms.is_some_and(|ms| ms <= MEDIAN_MS) && attacks.iter().all(AttackReport::ok);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Report { ok, rate, seconds, median_ms, load, cpus, attacks }
    }

    pub(super) fn show(&self, printer: &mut Printer) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "attack",
            ">frames",
            ">alert",
            ">rule in force",
            ">drops",
            ">dropped",
            ">good frames",
            ">lost",
            "rule",
        ]);
        let time = |ms: Option<f64>| Cell::right(ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms")));
        for attack in &self.attacks {
            table.row(vec![
                attack.name.as_str().into(),
                Cell::right(grouped(attack.sent)),
                time(attack.alert_ms),
                time(attack.enforced_ms),
                time(attack.dropping_ms),
                Cell::right(format!("{:.1} %", attack.dropped_percent())),
                Cell::right(grouped(attack.good_sent)),
                Cell::right(format!("{:.2} %", attack.good_lost_percent())),
                attack.rule.as_deref().unwrap_or("none").into(),
            ]);
        }
        printer.line("")?;
        printer.table(&table)?;
        for text in self.attacks.iter().filter_map(|attack| attack.text.as_deref()) {
            printer.line(format!("\n{}", text.trim_end()))?;
        }
        let not_counted: u32 = self.attacks.iter().map(|attack| attack.not_counted).sum();
        if not_counted > 0 {
            printer.note(format!(
                "{not_counted} frames reached the server and were not counted: they look lost"
            ));
        }
        let median = self.median_ms.map_or("never".to_owned(), |ms| format!("after {ms:.0} ms"));
        let conditions = format!(
            "{} frames/s each, one in 100 sampled, all hosts on one machine of {} processors (load {})",
            grouped(self.rate),
            self.cpus,
            self.load
        );
        let verdict = match self.ok {
            true => printer.painted(&format!("held: the median attack was dropped {median}"), Paint::Green),
            false => {
                printer.painted(&format!("NOT held: the median attack was dropped {median}"), Paint::Red)
            }
        };
        printer.line(format!("\n{verdict}\n{conditions}"))
    }
}
