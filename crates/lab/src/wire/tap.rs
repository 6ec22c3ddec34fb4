//! Recording an interface into a capture file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use weir_packet::capture::{Frame, LinkType, PcapngWriter};

use super::receive::Receiver;
use crate::error::io;
use crate::{Host, LabError};

/// Records what an interface sends and receives, on a thread of its own, until it is stopped.
#[derive(Debug)]
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<Tapped, LabError>, LabError>>>,
}

/// What was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tapped {
    /// Frames in the file.
    pub frames: u64,
    /// Frames that came too fast to be recorded.
    pub overflowed: u32,
}

impl Tap {
    /// Starts to record into a pcapng file, whose interface is named `host/interface`.
    ///
    /// # Errors
    /// When the socket cannot be opened or the thread not be started. An error of the file shows
    /// when the tap is stopped.
    pub fn start(host: &Host, interface: &str, file: impl AsRef<Path>) -> Result<Tap, LabError> {
        let what = format!("tap `{interface}` of `{}`", host.name());
        let receiver = host.run(|| Receiver::open(interface))?.map_err(io(&what))?;
        let stop = Arc::new(AtomicBool::new(false));
        let recording = Recording {
            receiver,
            file: file.as_ref().to_path_buf(),
            name: format!("{}/{interface}", host.name()),
            what,
            stop: Arc::clone(&stop),
        };
        let thread = host.spawn(move || recording.run())?;
        Ok(Tap { stop, thread: Some(thread) })
    }

    /// Stops when nothing has come for a moment, and completes the file.
    ///
    /// # Errors
    /// When receiving or writing failed.
    pub fn stop(mut self) -> Result<Tapped, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or(LabError::Panicked("a tap"))?;
        thread.join().map_err(|_| LabError::Panicked("a tap"))??
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Recording {
    receiver: Receiver,
    file: PathBuf,
    name: String,
    what: String,
    stop: Arc<AtomicBool>,
}

impl Recording {
    fn run(mut self) -> Result<Tapped, LabError> {
        let mut writer = PcapngWriter::create(&self.file).map_err(LabError::Write)?;
        let interface = writer.interface(&self.name, LinkType::Ethernet).map_err(LabError::Write)?;
        let mut tapped = Tapped::default();
        let mut written = Ok(());
        loop {
            let some = self.receiver.receive(|seen| {
                let mut frame = Frame::ethernet(seen.timestamp_ns, seen.frame.to_vec());
                frame.original_len = u32::try_from(seen.len).unwrap_or(u32::MAX);
                if written.is_ok() {
                    written = writer.frame(interface, &frame);
                    tapped.frames += 1;
                }
            });
            std::mem::replace(&mut written, Ok(())).map_err(LabError::Write)?;
            if !some.map_err(io(&self.what))? && self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        tapped.overflowed = self.receiver.overflowed;
        writer.finish().map_err(LabError::Write)?;
        Ok(tapped)
    }
}
