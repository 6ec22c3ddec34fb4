//! etcd's messages, as its JSON has them: keys and values in base64, whole numbers of 64 bits as text, and nothing where a
//! number is 0. Source: `rpc.proto` and `kv.proto` of etcd's API version 3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

pub(super) fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The first key behind all that begin with a prefix.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 255 {
            end.push(last + 1);
            return end;
        }
    }
    // All keys.
    vec![0]
}

#[derive(Deserialize, Debug, Default)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: i64,
}

#[derive(Deserialize, Debug)]
pub(super) struct KeyValue {
    #[serde(default, deserialize_with = "decoded")]
    pub(super) key: Vec<u8>,
    #[serde(default, deserialize_with = "decoded")]
    pub(super) value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    pub(super) create_revision: i64,
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: i64,
}

#[derive(Deserialize, Debug)]
pub(super) struct Range {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Deserialize, Debug)]
pub(super) struct Done {
    #[serde(default)]
    pub(super) succeeded: bool,
}

#[derive(Deserialize, Debug)]
pub(super) struct Granted {
    #[serde(rename = "ID", default, deserialize_with = "number")]
    pub(super) id: i64,
    #[serde(rename = "TTL", default, deserialize_with = "number")]
    pub(super) ttl: i64,
}

#[derive(Deserialize, Debug)]
pub(super) struct Token {
    pub(super) token: String,
}

/// Of a stream: an answer or an error.
#[derive(Deserialize, Debug)]
pub(super) struct Streamed<T> {
    pub(super) result: Option<T>,
    pub(super) error: Option<Refusal>,
}

#[derive(Deserialize, Debug, Default)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) error: String,
    #[serde(default, alias = "grpc_code")]
    pub(super) code: i64,
}

#[derive(Deserialize, Debug)]
pub(super) struct Watched {
    #[serde(default)]
    pub(super) canceled: bool,
    #[serde(default)]
    pub(super) cancel_reason: String,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

#[derive(Deserialize, Debug)]
pub(super) struct Event {
    #[serde(rename = "type", default)]
    pub(super) kind: Kind,
    pub(super) kv: KeyValue,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
pub(super) enum Kind {
    #[default]
    #[serde(rename = "PUT")]
    Put,
    #[serde(rename = "DELETE")]
    Delete,
}

/// What must hold of a key, without the store's prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compare {
    /// It is not there.
    Absent(String),
    /// It is the one that was made by this revision.
    Made(String, i64),
}

/// What is done to a key, without the store's prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operation {
    /// It becomes this.
    Put(String, Vec<u8>),
    /// It becomes this, and goes when we do.
    Lend(String, Vec<u8>),
    /// It becomes this, and goes with that lease.
    Hold(String, Vec<u8>, i64),
    /// It goes.
    Delete(String),
}

/// All of it or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Transaction {
    /// Conditions, all of which must hold.
    pub when: Vec<Compare>,
    /// What is done then.
    pub then: Vec<Operation>,
}

impl Transaction {
    pub(super) fn json(&self, prefix: &str, lease: i64) -> Value {
        let key = |name: &str| encoded(format!("{prefix}{name}").as_bytes());
        let made = |name: &str, revision: i64| json!({ "key": key(name), "target": "CREATE", "result": "EQUAL", "create_revision": revision.to_string() });
        let compare = self.when.iter().map(|compare| match compare {
            Compare::Absent(name) => made(name, 0),
            Compare::Made(name, revision) => made(name, *revision),
        });
        let put = |name: &str, value: &[u8], lease: i64| json!({ "requestPut": { "key": key(name), "value": encoded(value), "lease": lease.to_string() } });
        let success = self.then.iter().map(|operation| match operation {
            Operation::Put(name, value) => put(name, value, 0),
            Operation::Lend(name, value) => put(name, value, lease),
            Operation::Hold(name, value, lease) => put(name, value, *lease),
            Operation::Delete(name) => json!({ "requestDeleteRange": { "key": key(name) } }),
        });
        json!({ "compare": compare.collect::<Vec<_>>(), "success": success.collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(behind(b"/weir/"), b"/weir0");
        assert_eq!(behind(&[1, 255]), [2]);
        assert_eq!(behind(&[255]), [0]);
    }

    #[test]
    fn an_answer_to_a_watch() {
        let text = r#"{"result":{"header":{"cluster_id":"1","revision":"7"},"events":[{"kv":{"key":"YQ==","create_revision":"6","mod_revision":"7","version":"2","value":"Yg=="}},{"type":"DELETE","kv":{"key":"Yw==","mod_revision":"7"}}]}}"#;
        let told: Streamed<Watched> = serde_json::from_str(text).unwrap();
        let told = told.result.unwrap();
        assert_eq!(told.events.len(), 2);
        assert_eq!((told.events[0].kv.key.as_slice(), &told.events[0].kind), (&b"a"[..], &Kind::Put));
        assert_eq!((told.events[1].kv.key.as_slice(), &told.events[1].kind), (&b"c"[..], &Kind::Delete));
    }
}
