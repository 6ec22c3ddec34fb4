//! Receiving in batches, with the kernel's time and its count of what did not fit.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, MultiHeaders, recvmmsg};
use nix::sys::time::TimeSpec;

use super::socket;

const BATCH: usize = 64;
/// Longer frames are cut: labs send at most a page.
const FRAME: usize = 4096;
/// A receiver that slept in the kernel would be woken by every frame, on the sender's time: that
/// nearly halved the rate (85 instead of 150 thousand a second on a busy machine). So it looks by
/// itself, and its buffer holds what comes meanwhile.
const NAP: Duration = Duration::from_micros(500);
/// So many naps without a frame are a silence: 50 ms.
const SILENCE: u32 = 100;

/// `PACKET_OUTGOING` of `linux/if_packet.h`: the host's own frames on their way out.
const OUTGOING: u8 = 4;

/// A socket and the memory that frames are received into.
pub(super) struct Receiver {
    socket: OwnedFd,
    buffers: Vec<Vec<u8>>,
    /// Frames that the socket had no room for, as the kernel counts them (it wraps at 2^32).
    pub(super) overflowed: u32,
}

/// A frame just received.
pub(super) struct Seen<'a> {
    pub(super) frame: &'a [u8],
    /// More than the bytes that are there, if it was cut.
    pub(super) len: usize,
    pub(super) outgoing: bool,
    pub(super) timestamp_ns: u64,
}

struct Meta {
    len: usize,
    outgoing: bool,
    timestamp_ns: u64,
}

impl Receiver {
    /// Must be called on the host's thread.
    pub(super) fn open(interface: &str) -> io::Result<Receiver> {
        let socket = socket::receiver(interface)?;
        Ok(Receiver { socket, buffers: vec![vec![0; FRAME]; BATCH], overflowed: 0 })
    }

    /// Waits for frames and hands on what is there; false after a silence.
    pub(super) fn receive(&mut self, mut each: impl FnMut(Seen<'_>)) -> io::Result<bool> {
        let Some(metas) = self.wait()? else {
            return Ok(false);
        };
        for (meta, buffer) in metas.iter().zip(&self.buffers) {
            each(Seen {
                frame: &buffer[..meta.len.min(FRAME)],
                len: meta.len,
                outgoing: meta.outgoing,
                timestamp_ns: meta.timestamp_ns,
            });
        }
        Ok(true)
    }

    fn wait(&mut self) -> io::Result<Option<Vec<Meta>>> {
        for _ in 0..SILENCE {
            match receive(&self.socket, &mut self.buffers, &mut self.overflowed) {
                Ok(metas) => return Ok(Some(metas)),
                Err(Errno::EAGAIN) => thread::sleep(NAP),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The headers are made anew for each batch, because the kernel writes into them how much room for
/// control messages was used, and `nix` would offer no more than that the next time.
fn receive(socket: &OwnedFd, buffers: &mut [Vec<u8>], overflowed: &mut u32) -> Result<Vec<Meta>, Errno> {
    let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
    let control = cmsg_space!(TimeSpec, u32);
    let mut headers = MultiHeaders::<LinkAddr>::preallocate(BATCH, Some(control));
    // MSG_TRUNC: the real length of a frame that is longer than its buffer.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let messages = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
    let mut metas = Vec::with_capacity(BATCH);
    for message in messages {
        let mut meta = Meta {
            len: message.bytes,
            outgoing: message.address.is_some_and(|address| address.pkttype() == OUTGOING),
            timestamp_ns: 0,
        };
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::ScmTimestampns(time) => meta.timestamp_ns = nanoseconds(time),
                ControlMessageOwned::RxqOvfl(count) => *overflowed = count,
                _ => {}
            }
        }
        metas.push(meta);
    }
    Ok(metas)
}

fn nanoseconds(time: TimeSpec) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}
