//! Statements into the policy that runs, by an ordinary reload.
//!
//! Files that the policy names are those that it was loaded with: what somebody changes on the disk meanwhile runs when
//! somebody reloads, and not because there is an attack.

use super::text::Base;
use crate::instance::Source;
use crate::{Error, Instance, Policy, Report};
use weir_compiler::Analysis;

/// The policy of an instance, and what was made of it last.
#[derive(Debug)]
pub struct Put {
    instance: Instance,
    base: Base,
    /// What runs, unless somebody else reloaded.
    running: Source,
}

impl Put {
    /// What runs, without the mitigations of an earlier protection.
    pub fn open(instance: Instance) -> Result<(Put, Analysis), Error> {
        let running = instance.source()?;
        let (base, analysis) = Base::of(&running.name, &running.text, &running);
        Ok((Put { instance, base, running }, analysis))
    }

    /// Follows what somebody else has loaded: its analysis, if somebody has.
    pub fn follow(&mut self) -> Result<Option<Analysis>, Error> {
        let now = self.instance.source()?;
        if now.text == self.running.text {
            return Ok(None);
        }
        let (base, analysis) = Base::of(&now.name, &now.text, &now);
        (self.base, self.running) = (base, now);
        Ok(Some(analysis))
    }

    /// Lets the policy run with these statements; nothing is done if it does.
    pub fn put(&mut self, statements: &[String]) -> Result<Option<Report>, Error> {
        let text = self.base.with(statements);
        if text == self.running.text {
            return Ok(None);
        }
        let policy = Policy { text: &text, ..self.running.policy() };
        let report = self.instance.reload(&policy)?;
        self.running.text = text;
        Ok(Some(report))
    }

    /// Lets another policy run, with these statements. On any error what ran runs on.
    pub fn replace(&mut self, source: Source, statements: &[String]) -> Result<Report, Error> {
        let (base, _) = Base::of(&source.name, &source.text, &source);
        let running = Source { text: base.with(statements), ..source };
        let report = self.instance.reload(&running.policy())?;
        (self.base, self.running) = (base, running);
        Ok(report)
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
