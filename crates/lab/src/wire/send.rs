//! Sending frames at a rate, counted.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

use super::{Flow, socket};
use crate::error::io;
use crate::traffic::Traffic;
use crate::{Host, LabError};

/// Frames that go to the kernel in one call. More gain nothing; fewer cost.
const BATCH: usize = 64;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Frames a second, evenly, in batches of at most a millisecond.
    PerSecond(u64),
    /// As fast as one core goes.
    Fastest,
}

/// How fast, how long, how many.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// How fast.
    pub pace: Pace,
    /// When it stops in any case.
    pub duration: Duration,
    /// How many frames at most.
    pub frames: u64,
    /// Set from elsewhere to stop early.
    pub stop: Arc<AtomicBool>,
}

impl SendOptions {
    /// At a pace for a time.
    pub fn new(pace: Pace, duration: Duration) -> SendOptions {
        SendOptions { pace, duration, frames: u64::MAX, stop: Arc::default() }
    }

    /// No more than this many frames.
    #[must_use]
    pub fn frames(mut self, frames: u64) -> SendOptions {
        self.frames = frames;
        self
    }
}

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the kernel took.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that the kernel refused for lack of room in a queue: they never were on the wire.
    pub refused: u64,
    /// Frames that the kernel took, by flow.
    pub flows: BTreeMap<Flow, u64>,
    /// From the first to the last.
    pub elapsed: Duration,
}

impl Sent {
    /// Frames a second that were reached.
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// Sends traffic out of an interface of a host, and returns when the time is over, the traffic
/// ends, or somebody stops it.
///
/// # Errors
/// When the socket cannot be opened, or sending fails for another reason than a full queue.
pub fn send(
    host: &Host,
    interface: &str,
    traffic: &mut (impl Traffic + ?Sized),
    options: &SendOptions,
) -> Result<Sent, LabError> {
    let what = format!("send by `{interface}` of `{}`", host.name());
    let socket = host.run(|| socket::sender(interface))?.map_err(io(&what))?;
    let mut batch = Batch::new(socket);
    let start = Instant::now();
    let mut sent = Sent::default();
    loop {
        sent.elapsed = start.elapsed();
        if sent.elapsed >= options.duration || options.stop.load(Ordering::Relaxed) {
            return Ok(sent);
        }
        let done = sent.frames + sent.refused;
        let due = match options.pace {
            Pace::Fastest => u64::MAX,
            Pace::PerSecond(rate) => due(rate, sent.elapsed).saturating_sub(done),
        };
        let wanted = due.min(options.frames - done).min(BATCH as u64) as usize;
        if options.frames == done {
            return Ok(sent);
        }
        if wanted == 0 {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        let filled = batch.fill(traffic, wanted);
        batch.send(filled, &mut sent).map_err(io(&what))?;
        if filled < wanted {
            sent.elapsed = start.elapsed();
            return Ok(sent);
        }
    }
}

/// Rounded up: the first frame is due at once.
fn due(rate: u64, elapsed: Duration) -> u64 {
    let frames = u128::from(rate) * elapsed.as_nanos() / 1_000_000_000 + 1;
    u64::try_from(frames).unwrap_or(u64::MAX)
}

struct Batch {
    socket: OwnedFd,
    frames: Vec<Vec<u8>>,
    flows: [Flow; BATCH],
}

impl Batch {
    fn new(socket: OwnedFd) -> Batch {
        Batch { socket, frames: vec![Vec::new(); BATCH], flows: [Flow(0); BATCH] }
    }

    /// How many frames the traffic still had.
    fn fill(&mut self, traffic: &mut (impl Traffic + ?Sized), wanted: usize) -> usize {
        for (index, frame) in self.frames[..wanted].iter_mut().enumerate() {
            match traffic.next(frame) {
                Some(flow) => self.flows[index] = flow,
                None => return index,
            }
        }
        wanted
    }

    fn send(&self, filled: usize, sent: &mut Sent) -> Result<(), Errno> {
        let mut next = 0;
        while next < filled {
            match self.send_from(next, filled) {
                Ok(count) => {
                    for index in next..next + count {
                        sent.frames += 1;
                        sent.bytes += self.frames[index].len() as u64;
                        *sent.flows.entry(self.flows[index]).or_default() += 1;
                    }
                    next += count;
                }
                // The device's queue had no room for this one frame.
                Err(Errno::ENOBUFS | Errno::EAGAIN) => {
                    sent.refused += 1;
                    next += 1;
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_from(&self, first: usize, end: usize) -> Result<usize, Errno> {
        let slices: Vec<_> = self.frames[first..end].iter().map(|frame| [IoSlice::new(frame)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
        let to = [None; BATCH];
        let results = sendmmsg(
            self.socket.as_raw_fd(),
            &mut headers,
            &slices,
            &to[..slices.len()],
            [],
            MsgFlags::empty(),
        )?;
        Ok(results.count())
    }
}
