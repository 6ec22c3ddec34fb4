//! Packet sockets, by the safe half of `nix`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, SockaddrLike, bind, setsockopt, socket,
    sockopt,
};

/// 64 MiB: a second of small frames at the rates of one core, while the receiver is elsewhere.
const BUFFER: usize = 64 << 20;

/// A socket that only sends. Opened on the host's thread, usable anywhere.
pub(super) fn sender(interface: &str) -> io::Result<OwnedFd> {
    open(interface, None)
}

/// A socket that sees every frame of the interface, with time stamps and counted losses.
pub(super) fn receiver(interface: &str) -> io::Result<OwnedFd> {
    let socket = open(interface, Some(SockProtocol::EthAll))?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    Ok(socket)
}

/// The address that an interface is bound by comes from the kernel's own list: it holds the index,
/// and a protocol of zero, which leaves the socket's as it is.
fn open(interface: &str, protocol: Option<SockProtocol>) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    bind(socket.as_raw_fd(), &address(interface)?)?;
    Ok(socket)
}

fn address(interface: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| entry.address)
        .filter(|address| address.family() == Some(AddressFamily::Packet))
        .find_map(|address| address.as_link_addr().copied())
        .ok_or_else(|| {
            let what = format!("there is no interface `{interface}`");
            io::Error::new(io::ErrorKind::NotFound, what)
        })
}
