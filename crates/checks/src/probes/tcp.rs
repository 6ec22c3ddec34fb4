//! A connection, which also carries the other questions.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::fault::Fault;

/// Connects. Closing will reset the connection: else it would hold its port for a minute, and a thousand probes a
/// second would soon find none.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect(address).await?;
    stream.set_zero_linger()?;
    Ok(stream)
}
