//! What should run.

use crate::etcd::Store;
use crate::keys::MITIGATIONS;
use crate::policy::Published;
use std::collections::BTreeMap;

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
