//! Where things stand in etcd, behind the fleet's prefix.
//!
//! | key | value | who writes it |
//! |---|---|---|
//! | `policies/NAME` | a policy, as text | people, `weir fleet publish` |
//! | `files/NAME` | what it is called and the files that it names, as JSON; not there for a policy that names none | the same |
//! | `mitigations/ID` | one statement, as text; goes with a lease that the leader keeps alive | the leader |
//! | `lives/ID` | what the next leader needs to go on with it, as JSON; the same lease | the leader |
//! | `forbidden/ID` | against what no mitigation is wanted, in words; the number is of the one that was forbidden | the leader |
//! | `wishes/ID` | `pin`, `unpin`, `forbid`, `allow` or `edit STATEMENT`, until it is done | people, `weir fleet pin` … |
//! | `answers/ID` | what became of the last `edit`, as JSON; the same lease, until whoever asked has read it | the leader |
//! | `leader` | which analyser decides; goes with it | analysers |
//! | `analysers/NAME` | where it takes sFlow, as JSON; goes with it | itself |
//! | `edges/NAME` | what it runs and what it counts, as JSON; goes with it | itself |

/// Policies, by name.
pub const POLICIES: &str = "policies/";
/// The files that they name.
pub const FILES: &str = "files/";
/// Statements of the fleet, by number.
pub const MITIGATIONS: &str = "mitigations/";
/// What else is known of them.
pub const LIVES: &str = "lives/";
/// Against what nothing is wanted.
pub const FORBIDDEN: &str = "forbidden/";
/// What people want of mitigations.
pub const WISHES: &str = "wishes/";
/// What became of what people wrote.
pub const ANSWERS: &str = "answers/";
/// Who decides.
pub const LEADER: &str = "leader";
/// Who listens.
pub const ANALYSERS: &str = "analysers/";
/// Who runs policies.
pub const EDGES: &str = "edges/";

/// A number as a key, so that keys stand in the order of numbers.
pub fn numbered(begin: &str, number: u64) -> String {
    format!("{begin}{number:010}")
}

/// Whether a name may be part of a key.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}
