//! Frames of captures as samples.

use crate::commands::replay::{open, told};
use std::path::Path;
use std::time::Duration;
use weir_detect::sample::{Fate, Sample};
use weir_packet::capture::Frame;

/// How long after the end of a capture one begins that was taken before: longer than any alert lasts without traffic.
const APART: Duration = Duration::from_secs(60);

/// Reads captures, one behind the other.
#[derive(Debug)]
pub(super) struct Captures {
    /// Frames stand for so many, if they do not say it.
    one_in: u32,
    /// The end of what was read.
    end: Duration,
    /// What is added to the times of a capture.
    shift: Duration,
    /// Frames that have no ethernet form.
    pub(super) not_ethernet: u64,
}

impl Captures {
    pub(super) fn new(one_in: u32) -> Captures {
        Captures { one_in, end: Duration::ZERO, shift: Duration::ZERO, not_ethernet: 0 }
    }

    /// Hands over the frames of a capture, as far as it can be read; else says why not further. `each` answers whether to
    /// go on.
    pub(super) fn read(&mut self, path: &Path, each: &mut dyn FnMut(&Sample<'_>) -> bool) -> Option<String> {
        let reader = match open(path) {
            Ok(reader) => reader,
            Err(error) => return Some(told(path, &error)),
        };
        for (index, frame) in reader.enumerate() {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Some(told(path, &error)),
            };
            let time = Duration::from_nanos(frame.timestamp_ns);
            if index == 0 {
                let is_back = time < self.end;
                self.shift = if is_back { self.end + APART - time } else { Duration::ZERO };
            }
            let time = time + self.shift;
            self.end = self.end.max(time);
            let Ok(header) = frame.to_ethernet() else {
                self.not_ethernet += 1;
                continue;
            };
            let (one_in, fate) = said(&frame).unwrap_or((self.one_in, Fate::Passed));
            let frame_len = frame.original_len;
            if !each(&Sample { time, header: &header, frame_len, one_in, fate, statement: None }) {
                return None;
            }
        }
        None
    }
}

/// What `weir samples --pcap` wrote beside a frame: `drop by NAME, 1 in 100`.
fn said(frame: &Frame) -> Option<(u32, Fate)> {
    let (decided, one_in) = frame.comment.as_deref()?.rsplit_once(", 1 in ")?;
    let fate = if decided.starts_with("drop by ") { Fate::Dropped } else { Fate::Passed };
    Some((one_in.parse().ok()?, fate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weir_recorded_says_what_it_stands_for() {
        let frame =
            |comment: &str| Frame { comment: Some(comment.to_owned()), ..Frame::ethernet(0, Vec::new()) };
        assert_eq!(said(&frame("drop by big, 1 in 100")), Some((100, Fate::Dropped)));
        assert_eq!(said(&frame("pass by default, 1 in 7")), Some((7, Fate::Passed)));
        assert_eq!(said(&frame("a comment")), None);
        assert_eq!(said(&Frame::ethernet(0, Vec::new())), None);
    }
}
