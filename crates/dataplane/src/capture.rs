//! Frames of chosen statements.

use crate::Error;
use std::time::Duration;

/// One captured frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedFrame {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// The statement's name.
    pub statement: String,
    /// What happened to the frame.
    pub verdict: weir_compiler::ir::Verdict,
    /// The frame's length in bytes, without FCS.
    pub length: u32,
    /// Its first bytes, at most 2,048.
    pub bytes: Vec<u8>,
}

/// A capture that runs; dropping it gives the plain policy back.
pub struct Capture {}

impl Capture {
    /// Waits up to `timeout` for frames and hands over those that are there; answers how many.
    pub fn read(&mut self, timeout: Duration, take: &mut dyn FnMut(CapturedFrame)) -> Result<usize, Error> {
        let _ = (timeout, take);
        unimplemented!()
    }

    /// Frames that were lost because nobody read them in time.
    pub fn lost(&self) -> Result<u64, Error> {
        unimplemented!()
    }

    /// Swaps the plain policy back.
    pub fn stop(self) -> Result<(), Error> {
        unimplemented!()
    }
}
