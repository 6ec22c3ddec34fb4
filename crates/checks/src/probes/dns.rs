//! A question for a name's addresses (RFC 1035).

use std::net::SocketAddr;

use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE, header_buffer};

use super::udp;
use crate::error::Error;
use crate::fault::Fault;

const HEADER: usize = 12;
/// The longest answer to a question that does not say that it takes longer ones (RFC 1035, section 2.3.4).
const LONGEST: usize = 512;

/// A question, but for its identifier.
#[derive(Clone, Debug)]
pub(crate) struct Query(Vec<u8>);

impl Query {
    pub(super) fn new(name: &str) -> Result<Query, Error> {
        let bytes = encode(name).ok_or_else(|| Error::Name(name.to_owned()))?;
        Ok(Query(bytes))
    }

    /// Asks with an identifier that cannot be guessed, and waits for an answer that fits; others may be anybody's
    /// (RFC 5452).
    pub(super) async fn ask(&self, address: SocketAddr, mark: Option<u32>) -> Result<(), Fault> {
        let identifier = getrandom::u32().map_err(|error| Fault::Ours(error.to_string()))?.to_be_bytes();
        let mut query = self.0.clone();
        query[..2].copy_from_slice(&identifier[..2]);
        let socket = udp::connect(address, mark).await?;
        socket.send(&query).await?;
        let mut answer = [0; LONGEST];
        loop {
            let length = socket.recv(&mut answer).await?;
            if let Some(judged) = judge(&query, &answer[..length]) {
                return judged;
            }
        }
    }
}

fn encode(name: &str) -> Option<Vec<u8>> {
    // The root alone may be an empty label.
    let labels = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || labels.split('.').any(str::is_empty) && name != "." {
        return None;
    }
    let name = Name::new(labels).ok()?;
    let mut packet = Packet::new_query(0);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

/// What an answer says, or nothing if it is none to this question. Of its records nothing is asked.
fn judge(query: &[u8], answer: &[u8]) -> Option<Result<(), Fault>> {
    let fits = header_buffer::id(answer) == header_buffer::id(query)
        && header_buffer::has_flags(answer, PacketFlag::RESPONSE).unwrap_or(false);
    if !fits {
        return None;
    }
    let code = match header_buffer::rcode(answer).ok()? {
        RCODE::NoError | RCODE::NameError => return asks_the_same(query, answer).then_some(Ok(())),
        RCODE::FormatError => "FORMERR",
        RCODE::ServerFailure => "SERVFAIL",
        RCODE::NotImplemented => "NOTIMP",
        RCODE::Refused => "REFUSED",
        _ => "with another error",
    };
    // A server that could not read the question does not repeat it.
    Some(Err(Fault::Theirs(format!("answer {code}"))))
}

/// Names are equal whatever the case of their letters. Neither the lengths of labels nor the type and the class are
/// letters.
fn asks_the_same(query: &[u8], answer: &[u8]) -> bool {
    let question = |packet: &[u8]| packet.get(HEADER..query.len()).map(<[u8]>::to_ascii_lowercase);
    header_buffer::questions(answer) == Ok(1) && question(answer) == question(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1035, sections 4.1.1 and 4.1.2, by hand: identifier 7, recursion desired, one question for an A record.
    const QUERY: &[u8] =
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04weir\x04test\x00\x00\x01\x00\x01";

    fn answer(flags: [u8; 2], change: impl FnOnce(&mut Vec<u8>)) -> Option<Result<(), Fault>> {
        let mut answer = QUERY.to_vec();
        answer[2..4].copy_from_slice(&flags);
        change(&mut answer);
        judge(QUERY, &answer)
    }

    #[test]
    fn a_question_is_what_the_rfc_says() {
        for name in ["weir.test", "weir.test."] {
            let mut query = Query::new(name).expect("a name").0;
            query[..2].copy_from_slice(&QUERY[..2]);
            assert_eq!(query, QUERY, "{name}");
        }
        assert_eq!(Query::new(".").expect("the root").0[HEADER..], [0, 0, 1, 0, 1]);
    }

    #[test]
    fn names_that_cannot_be_asked_are_refused() {
        let long = "a".repeat(64);
        let many = "abcdefg.".repeat(32);
        for name in ["", "..", "a..b", ".a", "a..", &long, &many] {
            assert!(matches!(Query::new(name), Err(Error::Name(refused)) if refused == name), "{name}");
        }
    }

    #[test]
    fn an_answer_and_no_such_name_are_well() {
        for flags in [[0x85, 0x80], [0x81, 0x83]] {
            assert_eq!(answer(flags, |_| ()), Some(Ok(())));
        }
        assert_eq!(answer([0x81, 0x80], |answer| answer[13..17].copy_from_slice(b"wEIR")), Some(Ok(())));
        assert_eq!(answer([0x81, 0x80], |answer| answer.extend(b"whatever follows")), Some(Ok(())));
    }

    #[test]
    fn errors_are_told_by_their_names() {
        for (code, name) in
            [(1, "FORMERR"), (2, "SERVFAIL"), (4, "NOTIMP"), (5, "REFUSED"), (9, "with another error")]
        {
            let failed = Some(Err(Fault::Theirs(format!("answer {name}"))));
            assert_eq!(answer([0x81, 0x80 | code], |_| ()), failed);
        }
    }

    #[test]
    fn what_is_no_answer_to_the_question_says_nothing() {
        assert_eq!(answer([0x81, 0x80], |answer| answer[1] = 8), None, "another identifier");
        assert_eq!(answer([0x01, 0x00], |_| ()), None, "a question");
        assert_eq!(answer([0x81, 0x80], |answer| answer[13] = b'v'), None, "another name");
        assert_eq!(answer([0x81, 0x80], |answer| answer[24] = 28), None, "another type");
        assert_eq!(answer([0x81, 0x80], |answer| answer[5] = 0), None, "no question");
        assert_eq!(answer([0x81, 0x80], |answer| answer.truncate(20)), None, "cut off");
        assert_eq!(answer([0x81, 0x80], |answer| answer.truncate(3)), None, "no header");
        assert_eq!(answer([0x81, 0x80], Vec::clear), None, "nothing");
    }
}
