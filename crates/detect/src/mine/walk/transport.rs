//! Transport headers, and DNS and NTP behind UDP.

use super::{Cell, Reach, Walk};
use crate::mine::feature::Feature;

/// Ports whose packets carry a tunnel: `udp.dstport` in the protocols' definitions. It is asked for before DNS and NTP.
const TUNNELS: [u16; 4] = [2152, 4789, 6080, 6081];
const DNS: [u16; 2] = [53, 5353];
const NTP: u16 = 123;

impl Walk<'_> {
    pub(super) fn udp(&mut self, at: usize) {
        if !self.enter(at, 8) {
            return;
        }
        let payload = at + 8;
        self.set(Feature::Transport, 17);
        self.set(Feature::UdpSrcport, self.number(at, 2));
        self.set(Feature::UdpDstport, self.number(at + 2, 2));
        self.set(Feature::UdpLength, self.number(at + 4, 2));
        self.set(Feature::UdpChecksum, self.number(at + 6, 2));
        for (feature, offset, size) in [
            (Feature::UdpBytes0x1, 0, 1),
            (Feature::UdpBytes0x2, 0, 2),
            (Feature::UdpBytes0x4, 0, 4),
            (Feature::UdpBytes0x8, 0, 8),
            (Feature::UdpBytes4x4, 4, 4),
            (Feature::UdpBytes8x4, 8, 4),
            (Feature::UdpBytes12x4, 12, 4),
            (Feature::UdpBytes12x8, 12, 8),
        ] {
            self.slice(feature, payload + offset, size);
        }
        let (src, dst) = (self.number(at, 2) as u16, self.number(at + 2, 2) as u16);
        self.behind_udp(src, dst, payload);
    }

    fn behind_udp(&mut self, src: u16, dst: u16, at: usize) {
        let known = |port: &u16| DNS.contains(port) || *port == NTP;
        let Some(port) = Some(dst).filter(known).or(Some(src).filter(known)) else { return };
        if TUNNELS.contains(&dst) {
            return;
        }
        let dns = [
            (Feature::DnsFlags, 2),
            (Feature::DnsResponse, 2),
            (Feature::DnsQueries, 4),
            (Feature::DnsAnswers, 6),
        ];
        let header = if port == NTP { 4 } else { 12 };
        match (self.reach(at + header), port) {
            (Reach::Outside, _) => {}
            (Reach::Beyond, NTP) => self.row.cells[Feature::NtpMode.index()] = Cell::Unknown,
            (Reach::Beyond, _) => dns.iter().for_each(|row| self.row.cells[row.0.index()] = Cell::Unknown),
            (Reach::Captured, NTP) => self.set(Feature::NtpMode, self.number(at, 1) & 7),
            (Reach::Captured, _) => {
                dns.iter().for_each(|row| self.set(row.0, self.number(at + row.1, 2)));
                self.set(Feature::DnsResponse, self.number(at + 2, 1) >> 7);
            }
        }
    }

    pub(super) fn tcp(&mut self, at: usize) {
        if !self.enter(at, 20) {
            return;
        }
        let header_len = usize::from(self.bytes[at + 12] >> 4) * 4;
        let reach = self.reach(at + header_len);
        if header_len < 20 || reach == Reach::Outside {
            return;
        }
        self.set(Feature::Transport, 6);
        self.set(Feature::TcpSrcport, self.number(at, 2));
        self.set(Feature::TcpDstport, self.number(at + 2, 2));
        self.set(Feature::TcpSeq, self.number(at + 4, 4));
        self.set(Feature::TcpAck, self.number(at + 8, 4));
        self.set(Feature::TcpFlags, self.number(at + 12, 2) & 0xfff);
        self.set(Feature::Window, self.number(at + 14, 2));
        self.set(Feature::TcpHdrLen, header_len as u64);
        self.options(at, header_len, reach == Reach::Captured);
        let payload = at + header_len;
        self.slice(Feature::TcpBytes0x2, payload, 2);
        self.slice(Feature::TcpBytes0x4, payload, 4);
        self.slice(Feature::TcpBytes0x8, payload, 8);
    }

    fn options(&mut self, at: usize, header_len: usize, captured: bool) {
        const KINDS: [(Feature, u8); 4] = [
            (Feature::OptionMss, 2),
            (Feature::OptionWscale, 3),
            (Feature::OptionSack, 4),
            (Feature::OptionTime, 8),
        ];
        if !captured {
            let all = KINDS.iter().map(|kind| kind.0).chain([Feature::MssValue]);
            return all.for_each(|feature| self.row.cells[feature.index()] = Cell::Unknown);
        }
        let header = &self.bytes[at..at + header_len];
        for (feature, kind) in KINDS {
            self.set(feature, u64::from(option(header, kind).is_some()));
        }
        if let Some(&[high, low]) = option(header, 2).and_then(|value| value.first_chunk()) {
            self.set(Feature::MssValue, u64::from(u16::from_be_bytes([high, low])));
        }
    }

    pub(super) fn icmp(&mut self, at: usize) {
        if self.enter(at, 8) {
            self.set(Feature::Transport, 1);
            self.set(Feature::IcmpType, self.number(at, 1));
            self.set(Feature::IcmpCode, self.number(at + 1, 1));
        }
    }

    pub(super) fn icmpv6(&mut self, at: usize) {
        if self.enter(at, 4) {
            self.set(Feature::Transport, 58);
            self.set(Feature::Icmpv6Type, self.number(at, 1));
            self.set(Feature::Icmpv6Code, self.number(at + 1, 1));
        }
    }
}

/// The value of the first option of a kind (RFC 9293, section 3.1). One that lies about its length ends the list.
fn option(header: &[u8], kind: u8) -> Option<&[u8]> {
    let mut at = 20;
    loop {
        match *header.get(at)? {
            0 => return None,
            1 => at += 1,
            here => {
                let whole = usize::from(*header.get(at + 1)?);
                if whole < 2 || at + whole > header.len() {
                    return None;
                }
                if here == kind {
                    return Some(&header[at + 2..at + whole]);
                }
                at += whole;
            }
        }
    }
}
