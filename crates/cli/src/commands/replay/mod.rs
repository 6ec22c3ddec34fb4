//! `weir replay`: what a policy would have done to captures.

mod write;

use crate::args::Replay;
use crate::clock::CaptureClock;
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::files::{is_standard, shown};
use crate::judge::{Judge, Judged, StatementRow, word};
use crate::policy::analyse;
use crate::printer::{Printer, Progress, statement_table};
use crate::units::{counted, grouped};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use weir_compiler::ir::Verdict;
use weir_packet::capture::{Capture, CaptureError, Frame, Reader};
use weir_packet::view::View;
use write::Split;

#[derive(Serialize)]
struct Answer<'a> {
    packets: u64,
    verdicts: Verdicts,
    statements: Vec<StatementRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<Vec<FrameRow<'a>>>,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Verdicts {
    pass: u64,
    drop: u64,
    #[serde(skip_serializing_if = "is_zero")]
    send: u64,
}

impl Verdicts {
    fn all(&self) -> u64 {
        self.pass + self.drop + self.send
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct FrameRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    frame: u64,
    verdict: &'static str,
    statement: Option<&'a str>,
}

/// A replay under way.
struct Replaying<'a> {
    args: &'a Replay,
    judge: Judge<'a>,
    clock: CaptureClock,
    verdicts: Verdicts,
    frames: Vec<FrameRow<'a>>,
    listing: String,
    split: Option<Split>,
    progress: Progress,
    opened: usize,
    cut: u64,
    not_ethernet: u64,
}

pub(super) fn run(args: &Replay, printer: &mut Printer) -> Outcome {
    check_standard_input(args)?;
    let analysis = analyse(&args.policy, printer)?;
    let mut replaying = Replaying {
        args,
        judge: Judge::new(&analysis)?,
        clock: CaptureClock::default(),
        verdicts: Verdicts::default(),
        frames: Vec::new(),
        listing: String::new(),
        split: args.write.as_deref().map(Split::create).transpose()?,
        progress: printer.progress("judging frames", None),
        opened: 0,
        cut: 0,
        not_ethernet: 0,
    };
    let mut broken = Vec::new();
    for path in &args.captures {
        if let Err(error) = replaying.capture(path, printer)? {
            broken.push(told(path, &error));
        }
    }
    // Where nothing could be read at all, zeros would only look like an answer.
    if replaying.opened > 0 {
        replaying.finish(printer)?;
    }
    match broken.pop() {
        None => Ok(Exit::Fine),
        Some(last) => {
            broken.iter().for_each(|error| printer.error(error));
            Err(failed(last))
        }
    }
}

/// Two readers of one standard input would each get a part of it.
fn check_standard_input(args: &Replay) -> Result<(), Failure> {
    let inputs = std::iter::once(&args.policy).chain(&args.captures);
    match inputs.filter(|path| is_standard(path)).count() {
        0 | 1 => Ok(()),
        _ => Err(failed("standard input can be read only once")),
    }
}

pub(super) fn told(path: &Path, error: &CaptureError) -> String {
    match error {
        CaptureError::Open { source, .. } => {
            format!("cannot open capture `{}`: {}", shown(path), crate::failure::words(source))
        }
        CaptureError::Read { offset, source } => {
            let why = crate::failure::words(source);
            format!("cannot read capture `{}` at byte {offset}: {why}", shown(path))
        }
        error => format!("capture `{}`: {error}", shown(path)),
    }
}

pub(super) fn open(path: &Path) -> Result<Reader, CaptureError> {
    if is_standard(path) { Capture::read(std::io::stdin()) } else { Capture::open(path) }
}

impl Replaying<'_> {
    /// Judges a capture as far as it can be read; the inner error says why not further.
    fn capture(&mut self, path: &Path, printer: &mut Printer) -> Result<Result<(), CaptureError>, Failure> {
        let reader = match open(path) {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        self.opened += 1;
        let mut first = true;
        for frame in reader {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(error)),
            };
            if std::mem::take(&mut first) && self.clock.goes_back_to(frame.timestamp_ns) {
                self.clock = CaptureClock::default();
                self.judge.fill_buckets();
            }
            self.frame(path, &frame, printer)?;
        }
        Ok(Ok(()))
    }

    fn frame(&mut self, path: &Path, frame: &Frame, printer: &mut Printer) -> Result<(), Failure> {
        let now = self.clock.at(frame.timestamp_ns);
        let Ok(ethernet) = frame.to_ethernet() else {
            self.not_ethernet += 1;
            return Ok(());
        };
        self.cut += u64::from(frame.is_cut());
        let judged = self.judge.judge(&ethernet, now)?;
        match judged.verdict {
            Verdict::Pass => self.verdicts.pass += 1,
            Verdict::Drop => self.verdicts.drop += 1,
            Verdict::Send => self.verdicts.send += 1,
        }
        if let Some(split) = &mut self.split {
            split.frame(frame, judged.verdict, self.judge.name(judged))?;
        }
        if self.args.frames {
            self.list(path, frame, &ethernet, judged, printer)?;
        }
        self.progress.at(self.verdicts.all());
        Ok(())
    }

    fn list(
        &mut self,
        path: &Path,
        frame: &Frame,
        ethernet: &[u8],
        judged: Judged,
        printer: &mut Printer,
    ) -> Result<(), Failure> {
        let file = (self.args.captures.len() > 1).then(|| shown(path));
        let (verdict, statement) = (word(judged.verdict), self.judge.name(judged));
        if self.args.json {
            self.frames.push(FrameRow { file, frame: frame.number, verdict, statement });
            return Ok(());
        }
        let file = file.map_or_else(String::new, |file| format!("{file} "));
        let statement = statement.unwrap_or("default");
        let number = frame.number;
        // Writing to a string cannot fail.
        let _ = writeln!(self.listing, "{file}{number:>7} {verdict} {statement:<16} {}", View(ethernet));
        if self.listing.len() > 1 << 16 {
            printer.text(&std::mem::take(&mut self.listing))?;
        }
        Ok(())
    }

    fn finish(self, printer: &mut Printer) -> Result<(), Failure> {
        let Replaying { args, judge, verdicts, frames, listing, split, progress, cut, not_ethernet, .. } =
            self;
        drop(progress);
        split.map(Split::finish).transpose()?;
        let packets = verdicts.all();
        if args.json {
            let frames = args.frames.then_some(frames);
            printer.json(&Answer { packets, verdicts, statements: judge.rows(), frames })?;
        } else {
            printer.text(&listing)?;
            if args.frames && packets > 0 {
                printer.line("")?;
            }
            printer.table(&statement_table(&judge.rows()))?;
            let (pass, drop) = (grouped(verdicts.pass), grouped(verdicts.drop));
            let sent = match verdicts.send {
                0 => String::new(),
                send => format!(", {} sent", grouped(send)),
            };
            printer.line(format!("\n{}: {pass} passed, {drop} dropped{sent}", counted(packets, "packet")))?;
        }
        if cut > 0 {
            let frames = counted(cut, "frame");
            printer.warning(format!(
                "the captures kept only the start of {frames}; these were judged by what is there"
            ));
        }
        if not_ethernet > 0 {
            let frames = counted(not_ethernet, "frame");
            printer.warning(format!("{frames} have no ethernet form and were not judged"));
        }
        Ok(())
    }
}
