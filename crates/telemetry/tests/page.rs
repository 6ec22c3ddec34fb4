//! The page, and those who ask for it in odd ways.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use weir_telemetry::Page;

fn page() -> (Page, Arc<AtomicU32>) {
    let written = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&written);
    let write = move || {
        count.fetch_add(1, Relaxed);
        "# HELP a b\n# TYPE a gauge\na 1\n".to_owned()
    };
    (Page::serve("127.0.0.1:0".parse().unwrap(), write).unwrap(), written)
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Whoever is refused early is hung up on.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn it_answers_what_it_is_there_for() {
    let (page, _) = page();
    let answer = ask(page.address(), GET);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n# HELP a b\n# TYPE a gauge\na 1\n"), "{answer}");
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "200"),
        ("GET /other HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "405"),
        ("what is this\r\n\r\n".to_owned(), "400"),
        (format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(60_000)), "431"),
    ] {
        let answer = ask(page.address(), request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{}: {answer}",
            &request[..20.min(request.len())]
        );
    }
}

#[test]
fn slow_ones_and_many_change_nothing() {
    let (page, written) = page();
    let address = page.address();
    let slow: Vec<TcpStream> = (0..100)
        .map(|n| {
            let mut stream = TcpStream::connect(address).unwrap();
            let _ = stream.write_all(if n % 2 == 0 { b"GET /met" } else { b"" });
            stream
        })
        .collect();
    let start = Instant::now();
    for _ in 0..200 {
        assert!(ask(address, GET).starts_with("HTTP/1.1 200"));
    }
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    assert!(
        written.load(Relaxed) <= 2 + 2 * taken.as_secs() as u32 + 1,
        "{} in {taken:?}",
        written.load(Relaxed)
    );
    // They are hung up on.
    let mut bytes = Vec::new();
    slow[0].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (&slow[0]).read_to_end(&mut bytes).unwrap();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    let start = Instant::now();
    drop(page);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_is_listened_at_once() {
    let (page, _) = page();
    assert!(Page::serve(page.address(), String::new).is_err());
}
