//! A record of the ring as bytes; its layout is in [`weir_compiler::codegen::samples::record`].

use weir_compiler::codegen::samples::record as at;
use weir_compiler::ir::Verdict;

/// What a record says. Statements are called by their counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub time: u64,
    /// Bytes of the frame, without FCS.
    pub length: u32,
    /// The counter of the statement that took it.
    pub statement: u32,
    /// The counter of the statement that decided, or the default's.
    pub decider: u32,
    /// What became of it.
    pub verdict: Verdict,
    /// It was one in so many.
    pub one_in: u32,
    /// The index of the interface by which it came.
    pub interface: u32,
    /// The CPU, for which the next two are.
    pub cpu: u32,
    /// Packets that came to the statement since it samples, modulo 2^64.
    pub pool: u64,
    /// Samples of it that were lost.
    pub lost: u64,
    /// The frame's first bytes.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record; nothing if it is none.
    pub fn read(record: &'a [u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
        let word = |at: usize| Some(u64::from_ne_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let captured = number(at::CAPTURED)? as usize;
        Some(Record {
            time: word(at::TIME)?,
            length: number(at::LENGTH)?,
            statement: number(at::STATEMENT)?,
            decider: number(at::DECIDER)?,
            verdict: match number(at::VERDICT)? {
                0 => Verdict::Pass,
                1 => Verdict::Drop,
                2 => Verdict::Send,
                _ => return None,
            },
            one_in: number(at::ONE_IN)?,
            interface: number(at::INTERFACE)?,
            cpu: number(at::CPU)?,
            pool: word(at::POOL)?,
            lost: word(at::LOST)?,
            bytes: record.get(at::HEADER..at::HEADER.checked_add(captured)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_record_is_none() {
        let mut record = vec![0; at::HEADER + 4];
        record[at::CAPTURED] = 4;
        assert_eq!(Record::read(&record).map(|record| record.bytes.len()), Some(4));
        record[at::CAPTURED] = 5;
        assert_eq!(Record::read(&record), None, "more than is there");
        record[at::CAPTURED..at::CAPTURED + 4].fill(0xff);
        assert_eq!(Record::read(&record), None);
        record[at::CAPTURED..at::CAPTURED + 4].fill(0);
        record[at::VERDICT] = 3;
        assert_eq!(Record::read(&record), None, "no verdict");
        assert_eq!(Record::read(&record[..at::HEADER - 1]), None);
    }
}
