//! Why a journal is not read or written.

use redb::{CommitError, DatabaseError, StorageError, TableError, TransactionError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is in the way.
#[derive(Debug)]
pub enum Error {
    /// Another process writes it.
    Busy,
    /// It was damaged.
    Damaged(String),
    /// It is a file of something else.
    Foreign,
    /// Another version of Weir made it.
    Version(u64),
    /// The system says no.
    Io(io::Error),
    /// There is none.
    Missing(PathBuf),
}

impl Error {
    /// Whether another one should take its place.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Error::Damaged(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Busy => f.write_str("another process writes it"),
            Error::Damaged(how) => write!(f, "it is damaged: {how}"),
            Error::Foreign => f.write_str("it is no journal"),
            Error::Version(version) => {
                write!(f, "another version of Weir made it, which calls it version {version}")
            }
            Error::Io(error) => {
                let text = error.to_string();
                f.write_str(&text.split(" (os error").next().unwrap_or_default().to_lowercase())
            }
            Error::Missing(path) => write!(f, "there is no journal `{}`", path.display()),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Error {
        match error {
            StorageError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::Damaged("it is cut off".into())
            }
            StorageError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Error::Damaged(error.to_string())
            }
            StorageError::Io(error) => Error::Io(error),
            StorageError::Corrupted(how) => Error::Damaged(how),
            StorageError::PreviousIo => Error::Io(io::Error::other("it failed before")),
            other => Error::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Error {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Error::Busy,
            DatabaseError::Storage(error) => error.into(),
            DatabaseError::UpgradeRequired(version) => Error::Version(version.into()),
            other => Error::Damaged(other.to_string()),
        }
    }
}

impl From<TransactionError> for Error {
    fn from(error: TransactionError) -> Error {
        match error {
            TransactionError::Storage(error) => error.into(),
            other => Error::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Error {
        match error {
            TableError::Storage(error) => error.into(),
            other => Error::Damaged(other.to_string()),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Error {
        match error {
            CommitError::Storage(error) => error.into(),
            other => Error::Io(io::Error::other(other.to_string())),
        }
    }
}
