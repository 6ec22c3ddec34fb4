//! Datagrams: one there, one back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::fault::Fault;
use crate::way;

/// So much of an answer that nobody expected is told.
const TOLD: usize = 32;

/// A socket that hears the address that it asks and no other, and the ICMP messages about it.
pub(super) async fn connect(address: SocketAddr, mark: Option<u32>) -> Result<UdpSocket, Fault> {
    let any = match address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    way::mark(&socket, mark)?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Whether the answer begins as it should.
pub(super) async fn ask(
    address: SocketAddr,
    mark: Option<u32>,
    send: &[u8],
    expect: &[u8],
) -> Result<(), Fault> {
    let socket = connect(address, mark).await?;
    socket.send(send).await?;
    let mut answer = vec![0; expect.len().max(TOLD)];
    let length = socket.recv(&mut answer).await?;
    answer.truncate(length);
    if answer.starts_with(expect) {
        return Ok(());
    }
    answer.truncate(TOLD);
    Err(Fault::Theirs(format!("unexpected answer `{}`", answer.escape_ascii())))
}
