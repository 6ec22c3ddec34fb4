//! Statements into the policy that runs, by an ordinary reload.

use super::text::Base;
use crate::{Error, Files, Instance, Policy, Report};
use weir_compiler::Analysis;

/// The policy of an instance, and what was made of it last.
#[derive(Debug)]
pub(super) struct Put {
    instance: Instance,
    name: String,
    base: Base,
    /// The text that runs, unless somebody else reloaded.
    running: String,
}

impl Put {
    /// What runs, without the mitigations of an earlier protection.
    pub(super) fn open(instance: Instance) -> Result<(Put, Analysis), Error> {
        let (name, running) = (instance.status()?.policy, instance.policy_text()?);
        let (base, analysis) = Base::of(&name, &running, &Files);
        Ok((Put { instance, name, base, running }, analysis))
    }

    /// Follows what somebody else has loaded: its analysis, if somebody has.
    pub(super) fn follow(&mut self) -> Result<Option<Analysis>, Error> {
        let text = self.instance.policy_text()?;
        if text == self.running {
            return Ok(None);
        }
        self.name = self.instance.status()?.policy;
        self.running = text;
        let (base, analysis) = Base::of(&self.name, &self.running, &Files);
        self.base = base;
        Ok(Some(analysis))
    }

    /// Lets the policy run with these statements; nothing is done if it does.
    pub(super) fn put(&mut self, statements: &[String]) -> Result<Option<Report>, Error> {
        let text = self.base.with(statements);
        if text == self.running {
            return Ok(None);
        }
        let report = self.instance.reload(&Policy { name: &self.name, text: &text, loader: &Files })?;
        self.running = text;
        Ok(Some(report))
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }
}
