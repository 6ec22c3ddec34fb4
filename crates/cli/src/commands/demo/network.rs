//! The demo on real interfaces: client – edge – server, the policy in front of the edge.

use super::report::{AttackReport, PhaseReport, Report, ServiceReport};
use super::traffic::{Attack, HTTP, RATE};
use super::{NAME, POLICY, Phase};
use crate::failure::{Failure, failed};
use crate::judge::StatementRow;
use crate::printer::Printer;
use crate::running::{remove_left, rows, told};
use crate::stop::Stop;
use crate::units::{counted, short};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, Policy, Request, instance};
use weir_lab::service::{EchoLoad, EchoReport, EchoServer, HttpLoad, HttpReport, HttpServer, Latencies};
use weir_lab::traffic::Route;
use weir_lab::wire::{Counter, Pace, SendOptions, Sent, send};
use weir_lab::{Host, Lab, LabError, ready};

const ECHO: u16 = 7007;
/// Below what the policy grants one network, as everybody's traffic should be.
const HTTP_RATE: u32 = 25;
const ECHO_RATE: u32 = 100;
const SLICE: Duration = Duration::from_secs(1);

/// Client, edge and one server.
pub(super) fn build() -> Result<Lab, LabError> {
    ready::edge_lab(1)
}

/// The policy at the edge; it goes when this is dropped.
pub(super) struct Guard(Instance);

impl Guard {
    pub(super) fn instance(&self) -> &Instance {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The namespace is about to go, and takes the interface along in any case.
        let _ = instance::unload(self.0.name());
    }
}

/// All that a phase needs.
struct Stage<'a> {
    client: &'a Host,
    server: &'a Host,
    address: IpAddr,
    http: &'a HttpServer,
    echo: &'a EchoServer,
    guard: &'a Guard,
    stop: &'a Stop,
}

/// Plays all phases.
pub(super) fn play(
    lab: &Lab,
    phases: &[Phase],
    stop: &Stop,
    printer: &mut Printer,
) -> Result<Report, Failure> {
    let (client, server) = (lab.host("client")?, lab.host("server1")?);
    let address = server.interface("eth0")?.ipv4()?;
    let http = HttpServer::start(server, SocketAddr::new(address, HTTP))?;
    let echo = EchoServer::start(server, SocketAddr::new(address, ECHO))?;
    let guard = attach(lab.host("edge")?, NAME, POLICY, printer)?;
    let stage = Stage { client, server, address, http: &http, echo: &echo, guard: &guard, stop };
    let mut reports = Vec::new();
    for phase in phases {
        if stop.asked() {
            break;
        }
        reports.push(stage.play(phase, printer)?);
    }
    let statements = stage.statements(printer)?;
    Ok(Report::new("kernel", reports, statements))
}

/// Loads a policy on the edge's interface to the clients.
pub(super) fn attach(
    edge: &Host,
    shown: &str,
    policy: &str,
    printer: &mut Printer,
) -> Result<Guard, Failure> {
    remove_left("demo-", |_| true);
    let name = format!("demo-{}", std::process::id());
    let load = || {
        let request = Request::new(Policy::new(shown, policy), &["clients"]);
        Instance::load(&Request { instance: &name, ..request })
    };
    let (instance, report) = edge.run(load)?.map_err(|error| told(error, printer))?;
    let instructions = counted(report.instructions as u64, "instruction");
    printer.say(format!("attached by native XDP to the edge's interface `clients`: {instructions}"));
    Ok(Guard(instance))
}

impl Stage<'_> {
    fn play(&self, phase: &Phase, printer: &mut Printer) -> Result<PhaseReport, Failure> {
        printer.say(format!("\n{}", headline(phase)));
        let counter = Counter::start(self.server, "eth0")?;
        let start = Instant::now();
        let (http, echo, sent) = thread::scope(|scope| {
            let http = scope.spawn(|| self.ask_http(phase.duration));
            let echo = scope.spawn(|| self.ask_echo(phase.duration));
            let attack = phase.attack.map(|attack| scope.spawn(move || self.attack(attack, phase.duration)));
            self.tell(phase, start, printer)?;
            let sent = attack.map(joined).transpose()?;
            Ok::<_, Failure>((joined(http)?, joined(echo)?, sent))
        })?;
        let seconds = start.elapsed().as_secs_f64();
        // Frames that are still on their way through the server's queue.
        thread::sleep(Duration::from_millis(50));
        let received = counter.stop()?;
        let attack = phase.attack.zip(sent).map(|(attack, sent)| {
            AttackReport::new(sent.frames, received.of(attack.flow()), attack.statement())
        });
        let (http, udp) = (Some(http_report(&http)), Some(echo_report(&echo)));
        Ok(PhaseReport { name: phase.name, seconds, attack, http, udp, everyday: None })
    }

    fn ask_http(&self, duration: Duration) -> Result<HttpReport, LabError> {
        let load = HttpLoad::new(SocketAddr::new(self.address, HTTP), duration);
        HttpLoad { rate: HTTP_RATE, stop: Arc::clone(&self.stop.0), ..load }.run(self.client)
    }

    /// In slices, so that Ctrl-C need not wait.
    fn ask_echo(&self, duration: Duration) -> Result<EchoReport, LabError> {
        let (start, mut total) = (Instant::now(), EchoReport::default());
        while !self.stop.asked() && start.elapsed() < duration {
            let left = duration.saturating_sub(start.elapsed()).min(SLICE);
            let server = SocketAddr::new(self.address, ECHO);
            let report = EchoLoad { server, rate: ECHO_RATE, len: 64, duration: left }.run(self.client)?;
            total.sent += report.sent;
            total.refused += report.refused;
            total.answered += report.answered;
            total.latencies.append(report.latencies);
        }
        Ok(total)
    }

    fn attack(&self, attack: Attack, duration: Duration) -> Result<Sent, LabError> {
        let route = Route::from(self.client.interface("eth0")?, self.address)?;
        let mut frames = attack.frames(route);
        let options = SendOptions {
            stop: Arc::clone(&self.stop.0),
            ..SendOptions::new(Pace::PerSecond(RATE), duration)
        };
        send(self.client, "eth0", frames.as_mut(), &options)
    }

    /// What each statement drops, and what the server answers, second by second.
    fn tell(&self, phase: &Phase, start: Instant, printer: &mut Printer) -> Result<(), Failure> {
        let mut before = self.moment(printer)?;
        while !self.stop.asked() && start.elapsed() < phase.duration {
            self.stop.sleep(SLICE.min(phase.duration.saturating_sub(start.elapsed())));
            let now = self.moment(printer)?;
            printer.say(format!("{:>4.0} s  {}", start.elapsed().as_secs_f64(), now.since(&before)));
            before = now;
        }
        Ok(())
    }

    fn moment(&self, printer: &mut Printer) -> Result<Moment, Failure> {
        Ok(Moment {
            at: Instant::now(),
            statements: self.statements(printer)?,
            http: self.http.requests(),
            echoed: self.echo.echoed(),
        })
    }

    fn statements(&self, printer: &mut Printer) -> Result<Vec<StatementRow>, Failure> {
        self.guard.0.counters().map(rows).map_err(|error| told(error, printer))
    }
}

fn headline(phase: &Phase) -> String {
    let rate = short(RATE as f64);
    match phase.attack {
        None => format!("{}: {HTTP_RATE} HTTP requests and {ECHO_RATE} UDP datagrams a second", phase.name),
        Some(attack) => {
            format!("{}: {rate} frames a second more, for `{}` to hold back", phase.name, attack.statement())
        }
    }
}

/// What was counted by a time.
struct Moment {
    at: Instant,
    statements: Vec<StatementRow>,
    http: u64,
    echoed: u64,
}

impl Moment {
    fn since(&self, before: &Moment) -> String {
        let seconds = (self.at - before.at).as_secs_f64().max(0.001);
        let rate = |now: u64, was: u64| now.saturating_sub(was) as f64 / seconds;
        let drops = before.statements.iter().zip(&self.statements).filter_map(|(was, row)| {
            let rate = rate(dropped(row), dropped(was));
            (rate > 0.0).then(|| format!("`{}` drops {}/s", row.name, short(rate)))
        });
        let drops: Vec<String> = drops.collect();
        let drops = if drops.is_empty() { "nothing is dropped".to_owned() } else { drops.join(", ") };
        let (http, echoed) = (rate(self.http, before.http), rate(self.echoed, before.echoed));
        format!("{drops:<36} the server answers {http:.0} HTTP requests/s, {echoed:.0} UDP datagrams/s")
    }
}

fn dropped(row: &StatementRow) -> u64 {
    match row.action.as_str() {
        "drop" => row.packets,
        _ => row.over.unwrap_or(0),
    }
}

pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, LabError>>) -> Result<T, Failure> {
    match thread.join() {
        Ok(result) => Ok(result?),
        Err(_) => Err(failed("a thread of the demo panicked")),
    }
}

fn http_report(report: &HttpReport) -> ServiceReport {
    with_times(ServiceReport::new(report.requests + report.missed, report.ok), &report.latencies)
}

fn echo_report(report: &EchoReport) -> ServiceReport {
    with_times(ServiceReport::new(report.sent + report.refused, report.answered), &report.latencies)
}

fn with_times(report: ServiceReport, latencies: &Latencies) -> ServiceReport {
    let ms = |percent| latencies.percentile(percent).map(|time| (time.as_secs_f64() * 1e6).round() / 1e3);
    ServiceReport { p50_ms: ms(50.0), p99_ms: ms(99.0), ..report }
}
