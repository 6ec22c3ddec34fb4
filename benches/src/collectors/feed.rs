//! Datagrams, and how they are sent as fast as somebody takes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{Direction, Encoder, Interface, Source, Taken};
use weir_packet::build::{Ethernet, Ipv4, Packet, Udp};
use weir_packet::random::SplitMix;

use super::{NETWORK, PORT};
use crate::Failure;

/// Different ones, which are sent in turn.
const DATAGRAMS: usize = 1 << 14;

/// Hosts that samples go to.
const HOSTS: u64 = 100_000;

/// So rarely is sampled, and such are the frames: no host and no network gets what would be an attack.
const ONE_IN: u32 = 2;
const LENGTH: u32 = 500;

/// Where a datagram has its number (sFlow version 5, behind an IPv4 agent).
const NUMBER: std::ops::Range<usize> = 16..20;

/// Datagrams between two looks at the receiver's queue.
const BURST: usize = 8;

/// Bytes that may wait there; the kernel has room for 208 KiB, of what each datagram takes in its memory.
const WAITING: u64 = 100 << 10;

/// Datagrams of one agent.
pub(super) struct Feed {
    datagrams: Vec<Vec<u8>>,
    samples: Vec<usize>,
    next: usize,
    number: u32,
}

impl Feed {
    /// Samples of 128 bytes of UDP from anywhere, to one of many hosts each.
    pub(super) fn new() -> Feed {
        let mut random = SplitMix::new(6);
        let mut encoder = Encoder::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let (mut datagrams, mut samples, mut inside) = (Vec::new(), Vec::new(), 0);
        let (input, output) = (Interface::index(3), Interface::index(4));
        let (source, direction) = (Source::interface(3), Direction::Ingress);
        let taken = Taken { source, pool: 0, drops: 0, input, output, direction };
        while datagrams.len() < DATAGRAMS {
            let header = frame(&mut random);
            let (time, fate) = (Duration::ZERO, Fate::Passed);
            let sample =
                Sample { time, header: &header, frame_len: LENGTH, one_in: ONE_IN, fate, statement: None };
            if let Some(full) = encoder.flow(Duration::ZERO, &taken, &sample).expect("a sample that fits") {
                datagrams.push(full.to_vec());
                samples.push(inside);
                inside = 0;
            }
            inside += 1;
        }
        Feed { datagrams, samples, next: 0, number: 0 }
    }

    /// The next one, and how many samples it has.
    pub(super) fn next(&mut self) -> (&[u8], usize) {
        self.number += 1;
        self.next = (self.next + 1) % self.datagrams.len();
        let datagram = &mut self.datagrams[self.next];
        datagram[NUMBER].copy_from_slice(&self.number.to_be_bytes());
        (datagram, self.samples[self.next])
    }

    /// Sends so many samples, as fast as the receiver takes them from its queue, and waits until it has taken all; gives how
    /// many they were. To be called where the receiver is.
    pub(super) fn send(&mut self, samples: usize) -> Result<usize, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let mut sent = 0;
        while sent < samples {
            for _ in 0..BURST {
                let (datagram, inside) = self.next();
                socket.send_to(datagram, to)?;
                sent += inside;
            }
            drain(WAITING)?;
        }
        drain(0)?;
        Ok(sent)
    }
}

fn frame(random: &mut SplitMix) -> Vec<u8> {
    let source = Ipv4Addr::from(0x0100_0000 + (random.bits() >> 33) as u32);
    let destination = Ipv4Addr::from(u32::from(NETWORK) + (random.bits() % HOSTS) as u32);
    let packet = Packet::new()
        .push(Ethernet::default())
        .push(Ipv4::new(source, destination))
        .push(Udp::new(random.bits() as u16 | 1024, 443));
    packet.payload([0; 86]).build()
}

/// Waits until no more than so many bytes wait.
fn drain(bytes: u64) -> Result<(), Failure> {
    let start = Instant::now();
    while waiting()? > bytes {
        if start.elapsed() > Duration::from_secs(10) {
            return Err("the collector takes nothing any more".into());
        }
    }
    Ok(())
}

/// Bytes that wait at the collector's port, in the namespace of this thread.
pub(super) fn waiting() -> Result<u64, Failure> {
    let table = std::fs::read_to_string("/proc/thread-self/net/udp")?;
    let port = format!(":{PORT:04X}");
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1).is_some_and(|local| local.ends_with(&port)));
    let row = row.ok_or("nobody listens")?;
    let (_, received) =
        row.get(4).and_then(|queues| queues.split_once(':')).ok_or("the kernel's table has no queues")?;
    Ok(u64::from_str_radix(received, 16)?)
}
