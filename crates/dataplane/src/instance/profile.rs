//! What a running policy's counters say of how often its statements are met.
//!
//! A profile stays with the instance until the next one: a reload without one compiles with the same frequencies, so
//! that what came or went in a table is no other program.

use super::Generation;
use super::status::counters;
use crate::counters::{StatementCounters, over};
use crate::{Error, Frequent, Profiled};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_compiler::ir::MILLION;
use weir_compiler::lower::Frequencies;

/// Fewer packets are no profile.
const FEWEST: u64 = 1_000;

/// A statement that at least this part of all packets meets is said to be frequent.
const FREQUENT: f64 = 0.1;

/// What the layout of a generation rests on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) frequencies: Frequencies,
    /// Packets that statements had counted then, and those over their limits: the next profile begins there.
    counted: BTreeMap<String, (u64, u64)>,
}

/// Takes a profile of a generation since the last one, and lets it be that of its successor.
pub(super) fn take(name: &str, running: &mut Generation) -> Result<Profiled, Error> {
    let now = counters(running)?;
    let (frequencies, profiled) = measure(&since(&now, &running.meta.profile.counted));
    if profiled.packets < FEWEST {
        return Err(Error::FewPackets { name: name.to_owned(), packets: profiled.packets, wanted: FEWEST });
    }
    let counted = |c: StatementCounters| (c.name, (c.packets, c.over_packets));
    running.meta.profile = Profile { frequencies, counted: now.into_iter().map(counted).collect() };
    Ok(profiled)
}

/// What was counted since then. A name that was gone in between began anew.
fn since(now: &[StatementCounters], then: &BTreeMap<String, (u64, u64)>) -> Vec<StatementCounters> {
    let one = |counter: &StatementCounters| {
        let (packets, over) = then.get(&counter.name).copied().unwrap_or_default();
        let packets = counter.packets.checked_sub(packets).unwrap_or(counter.packets);
        let over_packets = counter.over_packets.checked_sub(over).unwrap_or(counter.over_packets);
        StatementCounters { packets, over_packets, ..counter.clone() }
    };
    now.iter().map(one).collect()
}

/// How often each statement was met by packets that came to it, which are those that none before it took.
fn measure(counters: &[StatementCounters]) -> (Frequencies, Profiled) {
    let packets: u64 = counters.iter().map(taken).sum();
    let (mut left, mut frequencies, mut frequent) = (packets, Frequencies::new(), Vec::new());
    for counter in counters {
        let mut note = |name: String, part: u64, of: u64| {
            if of > 0 {
                let part = u128::from(part.min(of)) * u128::from(MILLION) / u128::from(of);
                frequencies.insert(name, part as u32);
            }
        };
        note(counter.name.clone(), counter.packets, left);
        if counter.action == "limit" {
            note(over(&counter.name), counter.over_packets, counter.packets);
        }
        left = left.saturating_sub(taken(counter));
        let share = counter.packets as f64 / packets.max(1) as f64;
        if share >= FREQUENT {
            frequent.push((counter.name.clone(), share));
        }
    }
    frequencies.remove("default");
    frequent.sort_by(|a, b| b.1.total_cmp(&a.1));
    let frequent = frequent.into_iter().map(|(statement, share)| Frequent { statement, share }).collect();
    (frequencies, Profiled { packets, frequent })
}

/// Packets whose way ended there.
fn taken(counter: &StatementCounters) -> u64 {
    match counter.action.as_str() {
        _ if counter.shadow => 0,
        "pass" | "drop" => counter.packets,
        "limit" => counter.over_packets,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(name: &str, action: &str, packets: u64, over_packets: u64) -> StatementCounters {
        let (name, action) = (name.to_owned(), action.to_owned());
        StatementCounters { name, action, packets, over_packets, ..StatementCounters::default() }
    }

    #[test]
    fn frequencies_are_of_the_packets_that_came_by() {
        let ghost = StatementCounters { shadow: true, ..counter("ghost", "drop", 500, 0) };
        let counters = [
            counter("bad", "drop", 500, 0),
            ghost,
            counter("few", "limit", 250, 50),
            counter("good", "pass", 405, 0),
            counter("default", "drop", 45, 0),
        ];
        let (frequencies, profiled) = measure(&counters);
        let wanted = [("bad", 500), ("few", 500), ("few/over", 200), ("ghost", 1000), ("good", 900)];
        assert_eq!(frequencies, wanted.map(|(name, part)| (name.to_owned(), part * 1000)).into());
        assert_eq!(profiled.packets, 1000);
        let names: Vec<_> = profiled.frequent.iter().map(|frequent| frequent.statement.as_str()).collect();
        assert_eq!(names, ["bad", "ghost", "good", "few"]);
    }

    #[test]
    fn a_profile_begins_where_the_last_one_ended() {
        let then = [("a".to_owned(), (100, 7)), ("b".to_owned(), (100, 0))].into();
        let since = since(&[counter("a", "limit", 130, 9), counter("b", "drop", 40, 0)], &then);
        assert_eq!(since, [counter("a", "limit", 30, 2), counter("b", "drop", 40, 0)]);
    }

    #[test]
    fn without_packets_nothing_is_known() {
        let (frequencies, profiled) =
            measure(&[counter("a", "drop", 0, 0), counter("default", "pass", 0, 0)]);
        assert!(frequencies.is_empty() && profiled.frequent.is_empty(), "{frequencies:?}");
        assert_eq!(profiled.packets, 0);
    }
}
