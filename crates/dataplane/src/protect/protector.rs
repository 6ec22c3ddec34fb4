//! The loop around the decision.

use super::options::Options;
use super::put::Put;
use super::written::{Diagnosis, Edit, read_again};
use crate::{Error, Instance, Sample, StatementCounters};
use std::time::Duration;
use weir_compiler::Analysis;
use weir_detect::defence::{Defence, Event, Evidence, Memory};
use weir_detect::life::Mitigation;
use weir_kernel::clock::monotonic_ns;

/// How often counters are read.
const COUNT: Duration = Duration::from_millis(250);
/// How often is looked whether somebody else reloaded.
const FOLLOW: Duration = Duration::from_secs(2);
/// What was refused is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Why what a person wrote does not stand in the place of a mitigation, for people: what stood stands.
#[derive(Debug, thiserror::Error)]
pub enum NotEdited {
    /// There is no such mitigation.
    #[error("error: no mitigation {0} stands any more")]
    Unknown(u64),
    /// The text says why.
    #[error("{0}")]
    Text(Diagnosis),
    /// The policy was not taken with it.
    #[error("error: it is not taken, and what stood stands: {}", .0.brief())]
    Edge(#[from] Error),
}

impl From<Diagnosis> for NotEdited {
    fn from(told: Diagnosis) -> NotEdited {
        NotEdited::Text(told)
    }
}

/// Protects what is behind a running policy, as long as somebody turns it.
#[derive(Debug)]
pub struct Protector {
    options: Options,
    put: Put,
    /// The statement whose samples are taken: one packet must not be counted twice.
    sampler: String,
    defence: Defence,
    counted: Duration,
    followed: Duration,
    /// The last reload was refused; the policy does not have what it should.
    owing: bool,
    /// When to try it again.
    again: Duration,
}

impl Protector {
    /// Begins with what runs.
    pub fn start(instance: Instance, options: Options) -> Result<Protector, Error> {
        let (put, analysis) = Put::open(instance)?;
        let sampler = sampler(&analysis)?;
        let mut life = options.life();
        life.protected = options.protected(&analysis.policy)?;
        let mut protector = Protector {
            defence: Defence::new(options.traffic(), life),
            options,
            put,
            sampler,
            counted: Duration::ZERO,
            followed: now(),
            // What an earlier process left has nobody who watches it: it goes.
            owing: true,
            again: Duration::ZERO,
        };
        protector.serve(&analysis);
        protector.apply()?;
        Ok(protector)
    }

    /// Takes a sample of the instance.
    pub fn observe(&mut self, sample: &Sample<'_>) {
        if sample.statement == self.sampler {
            self.defence.observe(&sample.detected());
        }
    }

    /// Does what is due, and says what happened. To be called some fifty times a second.
    pub fn turn(&mut self) -> Result<Vec<Event>, Error> {
        let now = now();
        self.defence.turn(now);
        if now.saturating_sub(self.counted) >= COUNT {
            self.counted = now;
            self.count(now)?;
        }
        if now.saturating_sub(self.followed) >= FOLLOW {
            self.followed = now;
            if let Some(analysis) = self.put.follow()? {
                self.adopt(&analysis)?;
            }
        }
        self.apply()?;
        Ok(self.defence.events())
    }

    /// The mitigations that stand, the oldest first.
    pub fn mitigations(&self) -> impl Iterator<Item = &Mitigation> {
        self.defence.standing()
    }

    /// A person wants a mitigation to stay, or not any more. Whether there is such a one.
    pub fn pin(&mut self, id: u64, pinned: bool) -> bool {
        self.defence.pin(id, pinned)
    }

    /// A person does not want a mitigation, now or again. Whether there is such a one.
    pub fn forbid(&mut self, id: u64) -> bool {
        self.defence.forbid(id)
    }

    /// A person wants another statement in the place of a mitigation. It stands there when this returns, or what stood stands; what
    /// the compiler thinks of it comes back.
    pub fn edit(&mut self, id: u64, text: &str) -> Result<Diagnosis, NotEdited> {
        // A reload of somebody else in this moment would be undone.
        if let Some(analysis) = self.put.follow()? {
            self.adopt(&analysis)?;
        }
        let one = self.defence.standing().find(|one| one.id == id);
        let name = one.map(Mitigation::name).ok_or(NotEdited::Unknown(id))?;
        let edit = Edit::read(&self.put.source(), &name, text, self.defence.protected())?;
        // The new one's counter begins anew, and this is what the old one had.
        self.count(now())?;
        let as_edited = |one: &Mitigation| match one.id == id {
            true => one.edited_as(&edit.written, now()).text(),
            false => one.text(),
        };
        let texts: Vec<String> = self.defence.standing().map(as_edited).collect();
        self.put.put(&texts)?;
        self.defence.edit(now(), id, &edit.written, edit.matcher);
        // It stands, whether its counter can be read or not.
        let _ = self.count(now());
        Ok(edit.warnings)
    }

    /// Goes on from what an earlier protection kept. To be called before the first sample.
    pub fn recall(&mut self, mut memory: Memory) {
        let Protector { put, defence, .. } = self;
        let (source, protected) = (put.source(), defence.protected().clone());
        let read = |name: &str, text: &str| Edit::read(&source, name, text, &protected);
        let mut fits = Vec::new();
        // One that has no place in the policy of today would keep all others out of it.
        memory.pinned.retain_mut(|one| match read_again(one, read) {
            Ok(matcher) => {
                fits.extend(matcher.map(|matcher| (one.id, matcher)));
                true
            }
            Err((text, told)) => {
                defence.fits_no_more(now(), one.id, text, told.message());
                false
            }
        });
        defence.recall(memory);
        fits.into_iter().for_each(|(id, matcher)| defence.fits(id, &protected, matcher));
    }

    /// What the next protection should know.
    pub fn memory(&self) -> Memory {
        self.defence.memory()
    }

    /// The samples behind what was found in the last turn, until the next one.
    pub fn evidence(&mut self) -> Vec<Evidence> {
        self.defence.evidence()
    }

    /// Takes all mitigations out of the policy.
    pub fn stop(mut self) -> Result<(), Error> {
        self.put.follow()?;
        self.put.put(&[]).map(drop)
    }

    /// What the mitigations' counters say.
    fn count(&mut self, now: Duration) -> Result<(), Error> {
        if self.defence.standing().next().is_none() {
            return Ok(());
        }
        let counters = self.put.instance().counters()?;
        let packets = |name: &str| counters.iter().find(|one| one.name == name).map(StatementCounters::hits);
        if !self.defence.count(now, packets) {
            // Somebody loaded a policy without it.
            self.followed = Duration::ZERO;
        }
        Ok(())
    }

    /// Somebody else loaded another policy: the mitigations stand in it, too.
    fn adopt(&mut self, analysis: &Analysis) -> Result<(), Error> {
        self.sampler = sampler(analysis)?;
        let protected = self.options.protected(&analysis.policy)?;
        let source = self.put.source();
        self.defence.read_again(now(), &protected, |name, text| {
            let edit = Edit::read(&source, name, text, &protected).map_err(|told| told.message())?;
            Ok(edit.matcher)
        });
        self.defence.protect(protected);
        self.serve(analysis);
        self.owing = true;
        Ok(())
    }

    /// Alerts speak of the policy's services.
    fn serve(&mut self, analysis: &Analysis) {
        let services = self.options.services(&[("", &analysis.policy.services)]);
        self.defence.serve(services);
    }

    /// Does what was decided, by one reload.
    fn apply(&mut self) -> Result<(), Error> {
        let mut commands = self.defence.commands(now());
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
            let texts: Vec<String> = self.defence.standing().map(Mitigation::text).collect();
            match self.put.put(&texts) {
                Ok(_) => {
                    self.owing = false;
                    self.defence.done(now(), &commands);
                    return Ok(());
                }
                Err(error) => {
                    (self.owing, self.again) = (true, now() + AGAIN);
                    self.defence.refused(now(), commands, error.brief());
                    commands = self.defence.commands(now());
                }
            }
        }
        self.defence.done(now(), &commands);
        Ok(())
    }
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// The first statement that samples.
fn sampler(analysis: &Analysis) -> Result<String, Error> {
    let first = analysis.policy.statements.iter().find(|one| one.verb() == "sample" && !one.shadow);
    let none = || Error::Protect("the policy samples nothing: add `sample all 1 in 100` at its top".into());
    first.map(|one| one.name.clone()).ok_or_else(none)
}
