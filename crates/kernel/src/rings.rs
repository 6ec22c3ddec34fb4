//! Reading what programs write: ring buffers and perf event arrays.

use std::time::Duration;

use crate::KernelError;
use crate::maps::Map;

/// Reads one ring buffer. One reader at a time, or records are seen by only one of them.
#[derive(Debug)]
pub struct RingReader {
    _private: (),
}

impl RingReader {
    /// Opens a map of kind `RingBuf`.
    pub fn open(map: &Map) -> Result<Self, KernelError> {
        let _ = map;
        unimplemented!("being written")
    }

    /// Hands each record that is there to `take`; answers how many.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        take(&[]);
        unimplemented!("being written")
    }

    /// Waits until there is a record, or the time is up (false).
    pub fn wait(&self, timeout: Duration) -> Result<bool, KernelError> {
        let _ = timeout;
        unimplemented!("being written")
    }
}

/// Reads a perf event array: one ring for each CPU.
#[derive(Debug)]
pub struct PerfReader {
    _private: (),
}

/// What came out of a perf event array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerfDrain {
    /// Records handed over.
    pub records: u64,
    /// Records that the kernel dropped because a ring was full.
    pub lost: u64,
}

impl PerfReader {
    /// Opens a ring for each online CPU, each of `pages` pages (a power of two).
    pub fn open(map: &Map, pages: usize) -> Result<Self, KernelError> {
        let _ = (map, pages);
        unimplemented!("being written")
    }

    /// Hands each record that is there to `take`, CPU by CPU.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> PerfDrain {
        take(&[]);
        unimplemented!("being written")
    }

    /// Waits until there is a record, or the time is up (false).
    pub fn wait(&self, timeout: Duration) -> Result<bool, KernelError> {
        let _ = timeout;
        unimplemented!("being written")
    }
}
