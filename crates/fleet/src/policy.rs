//! Policies in etcd.

use crate::Error;
use crate::etcd::{Operation, Store, Transaction};
use crate::keys::{FILES, POLICIES};
use serde::{Deserialize, Serialize};
use weir_dataplane::{Source, SourceFile};

/// What stands beside a policy that names files.
#[derive(Serialize, Deserialize)]
struct Beside {
    name: String,
    files: Vec<SourceFile>,
}

/// A policy as etcd has it, and the revision that brought it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Policy and files.
    pub source: Source,
    /// The revision of etcd.
    pub revision: i64,
}

/// The policy of a name, if there is one. It is an error if what stands beside it cannot be read.
pub fn policy(store: &Store, name: &str) -> Result<Option<Published>, String> {
    let Some(entry) = store.get(&format!("{POLICIES}{name}")) else { return Ok(None) };
    let text = String::from_utf8(entry.value).map_err(|_| format!("policy `{name}` is not UTF-8"))?;
    let beside = store.get(&format!("{FILES}{name}"));
    let revision = beside.as_ref().map_or(entry.changed, |beside| entry.changed.max(beside.changed));
    let source = match beside {
        None => Source { name: name.to_owned(), text, files: Vec::new() },
        Some(beside) => {
            let beside: Beside = serde_json::from_slice(&beside.value)
                .map_err(|error| format!("the files of policy `{name}` cannot be read: {error}"))?;
            Source { name: beside.name, text, files: beside.files }
        }
    };
    Ok(Some(Published { source, revision }))
}

/// Puts a policy and its files, both or neither.
pub fn publish(store: &Store, name: &str, source: &Source) -> Result<(), Error> {
    let beside = Beside { name: source.name.clone(), files: source.files.clone() };
    let key = format!("{FILES}{name}");
    let files = match source.files.is_empty() && source.name == name {
        true => Operation::Delete(key),
        false => {
            let json = serde_json::to_vec(&beside).map_err(|error| Error::Options(error.to_string()))?;
            Operation::Put(key, json)
        }
    };
    let text = Operation::Put(format!("{POLICIES}{name}"), source.text.clone().into_bytes());
    store.transact(Transaction { when: Vec::new(), then: vec![files, text] }).map(drop)
}
