//! `weir samples`: what statements sample, as it comes.

use crate::args::Samples;
use crate::export;
use crate::failure::{Exit, Failure, Outcome};
use crate::judge::word;
use crate::printer::Printer;
use crate::recording::{Packet, Recording};
use crate::running::{self, told};
use crate::stop::Stop;
use crate::units::{counted, grouped};
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use weir_dataplane::{Sample, SampleKeeper};

/// How long one wait for samples may take.
const WAIT: Duration = Duration::from_millis(100);

/// A sample as JSON.
#[derive(Serialize)]
struct Line<'a> {
    time_ns: u64,
    statement: &'a str,
    one_in: u32,
    verdict: &'static str,
    by: &'a str,
    length: u32,
    ifindex: u32,
    cpu: u32,
    pool: u64,
    lost: u64,
    bytes: String,
}

pub(super) fn run(args: &Samples, printer: &mut Printer) -> Outcome {
    let stop = Stop::on_signals()?;
    let instance = running::open(&args.which, printer)?;
    let mut samples = instance.samples().map_err(|error| told(error, printer))?;
    let mut recording = args.pcap.as_deref().map(Recording::create).transpose()?;
    let mut exporter = export::exporter(&args.sflow, &instance, None, printer)?;
    let mut keeper = SampleKeeper::new(instance.clone());
    let (start, most) = (Instant::now(), args.packets.unwrap_or(u64::MAX));
    printer.say(format!("samples of `{}`; Ctrl-C ends it", instance.name()));
    let mut count = 0;
    let mut trouble = None;
    while !stop.asked() && count < most && args.duration.is_none_or(|time| start.elapsed() < time) {
        let mut take = |sample: &Sample<'_>| {
            if trouble.is_none() && count < most && wanted(args, sample) {
                count += 1;
                trouble = match (&mut recording, &mut exporter) {
                    (_, Some(exporter)) => {
                        exporter.sample(sample);
                        args.json.then(|| show(args, sample, printer).err()).flatten()
                    }
                    (Some(recording), None) => recording.packet(packet(sample)).err(),
                    (None, None) => show(args, sample, printer).err(),
                };
            }
        };
        samples.read(WAIT, &mut take).map_err(|error| told(error, printer))?;
        if trouble.is_some() {
            break;
        }
        if let Some(exporter) = &mut exporter {
            export::turn(exporter).iter().for_each(|told| printer.warning(told));
        }
        for adapted in keeper.turn().map_err(|error| told(error, printer))? {
            printer.say(adapted.to_string());
        }
    }
    trouble.map_or(Ok(()), Err)?;
    if let Some(recording) = recording {
        recording.finish()?;
    }
    if let Some(exporter) = &mut exporter {
        export::finish(exporter).iter().for_each(|told| printer.say(told));
    }
    let status = instance.status().map_err(|error| told(error, printer))?;
    let lost: u64 = status.samples.iter().map(|sample| sample.lost).sum();
    let told = counted(count, "sample");
    printer.say(format!("{told}; {} of the policy's samples were lost so far", grouped(lost)));
    Ok(Exit::Fine)
}

fn wanted(args: &Samples, sample: &Sample<'_>) -> bool {
    args.statements.is_empty() || args.statements.iter().any(|name| name == sample.statement)
}

fn show(args: &Samples, sample: &Sample<'_>, printer: &mut Printer) -> Result<(), Failure> {
    let record = sample.record;
    if !args.json {
        let time = Duration::from_nanos(record.time).as_secs_f64();
        return printer.line(format!(
            "{time:>14.6}  {:<4} by {}  {} bytes, 1 in {} by {}",
            word(record.verdict),
            sample.decider,
            record.length,
            record.one_in,
            sample.statement
        ));
    }
    printer.json(&Line {
        time_ns: record.time,
        statement: sample.statement,
        one_in: record.one_in,
        verdict: word(record.verdict),
        by: sample.decider,
        length: record.length,
        ifindex: record.interface,
        cpu: record.cpu,
        pool: record.pool,
        lost: record.lost,
        bytes: hex(record.bytes),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn packet<'a>(sample: &Sample<'a>) -> Packet<'a> {
    let record = sample.record;
    Packet {
        statement: sample.statement,
        time: record.time,
        length: record.length,
        bytes: record.bytes.to_vec(),
        comment: format!("{} by {}, 1 in {}", word(record.verdict), sample.decider, record.one_in),
    }
}
