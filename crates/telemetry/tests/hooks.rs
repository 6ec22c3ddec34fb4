//! Hooks, and those that do not do what they should.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use weir_telemetry::{Hooks, Message, Status};

fn message(number: u32) -> Message {
    Message {
        json: format!("{{\"event\":\"attack\",\"alert\":{number}}}"),
        variables: vec![("WEIR_EVENT", "attack".into()), ("WEIR_ATTACK", number.to_string())],
    }
}

fn commands(lines: &[&str]) -> Hooks {
    Hooks::start(&lines.iter().map(ToString::to_string).collect::<Vec<_>>(), &[]).unwrap()
}

fn webhook(url: &str) -> Hooks {
    Hooks::start(&[], &[url.to_owned()]).unwrap()
}

/// Waits until so many messages had their end.
fn settled(hooks: &Hooks, count: u64) -> Status {
    let start = Instant::now();
    loop {
        let status = hooks.watch().status().remove(0);
        if status.sent + status.failed + status.lost >= count {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_gets_the_event_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let hooks = commands(&[&format!("cat >> {0}; echo $WEIR_EVENT $WEIR_ATTACK >> {0}", out.display())]);
    (1..=2).for_each(|number| hooks.tell(message(number)));
    assert_eq!(settled(&hooks, 2).sent, 2);
    assert!(hooks.finish().is_empty());
    let told = fs::read_to_string(out).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let first = "{\"event\":\"attack\",\"alert\":1}";
    assert_eq!(lines, [first, "attack 1", &first.replace('1', "2"), "attack 2"]);
}

#[test]
fn one_that_fails_is_told_of_once_and_counted() {
    let hooks = commands(&["exit 3"]);
    (1..=5).for_each(|number| hooks.tell(message(number)));
    assert_eq!(settled(&hooks, 5).failed, 5);
    assert_eq!(hooks.troubles(), ["command `exit 3` failed: exit status 3"]);
    assert!(hooks.finish().is_empty());
    let hooks = commands(&["kill -9 $$"]);
    hooks.tell(message(1));
    settled(&hooks, 1);
    assert!(hooks.finish()[0].ends_with("killed by signal 9"));
}

/// Whether a process has this among its arguments.
fn runs(argument: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}

#[test]
fn one_that_hangs_holds_up_nobody_and_goes() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let hooks = commands(&["sleep 86421 & sleep 86421; true", &format!("cat >> {}", out.display())]);
    let start = Instant::now();
    (1..=100).for_each(|number| hooks.tell(message(number)));
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    while fs::read_to_string(&out).unwrap_or_default().is_empty() || !runs("86421") {
        assert!(start.elapsed() < Duration::from_secs(10), "the other one hears all the same");
        std::thread::sleep(Duration::from_millis(5));
    }
    let watch = hooks.watch();
    assert!(watch.status()[0].lost >= 30, "{:?}", watch.status());
    let start = Instant::now();
    let troubles = hooks.finish();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(troubles.iter().any(|trouble| trouble.contains("sleep 86421")), "{troubles:?}");
    assert!(!runs("86421"), "nor is anything left of it");
}

/// Answers each request with a line, and hands out what it was.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?key=1", listener.local_addr().unwrap());
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let request = request(&mut BufReader::new(&stream));
            let _ = (&stream).write_all(answer.as_bytes());
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (url, hear)
}

/// Head and body.
fn request(stream: &mut impl BufRead) -> String {
    let (mut text, mut length) = (String::new(), 0);
    while !text.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "{text}");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

#[test]
fn a_webhook_posts_json() {
    let (url, hear) = server(NO_CONTENT);
    let hooks = webhook(&url);
    hooks.tell(message(7));
    let request = hear.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(request.starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("content-type: application/json"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"event\":\"attack\",\"alert\":7}"), "{request}");
    assert_eq!(settled(&hooks, 1).sent, 1);
}

#[test]
fn what_a_webhook_answers_is_told() {
    for (answer, words) in [
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "status 503"),
        (
            "HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "status 302",
        ),
        ("what?\r\n\r\n", "failed: "),
    ] {
        let (url, _hear) = server(answer);
        let hooks = webhook(&url);
        hooks.tell(message(1));
        assert_eq!(settled(&hooks, 1).failed, 1);
        let troubles = hooks.finish();
        assert!(troubles.len() == 1 && troubles[0].contains(words), "{troubles:?}");
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hooks = webhook(&format!("http://{free}/"));
    hooks.tell(message(1));
    settled(&hooks, 1);
    assert!(hooks.finish()[0].ends_with("connection refused"));
}

#[test]
fn one_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hooks = webhook(&format!("http://{}/", listener.local_addr().unwrap()));
    let start = Instant::now();
    hooks.tell(message(1));
    settled(&hooks, 1);
    assert!((4..8).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(hooks.finish()[0].ends_with("no answer within 5 s"));
}

#[test]
fn what_is_no_address_is_refused() {
    for url in ["", "alerts.example", "ftp://alerts.example/", "http://", "http:///x", "https://a b/"] {
        let error = Hooks::start(&[], &[url.to_owned()]).unwrap_err().to_string();
        assert!(error.contains("https://"), "{url}: {error}");
    }
}

const CHILD: &str = "WEIR_HOOK_TO_TELL";

/// Trust comes from the environment, which a test must not change: another process tells the hook.
fn tell_in_a_child(url: &str, trusted: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls_is_checked", "--nocapture"])
        .env(CHILD, url)
        .env("SSL_CERT_FILE", trusted)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tls_is_checked() {
    if let Ok(url) = std::env::var(CHILD) {
        let hooks = webhook(&url);
        hooks.tell(message(1));
        let status = settled(&hooks, 1);
        writeln!(std::io::stdout(), "sent {} {:?}", status.sent, hooks.finish()).unwrap();
        return;
    }
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let trusted = |name: &str, pem: String| {
        let path = directory.path().join(name);
        fs::write(&path, pem).unwrap();
        path
    };
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![own.cert.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            // Whoever does not trust us goes away.
            if stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                request(&mut stream);
                let _ = stream.get_mut().write_all(NO_CONTENT.as_bytes());
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        }
    });
    let url = format!("https://localhost:{port}/");
    let told = tell_in_a_child(&url, &trusted("own.pem", own.cert.pem()));
    assert!(told.contains("sent 1 []"), "{told}");
    let told = tell_in_a_child(&url, &trusted("other.pem", other.cert.pem()));
    assert!(told.contains("sent 0") && told.contains("certificate"), "{told}");
    let told = tell_in_a_child(&format!("https://127.0.0.1:{port}/"), &trusted("own.pem", own.cert.pem()));
    assert!(told.contains("sent 0") && told.contains("certificate"), "another name: {told}");
}
