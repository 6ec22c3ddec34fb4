//! The backend's half of a load balancer: a service answers what came in tunnels, without a tunnel device.

use crate::support::{Edge, packets, require_kernel};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use weir_kernel::netlink::Netlink;
use weir_lab::traffic::Traffic;
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_packet::build::{Ethernet, Ipv4, Ipv6, Packet, Udp};

const SERVICE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2)), 4_000);
const PORT: u16 = 7;
const FRAMES: u8 = 40;
const WAIT: Duration = Duration::from_secs(10);

struct Frames(std::vec::IntoIter<Vec<u8>>);

impl Traffic for Frames {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        *frame = self.0.next()?;
        Some(Flow(1))
    }
}

/// A socket that waits no longer than a test may.
fn socket(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a socket");
    socket.set_read_timeout(Some(WAIT)).expect("a socket that waits");
    socket
}

#[test]
fn a_service_on_lo_answers_what_comes_in_tunnels() {
    require_kernel!();
    let edge = Edge::new();
    let service = SocketAddr::from((SERVICE, PORT));
    let add = || Netlink::open()?.add_address("lo", SERVICE.into(), 32);
    edge.host().run(add).expect("the namespace").expect("the address");
    let (instance, _) = edge.load("decap unwrap when inner.ip.dst == 203.0.113.10\ncount others when ip4");
    let server = edge.host().run(|| socket(service)).expect("the namespace");
    let client_host = edge.lab.host("client").expect("there");
    let client = client_host.run(|| socket(CLIENT)).expect("the namespace");
    let eth0 = client_host.interface("eth0").expect("there");
    let wrapped = |number: u8| {
        let packet = Packet::new().push(Ethernet::new(eth0.mac, eth0.peer));
        // Outer addresses are nobody's: what the stack gets of them it would not answer.
        let packet = match number % 2 {
            0 => packet.push(Ipv4::new([198, 18, 0, 1], [198, 18, 0, 2]).tos(3)),
            _ => packet.push(Ipv6::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2])),
        };
        let inner = packet.push(Ipv4::new([10, 1, 0, 2], SERVICE).tos(1));
        inner.push(Udp::new(CLIENT.port(), PORT)).payload([number; 32]).build()
    };
    let frames: Vec<_> = (0..FRAMES).map(wrapped).collect();
    let options = SendOptions::new(Pace::PerSecond(1_000), WAIT);
    send(client_host, "eth0", &mut Frames(frames.into_iter()), &options).expect("sends");
    let mut bytes = [0; 64];
    for number in 0..FRAMES {
        let (length, from) = server.recv_from(&mut bytes).expect("a request");
        assert_eq!((from, &bytes[..length]), (CLIENT, &[number; 32][..]));
        server.send_to(&bytes[..length], from).expect("an answer");
        let (length, from) = client.recv_from(&mut bytes).expect("an answer");
        assert_eq!((from, &bytes[..length]), (service, &[number; 32][..]));
    }
    assert_eq!(packets(&instance, "unwrap"), u64::from(FRAMES));
    assert_eq!(packets(&instance, "others"), 0);
}
