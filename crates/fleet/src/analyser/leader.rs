//! What the deciding analyser writes to etcd.

use super::policies::Policies;
use crate::Error;
use crate::etcd::{Compare, Operation, Store, Transaction};
use crate::keys::{ANSWERS, FORBIDDEN, LEADER, LIVES, MITIGATIONS, WISHES, numbered};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weir_dataplane::protect::read_again;
use weir_detect::defence::{Defence, Standing};
use weir_detect::life::{Command, Mitigation, Reason};

/// Holding the key `leader`.
#[derive(Debug)]
pub(super) struct Leader {
    /// The revision that made the key: no other holding of it has the same.
    pub(super) made: i64,
    /// The lease that mitigations go with.
    hold: i64,
    /// The highest rates of hits that it wrote.
    rates: BTreeMap<u64, f64>,
}

/// A mitigation for the next leader.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Life {
    /// What it is.
    #[serde(flatten)]
    pub standing: Standing,
    /// When it began, in seconds since 1970.
    pub born: u64,
}

/// What became of what a person wrote.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Why not, if it does not stand.
    pub refused: Option<String>,
    /// What the compiler thinks of it, if it does.
    pub warnings: String,
}

/// Takes the key if nobody has it.
pub(super) fn apply_for(store: &Store, run: &str) -> Result<bool, Error> {
    store.transact(Transaction {
        when: vec![Compare::Absent(LEADER.to_owned())],
        then: vec![Operation::Lend(LEADER.to_owned(), run.as_bytes().to_vec())],
    })
}

impl Leader {
    /// Goes on with what stands in etcd, under a lease of its own, which is for so long.
    pub(super) fn begin(
        store: &Store,
        (made, hold): (i64, Duration),
        policies: &Policies,
        defence: &mut Defence,
        now: Duration,
    ) -> Result<Leader, Error> {
        let leader = Leader { made, hold: store.grant(hold)?, rates: BTreeMap::new() };
        store.keep([leader.hold]);
        for (_, entry) in store.list(FORBIDDEN) {
            defence.forbid_all(entry.text(), true);
        }
        let mut then = Vec::new();
        for (key, entry) in store.list(LIVES) {
            let text = store.get(&format!("{MITIGATIONS}{key}"));
            let life = serde_json::from_slice::<Life>(&entry.value).ok();
            let (Some(text), Some(mut life)) = (text, life) else {
                // What nobody understands has nobody who watches it.
                then.extend(gone(&key));
                continue;
            };
            let age = Duration::from_secs(seconds().saturating_sub(life.born));
            let id = life.standing.id;
            // The edges' counters say it all again.
            life.standing.hits = 0;
            let matcher = match read_again(&mut life.standing, |name, text| policies.read(name, text)) {
                Ok(matcher) => matcher,
                Err((text, told)) => {
                    defence.fits_no_more(now, id, text, told.message());
                    then.extend(gone(&key));
                    continue;
                }
            };
            if defence.adopt(now, life.standing, age) {
                if let Some(matcher) = matcher {
                    defence.fits(id, policies.protected(), matcher);
                }
                then.push(Operation::Hold(format!("{MITIGATIONS}{key}"), text.value, leader.hold));
                then.push(Operation::Hold(format!("{LIVES}{key}"), entry.value, leader.hold));
            }
        }
        let known = |key: &str| store.get(&format!("{LIVES}{key}")).is_some();
        let strays = store.list(MITIGATIONS).into_iter().filter(|(key, _)| !known(key));
        then.extend(strays.flat_map(|(key, _)| gone(&key)));
        leader.write(store, then)?;
        Ok(leader)
    }

    /// Puts into force what was decided, and says for the next leader how hard what stands is hit: as often as that has doubled.
    pub(super) fn put(
        &mut self,
        store: &Store,
        defence: &Defence,
        commands: &[Command],
    ) -> Result<(), Error> {
        let mut then = Vec::new();
        for one in defence.standing() {
            let is_commanded = commands.iter().any(|command| command.mitigation().id == one.id);
            let known = self.rates.get(&one.id).copied().unwrap_or_default();
            // etcd takes no key twice in a transaction.
            if !is_commanded && one.hits.highest() > 2.0 * known {
                then.extend(self.life(store, defence, one));
            }
        }
        for command in commands {
            match command {
                Command::Try(one) | Command::Enforce(one) => then.extend(self.standing(store, defence, one)),
                Command::Remove(one, reason) => {
                    then.extend(gone(&numbered("", one.id)));
                    self.rates.remove(&one.id);
                    if *reason == Reason::Forbidden {
                        let against = one.proposal.against().into_bytes();
                        then.push(Operation::Put(numbered(FORBIDDEN, one.id), against));
                    }
                }
            }
        }
        self.write(store, then)
    }

    /// Does what people wish. If that cannot be written, it is not done in etcd, and a wish is still there.
    pub(super) fn grant(
        &mut self,
        store: &Store,
        policies: &Policies,
        defence: &mut Defence,
        now: Duration,
    ) -> Result<(), Error> {
        let mut then = Vec::new();
        for (key, entry) in store.list(WISHES) {
            let id = key.parse().unwrap_or(0);
            match entry.value.as_slice() {
                b"pin" => drop(defence.pin(id, true)),
                b"unpin" => drop(defence.pin(id, false)),
                b"forbid" => drop(defence.forbid(id)),
                b"allow" => {
                    let key = numbered(FORBIDDEN, id);
                    if let Some(entry) = store.get(&key) {
                        defence.forbid_all(entry.text(), false);
                        then.push(Operation::Delete(key));
                    }
                }
                wish => {
                    if let Some(text) = wish.strip_prefix(b"edit ") {
                        let answer = edit(policies, defence, (id, &String::from_utf8_lossy(text)), now);
                        let json = serde_json::to_vec(&answer).unwrap_or_default();
                        then.push(Operation::Hold(format!("{ANSWERS}{key}"), json, self.hold));
                    }
                }
            }
            then.push(Operation::Delete(format!("{WISHES}{key}")));
            if let Some(one) = defence.standing().find(|one| one.id == id) {
                then.extend(self.standing(store, defence, one));
            }
        }
        self.write(store, then)
    }

    fn standing(&mut self, store: &Store, defence: &Defence, one: &Mitigation) -> Vec<Operation> {
        let Some(life) = self.life(store, defence, one) else { return Vec::new() };
        vec![Operation::Hold(numbered(MITIGATIONS, one.id), one.text().into_bytes(), self.hold), life]
    }

    /// What the next leader needs of it.
    fn life(&mut self, store: &Store, defence: &Defence, one: &Mitigation) -> Option<Operation> {
        let standing = defence.standing_one(one.id)?;
        self.rates.insert(one.id, standing.highest);
        let key = numbered(LIVES, one.id);
        let before = store.get(&key).and_then(|entry| serde_json::from_slice::<Life>(&entry.value).ok());
        let life = Life { standing, born: before.map_or_else(seconds, |life| life.born) };
        Some(Operation::Hold(key, serde_json::to_vec(&life).ok()?, self.hold))
    }

    /// All of it, if this is still the leader.
    fn write(&self, store: &Store, then: Vec<Operation>) -> Result<(), Error> {
        if then.is_empty() {
            return Ok(());
        }
        let when = vec![Compare::Made(LEADER.to_owned(), self.made)];
        match store.transact(Transaction { when, then })? {
            true => Ok(()),
            false => Err(Error::Refused("another analyser leads".into())),
        }
    }
}

/// Lets what a person wrote stand in the place of a mitigation, if it can.
fn edit(policies: &Policies, defence: &mut Defence, (id, text): (u64, &str), now: Duration) -> Answer {
    let refused = |told: String| Answer { refused: Some(told), ..Answer::default() };
    let Some(name) = defence.standing().find(|one| one.id == id).map(Mitigation::name) else {
        return refused(format!("error: no mitigation {id} stands any more\n"));
    };
    match policies.read(&name, text) {
        Ok(edit) => {
            defence.edit(now, id, &edit.written, edit.matcher);
            Answer { refused: None, warnings: edit.warnings.to_string() }
        }
        Err(told) => refused(told.to_string()),
    }
}

fn gone(key: &str) -> [Operation; 2] {
    [Operation::Delete(format!("{MITIGATIONS}{key}")), Operation::Delete(format!("{LIVES}{key}"))]
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
