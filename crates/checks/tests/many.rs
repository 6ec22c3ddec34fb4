//! Thousands of backends. Alone in its process, whose threads it counts.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use weir_checks::{Checker, Config, Target};
use weir_pool::health::{Health, Rhythm, State};
use weir_pool::pool::Endpoint;
use weir_pool::probe::{Check, Probe};

const TARGETS: u64 = 2000;
const EVERY: Duration = Duration::from_millis(200);

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("threads").count()
}

/// Connections to a port that are closed and still keep theirs.
fn lingering(port: u16) -> usize {
    const TIME_WAIT: &str = "06";
    let table = fs::read_to_string("/proc/net/tcp").expect("connections");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2].ends_with(&format!(":{port:04X}")) && row[3] == TIME_WAIT).count()
}

/// Two thousand backends, five times a second, at one server: they have nearly all the same address.
#[test]
fn few_threads_check_thousands() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&accepted));
    let server = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            drop(listener.accept());
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let before = threads();
    let (checker, changes) = Checker::start(Config::default()).expect("a checker");
    let rhythm = Rhythm::new(EVERY, EVERY, 2, 1).expect("a rhythm");
    let endpoint = Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: address.port() };
    let check = Check { probe: Probe::Tcp, port: None, rhythm };
    for number in 0..TARGETS {
        let state = State { health: Health::Down, ..State::up(checker.now()) };
        checker.set(number, Target { endpoint, check: check.clone(), way: None, state }).expect("a target");
    }
    for _ in 0..TARGETS {
        let (number, state) = changes.recv_timeout(EVERY * 10).expect("a change");
        assert_eq!(state.health, Health::Up, "{number}: {state:?}");
    }
    let probes = accepted.load(Ordering::Relaxed);
    assert_eq!(changes.recv_timeout(Duration::from_secs(1)).ok(), None, "all are well");
    let probes = accepted.load(Ordering::Relaxed) - probes;
    assert!(probes >= 4 * TARGETS as usize, "{probes} probes within a second");
    assert_eq!(lingering(address.port()), 0);
    assert!(threads() <= before + 3, "{} threads, {before} before", threads());

    stop.store(true, Ordering::Relaxed);
    drop(TcpStream::connect(address));
    server.join().expect("the server");
    let gone = Instant::now();
    for _ in 0..TARGETS {
        let left = Duration::from_secs(1).saturating_sub(gone.elapsed());
        let (number, state) = changes.recv_timeout(left).expect("a change");
        assert_eq!(state.reason.as_deref(), Some("connection refused"), "{number}: {state:?}");
    }
}
