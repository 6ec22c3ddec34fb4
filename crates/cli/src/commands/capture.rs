//! `weir capture`: the packets that a statement applied to, as a capture.

use crate::args::Capture;
use crate::failure::{Exit, Failure, Outcome, failed, words};
use crate::files::is_standard;
use crate::judge::word;
use crate::printer::Printer;
use crate::running::{self, told};
use crate::stop::Stop;
use crate::units::counted;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_dataplane::CapturedFrame;
use weir_kernel::clock::monotonic_ns;
use weir_packet::capture::{Frame, InterfaceId, LinkType, PcapngWriter, WriteError};

/// How long one wait for packets may take.
const WAIT: Duration = Duration::from_millis(100);

/// A capture under way.
struct Recording {
    writer: PcapngWriter<Box<dyn Write>>,
    statements: HashMap<String, InterfaceId>,
    /// What is added to the kernel's monotonic clock to get the time of day.
    epoch_ns: u64,
    packets: u64,
    most: u64,
}

pub(super) fn run(args: &Capture, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let instance = running::open(&args.which, printer)?;
    let mut capture = instance.capture(&args.statements).map_err(|error| told(error, printer))?;
    let mut recording = Recording::create(args)?;
    let end = args.duration.map(|time| Instant::now() + time);
    printer.say(format!("recording {} of `{}`; Ctrl-C ends it", args.statements.join(", "), instance.name()));
    let mut trouble = None;
    while !stop.asked() && recording.packets < recording.most && end.is_none_or(|end| Instant::now() < end) {
        let mut take = |frame: CapturedFrame| {
            if let (None, Err(error)) = (&trouble, recording.frame(frame)) {
                trouble = Some(error);
            }
        };
        capture.read(WAIT, &mut take).map_err(|error| told(error, printer))?;
        if trouble.is_some() {
            break;
        }
    }
    let lost = capture.lost().map_err(|error| told(error, printer))?;
    capture.stop().map_err(|error| told(error, printer))?;
    let packets = recording.packets;
    let finished = trouble.map_or(Ok(()), Err).and_then(|()| recording.writer.finish().map(drop));
    finished.map_err(|error| trouble_of(args, &error))?;
    printer.say(format!("{} recorded, {lost} lost", counted(packets, "packet")));
    Ok(Exit::Fine)
}

impl Recording {
    fn create(args: &Capture) -> Result<Recording, Failure> {
        let out: Box<dyn Write> = match is_standard(&args.output) {
            true => Box::new(io::stdout()),
            false => {
                let file = File::create(&args.output).map_err(|error| {
                    failed(format!("cannot write `{}`: {}", args.output.display(), words(&error)))
                })?;
                Box::new(BufWriter::new(file))
            }
        };
        let writer = PcapngWriter::new(out).map_err(|error| trouble_of(args, &error))?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Ok(Recording {
            writer,
            statements: HashMap::new(),
            epoch_ns: since_epoch.saturating_sub(monotonic_ns()),
            packets: 0,
            most: args.packets.unwrap_or(u64::MAX),
        })
    }

    /// Each statement is an interface of the file, so that Wireshark can tell them apart.
    fn frame(&mut self, frame: CapturedFrame) -> Result<(), WriteError> {
        if self.packets >= self.most {
            return Ok(());
        }
        let interface = match self.statements.get(&frame.statement) {
            Some(interface) => *interface,
            None => {
                let interface = self.writer.interface(&frame.statement, LinkType::Ethernet)?;
                self.statements.insert(frame.statement.clone(), interface);
                interface
            }
        };
        let comment = Some(format!("{} by {}", word(frame.verdict), frame.statement));
        let written = Frame {
            original_len: frame.length,
            comment,
            ..Frame::ethernet(frame.time + self.epoch_ns, frame.bytes)
        };
        self.packets += 1;
        self.writer.frame(interface, &written)
    }
}

fn trouble_of(args: &Capture, error: &WriteError) -> Failure {
    match error {
        WriteError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
        WriteError::Io(error) => {
            failed(format!("cannot write `{}`: {}", args.output.display(), words(error)))
        }
        error => failed(format!("`{}`: {error}", args.output.display())),
    }
}
