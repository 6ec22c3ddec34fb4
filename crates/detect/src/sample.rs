//! A frame that was sampled.

use std::time::Duration;

/// What is known of one frame out of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample<'a> {
    /// When it was taken.
    pub time: Duration,
    /// The frame's first bytes, from its Ethernet header on.
    pub header: &'a [u8],
    /// How long the whole frame was, in bytes, without its FCS.
    pub frame_len: u32,
    /// How many frames it stands for: one in so many was taken, at random.
    pub one_in: u32,
    /// What became of it.
    pub fate: Fate,
    /// The statement that decided or took it, where that is known.
    pub statement: Option<&'a str>,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fate {
    /// It went on.
    Passed,
    /// It was dropped.
    Dropped,
}
