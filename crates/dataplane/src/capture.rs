//! Frames of chosen statements.
//!
//! A variant of the running policy, which copies those statements' frames to a ring buffer, is swapped in and shares
//! every map with it; at the end the plain policy is swapped back. What is not captured from pays nothing. The
//! variant's directory is locked by the process that reads: if that process was killed, the next command on the
//! instance gets the lock, and swaps the plain policy back.

use crate::Error;
use crate::instance::build::{Beside, build};
use crate::instance::{CaptureMeta, Generation, Lock, Place, Policy, settle, swap_in_variant};
use std::time::{Duration, Instant};
use weir_compiler::codegen::Statistic;
use weir_compiler::codegen::capture::HEADER;
use weir_compiler::diagnostic::nearest;
use weir_compiler::ir::Verdict;
use weir_kernel::rings::RingReader;

/// How often a waiting reader looks whether its variant still runs.
const LOOK: Duration = Duration::from_millis(100);

/// One captured frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedFrame {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// The statement's name.
    pub statement: String,
    /// What happened to the frame.
    pub verdict: Verdict,
    /// The frame's length in bytes, without FCS.
    pub length: u32,
    /// Its first bytes, at most 2,048.
    pub bytes: Vec<u8>,
}

/// A capture that runs; dropping it gives the plain policy back.
pub struct Capture {
    place: Place,
    variant: Generation,
    ids: Vec<String>,
    ring: RingReader,
    lost_before: u64,
    /// Whose end tells the others that this process no longer reads.
    reading: Option<Lock>,
}

impl Capture {
    pub(crate) fn start(place: Place, statements: Vec<String>) -> Result<Self, Error> {
        let _lock = place.lock()?;
        let plain = settle(&place)?;
        if plain.meta.capture.is_some() {
            return Err(Error::Capturing { name: place.name().to_owned() });
        }
        let names: Vec<&str> =
            plain.meta.statements.iter().map(|statement| statement.name.as_str()).collect();
        if let Some(unknown) = statements.iter().find(|name| !names.contains(&name.as_str())) {
            let nearest = nearest(unknown, names.iter().copied()).map(str::to_owned);
            return Err(Error::NoStatement { name: unknown.clone(), nearest });
        }
        let source = plain.source(&place)?;
        let policy = Policy { name: &source.name, text: &source.text, loader: &source };
        let beside = Beside { running: Some(&plain), capture: &statements, ..Beside::default() };
        let built = build(&policy, &plain.meta.setting, beside)?;
        let ids = built.lowered.program.statements.clone();
        let capture = CaptureMeta { of: plain.number, statements, ids: ids.clone() };
        let lost_before = lost(&plain)?;
        let (variant, reading) = swap_in_variant(&place, &built, &plain, capture)?;
        let ring = RingReader::open(&variant.map("capture")?)?;
        Ok(Self { place, variant, ids, ring, lost_before, reading: Some(reading) })
    }

    /// Waits up to `timeout` for frames and hands over those that are there; answers how many.
    pub fn read(&mut self, timeout: Duration, take: &mut dyn FnMut(CapturedFrame)) -> Result<usize, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let ids = &self.ids;
            let count = self.ring.drain(|record| {
                if let Some(frame) = frame(record, ids) {
                    take(frame);
                }
            });
            let left = deadline.saturating_duration_since(Instant::now());
            if count > 0 || left.is_zero() {
                return Ok(count);
            }
            if !self.ring.wait(left.min(LOOK))? && !self.runs()? {
                return Err(Error::CaptureEnded);
            }
        }
    }

    /// Frames that were lost because nobody read them in time.
    pub fn lost(&self) -> Result<u64, Error> {
        Ok(lost(&self.variant)?.saturating_sub(self.lost_before))
    }

    /// Swaps the plain policy back.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    fn runs(&self) -> Result<bool, Error> {
        Ok(Generation::running(&self.place)?.program_id == self.variant.program_id)
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        let _lock = match self.place.lock() {
            // Unloaded meanwhile: there is nothing to give back.
            Err(Error::NoInstance { .. }) => return Ok(()),
            lock => lock?,
        };
        drop(reading);
        // Whoever settles the instance finds a variant that nobody reads.
        settle(&self.place).map(drop)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Nobody is left to tell; the next command on the instance tries again.
        let _ = self.end();
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("place", &self.place).finish_non_exhaustive()
    }
}

fn lost(generation: &Generation) -> Result<u64, Error> {
    match generation.find_map("statistics")? {
        Some(map) => Ok(crate::engines::statistic_of(&map, Statistic::CapturesLost)?),
        None => Ok(0),
    }
}

/// Reads a record; its layout is in [`weir_compiler::codegen::capture`].
fn frame(record: &[u8], ids: &[String]) -> Option<CapturedFrame> {
    let number = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let time = u64::from_ne_bytes(record.get(..8)?.try_into().ok()?);
    let captured = number(12)? as usize;
    let header = HEADER as usize;
    Some(CapturedFrame {
        time,
        statement: ids.get(number(16)? as usize)?.clone(),
        verdict: if number(20)? == 0 { Verdict::Pass } else { Verdict::Drop },
        length: number(8)?,
        bytes: record.get(header..header + captured)?.to_vec(),
    })
}
