//! Servers that a test owns, and what checks say of them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use weir_checks::{Checker, Config, Target};
use weir_pool::damping::Damping;
use weir_pool::health::{Health, Rhythm, State};
use weir_pool::pool::Endpoint;
use weir_pool::probe::{Check, Probe};

/// From one probe to the next, and for one probe, where a test says nothing else.
pub(crate) const EVERY: Duration = Duration::from_millis(500);

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Backends that fall again and again are trusted at once.
pub(crate) fn undamped() -> Config {
    Config { damping: Damping { first: Duration::ZERO, ..Damping::default() }, ..Config::default() }
}

pub(crate) fn rhythm(every: Duration, fall: u32, rise: u32) -> Rhythm {
    Rhythm::new(every, every, fall, rise).expect("a rhythm")
}

pub(crate) fn up() -> State {
    State::up(Duration::ZERO)
}

pub(crate) fn down() -> State {
    State { health: Health::Down, ..up() }
}

pub(crate) fn target(address: SocketAddr, probe: Probe, rhythm: Rhythm) -> Target {
    let endpoint = Endpoint { address: address.ip(), port: address.port() };
    Target { endpoint, check: Check { probe, port: None, rhythm }, way: None, state: up() }
}

/// How it is told that probes are not made.
pub(crate) const UNMADE: &str = "not asked any longer: ";

/// What a probe finds: that all is well, why not, or nothing if it could not be made.
///
/// Only changes are told, so one check begins well and another one does not.
pub(crate) fn judge(address: SocketAddr, probe: Probe) -> Option<Result<(), String>> {
    let (checker, changes) = Checker::start(undamped()).expect("a checker");
    let target = target(address, probe, rhythm(EVERY, 1, 1));
    checker.set(1, target.clone()).expect("a target");
    checker.set(2, Target { state: down(), ..target }).expect("a target");
    match changes.recv_timeout(EVERY * 5).ok()? {
        (1, State { health: Health::Down, reason, .. }) => Some(Err(reason.expect("a reason"))),
        (2, State { health: Health::Up, .. }) => Some(Ok(())),
        (_, State { reason: Some(reason), .. }) if reason.starts_with(UNMADE) => None,
        other => panic!("{other:?} is no change"),
    }
}

pub(crate) fn failed(reason: &str) -> Option<Result<(), String>> {
    Some(Err(reason.to_owned()))
}

pub(crate) fn late() -> Option<Result<(), String>> {
    failed("no answer within 500ms")
}

/// Whether something comes to be so, within so much time.
pub(crate) fn soon(within: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A local port that nobody else can have, and at which nobody listens.
pub(crate) struct Closed {
    pub(crate) address: SocketAddr,
    _held: (TcpSocket, UdpSocket),
}

impl Closed {
    pub(crate) fn new() -> Closed {
        (0..100).find_map(|_| Closed::try_new().ok()).expect("a port of both")
    }

    fn try_new() -> io::Result<Closed> {
        let stream = TcpSocket::new_v4()?;
        stream.bind(SocketAddr::new(LOCAL, 0))?;
        let address = stream.local_addr()?;
        // Connected, it hears nobody but itself.
        let datagrams = UdpSocket::bind(address)?;
        datagrams.connect(address)?;
        Ok(Closed { address, _held: (stream, datagrams) })
    }
}

/// Does the same with each connection, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        Server::at(SocketAddr::new(LOCAL, 0), serve)
    }

    pub(crate) fn at(address: SocketAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind(address).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Server { address, stop, thread: Some(thread) }
    }

    /// One that reads what comes, and is silent.
    pub(crate) fn silent() -> Server {
        Server::start(|stream| hang(&stream))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it; if that fails it is awake.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server");
        }
    }
}

/// Says nothing until the other end is gone.
pub(crate) fn hang(mut stream: &TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
}

/// A request's head.
pub(crate) fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|length| length > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// Reads a request and says this.
pub(crate) fn say(mut stream: impl Read + Write, answer: &[u8]) {
    head(&mut stream);
    // A probe does not wait for all of it.
    let _ = stream.write_all(answer);
}

/// Answers each datagram as it is told, until it is dropped.
pub(crate) struct Answering {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    pub(crate) fn start(answer: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static) -> Answering {
        Answering::at(LOCAL, answer)
    }

    pub(crate) fn at(
        address: IpAddr,
        answer: impl Fn(&UdpSocket, &[u8], SocketAddr) + Send + 'static,
    ) -> Answering {
        let socket = UdpSocket::bind((address, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let address = socket.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut datagram = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    answer(&socket, &datagram[..length], from);
                }
            }
        });
        Answering { address, stop, thread: Some(thread) }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server");
        }
    }
}
