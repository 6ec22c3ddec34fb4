//! What makes a frame of ours known again: its last bytes.
//!
//! A mark stands at the very end, where it survives whatever a policy does to the headers
//! (encapsulation, NAT, tags), and where a receiver finds it without parsing.

/// A stream of numbered frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(pub u32);

/// The flow and the number of a frame in it, from 0 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which flow.
    pub flow: Flow,
    /// Which frame of it.
    pub sequence: u64,
}

/// How many bytes a mark takes: a name of eight, flow (4), sequence (8), big-endian.
pub const MARK_LEN: usize = 20;

const NAME: [u8; 8] = *b"\xd7weir\x1amk";

impl Mark {
    /// The bytes that end the frame.
    pub fn bytes(self) -> [u8; MARK_LEN] {
        let mut bytes = [0; MARK_LEN];
        bytes[..8].copy_from_slice(&NAME);
        bytes[8..12].copy_from_slice(&self.flow.0.to_be_bytes());
        bytes[12..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// The mark of a frame, if it ends with one.
    pub fn of(frame: &[u8]) -> Option<Mark> {
        let bytes = frame.last_chunk::<MARK_LEN>()?;
        let (name, rest) = bytes.split_first_chunk::<8>()?;
        let (flow, sequence) = rest.split_first_chunk::<4>()?;
        let sequence = u64::from_be_bytes(*sequence.first_chunk()?);
        (*name == NAME).then(|| Mark { flow: Flow(u32::from_be_bytes(*flow)), sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_again_and_nothing_else_is() {
        let mark = Mark { flow: Flow(7), sequence: 1 << 40 };
        let mut frame = vec![9; 60];
        assert_eq!(Mark::of(&frame), None);
        frame.extend_from_slice(&mark.bytes());
        assert_eq!(Mark::of(&frame), Some(mark));
        frame.pop();
        assert_eq!(Mark::of(&frame), None);
        assert_eq!(Mark::of(&frame[..3]), None);
    }
}
