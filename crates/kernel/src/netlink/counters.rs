//! What interfaces count.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};

use super::Netlink;
use crate::KernelError;

/// What an interface has counted so far, and what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It carries Ethernet frames.
    pub ethernet: bool,
    /// It is set up.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// It takes frames for others too.
    pub promiscuous: bool,
    /// What came in.
    pub received: Direction,
    /// What went out; nobody counts multicasts there.
    pub sent: Direction,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Frames.
    pub packets: u64,
    /// Their bytes, without FCS.
    pub bytes: u64,
    /// Frames of these that were multicasts.
    pub multicast: u64,
    /// Frames with errors.
    pub errors: u64,
    /// Frames that were not kept or not sent.
    pub dropped: u64,
}

impl Netlink {
    /// The counters of all interfaces.
    pub fn link_counters(&mut self) -> Result<Vec<LinkCounters>, KernelError> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.dump("count", "interfaces", message)?;
        let links = answers.iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => Some(read(link)),
            _ => None,
        });
        Ok(links.collect())
    }
}

fn read(message: &LinkMessage) -> LinkCounters {
    let flags = message.header.flags;
    let mut counters = LinkCounters {
        index: message.header.index,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        promiscuous: flags.contains(LinkFlags::Promisc),
        ..LinkCounters::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => counters.name.clone_from(name),
            LinkAttribute::Stats64(stats) => {
                counters.received = Direction {
                    packets: stats.rx_packets,
                    bytes: stats.rx_bytes,
                    multicast: stats.multicast,
                    errors: stats.rx_errors,
                    dropped: stats.rx_dropped,
                };
                counters.sent = Direction {
                    packets: stats.tx_packets,
                    bytes: stats.tx_bytes,
                    multicast: 0,
                    errors: stats.tx_errors,
                    dropped: stats.tx_dropped,
                };
            }
            _ => {}
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Needs no privileges: everybody may look.
    #[test]
    fn the_loopback_counts_what_is_sent_over_it() {
        let loopback = || {
            let all = Netlink::open().and_then(|mut netlink| netlink.link_counters()).expect("counters");
            all.into_iter().find(|link| link.name == "lo").expect("a loopback")
        };
        let before = loopback();
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a port");
        sender.send_to(&[0; 1000], receiver.local_addr().expect("an address")).expect("sent");
        let after = loopback();
        assert!(after.received.packets > before.received.packets, "{after:?}");
        assert!(after.sent.bytes >= before.sent.bytes + 1000, "{after:?}");
        assert!(after.up && !after.ethernet);
    }
}
