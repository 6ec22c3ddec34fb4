//! A connection, which also carries the other questions.

use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

use crate::fault::Fault;
use crate::way;

/// The longest segment where headers come before packets on their way: with 70 bytes of them, IPv6's 40, TCP's 20 and its
/// options, it fits into the least that every IPv6 link takes (1280 bytes, RFC 8200).
const LONGEST: u32 = 1024;

/// Connects. Closing will reset the connection: else it would hold its port for a minute, and a thousand probes a
/// second would soon find none.
pub(super) async fn connect(address: SocketAddr, mark: Option<u32>) -> Result<TcpStream, Fault> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    if mark.is_some() {
        way::mark(&socket, mark)?;
        setsockopt(&socket, sockopt::TcpMaxSeg, &LONGEST).map_err(io::Error::from)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_zero_linger()?;
    Ok(stream)
}
