//! Marks of packets (`SO_MARK`) that nobody else in the network namespace uses who carries probes.

use crate::Error;
use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// All marks begin with this byte; the documentation says so.
const FIRST_BYTE: u16 = 0x57;

/// 65,536 marks.
#[derive(Debug)]
pub(super) struct Marks {
    first_half: u16,
    taken: BTreeSet<u16>,
    /// Where is looked first for one that is free: what had another one lately may still send.
    next: u16,
    /// A name that the kernel gives to one process of a network namespace, and back when that ends.
    _claim: UnixListener,
}

impl Marks {
    /// Marks for the calling thread's namespace.
    pub(super) fn claim() -> Result<Marks, Error> {
        for second_byte in 0..=u8::MAX {
            let first_half = FIRST_BYTE << 8 | u16::from(second_byte);
            let claimed = SocketAddr::from_abstract_name(format!("weir-marks-{first_half:x}"))
                .and_then(|name| UnixListener::bind_addr(&name));
            if let Ok(claim) = claimed {
                return Ok(Marks { first_half, taken: BTreeSet::new(), next: 0, _claim: claim });
            }
        }
        Err(Error::Checks("256 others carry probes in this network namespace already".into()))
    }

    /// The upper half of all of them.
    pub(super) fn first_half(&self) -> u16 {
        self.first_half
    }

    /// One that is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        let mut numbers = (self.next..=u16::MAX).chain(0..self.next);
        let number = numbers.find(|number| !self.taken.contains(number))?;
        self.next = number.wrapping_add(1);
        self.taken.insert(number);
        Some(u32::from(self.first_half) << 16 | u32::from(number))
    }

    pub(super) fn release(&mut self, mark: u32) {
        self.taken.remove(&(mark as u16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_of_one_process_and_are_not_given_again_at_once() {
        let (mut first, second) = (Marks::claim().expect("marks"), Marks::claim().expect("marks"));
        assert_ne!(first.first_half(), second.first_half());
        assert_eq!(first.first_half() >> 8, FIRST_BYTE);
        let marks: Vec<u32> = (0..=u16::MAX).map(|_| first.take().expect("a mark")).collect();
        assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), 1 << 16);
        assert!(marks.iter().all(|mark| mark >> 16 == u32::from(first.first_half())));
        assert_eq!(first.take(), None);
        for released in [7, 9] {
            first.release(marks[released]);
        }
        assert_eq!([first.take(), first.take(), first.take()], [Some(marks[7]), Some(marks[9]), None]);
        first.release(marks[8]);
        first.release(marks[10]);
        assert_eq!(first.take(), Some(marks[10]));
    }
}
