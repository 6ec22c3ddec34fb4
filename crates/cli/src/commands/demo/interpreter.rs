//! The demo without a network: the same attacks, and everyday frames among them, judged in this process.

use super::Phase;
use super::report::{AttackReport, PhaseReport, Report, ServiceReport};
use super::traffic::RATE;
use crate::failure::Failure;
use crate::judge::{Judge, word};
use crate::printer::Printer;
use crate::stop::Stop;
use std::net::Ipv4Addr;
use weir_compiler::Analysis;
use weir_lab::traffic::{Everyday, Route, Traffic};
use weir_lab::wire::Flow;
use weir_packet::Mac;

/// Everyday frames a second, from so many clients: each stays below what the policy grants its network.
const EVERYDAY: u64 = 1000;
const CLIENTS: u32 = 50;
const SEED: u64 = 7;
const SECOND: u64 = 1_000_000_000;

/// Plays all phases on a clock of their own.
pub(super) fn play(
    analysis: &Analysis,
    phases: &[Phase],
    stop: &Stop,
    printer: &mut Printer,
) -> Result<Report, Failure> {
    let mut judge = Judge::new(analysis)?;
    let mut everyday = Everyday::new(route(), CLIENTS, SEED, Flow(100));
    let mut now = SECOND;
    let mut reports = Vec::new();
    for phase in phases {
        let end = now + phase.duration.as_nanos() as u64;
        let report = one(phase, (now, end), &mut judge, &mut everyday, stop)?;
        if let Some(attack) = &report.attack {
            printer.say(format!(
                "{}: {:.2} % dropped by `{}`",
                phase.name, attack.dropped_percent, attack.statement
            ));
        }
        reports.push(report);
        now = end;
    }
    Ok(Report::new("interpreter", reports, judge.rows()))
}

fn one(
    phase: &Phase,
    (start, end): (u64, u64),
    judge: &mut Judge<'_>,
    everyday: &mut Everyday,
    stop: &Stop,
) -> Result<PhaseReport, Failure> {
    let mut attack = phase.attack.map(|attack| attack.frames(route()));
    let (mut sent, mut arrived, mut usual, mut passed) = (0, 0, 0, 0);
    let (step, every) = (SECOND / RATE, RATE / EVERYDAY);
    let mut frame = Vec::new();
    for (index, now) in (start..end).step_by(step as usize).enumerate() {
        if stop.asked() {
            break;
        }
        if let Some(attack) = &mut attack
            && attack.next(&mut frame).is_some()
        {
            sent += 1;
            arrived += u64::from(passes(judge, &frame, now)?);
        }
        if (index as u64).is_multiple_of(every) && everyday.next(&mut frame).is_some() {
            usual += 1;
            passed += u64::from(passes(judge, &frame, now)?);
        }
    }
    Ok(PhaseReport {
        name: phase.name,
        seconds: phase.duration.as_secs_f64(),
        attack: phase.attack.map(|attack| AttackReport::new(sent, arrived, attack.statement())),
        http: None,
        udp: None,
        everyday: Some(ServiceReport::new(usual, passed)),
    })
}

fn passes(judge: &mut Judge<'_>, frame: &[u8], now: u64) -> Result<bool, Failure> {
    Ok(word(judge.judge(frame, now)?.verdict) == "pass")
}

/// As in the network: from the client, by the edge, to the server.
fn route() -> Route {
    Route {
        src_mac: Mac::local(1),
        dst_mac: Mac::local(2),
        src: Ipv4Addr::new(10, 1, 0, 2).into(),
        dst: Ipv4Addr::new(10, 2, 1, 2).into(),
    }
}
