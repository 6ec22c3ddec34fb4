//! `weir demo ddos`: an edge that knows of no attack finds rules against four of them, and how long it took is measured.

mod report;

use super::network::{self, Guard, attach};
use crate::args::Demo;
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::printer::{Paint, Printer};
use crate::running::told;
use crate::stop::Stop;
use crate::units::short;
use report::{AttackReport, Report};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use weir_dataplane::Samples;
use weir_dataplane::protect::{Options, Protector};
use weir_detect::defence::{Event, What};
use weir_detect::{life, traffic};
use weir_kernel::clock::monotonic_ns;
use weir_lab::traffic::{Attack, Everyday, Kind, Route, Traffic};
use weir_lab::wire::{Counter, Flow, Pace, Received, SendOptions, Sent, send};
use weir_lab::{Host, Lab};

const POLICY: &str = include_str!("../../../../../../examples/ddos.weir");
const NAME: &str = "examples/ddos.weir";

/// Where captures of attacks are looked for.
const CAPTURES: &str = "../shared/data/captures/attack";
/// Frames a second of an attack, and of everyday traffic from so many clients.
const RATE: u64 = 50_000;
const EVERYDAY: u64 = 5_000;
const CLIENTS: u32 = 200;
/// The flows of everyday frames begin here.
const FIRST: Flow = Flow(100);
const SEED: u64 = 7;
/// Everyday traffic alone: at first, and after each attack.
const LEARN: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(6);
/// Forgetting goes faster here than at an edge, so that each attack begins anew.
const QUIET: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_millis(10);

pub(super) fn run(args: &Demo, stop: &Stop, printer: &mut Printer) -> Outcome {
    if !args.json {
        let title =
            printer.painted("This policy guards the edge of a network of three hosts.\n", Paint::Bold);
        let indented: String = POLICY.lines().map(|line| format!("    {line}\n")).collect();
        printer.text(&format!("{title}\n{}\n", indented.replace("    \n", "\n")))?;
    }
    let lab = network::build()?;
    let mut play = Play::start(&lab, stop, printer)?;
    let attacks = attacks(args);
    let each = args.duration / attacks.len() as u32;
    play.phase(None, LEARN, printer)?;
    let mut reports = Vec::new();
    for attack in &attacks {
        reports.extend(play.phase(Some(attack), each, printer)?);
        play.phase(None, REST, printer)?;
    }
    if stop.asked() {
        return Err(failed("interrupted: the network is gone, and nothing is left of it"));
    }
    let report = Report::new(RATE, play.start.elapsed().as_secs_f64(), reports);
    match args.json {
        true => printer.json(&report)?,
        false => report.show(printer)?,
    }
    Ok(if report.ok { Exit::Fine } else { Exit::No })
}

/// The network, the edge and the protection that is turned.
struct Play<'a> {
    client: &'a Host,
    server: &'a Host,
    route: Route,
    samples: Samples,
    protector: Protector,
    stop: &'a Stop,
    start: Instant,
    begin_ns: u64,
    /// The policy goes when this is dropped.
    _guard: Guard,
}

impl<'a> Play<'a> {
    fn start(lab: &'a Lab, stop: &'a Stop, printer: &mut Printer) -> Result<Play<'a>, Failure> {
        let (client, server) = (lab.host("client")?, lab.host("server1")?);
        let route = Route::from(client.interface("eth0")?, server.interface("eth0")?.ipv4()?)?;
        let guard = attach(lab.host("edge")?, NAME, POLICY, printer)?;
        let life = life::Config { idle: IDLE, ..life::Config::default() };
        let traffic = traffic::Config { quiet: QUIET, ..traffic::Config::default() };
        let options = Options { life, traffic, ..Options::default() };
        let protector =
            Protector::start(guard.instance().clone(), options).map_err(|error| told(error, printer))?;
        let samples = guard.instance().samples().map_err(|error| told(error, printer))?;
        let (start, begin_ns) = (Instant::now(), monotonic_ns());
        Ok(Play { client, server, route, samples, protector, stop, start, begin_ns, _guard: guard })
    }

    /// Everyday traffic, and an attack or none, for a time.
    fn phase(
        &mut self,
        attack: Option<&Attack>,
        time: Duration,
        printer: &mut Printer,
    ) -> Result<Option<AttackReport>, Failure> {
        if self.stop.asked() {
            return Ok(None);
        }
        let name = attack.map_or("everyday traffic alone".to_owned(), described);
        let rate = short((EVERYDAY + attack.map_or(0, |_| RATE)) as f64);
        self.say(monotonic_ns(), &format!("-- {name}: {rate} frames/s"), printer);
        let counter = Counter::start(self.server, "eth0")?;
        let (client, route, stop) = (self.client, self.route, Arc::clone(&self.stop.0));
        let options =
            |pace| SendOptions { stop: Arc::clone(&stop), ..SendOptions::new(Pace::PerSecond(pace), time) };
        let (everyday_options, attack_options) = (options(EVERYDAY), options(RATE));
        let sending = |mut frames: Box<dyn Traffic + Send>, options: SendOptions| {
            move || send(client, "eth0", frames.as_mut(), &options)
        };
        let interface = client.interface("eth0")?;
        let frames = attack.map(|attack| attack.frames(interface, route)).transpose()?;
        let everyday = sending(Box::new(Everyday::new(route, CLIENTS, SEED, FIRST)), everyday_options);
        let mut events = Vec::new();
        let begin = monotonic_ns();
        let (good, bad) = thread::scope(|scope| {
            let everyday = scope.spawn(everyday);
            let bad = frames.map(|frames| scope.spawn(sending(frames, attack_options)));
            let turned = self.turn(time, &mut events, printer);
            let good = network::joined(everyday)?;
            let bad = bad.map(network::joined).transpose()?;
            turned.map(|()| (good, bad))
        })?;
        // Frames that are still on their way through the server's queue.
        self.turn(Duration::from_millis(50), &mut events, printer)?;
        let received = counter.stop()?;
        Ok(attack.zip(bad).map(|(attack, bad)| report(attack, begin, &events, (&good, &bad), &received)))
    }

    fn turn(
        &mut self,
        time: Duration,
        events: &mut Vec<Event>,
        printer: &mut Printer,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        while start.elapsed() < time && !self.stop.asked() {
            let Play { samples, protector, .. } = self;
            let read = samples.read(WAIT, &mut |sample| protector.observe(sample));
            let turned = read.and_then(|_| protector.turn());
            for event in turned.map_err(|error| told(error, printer))? {
                self.say(event.time_ns, &event.to_string(), printer);
                events.push(event);
            }
        }
        Ok(())
    }

    fn say(&self, time_ns: u64, text: &str, printer: &mut Printer) {
        let seconds = time_ns.saturating_sub(self.begin_ns) as f64 / 1e9;
        let mut lines = text.lines();
        printer.say(format!("{seconds:>8.3} s  {}", lines.next().unwrap_or_default()));
        lines.for_each(|line| printer.say(format!("{:12}{line}", "")));
    }
}

/// Recorded attacks where their captures are there, synthetic ones elsewhere.
fn attacks(args: &Demo) -> Vec<Attack> {
    let recorded = Attack::recorded(args.captures.as_deref().unwrap_or(Path::new(CAPTURES)));
    if recorded.is_empty() { Attack::synthetic() } else { recorded }
}

fn described(attack: &Attack) -> String {
    match attack.is_recorded() {
        true => format!("{attack} (recorded)"),
        false => format!("{attack} (synthetic)"),
    }
}

fn report(
    attack: &Attack,
    begin: u64,
    events: &[Event],
    (good, bad): (&Sent, &Sent),
    received: &Received,
) -> AttackReport {
    let right = |name: &str| attack.words().iter().any(|word| name.contains(word));
    let rule = events.iter().find_map(|event| match &event.what {
        What::Found { name, text, .. } if right(name) => Some((name.clone(), text.clone())),
        _ => None,
    });
    let ms = |of: &dyn Fn(&What) -> bool| {
        let event = events.iter().find(|event| of(&event.what))?;
        Some((event.time_ns.saturating_sub(begin) / 1000) as f64 / 1000.0)
    };
    let arrived: u64 = Kind::ALL.iter().map(|kind| received.of(Everyday::flow(FIRST, *kind))).sum();
    AttackReport {
        name: described(attack),
        sent: bad.frames,
        arrived: attack.received(received),
        good_sent: good.frames,
        good_arrived: arrived,
        not_counted: received.overflowed,
        alert_ms: ms(&|what| matches!(what, What::Attack { .. })),
        enforced_ms: ms(&|what| matches!(what, What::Enforced(named) if right(&named.name))),
        dropping_ms: ms(&|what| matches!(what, What::Drops(named) if right(&named.name))),
        rule: rule.as_ref().map(|rule| rule.0.clone()),
        text: rule.map(|rule| rule.1),
    }
}
