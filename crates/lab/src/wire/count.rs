//! Counting what arrives, by the marks of the frames.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::receive::{Receiver, Seen};
use super::{Flow, Mark, Sent};
use crate::error::io;
use crate::{Host, LabError};

/// Sequence numbers beyond this are counted but not remembered: 2^27 bits are 16 MiB a flow.
const REMEMBERED: u64 = 1 << 27;

/// Counts the frames that come in by an interface, on a thread of its own, until it is stopped.
#[derive(Debug)]
pub struct Counter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<Received, LabError>, LabError>>>,
}

/// What arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames with a mark, by flow.
    pub flows: BTreeMap<Flow, FlowCount>,
    /// Frames without one.
    pub unmarked: u64,
    /// Frames that arrived but did not fit into the receiver's socket: if there are any, they
    /// were in no flow's count, and what is missing there was not lost on the way.
    pub overflowed: u32,
}

/// What arrived of one flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowCount {
    /// Frames, copies included.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that had arrived before.
    pub duplicates: u64,
    /// Frames that arrived after one with a higher number.
    pub reordered: u64,
    /// One more than the highest number.
    pub end: u64,
    seen: Vec<u64>,
}

impl Received {
    /// All frames with a mark, copies included.
    pub fn frames(&self) -> u64 {
        self.flows.values().map(|flow| flow.frames).sum()
    }

    /// The frames of one flow.
    pub fn of(&self, flow: Flow) -> u64 {
        self.flows.get(&flow).map_or(0, |count| count.frames)
    }

    /// How many frames of a flow were sent and did not arrive.
    pub fn missing(&self, sent: &Sent, flow: Flow) -> u64 {
        let arrived = self.flows.get(&flow).map_or(0, |count| count.frames - count.duplicates);
        sent.flows.get(&flow).copied().unwrap_or(0).saturating_sub(arrived)
    }

    /// Adds one frame.
    pub fn count(&mut self, frame: &[u8], len: usize) {
        match Mark::of(frame) {
            Some(mark) => self.flows.entry(mark.flow).or_default().count(mark.sequence, len),
            None => self.unmarked += 1,
        }
    }
}

impl FlowCount {
    fn count(&mut self, sequence: u64, len: usize) {
        self.frames += 1;
        self.bytes += len as u64;
        if sequence < REMEMBERED {
            let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
            if self.seen.len() <= word {
                self.seen.resize(word + 1, 0);
            }
            if self.seen[word] & bit != 0 {
                self.duplicates += 1;
                return;
            }
            self.seen[word] |= bit;
        }
        if sequence < self.end {
            self.reordered += 1;
        } else {
            self.end = sequence + 1;
        }
    }
}

impl Counter {
    /// Starts to count; from its return on, no frame is missed.
    ///
    /// # Errors
    /// When the socket cannot be opened or the thread not be started.
    pub fn start(host: &Host, interface: &str) -> Result<Counter, LabError> {
        let what = format!("count on `{interface}` of `{}`", host.name());
        let receiver = host.run(|| Receiver::open(interface))?.map_err(io(&what))?;
        let stop = Arc::new(AtomicBool::new(false));
        let sign = Arc::clone(&stop);
        let thread = host.spawn(move || count(receiver, &sign).map_err(io(what)))?;
        Ok(Counter { stop, thread: Some(thread) })
    }

    /// Stops when nothing has come for a moment, and gives the counts.
    ///
    /// # Errors
    /// When receiving failed.
    pub fn stop(mut self) -> Result<Received, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or(LabError::Panicked("a counter"))?;
        thread.join().map_err(|_| LabError::Panicked("a counter"))??
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn count(mut receiver: Receiver, stop: &AtomicBool) -> std::io::Result<Received> {
    let mut received = Received::default();
    // A sign to stop is heeded only in a silence: what is queued still counts.
    while receiver.receive(|seen| see(&mut received, &seen))? || !stop.load(Ordering::Relaxed) {}
    received.overflowed = receiver.overflowed;
    Ok(received)
}

fn see(received: &mut Received, seen: &Seen<'_>) {
    if !seen.outgoing {
        received.count(seen.frame, seen.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_disorder_are_told_apart() {
        let mut received = Received::default();
        for sequence in [0, 1, 3, 2, 3, 5] {
            received.count(&Mark { flow: Flow(1), sequence }.bytes(), 60);
        }
        received.count(b"something else", 60);
        let flow = &received.flows[&Flow(1)];
        assert_eq!((flow.frames, flow.duplicates, flow.reordered, flow.end), (6, 1, 1, 6));
        assert_eq!((received.unmarked, received.frames(), received.of(Flow(2))), (1, 6, 0));
    }
}
