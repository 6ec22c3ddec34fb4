//! Targets that come, change and go.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use weir_checks::{Checker, Config, Error, Target, Way};
use weir_pool::health::{Health, State};
use weir_pool::pool::Endpoint;
use weir_pool::probe::{Check, Probe};

use crate::support::{Closed, LOCAL, Server, UNMADE, down, hang, rhythm, say, soon, target, undamped};

const OFTEN: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(2);

fn get() -> Probe {
    Probe::Http { path: "/".to_owned(), host: None, tls: false }
}

fn well(address: SocketAddr) -> Server {
    Server::at(address, |stream| say(stream, b"HTTP/1.1 200 OK\r\n\r\n"))
}

#[test]
fn a_server_goes_away_and_comes_back() {
    let mut server = well(SocketAddr::new(LOCAL, 0));
    let address = server.address;
    let epoch = Instant::now();
    let (checker, changes) = Checker::start(Config { epoch, ..undamped() }).expect("a checker");
    checker.set(7, target(address, get(), rhythm(OFTEN, 3, 2))).expect("a target");
    assert_eq!(changes.recv_timeout(OFTEN * 5), Err(RecvTimeoutError::Timeout), "nothing changes");
    for _ in 0..2 {
        let gone = epoch.elapsed();
        drop(server);
        let (number, state) = changes.recv_timeout(OFTEN * 15).expect("a change");
        assert_eq!((number, state.health), (7, Health::Down));
        assert_eq!(state.reason.as_deref(), Some("connection refused"));
        assert!(
            state.since >= gone + OFTEN * 2 && state.since <= epoch.elapsed(),
            "the third failure decides"
        );

        let back = epoch.elapsed();
        server = well(address);
        let (number, state) = changes.recv_timeout(OFTEN * 15).expect("a change");
        assert_eq!((number, state.health, &state.reason), (7, Health::Up, &None));
        assert!(state.since >= back + OFTEN && state.since <= epoch.elapsed(), "the second success decides");
    }
}

/// A server that is silent, and how many connections it has.
fn counting() -> (Server, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    let server = Server::start(move |stream| {
        connections.fetch_add(1, Ordering::SeqCst);
        hang(&stream);
        connections.fetch_sub(1, Ordering::SeqCst);
    });
    (server, count)
}

#[test]
fn removal_ends_a_probe_that_is_under_way() {
    let (server, connections) = counting();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    checker.set(7, target(server.address, get(), rhythm(LONG, 1, 1))).expect("a target");
    assert!(soon(LONG * 2, || connections.load(Ordering::SeqCst) == 1), "a probe");
    checker.remove(7);
    assert!(soon(LONG / 4, || connections.load(Ordering::SeqCst) == 0), "its connection is closed");
    assert_eq!(
        changes.recv_timeout(LONG * 2),
        Err(RecvTimeoutError::Timeout),
        "nothing is told, nothing is asked"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[test]
fn another_target_of_the_same_number_begins_anew() {
    let (server, connections) = counting();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    checker.set(7, target(server.address, get(), rhythm(LONG, 1, 1))).expect("a target");
    assert!(soon(LONG * 2, || connections.load(Ordering::SeqCst) == 1), "a probe");
    let other = well(SocketAddr::new(LOCAL, 0));
    let next = Target { state: down(), ..target(other.address, get(), rhythm(OFTEN * 3, 1, 1)) };
    checker.set(7, next).expect("a target");
    let (number, State { health, .. }) = changes.recv_timeout(LONG).expect("a change");
    assert_eq!((number, health), (7, Health::Up));
    assert!(soon(LONG / 4, || connections.load(Ordering::SeqCst) == 0), "the other probe is over");
    assert_eq!(changes.recv_timeout(LONG), Err(RecvTimeoutError::Timeout));
}

#[test]
fn dropping_does_not_wait_for_probes() {
    let (server, connections) = counting();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    for number in 0..100 {
        checker.set(number, target(server.address, get(), rhythm(LONG, 1, 1))).expect("a target");
    }
    assert!(soon(LONG * 2, || connections.load(Ordering::SeqCst) >= 10), "probes");
    let began = Instant::now();
    drop(checker);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(soon(LONG / 4, || connections.load(Ordering::SeqCst) == 0), "their connections are closed");
    while changes.recv().is_ok() {}
}

/// One slot, which those that hang hold nearly always: who finds none is not blamed, and who hangs is found out in
/// the end.
#[test]
fn who_finds_no_slot_is_not_blamed() {
    let (silent, _) = counting();
    // It needs a quarter of its time, and must not be given less.
    let server = Server::start(|stream| {
        thread::sleep(OFTEN / 2);
        say(stream, b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let (checker, changes) = Checker::start(Config { slots: 1, ..undamped() }).expect("a checker");
    for number in 0..8 {
        checker.set(number, target(silent.address, get(), rhythm(OFTEN * 2, 1, 1))).expect("a target");
    }
    checker.set(100, target(server.address, get(), rhythm(OFTEN * 2, 1, 1))).expect("a target");
    let end = Instant::now() + LONG * 2;
    let mut found = 0;
    while let Ok((number, state)) = changes.recv_timeout(end.saturating_duration_since(Instant::now())) {
        let reason = state.reason.as_deref().unwrap_or_default();
        if state.health == Health::Up {
            // Whoever waits for a slot is told of, and when it has one.
            assert!(
                ["", "not asked any longer: all 1 slots for probes are taken"].contains(&reason),
                "{reason}"
            );
            continue;
        }
        assert!(number < 8, "{number}: {state:?}");
        assert!(reason.starts_with("no answer within 400ms"), "{reason}");
        found += 1;
    }
    assert!(found > 0);
}

/// Changes go nowhere if nobody listens, and checks go on.
#[test]
fn a_caller_that_does_not_listen_harms_nothing() {
    let (server, connections) = counting();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    drop(changes);
    let closed = Closed::new();
    checker.set(1, target(closed.address, Probe::Tcp, rhythm(OFTEN, 1, 1))).expect("a target");
    thread::sleep(OFTEN * 3);
    checker.set(2, target(server.address, get(), rhythm(OFTEN, 1, 1))).expect("a target");
    assert!(soon(LONG, || connections.load(Ordering::SeqCst) > 0));
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let (checker, _changes) = Checker::start(Config::default()).expect("a checker");
    let refused = |probe: Probe, port: u16| {
        let check = Check { probe, port: None, rhythm: rhythm(LONG, 1, 1) };
        let endpoint = Endpoint { address: IpAddr::from([192, 0, 2, 7]), port };
        let state = State::up(checker.now());
        checker.set(1, Target { endpoint, check, way: None, state }).expect_err("an error").to_string()
    };
    assert_eq!(
        refused(Probe::Tcp, 0),
        "the `tcp` check of `192.0.2.7` has no port: give one to the check or the backend"
    );
    let http = |path: &str, host: &str| Probe::Http { path: path.into(), host: Some(host.into()), tls: true };
    assert!(
        refused(http("health", "weir.test"), 0).starts_with("`health` is no path of HTTP: begin it with `/`")
    );
    assert!(refused(http("/", "a b"), 0).starts_with("`a b` is no host of HTTP"));
    assert!(refused(Probe::Dns { name: "a..b".into() }, 0).starts_with("`a..b` is no name of DNS"));
    let nothing = "an `exec` check has no command: give it a program";
    assert_eq!(refused(Probe::Exec { command: Vec::new() }, 1), nothing);
    assert_eq!(refused(Probe::Exec { command: vec![String::new()] }, 1), nothing);

    let error = Checker::start(Config { slots: 0, ..Config::default() }).expect_err("an error");
    assert!(matches!(error, Error::NoSlots));
}

#[test]
fn a_probe_that_would_not_get_there_is_not_made() {
    let (server, connections) = counting();
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    let way = Arc::new(Way::new(server.address.ip(), 7));
    way.hinder(Some("no way".to_owned()));
    let target = target(server.address, get(), rhythm(OFTEN, 2, 1));
    checker.set(1, Target { way: Some(Arc::clone(&way)), ..target }).expect("a target");
    let (number, state) = changes.recv_timeout(LONG).expect("a change");
    assert_eq!((number, state.health, state.reason), (1, Health::Up, Some(format!("{UNMADE}no way"))));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert_eq!(way.hindrance(), Some("no way".to_owned()));
}

/// A check's own port comes before the backend's.
#[test]
fn the_port_is_the_checks_or_the_backends() {
    let server = well(SocketAddr::new(LOCAL, 0));
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    let mut target = Target { state: down(), ..target(server.address, get(), rhythm(OFTEN, 1, 1)) };
    target.check.port = Some(server.address.port());
    let closed = Closed::new();
    for (number, port) in [(1, closed.address.port()), (2, 0)] {
        target.endpoint.port = port;
        checker.set(number, target.clone()).expect("a target");
    }
    let mut up: Vec<u64> = (0..2).map(|_| changes.recv_timeout(LONG).expect("a change").0).collect();
    up.sort_unstable();
    assert_eq!(up, [1, 2]);
}
