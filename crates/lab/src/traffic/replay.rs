//! The frames of a capture, again.

use std::net::IpAddr;
use std::path::Path;

use weir_packet::Mac;
use weir_packet::capture::{Capture, Frame};
use weir_packet::checksum::fix_checksums;

use super::Traffic;
use crate::wire::Flow;
use crate::{Interface, LabError};

/// The frames of a capture in their order, at the pace of the sender and not of the file.
///
/// They carry no marks: a receiver counts them as unmarked.
#[derive(Debug, Clone)]
pub struct Replay {
    frames: Vec<Vec<u8>>,
    next: usize,
    rounds: u64,
    flow: Flow,
    skipped: u64,
}

impl Replay {
    /// Reads a capture. Left out, and counted, are frames that the capture cut, that have no
    /// Ethernet form, or that are longer than the interface sends.
    ///
    /// # Errors
    /// When the capture cannot be read to its end, or nothing is left to send.
    pub fn open(path: impl AsRef<Path>, interface: &Interface, flow: Flow) -> Result<Replay, LabError> {
        let path = path.as_ref();
        let capture = |source| LabError::Capture { path: path.to_path_buf(), source };
        // The MTU counts neither the Ethernet header nor a VLAN tag.
        let longest = interface.mtu as usize + 18;
        let (mut frames, mut skipped) = (Vec::new(), 0);
        for frame in Capture::open(path).map_err(capture)? {
            match sendable(&frame.map_err(capture)?, longest) {
                Some(frame) => frames.push(frame),
                None => skipped += 1,
            }
        }
        if frames.is_empty() {
            return Err(LabError::NothingToReplay { path: path.to_path_buf(), skipped });
        }
        Ok(Replay { frames, next: 0, rounds: 1, flow, skipped })
    }

    /// Sends all of it this often instead of once.
    #[must_use]
    pub fn rounds(mut self, rounds: u64) -> Replay {
        self.rounds = rounds;
        self
    }

    /// Leaves all other frames out.
    #[must_use]
    pub fn only(mut self, which: impl Fn(&[u8]) -> bool) -> Replay {
        self.frames.retain(|frame| which(frame));
        self
    }

    /// Gives all frames new Ethernet addresses, so that the next host takes them as its own.
    #[must_use]
    pub fn readdressed(mut self, src: Mac, dst: Mac) -> Replay {
        for frame in &mut self.frames {
            frame[..6].copy_from_slice(&dst.0);
            frame[6..12].copy_from_slice(&src.0);
        }
        self
    }

    /// Lets all packets of the destination's family go there, with checksums that are right again.
    #[must_use]
    pub fn redirected(mut self, dst: IpAddr) -> Replay {
        self.frames.retain_mut(|frame| redirect(frame, dst));
        self
    }

    /// How many frames a round has.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How many frames of the capture are left out.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl Traffic for Replay {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        if self.next == self.frames.len() {
            self.next = 0;
            self.rounds -= 1;
        }
        if self.rounds == 0 {
            return None;
        }
        frame.clear();
        frame.extend_from_slice(&self.frames[self.next]);
        self.next += 1;
        Some(self.flow)
    }
}

/// Whether it could be: a frame without tags, of the same family.
fn redirect(frame: &mut [u8], dst: IpAddr) -> bool {
    const ETHERNET: usize = 14;
    let (kind, at, address): ([u8; 2], usize, &[u8]) = match &dst {
        IpAddr::V4(address) => ([0x08, 0x00], ETHERNET + 16, &address.octets()),
        IpAddr::V6(address) => ([0x86, 0xdd], ETHERNET + 24, &address.octets()),
    };
    let is_ours = frame.get(ETHERNET - 2..ETHERNET) == Some(&kind[..]);
    let Some(place) = frame.get_mut(at..at + address.len()).filter(|_| is_ours) else { return false };
    place.copy_from_slice(address);
    fix_checksums(frame);
    true
}

fn sendable(frame: &Frame, longest: usize) -> Option<Vec<u8>> {
    let ethernet = frame.to_ethernet().ok()?;
    // A packet socket refuses what is shorter than its header.
    let fits = !frame.is_cut() && (14..=longest).contains(&ethernet.len());
    fits.then(|| ethernet.into_owned())
}
