//! What should run, and what of it can.

use crate::etcd::Store;
use crate::keys::MITIGATIONS;
use crate::mitigation::{Told, read};
use crate::policy::Published;
use std::collections::BTreeMap;
use weir_compiler::analyse;
use weir_dataplane::Source;
use weir_dataplane::protect::never;

/// A policy, and the mitigations in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Desired {
    pub(super) policy: Option<Published>,
    /// By number, as text.
    pub(super) mitigations: BTreeMap<String, String>,
}

/// Those that etcd has. What is no text is a mitigation that will be refused.
pub(super) fn mitigations(store: &Store) -> BTreeMap<String, String> {
    store.list(MITIGATIONS).into_iter().map(|(id, entry)| (id, entry.text())).collect()
}

/// Mitigations as they can stand in a policy.
#[derive(Default, Debug)]
pub(super) struct Fit {
    /// The set whose sources are left out of each: others list what it had when they were written, and only here is known what it has now.
    pub(super) never: Option<String>,
    /// By number.
    pub(super) good: Vec<(String, Told)>,
    /// Why others have no place.
    pub(super) refused: BTreeMap<String, String>,
}

impl Fit {
    /// In this policy, with its set of what is protected if it has another name than usual.
    pub(super) fn of(source: &Source, named: Option<&str>, mitigations: &BTreeMap<String, String>) -> Fit {
        let policy = analyse(&source.name, &source.text, source).policy;
        let never = never(&policy, named).map(|set| set.map(|set| set.name.clone()));
        let mut fit = Fit::default();
        for (id, text) in mitigations {
            let told = match &never {
                Ok(never) => read(text, never.as_deref()),
                Err(error) => Err(error.brief()),
            };
            match told {
                Ok(told) => fit.good.push((id.clone(), told)),
                Err(why) => drop(fit.refused.insert(id.clone(), why)),
            }
        }
        fit.never = never.unwrap_or_default();
        fit
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.good.iter().map(|(_, told)| told.text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_here_is_left_out_or_nothing_runs() {
        let mitigations =
            [("1".to_owned(), "drop a when udp\n".to_owned()), ("2".to_owned(), "pass all".to_owned())];
        let fit = |text: &str, named: Option<&str>| {
            let source = Source { name: "edge.weir".into(), text: text.into(), files: Vec::new() };
            Fit::of(&source, named, &mitigations.clone().into())
        };
        let one = fit("set protected : ip max 10\n", None);
        assert_eq!(one.never.as_deref(), Some("protected"));
        assert_eq!(one.texts(), ["drop a when udp and not ip.src in protected\n"]);
        assert!(one.refused["2"].contains("neither"));
        let none = fit("set friends : ip max 10\n", None);
        assert_eq!((none.texts(), none.never), (vec!["drop a when udp\n".to_owned()], None));
        assert_eq!(fit("set friends : ip max 10\n", Some("friends")).never.as_deref(), Some("friends"));
        for (text, named, why) in [
            ("", Some("friends"), "the policy has no set `friends`"),
            ("set protected : tcp.dstport = { 80 }\n", None, "must be of type `ip`"),
        ] {
            let fit = fit(text, named);
            assert!(fit.good.is_empty() && fit.refused["1"].contains(why), "{fit:?}");
        }
    }
}
