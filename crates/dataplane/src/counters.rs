//! What statements counted.

use serde::{Deserialize, Serialize};
use weir_compiler::codegen::counters::SLOTS;
use weir_compiler::codegen::limits::hash;
use weir_compiler::ir::Verdict;
use weir_compiler::policy::{COOKIE_PARTS, Policy, Statement, Unsent, pred_text};
use weir_compiler::state::Counter;

/// The counters of one statement, over all CPUs and all reloads since the name is in the policy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StatementCounters {
    /// The statement's name; `default` for packets that no statement decided.
    pub name: String,
    /// The verb: `pass`, `drop`, `count`, `limit`; for `default` what happens to them.
    pub action: String,
    /// Counts what it would do and does nothing.
    pub shadow: bool,
    /// Packets that it applied to.
    pub packets: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// Of these, packets over the limit, where it is one.
    pub over_packets: u64,
    /// Their bytes.
    pub over_bytes: u64,
    /// Of these, packets that were lost because the ring of samples was full, where it samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Of these, packets that were not sent, where it sends them to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsent: Option<UnsentCounters>,
    /// Of these, what it did, where it answers with SYN cookies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookies: Option<CookieCounters>,
}

/// Segments that an `answer … syncookie` did something with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CookieCounters {
    /// SYNs that were answered.
    pub answered: u64,
    /// Acknowledgements that brought a cookie back.
    pub valid: u64,
    /// Acknowledgements that should have brought one and were dropped.
    pub invalid: u64,
}

impl StatementCounters {
    /// The packets that it was meant for: of a limit those that were over it.
    pub fn hits(&self) -> u64 {
        if self.action == "limit" { self.over_packets } else { self.packets }
    }
}

/// Packets that a `balance` did not send, by the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct UnsentCounters {
    /// No backend has their slot.
    pub nobody: u64,
    /// They say of themselves what cannot be.
    pub damaged: u64,
    /// The next hop takes no packets of their length.
    pub long: u64,
    /// No way leads to their backend, or its neighbour's MAC address is not known.
    pub unreachable: u64,
    /// All ports from which they could be sent were taken.
    pub full: u64,
}

/// What the program counts beside statements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Statistics {
    /// Captures that found the ring full.
    pub captures_lost: u64,
    /// Buckets of limits that were taken from keys that still needed them: a `max` is too small.
    pub evictions: u64,
}

/// A statement as counters know it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) shadow: bool,
    /// A number of what it asks and does; statements with the same one count the same packets.
    pub(crate) meaning: u64,
}

/// The statements of a policy, `default` last.
pub(crate) fn counted(policy: &Policy) -> Vec<Counted> {
    let statements = policy.statements.iter().map(|statement| Counted {
        name: statement.name.clone(),
        action: statement.verb().to_owned(),
        shadow: statement.shadow,
        meaning: meaning(policy, statement),
    });
    let action = match policy.default_verdict() {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
        Verdict::Send => "send",
    };
    // It counts what is left, whatever happens to it.
    let default = Counted { name: "default".into(), action: action.into(), shadow: false, meaning: 0 };
    statements.chain([default]).collect()
}

/// By what people would write: it stays the same where others in the policy change. The rate of a limit is not part of
/// it: what comes to the limit is counted as before.
fn meaning(policy: &Policy, statement: &Statement) -> u64 {
    let text = format!("{} {} {}", statement.shadow, statement.verb(), pred_text(policy, &statement.when));
    let mut words: Vec<u64> = Vec::with_capacity(text.len() / 8 + 1);
    for bytes in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        words.push(u64::from_le_bytes(word));
    }
    hash(text.len() as u64, &words)
}

/// The names that have counter slots, as the lowering calls them.
pub(crate) fn slot_names(policy: &Policy) -> Vec<String> {
    let mut names: Vec<String> = policy.statements.iter().flat_map(Statement::counters).collect();
    names.push("default".into());
    names
}

/// Puts counters to statements; `of` gives the total of a slot's name.
pub(crate) fn by_statement(statements: &[Counted], of: impl Fn(&str) -> Counter) -> Vec<StatementCounters> {
    let one = |statement: &Counted| {
        let all = of(&statement.name);
        let over = match statement.action.as_str() {
            "limit" => of(&over(&statement.name)),
            _ => Counter::default(),
        };
        StatementCounters {
            name: statement.name.clone(),
            action: statement.action.clone(),
            shadow: statement.shadow,
            packets: all.packets,
            bytes: all.bytes,
            over_packets: over.packets,
            over_bytes: over.bytes,
            cookies: (statement.action == "syncookie" && !statement.shadow)
                .then(|| CookieCounters::of(|part| of(&format!("{}/{part}", statement.name)).packets)),
            unsent: (matches!(statement.action.as_str(), "balance" | "answer") && !statement.shadow)
                .then(|| UnsentCounters::of(|word| of(&format!("{}/{word}", statement.name)).packets)),
            lost: (statement.action == "sample").then(|| of(&lost(&statement.name)).packets),
        }
    };
    statements.iter().map(one).collect()
}

impl UnsentCounters {
    /// By the words for why packets are not sent.
    pub fn of(count: impl Fn(&str) -> u64) -> UnsentCounters {
        let [nobody, damaged, long, unreachable, full] = Unsent::WORDS.map(count);
        UnsentCounters { nobody, damaged, long, unreachable, full }
    }
}

impl CookieCounters {
    /// By the words for what was done.
    pub fn of(count: impl Fn(&str) -> u64) -> CookieCounters {
        let [answered, valid, invalid] = COOKIE_PARTS.map(count);
        CookieCounters { answered, valid, invalid }
    }
}

/// What statements count beside all packets that they apply to, as it stands behind their names.
pub(crate) fn parts() -> impl Iterator<Item = &'static str> {
    ["over", "lost"].into_iter().chain(Unsent::WORDS).chain(COOKIE_PARTS)
}

/// The name of a limit's second slot.
pub(crate) fn over(name: &str) -> String {
    format!("{name}/over")
}

/// The name of the second slot of what samples.
pub(crate) fn lost(name: &str) -> String {
    format!("{name}/lost")
}

/// Adds the slots of one CPU's chunk (a value of the map `counters`) to the totals.
pub(crate) fn add_chunk(totals: &mut Vec<Counter>, chunk: u32, value: &[u8]) {
    let first = (chunk * SLOTS) as usize;
    if totals.len() < first + SLOTS as usize {
        totals.resize(first + SLOTS as usize, Counter::default());
    }
    for (total, slot) in totals[first..].iter_mut().zip(value.chunks_exact(SLOT_BYTES)) {
        let counted = counter(slot);
        total.packets = total.packets.wrapping_add(counted.packets);
        total.bytes = total.bytes.wrapping_add(counted.bytes);
    }
}

/// A slot of a chunk: packets, then bytes.
pub(crate) const SLOT_BYTES: usize = 16;

/// What a slot holds.
pub(crate) fn counter(slot: &[u8]) -> Counter {
    Counter { packets: word(slot), bytes: word(&slot[8..]) }
}

/// The first eight bytes as a number.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_ne_bytes(word)
}
