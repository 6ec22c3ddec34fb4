//! Samples, sorted into what is to be covered and what is to be spared.

use super::Request;
use super::cause::CAUSES;
use super::table::{Bits, Doubt, Table};
use super::walk::{Row, features};
use crate::sample::Sample;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use weir_packet::random::SplitMix;

/// The victim's own good samples are enough alone if there are so many; else those of the network help out.
const ENOUGH: usize = 300;
/// One sample in so many is not shown to the search, to judge what it found.
const HELD: u64 = 3;
/// From so many samples on some are held back.
const DIVISIBLE: usize = 30;

/// All that the search looks at.
pub(super) struct Evidence {
    pub(super) attack: Side,
    pub(super) good: Side,
    /// By attack row: the first of [`CAUSES`] that fits.
    pub(super) causes: Vec<usize>,
}

/// Samples of one kind.
pub(super) struct Side {
    pub(super) table: Table,
    /// By row: the source, and when it was taken.
    pub(super) seen: Vec<(IpAddr, Duration)>,
    /// Rows that a statement may match: not from protected sources.
    pub(super) open: Bits,
    /// Rows that the search does not see.
    pub(super) held: Bits,
}

impl Evidence {
    pub(super) fn of(request: &Request) -> Evidence {
        let to_victim = |row: &Row| request.victim.contains(row.dst);
        let attack: Vec<_> = rows(request.attack, to_victim);
        let weights = attack.iter().map(|(sample, _)| f64::from(sample.one_in.max(1))).collect();
        let mut good = rows(request.good, to_victim);
        let mut good_weights = capped(&good);
        if good.len() < ENOUGH {
            let is_alike = |row: &Row| request.victim.is_of(row.dst.is_ipv4());
            let network = rows(request.network, |row| is_alike(row) && !to_victim(row));
            let network_weights = capped(&network);
            balance(&mut good_weights, &network_weights);
            good.extend(network);
            good_weights.extend(network_weights);
        }
        let attack = Side::new(request, attack, weights, Doubt::Misses);
        let good = Side::new(request, good, good_weights, Doubt::Hits);
        Evidence { causes: causes(&attack.table), attack, good }
    }
}

impl Side {
    fn new(request: &Request, samples: Vec<(&Sample, Row)>, weights: Vec<f64>, doubt: Doubt) -> Side {
        let seen: Vec<_> = samples.iter().map(|(sample, row)| (row.src, sample.time)).collect();
        let rows: Vec<Row> = samples.into_iter().map(|sample| sample.1).collect();
        let count = rows.len();
        let held = |row: usize| count >= DIVISIBLE && SplitMix::new(row as u64).bits().is_multiple_of(HELD);
        Side {
            table: Table::new(&rows, weights, doubt),
            open: Bits::of(count, |row| !request.protected.holds(seen[row].0)),
            held: Bits::of(count, held),
            seen,
        }
    }

    /// From the first sample to the last.
    pub(super) fn span(&self) -> Duration {
        let times = || self.seen.iter().map(|seen| seen.1);
        times().max().unwrap_or_default().saturating_sub(times().min().unwrap_or_default())
    }
}

fn rows<'a>(samples: &'a [Sample<'a>], is_wanted: impl Fn(&Row) -> bool) -> Vec<(&'a Sample<'a>, Row)> {
    let rows = samples.iter().filter_map(|sample| Some((sample, features(sample)?)));
    rows.filter(|(_, row)| is_wanted(row)).collect()
}

/// Weights of good samples: what they stand for, but no destination counts more than the median one. Else who sends
/// much to one host before an attack would decide what good traffic looks like.
fn capped(samples: &[(&Sample, Row)]) -> Vec<f64> {
    let mut destinations: BTreeMap<IpAddr, f64> = BTreeMap::new();
    let weight = |sample: &Sample| f64::from(sample.one_in.max(1));
    for (sample, row) in samples {
        *destinations.entry(row.dst).or_default() += weight(sample);
    }
    let mut weights: Vec<f64> = destinations.values().copied().collect();
    weights.sort_by(f64::total_cmp);
    let median = weights.get(weights.len() / 2).copied().unwrap_or_default();
    let scaled = |(sample, row): &(&Sample, Row)| {
        let all = destinations[&row.dst];
        weight(sample) * (median.min(all) / all)
    };
    samples.iter().map(scaled).collect()
}

/// Lets few samples of the victim's own traffic weigh as much as all of the network's.
fn balance(own: &mut [f64], network: &[f64]) {
    let (of_own, of_network) = (own.iter().sum::<f64>(), network.iter().sum::<f64>());
    if of_network > of_own && of_own > 0.0 {
        own.iter_mut().for_each(|weight| *weight *= of_network / of_own);
    }
}

fn causes(attack: &Table) -> Vec<usize> {
    let mut causes = vec![CAUSES.len() - 1; attack.rows()];
    let mut left = attack.all();
    for (index, cause) in CAUSES.iter().enumerate() {
        let fits = attack.rule(&left, &cause.rule());
        fits.rows().for_each(|row| causes[row] = index);
        left = left.without(&fits);
    }
    causes
}
