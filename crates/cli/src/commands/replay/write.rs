//! Captures of the frames of each verdict.

use crate::failure::{Failure, failed, words};
use crate::judge::word;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_compiler::ir::Verdict;
use weir_packet::capture::{Frame, InterfaceId, LinkType, PcapngWriter, WriteError};

/// `pass.pcapng`, `drop.pcapng` and, if any are sent, `send.pcapng`: each frame as it was, with the deciding statement as its
/// comment.
pub(super) struct Split {
    directory: PathBuf,
    pass: Part,
    drop: Part,
    send: Option<Part>,
}

struct Part {
    path: PathBuf,
    writer: PcapngWriter<BufWriter<File>>,
    interfaces: HashMap<(Option<Arc<str>>, LinkType), InterfaceId>,
}

impl Split {
    /// Makes the directory, and both captures in it.
    pub(super) fn create(directory: &Path) -> Result<Split, Failure> {
        fs::create_dir_all(directory).map_err(|error| {
            failed(format!("cannot make directory `{}`: {}", directory.display(), words(&error)))
        })?;
        let (pass, drop) = (Part::of(directory, Verdict::Pass)?, Part::of(directory, Verdict::Drop)?);
        Ok(Split { directory: directory.to_owned(), pass, drop, send: None })
    }

    /// Files a frame under its verdict.
    pub(super) fn frame(&mut self, frame: &Frame, verdict: Verdict, by: Option<&str>) -> Result<(), Failure> {
        let part = match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Drop => &mut self.drop,
            Verdict::Send => match &mut self.send {
                Some(part) => part,
                none => none.insert(Part::of(&self.directory, verdict)?),
            },
        };
        let decided = format!("{} by {}", word(verdict), by.unwrap_or("default"));
        let comment = match &frame.comment {
            Some(was) => format!("{decided}; {was}"),
            None => decided,
        };
        let commented = Frame { comment: Some(comment), ..frame.clone() };
        part.frame(&commented).map_err(|error| part.failure(&error))
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> Result<(), Failure> {
        for Part { path, writer, .. } in [self.pass, self.drop].into_iter().chain(self.send) {
            writer.finish().map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
        }
        Ok(())
    }
}

impl Part {
    fn of(directory: &Path, verdict: Verdict) -> Result<Part, Failure> {
        let path = directory.join(format!("{}.pcapng", word(verdict)));
        let writer = PcapngWriter::create(&path).map_err(|error| match error {
            WriteError::Io(error) => failed(format!("cannot write `{}`: {}", path.display(), words(&error))),
            error => failed(format!("`{}`: {error}", path.display())),
        })?;
        Ok(Part { path, writer, interfaces: HashMap::new() })
    }

    fn frame(&mut self, frame: &Frame) -> Result<(), WriteError> {
        let key = (frame.interface.clone(), frame.link);
        let interface = match self.interfaces.get(&key) {
            Some(interface) => *interface,
            None => {
                let interface =
                    self.writer.interface(frame.interface.as_deref().unwrap_or(""), frame.link)?;
                self.interfaces.insert(key, interface);
                interface
            }
        };
        self.writer.frame(interface, frame)
    }

    fn failure(&self, error: &WriteError) -> Failure {
        failed(format!("`{}`: {error}", self.path.display()))
    }
}
