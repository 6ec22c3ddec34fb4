//! From an attack to a rule.

use serde::Serialize;

/// Rounds of one way to defend.
#[derive(Serialize)]
pub(crate) struct MitigationRow {
    name: &'static str,
    /// Recorded attacks, or synthetic ones.
    recorded: bool,
    /// Milliseconds to the first drop, sorted; of rounds without one there is none.
    times: Vec<f64>,
    rounds: usize,
    median: Option<f64>,
    worst: Option<f64>,
    goal: f64,
    worst_goal: Option<f64>,
    /// The least share of an attack that was dropped in its steady state, and the median.
    dropped_least: f64,
    dropped_median: f64,
    /// The largest share of good traffic that was lost.
    lost_most: f64,
}

impl MitigationRow {
    /// Of rounds: time, share dropped, share lost; and the goals of the median and the worst.
    pub(crate) fn of(
        name: &'static str,
        recorded: bool,
        rounds: impl Iterator<Item = (Option<f64>, f64, f64)>,
        (goal, worst_goal): (f64, Option<f64>),
    ) -> MitigationRow {
        let rounds: Vec<_> = rounds.collect();
        let sorted = |values: Vec<f64>| {
            let mut values = values;
            values.sort_by(f64::total_cmp);
            values
        };
        let times = sorted(rounds.iter().filter_map(|round| round.0).collect());
        let dropped = sorted(rounds.iter().map(|round| round.1).collect());
        let is_whole = times.len() == rounds.len();
        MitigationRow {
            name,
            recorded,
            rounds: rounds.len(),
            median: times.get(rounds.len() / 2).copied(),
            worst: times.last().copied().filter(|_| is_whole),
            times,
            goal,
            worst_goal,
            dropped_least: dropped.first().copied().unwrap_or(0.0),
            dropped_median: dropped.get(dropped.len() / 2).copied().unwrap_or(0.0),
            lost_most: rounds.iter().map(|round| round.2).fold(0.0, f64::max),
        }
    }
}

pub(super) fn mitigations(rows: &[MitigationRow]) {
    if rows.is_empty() {
        return;
    }
    let attacks = if rows[0].recorded { "recorded" } else { "synthetic" };
    println!(
        "\n| {attacks} attacks: first packet to first drop | rounds | median, ms | goal | worst, ms | goal | dropped then, median | least | good traffic lost, most |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let shown = |time: Option<f64>| time.map_or("never".to_owned(), |time| format!("{time:.0}"));
        println!(
            "| {} | {} | {} | {:.0} | {} | {} | {:.2} % | {:.2} % | {:.3} % |",
            row.name,
            row.rounds,
            shown(row.median),
            row.goal,
            shown(row.worst),
            row.worst_goal.map_or("–".to_owned(), |goal| format!("{goal:.0}")),
            row.dropped_median * 100.0,
            row.dropped_least * 100.0,
            row.lost_most * 100.0,
        );
    }
}
