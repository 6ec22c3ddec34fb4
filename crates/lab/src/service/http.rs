//! A small HTTP/1.1 server: real enough for health checks, load balancers and floods.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::error::io as io_error;
use crate::{Host, LabError};

/// How often idle threads look for a sign to stop.
const LOOK: Duration = Duration::from_millis(20);
/// A connection that is silent for longer is closed. It also keeps a dropped lab's namespace from
/// ending.
const IDLE: Duration = Duration::from_secs(3);
/// No honest request has longer lines, or more of them.
const MAX_LINE: u64 = 8192;
const MAX_HEADERS: usize = 100;
const MAX_BYTES: usize = 16 << 20;
/// Connections beyond this wait in the kernel.
const MAX_CONNECTIONS: u64 = 1024;

/// Serves on one host until it is dropped.
///
/// `/healthz` says `ok`, or 503 after [`HttpServer::set_healthy`]`(false)`; `/bytes/N` gives N
/// bytes; everything else gives the host's name, so that a client behind a balancer knows whom it
/// reached.
#[derive(Debug)]
pub struct HttpServer {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    name: String,
    stop: AtomicBool,
    healthy: AtomicBool,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl HttpServer {
    /// Listens on an address of the host; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread be started.
    pub fn start(host: &Host, address: SocketAddr) -> Result<HttpServer, LabError> {
        let what = || format!("serve HTTP at {address} on `{}`", host.name());
        let listener = host.run(|| TcpListener::bind(address))?.map_err(io_error(what()))?;
        listener.set_nonblocking(true).map_err(io_error(what()))?;
        let address = listener.local_addr().map_err(io_error(what()))?;
        let shared = Arc::new(Shared {
            name: host.name().to_owned(),
            stop: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        host.spawn(move || accept(&listener, &accepting))?;
        Ok(HttpServer { shared, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it answered.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// What `/healthz` says from now on.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        if shared.connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            thread::sleep(LOOK);
            continue;
        }
        // Any error but "nobody there" is about one connection that ended early.
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let serving = Arc::clone(shared);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let thread = thread::Builder::new().name("lab http".to_owned()).spawn(move || {
            // A client that goes away in the middle is its own affair.
            let _ = serve(&stream, &serving);
            serving.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if thread.is_err() {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(request) = Request::read(&mut reader)? else {
            return Ok(());
        };
        let (status, body) = answer(&request, shared);
        let connection = if request.close { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        let body: &[u8] = if request.head_only { &[] } else { &body };
        (&*stream).write_all(&[head.as_bytes(), body].concat())?;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if request.close {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(request: &Request, shared: &Shared) -> (&'static str, Vec<u8>) {
    match request.path.as_str() {
        "" => ("400 Bad Request", Vec::new()),
        "/healthz" if shared.healthy.load(Ordering::Relaxed) => ("200 OK", b"ok\n".to_vec()),
        "/healthz" => ("503 Service Unavailable", b"not healthy\n".to_vec()),
        path => match path.strip_prefix("/bytes/").map(str::parse::<usize>) {
            Some(Ok(bytes)) => ("200 OK", vec![b'w'; bytes.min(MAX_BYTES)]),
            Some(Err(_)) => ("404 Not Found", Vec::new()),
            None => ("200 OK", format!("{}\n", shared.name).into_bytes()),
        },
    }
}

/// What matters of a request. Bodies are not read: nothing here takes one.
struct Request {
    /// Empty when the first line is none of HTTP.
    path: String,
    head_only: bool,
    close: bool,
}

impl Request {
    /// `None` when the client is done.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let Some(first) = line(reader)? else {
            return Ok(None);
        };
        let words: Vec<_> = first.split(' ').collect();
        let mut request = match words[..] {
            [method @ ("GET" | "HEAD"), path, version] if version.starts_with("HTTP/1.") => {
                Request { path: path.to_owned(), head_only: method == "HEAD", close: version == "HTTP/1.0" }
            }
            _ => Request { path: String::new(), head_only: false, close: true },
        };
        for _ in 0..MAX_HEADERS {
            match line(reader)? {
                None => return Ok(None),
                Some(header) if header.is_empty() => return Ok(Some(request)),
                Some(header) => {
                    request.close |= header.eq_ignore_ascii_case("connection: close");
                }
            }
        }
        Ok(Some(Request { path: String::new(), head_only: false, close: true }))
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    io::Read::take(&mut *reader, MAX_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches('\r').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Request> {
        Request::read(&mut text.as_bytes()).expect("reads")
    }

    #[test]
    fn requests_are_read_and_nonsense_is_refused() {
        let request = read("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").expect("a request");
        assert_eq!((request.path.as_str(), request.close), ("/a", false));
        assert!(read("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expect("a request").close);
        assert!(read("HEAD / HTTP/1.0\r\n\r\n").expect("a request").head_only);
        assert_eq!(read("nonsense\r\n\r\n").expect("a request").path, "");
        assert!(read("GET / HTTP/1.1\r\nHost").is_none());
        assert!(read("").is_none());
        let endless = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(200));
        assert_eq!(read(&endless).expect("a request").path, "");
        assert!(read(&"x".repeat(10_000)).is_none());
    }
}
