//! What a defence keeps over a restart.

use super::watched::Watched;
use super::{Defence, Standing};
use crate::traffic::Learnt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// What is worth keeping. It can be written with any format of serde that describes itself; what is usual is apart from
/// the rest, as it is some megabytes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The last numbers that attacks and mitigations were given.
    pub attacks: u64,
    /// Likewise.
    pub mitigations: u64,
    /// What people forbade.
    pub forbidden: BTreeSet<String>,
    /// Mitigations that people pinned.
    pub pinned: Vec<Standing>,
    /// What is usual.
    #[serde(skip)]
    pub learnt: Learnt,
}

impl Defence {
    /// What is to be kept.
    pub fn memory(&self) -> Memory {
        let pinned = self.lives.standing().filter(|one| one.pinned);
        Memory {
            attacks: self.detector.last_id(),
            mitigations: self.lives.last_id(),
            forbidden: self.lives.forbidden().clone(),
            pinned: pinned.filter_map(|one| self.standing_one(one.id)).collect(),
            learnt: self.detector.learnt(),
        }
    }

    /// Goes on from what was kept. To be called before the first sample.
    pub fn recall(&mut self, memory: Memory) {
        let Memory { attacks, mitigations, forbidden, pinned, learnt } = memory;
        self.detector.number_behind(attacks);
        self.detector.recall(learnt);
        self.lives.number_behind(mitigations);
        forbidden.into_iter().for_each(|against| self.lives.forbid_all(against, true));
        pinned.into_iter().for_each(|standing| self.restore(standing));
    }

    fn restore(&mut self, standing: Standing) {
        let (proposal, past) = standing.life(Duration::ZERO);
        let Standing { id, statement, written, .. } = standing;
        self.lives.restore(id, proposal, past);
        if let Some(one) = self.lives.standing().find(|one| one.id == id) {
            let mut watched = Watched::new(statement, one.name());
            if let Some(written) = &written {
                watched.write(written);
            }
            self.watched.entry(id).or_insert(watched);
        }
    }
}
