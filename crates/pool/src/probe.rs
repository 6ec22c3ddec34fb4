//! What a check asks a backend. How it is asked is the caller's: here is no I/O.

use crate::health::Rhythm;

/// A pool's check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// The port that is asked; `None` for the backend's own.
    pub port: Option<u16>,
    /// How often, and how many results decide.
    pub rhythm: Rhythm,
}

/// A question, and the answer that says that a backend is well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A TCP connection can be made.
    Tcp,
    /// HTTP/1.1 `GET`: the answer has a status of 200 to 399.
    Http {
        /// What is asked for, with its `/`.
        path: String,
        /// The `Host` header; the backend's address if not said.
        host: Option<String>,
        /// Over TLS. The certificate is not verified, as a backend is known by its address.
        tls: bool,
    },
    /// A DNS question by UDP for a name's `A` records: any answer that fits the question and has the code `NOERROR` or `NXDOMAIN`
    /// (RFC 1035).
    Dns {
        /// The name.
        name: String,
    },
    /// A datagram, and how its answer begins.
    Udp {
        /// What is sent.
        send: Vec<u8>,
        /// What the answer begins with; any answer if empty.
        expect: Vec<u8>,
    },
    /// A command that ends with 0, given the backend's address and port as its last two arguments.
    Exec {
        /// The program and its first arguments.
        command: Vec<String>,
    },
}

impl Probe {
    /// The word for it in policies.
    pub fn word(&self) -> &'static str {
        match self {
            Probe::Tcp => "tcp",
            Probe::Http { tls: false, .. } => "http",
            Probe::Http { tls: true, .. } => "https",
            Probe::Dns { .. } => "dns",
            Probe::Udp { .. } => "udp",
            Probe::Exec { .. } => "exec",
        }
    }

    /// The port that the protocol has where nothing else is said.
    pub fn usual_port(&self) -> Option<u16> {
        match self {
            Probe::Http { tls: false, .. } => Some(80),
            Probe::Http { tls: true, .. } => Some(443),
            Probe::Dns { .. } => Some(53),
            Probe::Tcp | Probe::Udp { .. } | Probe::Exec { .. } => None,
        }
    }
}
