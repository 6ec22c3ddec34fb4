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

/// `pass.pcapng` and `drop.pcapng`: each frame as it was, with the deciding statement as its comment.
pub(super) struct Split {
    pass: Part,
    drop: Part,
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
        let part = |verdict| Part::create(directory.join(format!("{}.pcapng", word(verdict))));
        Ok(Split { pass: part(Verdict::Pass)?, drop: part(Verdict::Drop)? })
    }

    /// Files a frame under its verdict.
    pub(super) fn frame(&mut self, frame: &Frame, verdict: Verdict, by: Option<&str>) -> Result<(), Failure> {
        let part = match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Drop => &mut self.drop,
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
        for Part { path, writer, .. } in [self.pass, self.drop] {
            writer.finish().map_err(|error| failed(format!("`{}`: {error}", path.display())))?;
        }
        Ok(())
    }
}

impl Part {
    fn create(path: PathBuf) -> Result<Part, Failure> {
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
