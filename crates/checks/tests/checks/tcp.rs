//! Connections.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use weir_pool::probe::Probe;

use crate::support::{Closed, Server, failed, judge};

#[test]
fn whoever_listens_is_well() {
    assert_eq!(judge(Server::silent().address, Probe::Tcp), Some(Ok(())));
}

/// Who is too busy to accept has the kernel do it.
#[test]
fn accepting_is_not_waited_for() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).expect("a listener");
    assert_eq!(judge(listener.local_addr().expect("an address"), Probe::Tcp), Some(Ok(())));
}

#[test]
fn where_nobody_listens_is_refused() {
    assert_eq!(judge(Closed::new().address, Probe::Tcp), failed("connection refused"));
}
