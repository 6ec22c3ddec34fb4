//! Live sets of policies that run.

use super::Which;
use crate::units::parse_duration;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// `weir set`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Set {
    #[command(subcommand)]
    pub(crate) action: SetAction,
}

/// What to do with a set.
#[derive(Debug, Subcommand)]
pub(crate) enum SetAction {
    /// Add elements to a set
    Add(SetElements),
    /// Take elements out of a set
    Del(SetElements),
    /// List the elements of a set, or the sets
    List(SetList),
    /// Take all elements out of a set that were added while running
    Flush(SetFlush),
}

/// `weir set add|del`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetElements {
    /// The set
    pub(crate) set: String,
    /// Elements as a policy writes them; a tuple as `(192.0.2.1, 53)`
    #[arg(required_unless_present = "from", value_name = "ELEMENT")]
    pub(crate) elements: Vec<String>,
    /// A file of elements, one a line, with comments behind `#` or `;`; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// How long they stay, instead of the set's own timeout
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir set list`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetList {
    /// The set; all sets with their sizes if left out
    pub(crate) set: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `weir set flush`.
#[derive(Debug, ClapArgs)]
pub(crate) struct SetFlush {
    /// The set
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir block`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Block {
    /// Addresses or prefixes, of either family
    #[arg(required = true, value_name = "ADDR|PREFIX")]
    pub(crate) addresses: Vec<String>,
    /// How long they stay blocked, instead of the set's own timeout
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// The set to put them into
    #[arg(long, default_value = "blocked")]
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// `weir unblock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Unblock {
    /// Addresses or prefixes, of either family
    #[arg(required = true, value_name = "ADDR|PREFIX")]
    pub(crate) addresses: Vec<String>,
    /// The set to take them out of
    #[arg(long, default_value = "blocked")]
    pub(crate) set: String,
    #[command(flatten)]
    pub(crate) which: Which,
}
