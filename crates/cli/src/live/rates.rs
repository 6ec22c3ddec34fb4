//! From counters to rates.

use crate::judge::StatementRow;
use crate::units::short;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many rates are remembered, and so the width of the little pictures.
pub(crate) const HISTORY: usize = 40;

/// How many events are remembered.
const EVENTS: usize = 50;

/// A statement with what it did since the last look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Rate {
    pub(crate) name: String,
    pub(crate) action: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shadow: bool,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) packets_per_s: f64,
    pub(crate) bits_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) over_per_s: Option<f64>,
}

/// What statements did, from look to look.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: Option<(Duration, u64, HashMap<String, StatementRow>)>,
    now: Vec<Rate>,
    history: HashMap<String, VecDeque<f64>>,
    events: VecDeque<(Duration, String)>,
    /// Attacks that go on, a line each.
    attacks: Vec<String>,
    /// How the pools are, likewise.
    pools: Vec<String>,
}

impl Rates {
    /// Takes in what was counted by a time.
    pub(crate) fn add(&mut self, at: Duration, generation: u64, rows: &[StatementRow]) {
        let before = self.last.take();
        let seconds = before.as_ref().map_or(0.0, |(last, _, _)| at.saturating_sub(*last).as_secs_f64());
        if let Some((_, was, _)) = before.as_ref().filter(|(_, was, _)| *was != generation) {
            self.event(at, format!("generation {generation} runs in the place of {was}"));
        }
        let rate = |row: &StatementRow| {
            let was = before.as_ref().and_then(|(_, _, rows)| rows.get(&row.name));
            let per_s = |now: u64, was: Option<u64>| match was {
                // A counter that went back began anew.
                Some(was) if seconds > 0.0 && now >= was => (now - was) as f64 / seconds,
                _ => 0.0,
            };
            Rate {
                name: row.name.clone(),
                action: row.action.clone(),
                shadow: row.shadow,
                packets: row.packets,
                bytes: row.bytes,
                packets_per_s: per_s(row.packets, was.map(|was| was.packets)),
                bits_per_s: per_s(row.bytes, was.map(|was| was.bytes)) * 8.0,
                over: row.over,
                over_per_s: row.over.map(|over| per_s(over, was.and_then(|was| was.over))),
            }
        };
        let now: Vec<Rate> = rows.iter().map(rate).collect();
        for rate in &now {
            self.remember(at, rate);
        }
        self.now = now;
        self.last = Some((at, generation, rows.iter().map(|row| (row.name.clone(), row.clone())).collect()));
    }

    /// The latest rates, in the policy's order.
    pub(crate) fn now(&self) -> &[Rate] {
        &self.now
    }

    /// The rates of a statement so far, the newest last.
    pub(crate) fn history(&self, name: &str) -> impl Iterator<Item = f64> + '_ {
        self.history.get(name).into_iter().flatten().copied()
    }

    /// Attacks that go on, a line each.
    pub(crate) fn attacks(&self) -> &[String] {
        &self.attacks
    }

    /// Takes in which attacks go on.
    pub(crate) fn set_attacks(&mut self, attacks: Vec<String>) {
        self.attacks = attacks;
    }

    /// How the pools are, a line each.
    pub(crate) fn pools(&self) -> &[String] {
        &self.pools
    }

    /// Takes in how the pools are.
    pub(crate) fn set_pools(&mut self, pools: Vec<String>) {
        self.pools = pools;
    }

    /// What happened, the newest last.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &(Duration, String)> {
        self.events.iter()
    }

    /// Something that is worth a line.
    pub(crate) fn event(&mut self, at: Duration, text: String) {
        self.events.push_back((at, text));
        if self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn remember(&mut self, at: Duration, rate: &Rate) {
        let dropped = dropped_per_s(rate);
        let history = self.history.entry(rate.name.clone()).or_default();
        let known = !history.is_empty();
        history.push_back(rate.packets_per_s);
        if history.len() > HISTORY {
            history.pop_front();
        }
        let was = self.now.iter().find(|was| was.name == rate.name).map_or(0.0, dropped_per_s);
        match (was > 0.0, dropped > 0.0) {
            (false, true) if known => self.event(at, format!("`{}` drops {}/s", rate.name, short(dropped))),
            (true, false) => self.event(at, format!("`{}` is quiet again", rate.name)),
            _ => {}
        }
    }
}

/// What a statement holds back; nothing for one that only counts.
fn dropped_per_s(rate: &Rate) -> f64 {
    match (rate.action.as_str(), rate.shadow) {
        ("drop", false) => rate.packets_per_s,
        ("limit", false) => rate.over_per_s.unwrap_or(0.0),
        _ => 0.0,
    }
}

/// Rates as a line of blocks, the highest one full.
pub(crate) fn sparkline(rates: impl Iterator<Item = f64>) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let rates: Vec<f64> = rates.collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    let block = |rate: &f64| match *rate {
        0.0 => ' ',
        rate => BLOCKS[((rate / most * 7.0).round() as usize).min(7)],
    };
    rates.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, packets: u64) -> StatementRow {
        let action = "drop".to_owned();
        StatementRow {
            name: name.into(),
            action,
            packets,
            bytes: packets * 100,
            over: None,
            lost: None,
            unsent: None,
            cookies: None,
            shadow: false,
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let mut rates = Rates::default();
        rates.add(Duration::from_secs(1), 1, &[row("a", 1000)]);
        assert_eq!(rates.now()[0].packets_per_s, 0.0);
        rates.add(Duration::from_secs(3), 1, &[row("a", 1500)]);
        assert_eq!(rates.now()[0].packets_per_s, 250.0);
        assert_eq!(rates.now()[0].bits_per_s, 200_000.0);
        rates.add(Duration::from_secs(4), 2, &[row("a", 10)]);
        assert_eq!(rates.now()[0].packets_per_s, 0.0, "the counter began anew");
        let events: Vec<&str> = rates.events().map(|(_, text)| text.as_str()).collect();
        assert_eq!(events, ["`a` drops 250/s", "generation 2 runs in the place of 1", "`a` is quiet again"]);
    }

    #[test]
    fn a_picture_of_rates() {
        assert_eq!(sparkline([0.0, 1.0, 50.0, 100.0].into_iter()), " ▁▅█");
        assert_eq!(sparkline(std::iter::empty()), "");
    }
}
