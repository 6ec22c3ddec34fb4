//! An HTTP client that asks at a rate and measures.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Latencies;
use crate::{Host, LabError};

/// What to ask, how often, how long.
///
/// Requests are due at fixed times from the start on; each is one new connection, as the clients
/// of an edge mostly are.
#[derive(Debug, Clone)]
pub struct HttpLoad {
    /// Whom to ask.
    pub server: SocketAddr,
    /// What for.
    pub path: String,
    /// Requests a second, over all workers.
    pub rate: u32,
    /// How many may be under way at once.
    pub workers: u32,
    /// How long a request may take, connecting included.
    pub timeout: Duration,
    /// How long requests are due. Late ones are still made for one timeout more.
    pub duration: Duration,
    /// Set from elsewhere to stop early.
    pub stop: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpReport {
    /// Requests that were made.
    pub requests: u64,
    /// Those answered with status 200 and a whole body.
    pub ok: u64,
    /// Requests that were due and not made: every worker was waiting until one timeout after the
    /// end.
    pub missed: u64,
    /// The others, by what went wrong.
    pub failed: BTreeMap<String, u64>,
    /// How often each body of one line came: the names of the servers.
    pub answers: BTreeMap<String, u64>,
    /// How long the good ones took.
    pub latencies: Latencies,
}

impl HttpReport {
    /// The share of requests that went well, from 0 to 1; 1 when there were none.
    pub fn success(&self) -> f64 {
        if self.requests == 0 { 1.0 } else { self.ok as f64 / self.requests as f64 }
    }

    fn append(&mut self, other: HttpReport) {
        self.requests += other.requests;
        self.ok += other.ok;
        self.missed += other.missed;
        for (into, from) in [(&mut self.failed, other.failed), (&mut self.answers, other.answers)] {
            for (what, count) in from {
                *into.entry(what).or_default() += count;
            }
        }
        self.latencies.append(other.latencies);
    }
}

impl HttpLoad {
    /// A hundred requests a second for `/`, by eight workers, a second's patience each.
    pub fn new(server: SocketAddr, duration: Duration) -> HttpLoad {
        HttpLoad {
            server,
            path: "/".to_owned(),
            rate: 100,
            workers: 8,
            timeout: Duration::from_secs(1),
            duration,
            stop: Arc::default(),
        }
    }

    /// Asks from a host, and returns when the time is over.
    ///
    /// # Errors
    /// When the host's namespace cannot be entered.
    pub fn run(&self, host: &Host) -> Result<HttpReport, LabError> {
        let (start, number) = (Instant::now(), AtomicU64::new(0));
        let worker = || host.run(|| self.work(start, &number));
        let reports = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers.max(1)).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        let mut total = HttpReport::default();
        for report in reports {
            total.append(report.map_err(|_| LabError::Panicked("an HTTP client"))??);
        }
        Ok(total)
    }

    fn work(&self, start: Instant, number: &AtomicU64) -> HttpReport {
        let mut report = HttpReport::default();
        loop {
            let index = number.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_secs_f64(index as f64 / f64::from(self.rate.max(1)));
            if due >= self.duration {
                return report;
            }
            thread::sleep(due.saturating_sub(start.elapsed()));
            if self.stop.load(Ordering::Relaxed) {
                return report;
            }
            match start.elapsed() < self.duration + self.timeout {
                true => self.ask(&mut report),
                false => report.missed += 1,
            }
        }
    }

    fn ask(&self, report: &mut HttpReport) {
        let start = Instant::now();
        report.requests += 1;
        match self.request(start) {
            Ok((200, body)) => {
                report.ok += 1;
                report.latencies.add(start.elapsed());
                if let Some(line) = one_line(&body) {
                    *report.answers.entry(line.to_owned()).or_default() += 1;
                }
            }
            Ok((status, _)) => *report.failed.entry(format!("status {status}")).or_default() += 1,
            Err(error) => *report.failed.entry(reason(&error)).or_default() += 1,
        }
    }

    fn request(&self, start: Instant) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.server, self.timeout)?;
        stream.set_nodelay(true)?;
        let left = self.timeout.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        stream.set_write_timeout(Some(left))?;
        let (path, server) = (&self.path, self.server);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")?;
        response(&mut BufReader::new(stream))
    }
}

/// Status line, headers to the empty line, as many bytes as `Content-Length` says.
fn response(reader: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let status = line(reader)?.split(' ').nth(1).and_then(|word| word.parse().ok());
    let mut length = 0;
    loop {
        let header = line(reader)?;
        match header.split_once(':') {
            None if header.is_empty() => break,
            None => return Err(invalid()),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| invalid())?;
            }
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((status.ok_or_else(invalid)?, body))
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    io::Read::take(&mut *reader, 8192).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn one_line(body: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(body.strip_suffix(b"\n")?).ok()?;
    (line.len() <= 64 && !line.contains('\n')).then_some(line)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timed out".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "ended early".to_owned(),
        io::ErrorKind::InvalidData => "not HTTP".to_owned(),
        _ => error.to_string(),
    }
}
