use std::io;

use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use crate::KernelError;
use crate::netns::Namespace;

/// `NLMSGERR_ATTR_MSG`: the kernel's words about an error.
const ERROR_TEXT: u16 = 1;

/// A netlink socket, for the namespace that its thread was in when it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// An answer that is an error.
struct Refusal {
    source: io::Error,
    note: Option<String>,
}

impl From<io::Error> for Refusal {
    fn from(source: io::Error) -> Self {
        Self { source, note: None }
    }
}

impl Netlink {
    /// For the calling thread's namespace.
    pub fn open() -> Result<Self, KernelError> {
        Self::try_open().map_err(|source| KernelError::new("open", "a netlink socket", source))
    }

    /// For another namespace, without moving there.
    pub fn open_in(namespace: &Namespace) -> Result<Self, KernelError> {
        namespace.run(Self::open)?
    }

    fn try_open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Words beside the error's number (4.12), and errors without the whole request in them.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and waits for its acknowledgement. `about` is the subject of an error's sentence.
    pub(super) fn request(
        &mut self,
        action: &'static str,
        about: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags).map_err(|refusal| {
            let mut error = KernelError::new(action, about, refusal.source);
            error.note = refusal.note;
            error
        })
    }

    /// Asks for all objects of a kind.
    pub(super) fn dump(
        &mut self,
        action: &'static str,
        about: &str,
        message: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let answer = self.exchange(message, NLM_F_REQUEST | NLM_F_DUMP);
        answer.map_err(|refusal| KernelError::new(action, about, refusal.source))
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Refusal> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            if self.read_datagram(&datagram, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Takes the messages of one datagram; true when the answer is complete.
    fn read_datagram(
        &self,
        datagram: &[u8],
        answers: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<bool, Refusal> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let length = message_length(rest)?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]);
            let message =
                message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
            if message.header.sequence_number != self.sequence {
                continue;
            }
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(answer) if answer.code.is_none() => return Ok(true),
                NetlinkPayload::Error(answer) => {
                    return Err(Refusal { source: answer.to_io(), note: error_text(&answer) });
                }
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
        }
        Ok(false)
    }
}

fn message_length(bytes: &[u8]) -> io::Result<usize> {
    let buffer = NetlinkBuffer::new_checked(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    Ok((buffer.length() as usize).clamp(16, bytes.len()))
}

/// The attributes stand after the header of the request (16 bytes).
fn error_text(answer: &ErrorMessage) -> Option<String> {
    let mut rest = answer.header.get(16..)?;
    while rest.len() >= 4 {
        let length = u16::from_ne_bytes([rest[0], rest[1]]) as usize;
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..length)?;
        if kind == ERROR_TEXT {
            return Some(crate::sys::name_text(value));
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}
