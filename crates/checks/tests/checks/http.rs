//! Requests, in the clear and over TLS.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream, SupportedProtocolVersion};
use weir_pool::probe::Probe;

use crate::support::{Closed, Server, failed, hang, head, judge, late, say};

fn get(tls: bool) -> Probe {
    Probe::Http { path: "/health?deep=1".to_owned(), host: None, tls }
}

fn answered(answer: &'static [u8]) -> Option<Result<(), String>> {
    let server = Server::start(move |stream| say(stream, answer));
    judge(server.address, get(false))
}

fn status(line: &str) -> Option<Result<(), String>> {
    let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nhi");
    let server = Server::start(move |stream| say(stream, answer.as_bytes()));
    judge(server.address, get(false))
}

#[test]
fn statuses_from_200_to_399_are_well() {
    for line in ["200 OK", "204 No Content", "302 Found", "399 Whatever"] {
        assert_eq!(status(line), Some(Ok(())), "{line}");
    }
}

#[test]
fn other_statuses_are_told() {
    for line in ["400 Bad Request", "404 Not Found", "500 Internal Server Error", "503 Service Unavailable"] {
        let reason = format!("status {}", &line[..3]);
        assert_eq!(status(line), failed(&reason), "{line}");
    }
}

/// RFC 9112, section 2.3, and RFC 9110, section 15.2.
#[test]
fn older_servers_and_early_words_are_understood() {
    assert_eq!(answered(b"HTTP/1.0 200 OK\r\n\r\nhi"), Some(Ok(())));
    assert_eq!(
        answered(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Some(Ok(()))
    );
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(hints), failed("status 500"));
}

#[test]
fn a_body_is_not_waited_for() {
    let server = Server::start(|mut stream| {
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhi").expect("an answer");
        hang(&stream);
    });
    assert_eq!(judge(server.address, get(false)), Some(Ok(())));
}

#[test]
fn what_is_not_http_fails() {
    assert_eq!(answered(b"220 weir.test ESMTP\r\n"), failed("no answer of HTTP"));
    assert_eq!(answered(b"\x00\x01\x02\x03\r\n\r\n"), failed("no answer of HTTP"));
    assert_eq!(answered(b"HTTP/1.1 20\r\n\r\n"), failed("no answer of HTTP"));
}

#[test]
fn who_goes_away_without_a_word_fails() {
    assert_eq!(answered(b""), failed("connection closed"));
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\nContent-Le"), failed("connection closed"));
    // A request that is left unread makes the kernel reset the connection.
    let server = Server::start(|stream| {
        stream.peek(&mut [0]).expect("a request");
        drop(stream);
    });
    assert_eq!(judge(server.address, get(false)), failed("connection reset"));
    assert_eq!(judge(Closed::new().address, get(false)), failed("connection refused"));
}

#[test]
fn who_does_not_answer_is_late() {
    assert_eq!(judge(Server::silent().address, get(false)), late());
    assert_eq!(judge(Server::silent().address, get(true)), late());
}

/// One byte at a time is no answer in time.
#[test]
fn an_answer_that_never_ends_is_late() {
    let server = Server::start(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    assert_eq!(judge(server.address, get(false)), late());
}

#[test]
fn a_head_without_an_end_is_not_kept() {
    let server = Server::start(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(judge(server.address, get(false)), failed("no answer of HTTP"));
}

/// The requests that a server got.
fn asked(probe: Probe, address: SocketAddr) -> (String, SocketAddr) {
    let (sender, requests) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = Server::at(address, move |mut stream| {
        let _ = sender.lock().expect("a sender").send(head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    assert_eq!(judge(server.address, probe), Some(Ok(())));
    (first(&requests), server.address)
}

fn first<T>(values: &Receiver<T>) -> T {
    values.try_recv().expect("a request")
}

#[test]
fn the_request_names_the_host() {
    let (request, server) = asked(get(false), SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {server}\r\n")), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");

    let named = Probe::Http { path: "/".to_owned(), host: Some("weir.test".to_owned()), tls: false };
    let (request, _) = asked(named, SocketAddr::from(([127, 0, 0, 1], 0)));
    assert!(request.contains("\r\nhost: weir.test\r\n"), "{request}");
}

/// A server with a certificate that nobody signed but itself, and the names that it was asked for.
fn secured(
    version: &'static SupportedProtocolVersion,
    answer: &'static [u8],
) -> (Server, Receiver<Option<String>>) {
    let made = rcgen::generate_simple_self_signed(["other.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version");
    let config = versions.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let config = Arc::new(config.expect("a configuration"));
    let (sender, names) = mpsc::channel();
    let sender = Mutex::new(sender);
    let server = Server::start(move |mut stream: TcpStream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut stream = Stream::new(&mut session, &mut stream);
        head(&mut stream);
        let _ = stream.write_all(answer);
        let _ = sender.lock().expect("a sender").send(session.server_name().map(str::to_owned));
    });
    (server, names)
}

#[test]
fn any_certificate_will_do() {
    for version in [&TLS12, &TLS13] {
        let (server, names) = secured(version, b"HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(judge(server.address, get(true)), Some(Ok(())), "{version:?}");
        assert_eq!(first(&names), None, "addresses are not asked for");
    }
}

#[test]
fn the_host_is_who_tls_asks_for() {
    let (server, names) = secured(&TLS13, b"HTTP/1.1 204 No Content\r\n\r\n");
    let probe = Probe::Http { path: "/".to_owned(), host: Some("weir.test:443".to_owned()), tls: true };
    assert_eq!(judge(server.address, probe), Some(Ok(())));
    assert_eq!(first(&names).as_deref(), Some("weir.test"));
}

#[test]
fn statuses_count_over_tls_too() {
    let (server, _) = secured(&TLS13, b"HTTP/1.1 503 No\r\n\r\n");
    assert_eq!(judge(server.address, get(true)), failed("status 503"));
}

#[test]
fn a_server_without_tls_fails() {
    let server = Server::start(|stream| {
        let _ = (&stream).write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hang(&stream);
    });
    let reason = judge(server.address, get(true)).expect("a probe").expect_err("a failure");
    assert!(reason.starts_with("TLS: "), "{reason}");
}
