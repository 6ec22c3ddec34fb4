//! Traffic made up: a victim's everyday packets, and attacks of each kind.

use std::net::{Ipv4Addr, Ipv6Addr};
use weir_packet::build::{Ethernet, Icmp, Ipv4, Ipv6, Packet, Tcp, TcpFlags, TcpOption, Udp};
use weir_packet::random::SplitMix;

/// Whom all of it is for.
pub(crate) const VICTIM: [u8; 4] = [203, 0, 113, 7];
/// The resolver that the victim asks.
pub(crate) const RESOLVER: [u8; 4] = [192, 0, 2, 53];

/// Makes frames.
pub(crate) struct Maker(SplitMix);

/// What makes a frame.
pub(crate) type Make = fn(&mut Maker) -> Vec<u8>;

/// Kinds of attacks, as the miner calls them, and what makes a packet of each.
pub(crate) const KINDS: &[(&str, Make)] = &[
    ("DNS amplification", |m| {
        m.amplified(53, b"\xbe\xef\x85\x80\0\x01\0\x1e\0\0\0\0\x03bad\x07example", (900, 1400))
    }),
    ("NTP amplification", |m| m.amplified(123, b"\xd7\0\x03\x2a\0\x06\0\x48", (440, 440))),
    ("memcached amplification", |m| m.amplified(11211, b"\0\0\0\0\0\x01\0\0VALUE a 0 ", (1400, 1400))),
    ("SSDP amplification", |m| m.amplified(1900, b"HTTP/1.1 200 OK\r\n", (260, 420))),
    ("CLDAP amplification", |m| m.amplified(389, b"\x30\x84\0\0\x0b", (1400, 1450))),
    ("chargen amplification", |m| m.amplified(19, b" !\"#$%&'()*+,-./", (74, 1400))),
    ("quote of the day amplification", |m| m.amplified(17, b"\"", (30, 200))),
    ("ISAKMP amplification", |m| m.amplified(500, b"\xc9\x83\x2c\x40\xb1\xd5\x18\x52", (204, 204))),
    ("SNMP amplification", |m| m.amplified(161, b"\x30\x82\x05", (1200, 1400))),
    ("SYN flood", |m| m.syn(0x02, 1024)),
    ("SYN-ACK reflection", Maker::syn_ack),
    ("later fragments", Maker::fragment),
    ("ACK flood", |m| m.segment(0x10, 512)),
    ("flood without flags", |m| m.segment(0, 0)),
    ("ping flood", Maker::ping),
    ("UDP flood", |m| m.udp(27015, b"\xff\xff\xff\xffgetstatus", 60)),
    ("GRE flood", Maker::gre),
];

impl Maker {
    pub(crate) fn new(seed: u64) -> Maker {
        Maker(SplitMix::new(seed))
    }

    pub(crate) fn many(&mut self, count: usize, make: impl Fn(&mut Maker) -> Vec<u8>) -> Vec<Vec<u8>> {
        (0..count).map(|_| make(self)).collect()
    }

    /// The victim's packets of an ordinary day.
    pub(crate) fn everyday(&mut self) -> Vec<u8> {
        match self.below(100) {
            0..30 => self.web(0x10, 0),
            30..55 => self.web(0x18, 600),
            55..65 => self.client_syn(),
            65..70 => self.server_syn_ack(),
            70..73 => self.web(0x11, 0),
            73..74 => self.web(0x14, 0),
            74..82 => self.answer(),
            82..86 => self.time(),
            86..97 => self.quic(),
            _ => self.echo(),
        }
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.bits() % end
    }

    fn port(&mut self) -> u16 {
        1024 + self.below(64_000) as u16
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.0.bits() as u8).collect()
    }

    /// Any address but those of `192.0.2.0/24`.
    fn anyone(&mut self) -> Ipv4Addr {
        Ipv4Addr::from((1 + self.below(190) as u32) << 24 | self.0.bits() as u32 & 0x00ff_ffff)
    }

    fn ip(&mut self, src: Ipv4Addr) -> Packet {
        let ttl = 40 + self.below(80) as u8;
        Packet::new().push(Ethernet::default()).push(Ipv4::new(src, VICTIM).ttl(ttl))
    }

    fn padded(&mut self, packet: Packet, content: &[u8], (least, most): (u64, u64)) -> Vec<u8> {
        let size = (least + self.below(most - least + 1)) as usize;
        let rest = self.bytes(size.saturating_sub(content.len()));
        packet.payload([content, &rest].concat()).build()
    }

    fn web(&mut self, flags: u16, size: u64) -> Vec<u8> {
        let src = self.anyone();
        let (port, seq, ack, window) =
            (self.port(), self.0.bits() as u32, self.0.bits() as u32, self.below(65_536));
        let times = TcpOption::Timestamps(self.0.bits() as u32, self.0.bits() as u32);
        let tcp =
            Tcp::new(port, 443).flags(TcpFlags::from_bits(flags)).seq(seq).ack(ack).window(window as u16);
        let tcp = tcp.option(TcpOption::Nop).option(TcpOption::Nop).option(times);
        let packet = self.ip(src).push(tcp);
        self.padded(packet, b"", (size / 10, size))
    }

    /// The SYN of a client of the victim's.
    pub(crate) fn client_syn(&mut self) -> Vec<u8> {
        let (src, port, seq) = (self.anyone(), self.port(), self.0.bits() as u32);
        let window = [64240, 65535, 29200][self.below(3) as usize];
        let times = TcpOption::Timestamps(self.0.bits() as u32, 0);
        let tcp = Tcp::new(port, 443).seq(seq).window(window).option(TcpOption::Mss(1460));
        let tcp = tcp.option(TcpOption::SackPermitted).option(times);
        self.ip(src).push(tcp.option(TcpOption::Nop).option(TcpOption::WindowScale(7))).build()
    }

    fn server_syn_ack(&mut self) -> Vec<u8> {
        let (src, port, seq) = (self.anyone(), self.port(), self.0.bits() as u32);
        let tcp = Tcp::new(443, port).flags(TcpFlags::from_bits(0x12)).seq(seq).ack(1).window(65160);
        let tcp = tcp.option(TcpOption::Mss(1460)).option(TcpOption::SackPermitted).option(TcpOption::Nop);
        self.ip(src).push(tcp.option(TcpOption::WindowScale(9))).build()
    }

    /// What the victim's resolver answers.
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        let name: Vec<u8> = (0..9).map(|_| b'a' + self.below(26) as u8).collect();
        let id = self.bytes(2);
        let content =
            [&id, &b"\x81\x80\0\x01\0\x02\0\0\0\0\x09"[..], &name, b"\x03com\0\0\x01\0\x01"].concat();
        let (port, least) = (self.port(), content.len() as u64);
        let packet = self.ip(RESOLVER.into()).push(Udp::new(53, port));
        self.padded(packet, &content, (least, 300))
    }

    fn time(&mut self) -> Vec<u8> {
        let packet = self.ip(Ipv4Addr::new(192, 0, 2, 123)).push(Udp::new(123, 123));
        self.padded(packet, b"\x24\x02\x06\xe9", (48, 48))
    }

    fn quic(&mut self) -> Vec<u8> {
        let (src, port) = (self.anyone(), self.port());
        let packet = self.ip(src).push(Udp::new(port, 443));
        self.padded(packet, b"", (30, 1250))
    }

    fn echo(&mut self) -> Vec<u8> {
        let (src, ident) = (self.anyone(), self.0.bits() as u16);
        self.ip(src).push(Icmp::echo_request(ident, 1)).payload([7; 56]).build()
    }

    /// What a service answers to packets that carry the victim's address as source.
    pub(crate) fn amplified(&mut self, service: u16, content: &[u8], size: (u64, u64)) -> Vec<u8> {
        let (src, port) = (self.anyone(), self.port());
        let packet = self.ip(src).push(Udp::new(service, port));
        self.padded(packet, content, size)
    }

    /// What a service answers by IPv6.
    pub(crate) fn v6(&mut self, victim: Ipv6Addr, service: u16, size: (u64, u64)) -> Vec<u8> {
        let src = Ipv6Addr::from((0x2600_u128 << 112) | u128::from(self.0.bits()) << 48);
        let packet = Packet::new().push(Ethernet::default()).push(Ipv6::new(src, victim));
        let packet = packet.push(Udp::new(service, self.port()));
        self.padded(packet, b"", size)
    }

    pub(crate) fn syn(&mut self, flags: u16, window: u16) -> Vec<u8> {
        let (src, port, seq) = (self.anyone(), self.port(), self.0.bits() as u32);
        let tcp = Tcp::new(port, 443).flags(TcpFlags::from_bits(flags)).seq(seq).window(window);
        self.ip(src).push(tcp).build()
    }

    fn syn_ack(&mut self) -> Vec<u8> {
        let (src, port, seq) = (self.anyone(), self.port(), self.0.bits() as u32);
        let service = [80, 443][self.below(2) as usize];
        let tcp = Tcp::new(service, port).flags(TcpFlags::from_bits(0x12)).seq(seq).ack(self.0.bits() as u32);
        self.ip(src).push(tcp.option(TcpOption::Mss(1400))).build()
    }

    fn segment(&mut self, flags: u16, window: u16) -> Vec<u8> {
        let (src, port, seq) = (self.anyone(), self.port(), self.0.bits() as u32);
        let tcp = Tcp::new(port, 443).flags(TcpFlags::from_bits(flags)).seq(seq).window(window);
        self.ip(src).push(tcp).build()
    }

    fn fragment(&mut self) -> Vec<u8> {
        let mut frame = self.amplified(53, b"", (1472, 1472));
        let offset = 185 * (1 + self.below(2) as u16);
        frame[20..22].copy_from_slice(&(offset | 0x2000).to_be_bytes());
        frame
    }

    fn ping(&mut self) -> Vec<u8> {
        let (src, ident) = (self.anyone(), self.0.bits() as u16);
        self.ip(src).push(Icmp::echo_request(ident, 1)).payload([0; 1000]).build()
    }

    fn udp(&mut self, port: u16, content: &[u8], size: u64) -> Vec<u8> {
        let (src, from) = (self.anyone(), self.port());
        let packet = self.ip(src).push(Udp::new(from, port));
        self.padded(packet, content, (size, size))
    }

    fn gre(&mut self) -> Vec<u8> {
        let mut frame = self.udp(80, b"", 512);
        frame[23] = 47;
        frame
    }
}
