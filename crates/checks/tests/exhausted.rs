//! No more open files. Alone in its process, as all of it has none.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use weir_checks::{Checker, Config, Target};
use weir_pool::health::{Health, Rhythm, State};
use weir_pool::pool::Endpoint;
use weir_pool::probe::{Check, Probe};

const EVERY: Duration = Duration::from_millis(200);

/// All kinds need a descriptor. None of them blames anybody, and all of them say how it is once there are some.
#[test]
fn what_this_machine_lacks_is_no_failure() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let endpoint =
        Endpoint { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port: closed.expect("an address").port() };
    let probes = [
        Probe::Tcp,
        Probe::Http { path: "/".to_owned(), host: None, tls: false },
        Probe::Dns { name: "weir.test".to_owned() },
        Probe::Udp { send: vec![0], expect: Vec::new() },
        Probe::Exec { command: vec!["false".to_owned()] },
    ];
    let (checker, changes) = Checker::start(Config::default()).expect("a checker");
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).expect("a limit");
    for (number, probe) in (0..).zip(probes.clone()) {
        let rhythm = Rhythm::new(EVERY, EVERY, 2, 1).expect("a rhythm");
        let check = Check { probe, port: None, rhythm };
        checker
            .set(number, Target { endpoint, check, way: None, state: State::up(checker.now()) })
            .expect("a target");
    }
    let told: Vec<(u64, State)> =
        probes.iter().map(|_| changes.recv_timeout(EVERY * 6).expect("why it is not asked")).collect();
    let silence = changes.recv_timeout(EVERY * 3);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).expect("a limit");
    assert_eq!(silence, Err(RecvTimeoutError::Timeout), "that is told once");
    for (_, State { health, reason, .. }) in told {
        let reason = reason.expect("why");
        assert!(health == Health::Up && reason.starts_with("not asked any longer: "), "{reason}");
        assert!(reason.ends_with("too many open files"), "{reason}");
    }
    let mut down = Vec::new();
    while down.len() < probes.len() {
        let (number, state) = changes.recv_timeout(EVERY * 15).expect("a change");
        down.extend((state.health == Health::Down).then_some((number, state)));
    }
    down.sort_by_key(|(number, _)| *number);
    for (at, (number, state)) in (0..).zip(down) {
        assert_eq!((number, state.health), (at, Health::Down));
        let reason = if at == 4 { "exit status 1" } else { "connection refused" };
        assert_eq!(state.reason.as_deref(), Some(reason));
    }
}
