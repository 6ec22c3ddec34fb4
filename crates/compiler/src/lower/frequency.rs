//! How often statements are met: what the policy says, else what was counted.

use super::Lower;
use crate::ir::{Frequency, MILLION};
use crate::plan::Step;
use crate::policy::{Action, Statement};
use crate::syntax::ast::Likelihood;
use crate::table::{Entry, Range, Table};
use std::collections::BTreeMap;

/// Of a million packets that come to a statement of this name, how many it applies to; for `NAME/over`, how many of a
/// million that it applies to are over its limit. Names that are not there are not known.
pub type Frequencies = BTreeMap<String, u32>;

/// What the words mean.
const LIKELY: u32 = MILLION / 10 * 9;
const UNLIKELY: u32 = MILLION / 100;

/// A statement that so many of all packets meet is worth a question to all that come to its run.
const HOT: u32 = MILLION / 4;

impl Lower<'_> {
    /// Says how often each counter is expected to count. Of what comes to a statement of which nothing is known, all
    /// is taken to come to the next one as well.
    pub(super) fn expect(&mut self) {
        let policy = self.policy;
        let mut left = MILLION;
        for statement in &policy.statements {
            let name = &statement.name;
            let Some(met) = self.known(statement) else { continue };
            let all = self.counted(name, met, left);
            match statement.action {
                Action::Verdict(_) | Action::Decap | Action::Balance(_) | Action::Echo
                    if !statement.shadow =>
                {
                    left -= all
                }
                Action::Limit(_) => {
                    let over = format!("{name}/over");
                    let Some(met) = self.options.frequencies.get(&over).copied() else { continue };
                    let all = self.counted(&over, met, all);
                    left -= if statement.shadow { 0 } else { all };
                }
                _ => {}
            }
        }
        if !self.b.program().frequencies.is_empty() {
            self.b.frequency(self.slots["default"], Frequency { all: left, met: None });
        }
    }

    /// Statements of a run that so many packets meet that they are asked for before it. No row that comes before
    /// theirs may hold a packet that theirs hold; the table keeps them, and so stays as it is.
    pub(super) fn hot(&self, step: &Step) -> Vec<usize> {
        let Step::Run(run) = step else { return Vec::new() };
        let all = |index: usize| {
            let slot = self.slots[&self.policy.statements[index].name];
            self.b.program().frequencies.get(&slot).map_or(0, |frequency| frequency.all)
        };
        let mut hot: Vec<usize> = run.table.rows().map(|row| row.result as usize - 1).collect();
        hot.dedup();
        hot.retain(|index| all(*index) >= HOT && comes_first(&run.table, *index as u32 + 1));
        hot.sort_by_key(|index| std::cmp::Reverse(all(*index)));
        hot
    }

    fn known(&self, statement: &Statement) -> Option<u32> {
        match statement.likelihood {
            Some(Likelihood::Likely) => Some(LIKELY),
            Some(Likelihood::Unlikely) => Some(UNLIKELY),
            None => self.options.frequencies.get(&statement.name).copied(),
        }
    }

    /// A part of those that are left is counted under a name.
    fn counted(&mut self, name: &str, met: u32, left: u32) -> u32 {
        let met = met.min(MILLION);
        let all = (u64::from(left) * u64::from(met) / u64::from(MILLION)) as u32;
        self.b.frequency(self.slots[name], Frequency { all, met: Some(met) });
        all
    }
}

/// Whether no row before those with a result meets one of them.
fn comes_first(table: &Table, result: u32) -> bool {
    let rows = || table.entries().map(Entry::row);
    let mut own = rows().enumerate().filter(|(_, row)| row.result == result);
    own.all(|(at, row)| {
        let mut before = rows().take(at).filter(|other| other.result != result);
        before.all(|other| !meet(row.ranges, other.ranges))
    })
}

/// Whether two boxes have something in common.
fn meet(a: &[Range], b: &[Range]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
}
