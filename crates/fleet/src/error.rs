//! What goes wrong between machines.

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// What was given makes no sense.
    #[error("{0}")]
    Options(String),
    /// Datagrams cannot be received.
    #[error("cannot receive sFlow: {0}")]
    Listening(String),
    /// etcd is not there, or went away.
    #[error("etcd is lost: {0}")]
    Lost(String),
    /// etcd does not know us.
    #[error("etcd does not let us in: {0}")]
    Unauthenticated(String),
    /// etcd does not do it.
    #[error("etcd refuses: {0}")]
    Refused(String),
}
