//! Where datagrams go. A collector that is gone costs its datagrams and nothing else.

use crate::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

/// One collector.
#[derive(Debug)]
pub struct Collector {
    name: String,
    socket: UdpSocket,
    sent: u64,
    failed: u64,
    /// What is to be said of it, once.
    trouble: Trouble,
}

#[derive(Debug)]
enum Trouble {
    None,
    Told,
    New(io::Error),
}

/// What became of datagrams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectorStatus {
    /// As it was given.
    pub name: String,
    /// Datagrams that left. UDP does not say whether they came.
    pub sent: u64,
    /// Datagrams that did not leave, or were answered with an error.
    pub failed: u64,
}

impl Collector {
    /// By name or address and port.
    pub fn connect(name: &str) -> Result<Collector, Error> {
        let told = |source| Error::Collector { name: name.to_owned(), source };
        let mut trouble = io::Error::from(io::ErrorKind::NotFound);
        for address in name.to_socket_addrs().map_err(told)? {
            match connect(address) {
                Ok(socket) => {
                    let name = name.to_owned();
                    return Ok(Collector { name, socket, sent: 0, failed: 0, trouble: Trouble::None });
                }
                Err(error) => trouble = error,
            }
        }
        Err(told(trouble))
    }

    fn send(&mut self, datagram: &[u8]) {
        let mut result = self.socket.send(datagram);
        // The answer to an earlier one: that one is lost, and this one was not sent yet.
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            let refused = result;
            (self.sent, self.failed) = (self.sent.saturating_sub(1), self.failed + 1);
            result = self.socket.send(datagram);
            self.told(refused);
        }
        match result {
            Ok(_) => self.sent += 1,
            Err(_) => {
                self.failed += 1;
                self.told(result);
            }
        }
    }

    fn told(&mut self, result: io::Result<usize>) {
        if let (Err(error), Trouble::None) = (result, &self.trouble) {
            self.trouble = Trouble::New(error);
        }
    }
}

/// A connected socket hears that nobody listens; and one that does not block waits for no one.
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// All collectors; each gets every datagram.
#[derive(Debug)]
pub struct Collectors(Vec<Collector>);

impl Collectors {
    /// By names or addresses and ports.
    pub fn connect<T: AsRef<str>>(names: &[T]) -> Result<Collectors, Error> {
        names.iter().map(|name| Collector::connect(name.as_ref())).collect::<Result<_, _>>().map(Collectors)
    }

    /// The address that packets to the first one leave from.
    pub fn source(&self) -> Option<IpAddr> {
        self.0.first()?.socket.local_addr().ok().map(|address| address.ip())
    }

    /// Sends a datagram to each.
    pub fn send(&mut self, datagram: &[u8]) {
        self.0.iter_mut().for_each(|collector| collector.send(datagram));
    }

    /// What went wrong for the first time since the last call: the collector, and the error.
    pub fn troubles(&mut self) -> Vec<(String, io::Error)> {
        let new = self.0.iter_mut().filter_map(|collector| match collector.trouble {
            Trouble::New(_) => match std::mem::replace(&mut collector.trouble, Trouble::Told) {
                Trouble::New(error) => Some((collector.name.clone(), error)),
                _ => None,
            },
            _ => None,
        });
        new.collect()
    }

    /// What became of all datagrams so far.
    pub fn status(&self) -> Vec<CollectorStatus> {
        let one = |collector: &Collector| CollectorStatus {
            name: collector.name.clone(),
            sent: collector.sent,
            failed: collector.failed,
        };
        self.0.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn listener() -> (UdpSocket, String) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let name = socket.local_addr().unwrap().to_string();
        (socket, name)
    }

    #[test]
    fn a_collector_that_is_gone_is_told_of_once_and_the_others_get_all() {
        let (there, name) = listener();
        let (gone, lost) = listener();
        drop(gone);
        let mut collectors = Collectors::connect(&[&lost, &name]).unwrap();
        let mut troubles = Vec::new();
        for number in 0..10u8 {
            collectors.send(&[number]);
            troubles.extend(collectors.troubles());
        }
        let [(told, error)] = troubles.as_slice() else { panic!("{troubles:?}") };
        assert_eq!((told, error.kind()), (&lost, io::ErrorKind::ConnectionRefused));
        let mut byte = [0];
        for number in 0..10u8 {
            assert_eq!((there.recv(&mut byte).unwrap(), byte), (1, [number]));
        }
        let status = collectors.status();
        assert_eq!((status[1].sent, status[1].failed), (10, 0));
        assert!(status[0].failed >= 8 && status[0].sent + status[0].failed == 10, "{status:?}");
        // Who comes back gets what is sent from then on.
        let back = UdpSocket::bind(&lost).unwrap();
        back.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        collectors.send(&[42]);
        assert_eq!((back.recv(&mut byte).unwrap(), byte), (1, [42]));
    }

    #[test]
    fn the_agents_address_is_the_one_that_packets_leave_from() {
        let (_there, name) = listener();
        let collectors = Collectors::connect(&[name]).unwrap();
        assert_eq!(collectors.source(), Some(IpAddr::from([127, 0, 0, 1])));
        assert!(Collectors::connect(&["nowhere"]).is_err(), "no port");
    }
}
