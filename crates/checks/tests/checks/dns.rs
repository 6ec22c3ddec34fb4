//! Questions for names.

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::{Arc, Mutex};

use weir_pool::probe::Probe;

use crate::support::{Answering, Closed, failed, judge, late};

fn query() -> Probe {
    Probe::Dns { name: "Weir.test".to_owned() }
}

/// The question as an answer with this code (RFC 1035, section 4.1.1).
fn answer(question: &[u8], code: u8) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x80 | code;
    answer
}

fn coded(code: u8) -> Option<Result<(), String>> {
    let server = Answering::start(move |socket, question, from| {
        let _ = socket.send_to(&answer(question, code), from);
    });
    judge(server.address, query())
}

#[test]
fn answers_are_well_and_so_is_no_such_name() {
    assert_eq!(coded(0), Some(Ok(())));
    assert_eq!(coded(3), Some(Ok(())));
}

#[test]
fn answers_that_are_errors_fail() {
    assert_eq!(coded(2), failed("answer SERVFAIL"));
    assert_eq!(coded(5), failed("answer REFUSED"));
}

#[test]
fn an_answer_to_something_else_is_none() {
    let server = Answering::start(|socket, question, from| {
        let mut answer = answer(question, 0);
        answer[0] ^= 1;
        let _ = socket.send_to(&answer, from);
        let _ = socket.send_to(b"", from);
    });
    assert_eq!(judge(server.address, query()), late());
}

#[test]
fn an_answer_of_somebody_else_is_none() {
    let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let server = Answering::start(move |_, question, from| {
        let _ = other.send_to(&answer(question, 0), from);
    });
    assert_eq!(judge(server.address, query()), late());
}

#[test]
fn the_answer_behind_others_counts() {
    let server = Answering::at(Ipv6Addr::LOCALHOST.into(), |socket, question, from| {
        let right = answer(question, 0);
        let mut wrong = right.clone();
        wrong[1] ^= 1;
        let _ = socket.send_to(&wrong, from);
        let _ = socket.send_to(&right, from);
    });
    assert_eq!(judge(server.address, query()), Some(Ok(())));
}

#[test]
fn no_answer_is_late_and_no_server_refuses() {
    let server = Answering::start(|_, _, _| ());
    assert_eq!(judge(server.address, query()), late());
    assert_eq!(judge(Closed::new().address, query()), failed("connection refused"));
}

#[test]
fn questions_are_not_all_the_same() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let questions = Arc::clone(&seen);
    let server = Answering::start(move |_, question, _| {
        questions.lock().expect("questions").push(question.to_vec());
    });
    judge(server.address, query());
    judge(server.address, query());
    let seen = seen.lock().expect("questions");
    assert!(seen.iter().all(|question| question[2..] == seen[0][2..]), "{seen:?}");
    assert!(seen.iter().any(|question| question[..2] != seen[0][..2]), "{seen:?}");
}
