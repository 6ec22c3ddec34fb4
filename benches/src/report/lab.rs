//! What balancers did in labs.

use serde::Serialize;

use super::{ratio, shown};
use crate::spread::{Ratio, Spread};

/// More packets than an edge can carry.
#[derive(Serialize)]
pub(crate) struct FloodRow {
    pub(crate) name: &'static str,
    /// Bytes of each frame.
    pub(crate) length: usize,
    /// Where they come from.
    pub(crate) sender: &'static str,
    /// Packets that came to servers, in millions a second.
    pub(crate) arrived: Spread,
    /// Of those sent.
    pub(crate) part: f64,
    /// Nanoseconds of the edge's CPU for each that came.
    pub(crate) cpu: Spread,
    /// The part of the time in which the edge was at work.
    pub(crate) busy: f64,
    /// Packets of Weir's `via l2` over this one's.
    pub(crate) first_over_it: Ratio,
    /// This row's time on the CPU over that one's.
    pub(crate) it_over_first: Ratio,
}

/// Real services behind an edge. Times are of the edge's CPU.
#[derive(Serialize)]
pub(crate) struct StreamRow {
    pub(crate) name: &'static str,
    /// Thousands a second over connections that are kept.
    pub(crate) requests: Spread,
    /// Microseconds for each.
    pub(crate) request_cpu: Spread,
    pub(crate) request_over_first: Ratio,
    /// Packets of these requests that came to servers, in thousands for a second of the CPU.
    pub(crate) packets: Spread,
    /// Thousands a second with a connection for each.
    pub(crate) connections: Spread,
    pub(crate) connection_cpu: Spread,
    pub(crate) connection_over_first: Ratio,
    /// Gbit a second, to servers.
    pub(crate) bits: Spread,
    /// Milliseconds for a Gbit.
    pub(crate) bit_cpu: Spread,
    pub(crate) bit_over_first: Ratio,
}

pub(super) fn floods(rows: &[FloodRow]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\n| flood | bytes, from | arrived, Mpps | of those sent | CPU at work | CPU, ns a packet | CPU, ms a Gbit \
         | packets: `via l2` / it | CPU: it / `via l2` |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        println!(
            "| {} | {}, {} | {} | {:.0} % | {:.0} % | {} | {:.0} | {} | {} |",
            row.name,
            row.length,
            row.sender,
            shown(row.arrived, 2),
            row.part * 100.0,
            row.busy * 100.0,
            shown(row.cpu, 0),
            row.cpu.middle * 1e3 / (8 * row.length) as f64,
            ratio(row.first_over_it),
            ratio(row.it_over_first),
        );
    }
}

pub(super) fn streams(rows: &[StreamRow]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\n| services | requests, k/s | CPU, µs each | it / `via l2` | packets to servers, k for a CPU second |"
    );
    println!("|---|---:|---:|---:|---:|");
    for row in rows {
        let (requests, cpu, packets) =
            (shown(row.requests, 1), shown(row.request_cpu, 2), shown(row.packets, 0));
        println!("| {} | {requests} | {cpu} | {} | {packets} |", row.name, ratio(row.request_over_first));
    }
    println!(
        "\n| services | connections, k/s | CPU, µs each | it / `via l2` | upload, Gbit/s | CPU, ms a Gbit \
         | it / `via l2` |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.name,
            shown(row.connections, 1),
            shown(row.connection_cpu, 2),
            ratio(row.connection_over_first),
            shown(row.bits, 2),
            shown(row.bit_cpu, 1),
            ratio(row.bit_over_first),
        );
    }
}
