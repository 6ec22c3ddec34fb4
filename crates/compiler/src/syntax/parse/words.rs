//! The language's words, and other tools' words for the same.

/// Words that begin a line which goes on with the item before.
const CONTINUING: &[&str] =
    &["and", "or", "when", "in", "to", "burst", "per", "max", "timeout", "from", "by", "via"];

/// Words that begin a line which goes on with a pool's line before.
pub(super) const CONTINUING_ENTRIES: &[&str] =
    &["weight", "drained", "mac", "host", "through", "port", "every", "timeout", "fall", "rise", "expect"];

/// Verbs that a later version has.
const PLANNED: &[&str] = &["redirect", "reject", "mark", "impair", "forward"];

/// The words that begin an item.
pub(super) const ITEMS: &[&str] = &[
    "include", "set", "pool", "protocol", "family", "pass", "drop", "count", "limit", "decap", "balance",
    "sample", "answer", "likely", "unlikely", "shadow", "default", "test",
];

/// Other tools' words at a statement's start, and the language's.
const FOREIGN_VERBS: &[(&str, &str)] = &[
    ("accept", "pass"),
    ("allow", "pass"),
    ("permit", "pass"),
    ("deny", "drop"),
    ("block", "drop"),
    ("discard", "drop"),
    ("blackhole", "drop"),
    ("police", "limit"),
    ("ratelimit", "limit"),
    ("rate-limit", "limit"),
    ("counter", "count"),
    ("log", "count"),
    ("decapsulate", "decap"),
    ("loadbalance", "balance"),
    ("load-balance", "balance"),
    ("upstream", "pool"),
    ("backend", "pool"),
];

/// Wireshark's spellings of relations.
const FOREIGN_RELATIONS: &[(&str, &str)] =
    &[("eq", "=="), ("is", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")];

pub(super) fn continues(word: &str) -> bool {
    CONTINUING.contains(&word)
}

pub(super) fn continues_entry(word: &str) -> bool {
    CONTINUING_ENTRIES.contains(&word)
}

/// Whether a word has a place of its own in a statement, so that it cannot be a statement's name.
pub(super) fn is_reserved(word: &str) -> bool {
    continues(word) || word == "not"
}

pub(super) fn is_planned(word: &str) -> bool {
    PLANNED.contains(&word)
}

pub(super) fn is_verb(word: &str) -> bool {
    matches!(word, "pass" | "drop" | "count" | "limit" | "decap" | "balance" | "sample" | "answer")
}

pub(super) fn verb_for(word: &str) -> Option<&'static str> {
    translate(FOREIGN_VERBS, word)
}

pub(super) fn relation_for(word: &str) -> Option<&'static str> {
    translate(FOREIGN_RELATIONS, word)
}

fn translate(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    let found = table.iter().find(|(foreign, _)| *foreign == word)?;
    Some(found.1)
}
