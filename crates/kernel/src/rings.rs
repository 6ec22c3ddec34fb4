//! Reading what programs write: ring buffers and perf event arrays. The memory that is shared with the kernel is
//! aya's business.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use aya::maps::perf::{PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map as AyaMap, MapData, PerfEventArray, RingBuf};

use crate::KernelError;
use crate::maps::Map;

/// Reads one ring buffer. One reader at a time: two would each see only some of the records.
pub struct RingReader {
    ring: RingBuf<MapData>,
    name: String,
}

impl RingReader {
    /// Opens a map of kind `RingBuf`.
    pub fn open(map: &Map) -> Result<Self, KernelError> {
        let error = |source| map.error("read ring buffer", source);
        let ring = RingBuf::try_from(AyaMap::RingBuf(map_data(map)?));
        let ring = ring.map_err(|reason| error(io::Error::other(reason)))?;
        Ok(Self { ring, name: map.info().name.clone() })
    }

    /// Hands each record that is there to `take`; answers how many.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while let Some(record) = self.ring.next() {
            take(&record);
            count += 1;
        }
        count
    }

    /// Waits until there is a record, or the time is up (false).
    pub fn wait(&self, timeout: Duration) -> Result<bool, KernelError> {
        wait(&[self.ring.as_raw_fd()], timeout)
            .map_err(|source| KernelError::new("wait for ring buffer", format!("`{}`", self.name), source))
    }
}

impl AsFd for RingReader {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl std::fmt::Debug for RingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingReader").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a perf event array: one ring for each CPU.
pub struct PerfReader {
    rings: Vec<PerfEventArrayBuffer<MapData>>,
    name: String,
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
    ///
    /// Before that programs get `-ENOENT` from `bpf_perf_event_output`.
    pub fn open(map: &Map, pages: usize) -> Result<Self, KernelError> {
        let error = |source| map.error("read perf event array", source);
        let array = PerfEventArray::try_from(AyaMap::PerfEventArray(map_data(map)?));
        let mut array = array.map_err(|reason| error(io::Error::other(reason)))?;
        let cpus = aya::util::online_cpus().map_err(|(_, source)| error(source))?;
        let rings = cpus.into_iter().map(|cpu| array.open(cpu, Some(pages)));
        let rings = rings.collect::<Result<_, _>>().map_err(|reason| error(io::Error::other(reason)))?;
        Ok(Self { rings, name: map.info().name.clone() })
    }

    /// Hands each record that is there to `take`, CPU by CPU; the kernel pads records to eight bytes.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) -> PerfDrain {
        let mut drained = PerfDrain::default();
        for ring in &mut self.rings {
            ring.for_each(|event| match event {
                PerfEvent::Sample { head, tail: [] } => {
                    drained.records += 1;
                    take(head);
                }
                PerfEvent::Sample { head, tail } => {
                    drained.records += 1;
                    take(&[head, tail].concat());
                }
                PerfEvent::Lost { count } => drained.lost += count,
            });
        }
        drained
    }

    /// Waits until there is a record on some CPU, or the time is up (false).
    pub fn wait(&self, timeout: Duration) -> Result<bool, KernelError> {
        let fds: Vec<RawFd> = self.rings.iter().map(AsRawFd::as_raw_fd).collect();
        wait(&fds, timeout).map_err(|source| {
            KernelError::new("wait for perf event array", format!("`{}`", self.name), source)
        })
    }
}

impl std::fmt::Debug for PerfReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerfReader").field("name", &self.name).finish_non_exhaustive()
    }
}

fn map_data(map: &Map) -> Result<MapData, KernelError> {
    let fd = map.as_fd().try_clone_to_owned().map_err(|source| map.error("duplicate map", source))?;
    MapData::from_fd(fd).map_err(|reason| map.error("inspect map", io::Error::other(reason)))
}

fn wait(fds: &[RawFd], timeout: Duration) -> io::Result<bool> {
    let mut polls: Vec<libc::pollfd> =
        fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer and count describe one live vector; the descriptors are the readers' own.
    match unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) } {
        0 => Ok(false),
        ready if ready > 0 => Ok(true),
        _ => match io::Error::last_os_error() {
            // A signal is no record: the caller looks at the clock again.
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}
