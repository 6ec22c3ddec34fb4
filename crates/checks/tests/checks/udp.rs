//! Datagrams.

use std::net::Ipv6Addr;

use weir_pool::probe::Probe;

use crate::support::{Answering, Closed, failed, judge, late};

fn ping(expect: &[u8]) -> Probe {
    Probe::Udp { send: b"ping\x00".to_vec(), expect: expect.to_vec() }
}

/// Answers what it should with `pong` and more, and nothing else.
fn pong() -> Answering {
    Answering::at(Ipv6Addr::LOCALHOST.into(), |socket, datagram, from| {
        if datagram == b"ping\x00" {
            let _ = socket.send_to(b"pong\x01 and more", from);
        }
    })
}

#[test]
fn the_answer_begins_as_it_should() {
    let server = pong();
    for expect in [&b"pong\x01"[..], b"", b"pong\x01 and more"] {
        assert_eq!(judge(server.address, ping(expect)), Some(Ok(())));
    }
}

#[test]
fn another_answer_fails() {
    let server = pong();
    for expect in [&b"ping"[..], b"pong\x01 and more than that"] {
        assert_eq!(judge(server.address, ping(expect)), failed(r"unexpected answer `pong\x01 and more`"));
    }
}

#[test]
fn nothing_is_a_question_and_an_answer_too() {
    let server = Answering::start(|socket, datagram, from| {
        let _ = socket.send_to(datagram, from);
    });
    assert_eq!(judge(server.address, Probe::Udp { send: Vec::new(), expect: Vec::new() }), Some(Ok(())));
}

#[test]
fn no_answer_is_late_and_no_server_refuses() {
    let server = Answering::start(|_, _, _| ());
    assert_eq!(judge(server.address, ping(b"")), late());
    assert_eq!(judge(Closed::new().address, ping(b"")), failed("connection refused"));
}
