//! What collectors of sFlow take.

use serde::Serialize;

use super::{ratio, shown};
use crate::spread::{Ratio, Spread};

/// A collector, on the same datagrams as the others.
#[derive(Serialize)]
pub(crate) struct CollectorRow {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    /// Thousands for a second of a CPU.
    pub(crate) samples: Spread,
    /// Nanoseconds of a CPU for each.
    pub(crate) cpu: Spread,
    /// That over what `weir analyze` took in the same turns.
    pub(crate) over_weir: Ratio,
    /// The part of the samples that it did not count, in its worst turn.
    pub(crate) lost: f64,
}

pub(super) fn collectors(rows: &[CollectorRow]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\n| collector | what it does | samples, k for a CPU second | CPU, ns a sample | it / `weir analyze` | lost |"
    );
    println!("|---|---|---:|---:|---:|---:|");
    for row in rows {
        let (samples, cpu, over) = (shown(row.samples, 0), shown(row.cpu, 0), ratio(row.over_weir));
        println!("| {} | {} | {samples} | {cpu} | {over} | {:.2} % |", row.name, row.does, row.lost * 100.0);
    }
}
