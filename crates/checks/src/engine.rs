//! The loop that begins what `weir_pool` says is due, and tells what came of it.
//!
//! It is a task among those of the probes, and the runtime takes them in the order in which they woke. Each turn
//! reads the clock, then lets the runtime ask the kernel and all others go first, and only then times out what was
//! due by that clock. So an answer that the machine had in time counts, however long the thread was held up.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use weir_pool::damping::Damping;
use weir_pool::health::{Checks, Due, Outcome, Rhythm, State};

use crate::over::Over;
use crate::probes::Question;

/// How long commands that were killed are waited for at the end: one that hangs in the kernel outlives its kill.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the loop sleeps if nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The caller's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new(epoch: Instant) -> Clock {
        Clock(epoch)
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Nothing for a time that it will not reach.
    fn at(self, time: Duration) -> Option<tokio::time::Instant> {
        self.0.checked_add(time).map(tokio::time::Instant::from_std)
    }
}

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum Event {
    Set(u64, Subject),
    Remove(u64),
    Ended { check: u64, probe: u64, outcome: Outcome },
    Stop,
}

/// Who is asked what.
#[derive(Debug)]
pub(crate) struct Subject {
    question: Arc<Question>,
    rhythm: Rhythm,
    state: State,
}

impl Subject {
    pub(crate) fn new(question: Question, rhythm: Rhythm, state: State) -> Subject {
        Subject { question: Arc::new(question), rhythm, state }
    }
}

#[derive(Debug)]
struct Asked {
    question: Arc<Question>,
    /// Its newest probe, which waits, is under way or is over.
    probe: Option<u64>,
}

/// A probe that has no slot yet.
#[derive(Debug)]
struct Waiting {
    check: u64,
    deadline: Duration,
}

#[derive(Debug)]
pub(crate) struct Engine {
    clock: Clock,
    slots: usize,
    checks: Checks,
    asked: HashMap<u64, Asked>,
    /// By the time until when they can begin, and their number.
    waiting: BTreeMap<(Duration, u64), Waiting>,
    /// By number; dropping the sender ends the probe.
    under_way: HashMap<u64, Option<oneshot::Sender<()>>>,
    events: UnboundedSender<Event>,
    changes: Sender<(u64, State)>,
}

impl Engine {
    pub(crate) fn new(
        clock: Clock,
        slots: usize,
        damping: Damping,
        events: UnboundedSender<Event>,
        changes: Sender<(u64, State)>,
    ) -> Engine {
        Engine {
            clock,
            slots,
            checks: Checks::new(damping),
            asked: HashMap::new(),
            waiting: BTreeMap::new(),
            under_way: HashMap::new(),
            events,
            changes,
        }
    }

    pub(crate) async fn run(mut self, mut arriving: UnboundedReceiver<Event>) {
        loop {
            let mut next = timeout_at(self.wake(), arriving.recv()).await.ok().flatten();
            let now = self.clock.now();
            tokio::task::yield_now().await;
            while let Some(event) = next {
                match event {
                    Event::Set(check, subject) => self.set(check, subject, now),
                    Event::Remove(check) => self.remove(check),
                    Event::Ended { check, probe, outcome } => self.end(check, probe, outcome, now),
                    Event::Stop => return self.stop(arriving).await,
                }
                next = arriving.try_recv().ok();
            }
            self.turn(now);
        }
    }

    fn wake(&self) -> tokio::time::Instant {
        let first = self.waiting.first_key_value().map(|((until, _), _)| *until);
        let due = [self.checks.wake(), first].into_iter().flatten().min();
        due.and_then(|due| self.clock.at(due)).unwrap_or_else(|| tokio::time::Instant::now() + IDLE)
    }

    fn set(&mut self, check: u64, subject: Subject, now: Duration) {
        let Subject { question, rhythm, state } = subject;
        self.remove(check);
        self.checks.add(check, rhythm, state, now);
        self.asked.insert(check, Asked { question, probe: None });
    }

    fn remove(&mut self, check: u64) {
        self.checks.remove(check);
        let probe = self.asked.remove(&check).and_then(|asked| asked.probe);
        if let Some(cancel) = probe.and_then(|probe| self.under_way.get_mut(&probe)) {
            *cancel = None;
        }
    }

    fn end(&mut self, check: u64, probe: u64, outcome: Outcome, now: Duration) {
        self.under_way.remove(&probe);
        self.result(check, probe, outcome, now);
    }

    fn result(&mut self, check: u64, probe: u64, outcome: Outcome, now: Duration) {
        if let Some(state) = self.checks.result(check, probe, outcome, now) {
            self.tell(check, state);
        }
    }

    fn tell(&self, check: u64, state: State) {
        // A caller that listens no longer wants nothing.
        let _ = self.changes.send((check, state));
    }

    /// Results first, then what is due, as `weir_pool` wants it.
    fn turn(&mut self, now: Duration) {
        self.give_up(now);
        while let Some(due) = self.checks.next(now) {
            match due {
                Due::Probe { check, probe, deadline } => self.queue(check, probe, deadline, now),
                Due::Changed { check, state } => self.tell(check, state),
            }
        }
        while self.under_way.len() < self.slots {
            let Some(((_, probe), waiting)) = self.waiting.pop_first() else { break };
            self.begin(probe, &waiting);
        }
    }

    /// Probes that found no slot were not made.
    fn give_up(&mut self, now: Duration) {
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, probe), waiting) = first.remove_entry();
            let why = format!("all {} slots for probes are taken", self.slots);
            self.result(waiting.check, probe, Outcome::NotMade(why), now);
        }
    }

    fn queue(&mut self, check: u64, probe: u64, deadline: Duration, now: Duration) {
        if let Some(asked) = self.asked.get_mut(&check) {
            asked.probe = Some(probe);
        }
        let until = now + deadline.saturating_sub(now) / 2;
        self.waiting.insert((until, probe), Waiting { check, deadline });
    }

    fn begin(&mut self, probe: u64, waiting: &Waiting) {
        let Waiting { check, deadline } = *waiting;
        // Its check may have been removed, or be another one by now.
        let Some(asked) = self.asked.get(&check).filter(|asked| asked.probe == Some(probe)) else { return };
        let question = Arc::clone(&asked.question);
        let (cancel, cancelled) = oneshot::channel();
        let over = Over { deadline: self.clock.at(deadline), cancelled };
        let report = Report { events: self.events.clone(), check, probe, outcome: unasked() };
        self.under_way.insert(probe, Some(cancel));
        tokio::spawn(report.ask(question, over));
    }

    /// Ends all probes, and waits for those that are processes.
    async fn stop(self, mut arriving: UnboundedReceiver<Event>) {
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut left = self.under_way.len();
        drop(self);
        while left > 0 {
            match timeout_at(until, arriving.recv()).await {
                Ok(Some(Event::Ended { .. })) => left -= 1,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// Tells what came of a probe whatever becomes of its task: one that panics has not asked.
#[derive(Debug)]
struct Report {
    events: UnboundedSender<Event>,
    check: u64,
    probe: u64,
    outcome: Outcome,
}

/// What came of a probe whose task ended before it asked.
fn unasked() -> Outcome {
    Outcome::NotMade("the probe's task has ended".to_owned())
}

impl Report {
    async fn ask(mut self, question: Arc<Question>, over: Over) {
        self.outcome = question.ask(over).await;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = mem::replace(&mut self.outcome, unasked());
        let Report { check, probe, .. } = *self;
        // The loop is gone if the checker was.
        let _ = self.events.send(Event::Ended { check, probe, outcome });
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::mpsc::{self, Receiver};
    use std::thread;

    use tokio::sync::mpsc::unbounded_channel;
    use weir_pool::pool::Endpoint;
    use weir_pool::probe::{Check, Probe};

    use super::*;
    use crate::probes::http;

    const EVERY: Duration = Duration::from_millis(200);

    struct Parts {
        engine: Engine,
        events: UnboundedSender<Event>,
        arriving: UnboundedReceiver<Event>,
        changes: Receiver<(u64, State)>,
    }

    fn parts() -> Parts {
        let (events, arriving) = unbounded_channel();
        let (sender, changes) = mpsc::channel();
        let engine = Engine::new(Clock::new(Instant::now()), 8, Damping::default(), events.clone(), sender);
        Parts { engine, events, arriving, changes }
    }

    /// Any answer will do, and one without takes the backend down.
    fn subject(server: SocketAddr) -> Subject {
        let rhythm = Rhythm::new(EVERY, EVERY, 1, 1).expect("a rhythm");
        let probe = Probe::Udp { send: b"ping".to_vec(), expect: Vec::new() };
        let endpoint = Endpoint { address: server.ip(), port: server.port() };
        let tls = http::accepting().expect("a configuration");
        let question = Question::new(&Check { probe, port: None, rhythm }, endpoint, None, &tls);
        Subject::new(question.expect("a question"), rhythm, State::up(Duration::ZERO))
    }

    /// The thread is held up from before the answer comes until after the probe's time, and then it is the loop's
    /// turn.
    #[test]
    fn an_answer_that_was_there_in_time_counts() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let Parts { engine, events, arriving, changes } = parts();
        let subject = subject(server.local_addr().expect("an address"));
        events.send(Event::Set(1, subject)).expect("the loop");
        let (hold, held) = oneshot::channel();
        server.set_read_timeout(Some(EVERY * 4)).expect("a timeout");
        let answering = thread::spawn(move || {
            let mut hold = Some(hold);
            while let Ok((_, from)) = server.recv_from(&mut [0; 16]) {
                if let Some(hold) = hold.take() {
                    hold.send(()).expect("the thread");
                    thread::sleep(EVERY / 4);
                }
                server.send_to(b"pong", from).expect("an answer");
            }
        });
        let runtime = crate::runtime(8).expect("a runtime");
        runtime.block_on(async {
            let running = tokio::spawn(engine.run(arriving));
            held.await.expect("a question");
            events.send(Event::Remove(2)).expect("the loop");
            thread::sleep(EVERY * 2);
            tokio::time::sleep(EVERY / 10).await;
            events.send(Event::Stop).expect("the loop");
            running.await.expect("the loop");
        });
        answering.join().expect("the server");
        assert_eq!(changes.try_recv().ok(), None);
    }

    #[test]
    fn a_probe_that_panics_was_not_made() {
        let Parts { events, mut arriving, .. } = parts();
        let report = Report { events, check: 1, probe: 7, outcome: unasked() };
        let panicking = thread::spawn(move || {
            let _report = report;
            panic!("as it should");
        });
        panicking.join().expect_err("a panic");
        let told = arriving.try_recv().expect("an event");
        assert!(
            matches!(told, Event::Ended { check: 1, probe: 7, outcome: Outcome::NotMade(_) }),
            "{told:?}"
        );
    }
}
