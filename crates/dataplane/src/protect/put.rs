//! Statements into the policy that runs, by an ordinary reload.
//!
//! Files that the policy names are those that it was loaded with: what somebody changes on the disk meanwhile runs when
//! somebody reloads, and not because there is an attack.

use super::text::Base;
use crate::instance::{Source, Stamp};
use crate::{Error, Instance, Policy, Report};
use weir_compiler::{Analysis, Known, Loader};

/// The policy of an instance, and what was made of it last.
#[derive(Debug)]
pub struct Put {
    instance: Instance,
    base: Base,
    /// What runs, unless somebody else reloaded.
    running: Source,
    /// When it was read or put.
    stamp: Stamp,
    known: Known,
}

/// The files of a policy, and what was made of them before.
struct Knowing<'a>(&'a Source, &'a Known);

impl Knowing<'_> {
    /// The policy with this text.
    fn policy<'a>(&'a self, text: &'a str) -> Policy<'a> {
        Policy { name: &self.0.name, text, loader: self }
    }
}

impl Loader for Knowing<'_> {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        self.0.load(from, path)
    }

    fn known(&self) -> Option<&Known> {
        Some(self.1)
    }
}

impl Put {
    /// What runs, without the mitigations of an earlier protection.
    pub fn open(instance: Instance) -> Result<(Put, Analysis), Error> {
        let (stamp, running, known) = (instance.stamp()?, instance.source()?, Known::default());
        let (base, analysis) = base(&running, &known);
        if !known.is_empty() {
            instance.rehearse(&Knowing(&running, &known).policy(&running.text))?;
        }
        Ok((Put { instance, base, running, stamp, known }, analysis))
    }

    /// Follows what somebody else has loaded: its analysis, if somebody has.
    pub fn follow(&mut self) -> Result<Option<Analysis>, Error> {
        let stamp = self.instance.stamp()?;
        if stamp == self.stamp {
            return Ok(None);
        }
        // A reload after the stamp makes another one.
        let now = self.instance.source()?;
        self.stamp = stamp;
        if now == self.running {
            return Ok(None);
        }
        let (base, analysis) = base(&now, &self.known);
        (self.base, self.running) = (base, now);
        Ok(Some(analysis))
    }

    /// Lets the policy run with these statements; nothing is done if it does.
    pub fn put(&mut self, statements: &[String]) -> Result<Option<Report>, Error> {
        let text = self.base.with(statements);
        if text == self.running.text {
            return Ok(None);
        }
        let report = self.instance.reload(&Knowing(&self.running, &self.known).policy(&text))?;
        self.running.text = text;
        self.is_put(&report);
        Ok(Some(report))
    }

    /// Lets another policy run, with these statements. On any error what ran runs on.
    pub fn replace(&mut self, source: Source, statements: &[String]) -> Result<Report, Error> {
        let (base, _) = base(&source, &self.known);
        let running = Source { text: base.with(statements), ..source };
        let report = self.instance.reload(&Knowing(&running, &self.known).policy(&running.text))?;
        (self.base, self.running) = (base, running);
        self.is_put(&report);
        Ok(report)
    }

    /// What runs now is no news, unless somebody has reloaded since.
    fn is_put(&mut self, report: &Report) {
        if let Ok(stamp) = self.instance.stamp()
            && stamp.generation == report.generation
        {
            self.stamp = stamp;
        }
    }

    /// The policy without mitigations, as another edge would load it.
    pub fn source(&self) -> Source {
        Source { text: self.base.with(&[]), ..self.running.clone() }
    }

    /// Whose policy it is.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }
}

/// The policy without mitigations, and where they go.
fn base(source: &Source, known: &Known) -> (Base, Analysis) {
    Base::of(&source.name, &source.text, &Knowing(source, known))
}
