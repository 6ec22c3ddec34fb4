//! UDP datagrams there and back.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Latencies;
use crate::error::io as io_error;
use crate::{Host, LabError};

/// How often idle threads look for a sign to stop.
const LOOK: Duration = Duration::from_millis(20);
/// How long a client waits for the last answers.
const PATIENCE: Duration = Duration::from_millis(300);

/// Sends every datagram back, until it is dropped.
#[derive(Debug)]
pub struct EchoServer {
    stop: Arc<AtomicBool>,
    echoed: Arc<AtomicU64>,
    address: SocketAddr,
}

impl EchoServer {
    /// Listens on an address of the host; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread be started.
    pub fn start(host: &Host, address: SocketAddr) -> Result<EchoServer, LabError> {
        let what = || format!("echo at {address} on `{}`", host.name());
        let socket = host.run(|| UdpSocket::bind(address))?.map_err(io_error(what()))?;
        socket.set_read_timeout(Some(LOOK)).map_err(io_error(what()))?;
        let address = socket.local_addr().map_err(io_error(what()))?;
        let (stop, echoed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (sign, count) = (Arc::clone(&stop), Arc::clone(&echoed));
        host.spawn(move || echo(&socket, &sign, &count))?;
        Ok(EchoServer { stop, echoed, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many datagrams it sent back.
    pub fn echoed(&self) -> u64 {
        self.echoed.load(Ordering::Relaxed)
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn echo(socket: &UdpSocket, stop: &AtomicBool, echoed: &AtomicU64) {
    let mut buffer = [0; 65536];
    while !stop.load(Ordering::Relaxed) {
        // Errors are silence, or somebody's ICMP: neither ends a server.
        if let Ok((len, from)) = socket.recv_from(&mut buffer)
            && socket.send_to(&buffer[..len], from).is_ok()
        {
            echoed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Numbered datagrams to an echo, at a rate.
#[derive(Debug, Clone)]
pub struct EchoLoad {
    /// Whom to ask.
    pub server: SocketAddr,
    /// Datagrams a second.
    pub rate: u32,
    /// The bytes of each; at least 16 are sent.
    pub len: usize,
    /// How long to send. Answers are waited for a little longer.
    pub duration: Duration,
}

/// What came back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EchoReport {
    /// Datagrams that the host's stack took.
    pub sent: u64,
    /// Datagrams that the host's stack refused: after an ICMP error, say.
    pub refused: u64,
    /// Answers, each counted once.
    pub answered: u64,
    /// There and back.
    pub latencies: Latencies,
}

impl EchoLoad {
    /// Asks from a host, and returns when the last answers are there or overdue.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn run(&self, host: &Host) -> Result<EchoReport, LabError> {
        let what = format!("ask the echo at {} from `{}`", self.server, host.name());
        let connect = || {
            let any = match self.server {
                SocketAddr::V4(_) => "0.0.0.0:0",
                SocketAddr::V6(_) => "[::]:0",
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(self.server)?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        };
        let socket = host.run(connect)?.map_err(io_error(what))?;
        Ok(self.exchange(&socket))
    }

    fn exchange(&self, socket: &UdpSocket) -> EchoReport {
        let start = Instant::now();
        let mut report = EchoReport::default();
        let mut waiting = Vec::new();
        let mut last = start;
        loop {
            let now = start.elapsed();
            let due = (now.min(self.duration).as_secs_f64() * f64::from(self.rate)) as usize;
            while waiting.len() < due.max(1) {
                self.send(socket, start, &mut waiting, &mut report);
                last = Instant::now();
            }
            receive(socket, start, &mut waiting, &mut report);
            let over = now >= self.duration;
            if over && (report.answered == report.sent || last.elapsed() >= PATIENCE) {
                return report;
            }
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// The number of a datagram is its place among those that wait.
    fn send(
        &self,
        socket: &UdpSocket,
        start: Instant,
        waiting: &mut Vec<Option<Duration>>,
        report: &mut EchoReport,
    ) {
        let mut datagram = vec![0; self.len.max(16)];
        datagram[..8].copy_from_slice(b"weirecho");
        datagram[8..16].copy_from_slice(&(waiting.len() as u64).to_be_bytes());
        waiting.push(Some(start.elapsed()));
        match socket.send(&datagram) {
            Ok(_) => report.sent += 1,
            Err(_) => report.refused += 1,
        }
    }
}

fn receive(socket: &UdpSocket, start: Instant, waiting: &mut [Option<Duration>], report: &mut EchoReport) {
    let mut buffer = [0; 65536];
    while let Ok(len) = socket.recv(&mut buffer) {
        let number = buffer[..len].get(8..16).and_then(|bytes| bytes.try_into().ok());
        let number = number.map_or(u64::MAX, u64::from_be_bytes);
        let place = usize::try_from(number).ok().and_then(|number| waiting.get_mut(number));
        if let Some(sent) = place.and_then(Option::take) {
            report.answered += 1;
            report.latencies.add(start.elapsed().saturating_sub(sent));
        }
    }
}
