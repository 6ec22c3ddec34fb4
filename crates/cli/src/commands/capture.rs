//! `weir capture`: the packets that a statement applied to, as a capture.

use crate::args::Capture;
use crate::failure::{Exit, Outcome};
use crate::judge::word;
use crate::printer::Printer;
use crate::recording::{Packet, Recording};
use crate::running::{self, told};
use crate::stop::Stop;
use crate::units::counted;
use std::time::{Duration, Instant};
use weir_dataplane::CapturedFrame;

/// How long one wait for packets may take.
const WAIT: Duration = Duration::from_millis(100);

pub(super) fn run(args: &Capture, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let instance = running::open(&args.which, printer)?;
    let mut capture = instance.capture(&args.statements).map_err(|error| told(error, printer))?;
    let mut recording = Recording::create(&args.output)?;
    let end = args.duration.map(|time| Instant::now() + time);
    printer.say(format!("recording {} of `{}`; Ctrl-C ends it", args.statements.join(", "), instance.name()));
    let (mut packets, most) = (0, args.packets.unwrap_or(u64::MAX));
    let mut trouble = None;
    while !stop.asked() && packets < most && end.is_none_or(|end| Instant::now() < end) {
        let mut take = |frame: CapturedFrame| {
            if trouble.is_none() && packets < most {
                packets += 1;
                trouble = recording.packet(packet(&frame)).err();
            }
        };
        capture.read(WAIT, &mut take).map_err(|error| told(error, printer))?;
        if trouble.is_some() {
            break;
        }
    }
    let lost = capture.lost().map_err(|error| told(error, printer))?;
    capture.stop().map_err(|error| told(error, printer))?;
    trouble.map_or(Ok(()), Err).and_then(|()| recording.finish())?;
    printer.say(format!("{} recorded, {lost} lost", counted(packets, "packet")));
    Ok(Exit::Fine)
}

fn packet(frame: &CapturedFrame) -> Packet<'_> {
    Packet {
        statement: &frame.statement,
        time: frame.time,
        length: frame.length,
        bytes: frame.bytes.clone(),
        comment: format!("{} by {}", word(frame.verdict), frame.statement),
    }
}
