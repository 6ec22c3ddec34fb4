//! Packets that are recorded while they come, as a capture.

use crate::clock::epoch;
use crate::failure::{Failure, failed, words};
use crate::files::is_standard;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use weir_packet::capture::{Frame, InterfaceId, LinkType, PcapngWriter, WriteError};

/// A capture under way. Each statement is an interface of the file, so that Wireshark can tell them apart.
pub(crate) struct Recording {
    output: PathBuf,
    writer: PcapngWriter<Box<dyn Write>>,
    statements: HashMap<String, InterfaceId>,
    /// What is added to the kernel's monotonic clock to get the time of day.
    epoch_ns: u64,
}

/// A packet to record.
pub(crate) struct Packet<'a> {
    /// The statement under which it is filed.
    pub(crate) statement: &'a str,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub(crate) time: u64,
    /// Bytes of the frame.
    pub(crate) length: u32,
    /// Those of them that are known.
    pub(crate) bytes: Vec<u8>,
    /// What is said of it.
    pub(crate) comment: String,
}

impl Recording {
    /// To a file, or to standard output for `-`.
    pub(crate) fn create(output: &Path) -> Result<Recording, Failure> {
        let out: Box<dyn Write> = match is_standard(output) {
            true => Box::new(io::stdout()),
            false => {
                let file = File::create(output).map_err(|error| {
                    failed(format!("cannot write `{}`: {}", output.display(), words(&error)))
                })?;
                Box::new(BufWriter::new(file))
            }
        };
        let writer = PcapngWriter::new(out).map_err(|error| trouble(output, &error))?;
        Ok(Recording {
            output: output.to_owned(),
            writer,
            statements: HashMap::new(),
            epoch_ns: epoch().as_nanos() as u64,
        })
    }

    /// Adds a packet.
    pub(crate) fn packet(&mut self, packet: Packet<'_>) -> Result<(), Failure> {
        self.write(packet).map_err(|error| trouble(&self.output, &error))
    }

    fn write(&mut self, packet: Packet<'_>) -> Result<(), WriteError> {
        let interface = match self.statements.get(packet.statement) {
            Some(interface) => *interface,
            None => {
                let interface = self.writer.interface(packet.statement, LinkType::Ethernet)?;
                self.statements.insert(packet.statement.to_owned(), interface);
                interface
            }
        };
        let written = Frame {
            original_len: packet.length,
            comment: Some(packet.comment),
            ..Frame::ethernet(packet.time + self.epoch_ns, packet.bytes)
        };
        self.writer.frame(interface, &written)
    }

    /// Writes what is not written yet.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.writer.finish().map(drop).map_err(|error| trouble(&self.output, &error))
    }
}

fn trouble(output: &Path, error: &WriteError) -> Failure {
    match error {
        WriteError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        WriteError::Io(error) => failed(format!("cannot write `{}`: {}", output.display(), words(error))),
        error => failed(format!("`{}`: {error}", output.display())),
    }
}
