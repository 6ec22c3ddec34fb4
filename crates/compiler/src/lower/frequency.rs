//! How often statements are met: what the policy says, else what was counted.

use super::Lower;
use crate::ir::{Frequency, MILLION};
use crate::policy::{Action, Statement};
use crate::syntax::ast::Likelihood;
use std::collections::BTreeMap;

/// Of a million packets that come to a statement of this name, how many it applies to; for `NAME/over`, how many of a
/// million that it applies to are over its limit. Names that are not there are not known.
pub type Frequencies = BTreeMap<String, u32>;

/// What the words mean.
const LIKELY: u32 = MILLION / 10 * 9;
const UNLIKELY: u32 = MILLION / 100;

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
                Action::Verdict(_) if !statement.shadow => left -= all,
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
