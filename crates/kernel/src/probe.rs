//! What this kernel can do, and what `weir doctor` shows.

/// How a fact stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// As it should be.
    Good,
    /// It works, but less well.
    Warn,
    /// It does not work.
    Bad,
    /// It could not be found out.
    Unknown,
}

/// One row of `weir doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do about it, if anything.
    pub fix: Option<String>,
}
