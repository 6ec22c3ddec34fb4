//! What the lives say, into the policy.

use super::event::{Named, What};
use super::protector::{Protector, now};
use crate::Error;
use std::time::Duration;
use weir_detect::life::{Command, Mitigation};

/// What was refused is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

impl Protector {
    /// Does what the lives say, by one reload.
    pub(super) fn apply(&mut self) -> Result<(), Error> {
        let mut commands = self.lives.tick(now());
        // Again without what the edge refused; a second refusal is for the next turn.
        for _ in 0..2 {
            let due = self.owing && now() >= self.again;
            if commands.is_empty() && !due {
                return Ok(());
            }
            // A reload of somebody else in this moment would be undone.
            if let Some(analysis) = self.put.follow()? {
                self.adopt(&analysis)?;
            }
            let texts: Vec<String> = self.lives.standing().map(Mitigation::text).collect();
            match self.put.put(&texts) {
                Ok(_) => {
                    self.owing = false;
                    self.done(&commands);
                    return Ok(());
                }
                Err(error) => {
                    (self.owing, self.again) = (true, now() + AGAIN);
                    self.tell(now(), What::Refused { why: why(&error) });
                    let (gone, new): (Vec<_>, Vec<_>) =
                        commands.into_iter().partition(|command| matches!(command, Command::Remove(..)));
                    for command in new {
                        if let Command::Try(one) | Command::Enforce(one) = command {
                            self.lives.refused(one.id);
                        }
                    }
                    self.done(&gone);
                    commands = self.lives.tick(now());
                }
            }
        }
        self.done(&commands);
        Ok(())
    }

    fn done(&mut self, commands: &[Command]) {
        let now = now();
        for command in commands {
            let (Command::Try(one) | Command::Enforce(one) | Command::Remove(one, _)) = command;
            let named = Named { id: one.id, name: one.name() };
            let victim = one.proposal.victim;
            match command {
                Command::Try(_) => {
                    self.watched.entry(one.id).and_modify(|watched| watched.tried = Some(now));
                    self.tell(now, What::Tried(named));
                }
                Command::Enforce(_) => {
                    self.watched.entry(one.id).and_modify(|watched| watched.enforced = Some(now));
                    self.tell(now, What::Enforced(named));
                }
                Command::Remove(_, reason) => {
                    self.watched.remove(&one.id);
                    let why = reason.words().to_owned();
                    self.tell(now, What::Ended { named, why, hits: one.hits });
                }
            }
            self.attacks
                .values_mut()
                .filter(|attack| attack.victim.meets(&victim))
                .for_each(|attack| attack.settle(now));
        }
        let Self { witnesses, watched, attacks, .. } = self;
        witnesses.retain(|victim, _| {
            attacks.values().any(|attack| attack.victim == *victim)
                || watched.values().any(|one| one.statement.victim() == *victim)
        });
    }
}

/// A refusal in one line.
fn why(error: &Error) -> String {
    match error {
        Error::Policy(refused) => {
            let first = refused.0.diagnostics.iter().next();
            first.map_or_else(|| error.to_string(), |first| format!("{error}: {}", first.message))
        }
        error => error.to_string(),
    }
}
