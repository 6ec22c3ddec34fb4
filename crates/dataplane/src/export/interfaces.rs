//! Interfaces' counters, as sFlow has them.

use crate::Attached;
use weir_detect::sflow::{InterfaceCounters, Received, Sent};
use weir_kernel::KernelError;
use weir_kernel::netlink::{LinkCounters, Netlink};
use weir_kernel::netns::Namespace;

/// What nobody counts, in sFlow's words.
const UNKNOWN: u32 = u32::MAX;
/// IANA's types of interfaces.
const OTHER: u32 = 1;
const ETHERNET: u32 = 6;
const FULL_DUPLEX: u32 = 1;

/// Of those to which a policy is attached, as far as they are in this namespace: an index alone may be another's there.
pub(super) fn counters(
    attached: &[Attached],
    namespace: Option<&Namespace>,
) -> Result<Vec<InterfaceCounters>, KernelError> {
    let mut netlink = match namespace {
        Some(namespace) => Netlink::open_in(namespace)?,
        None => Netlink::open()?,
    };
    let links = netlink.link_counters()?.into_iter();
    let ours =
        links.filter(|link| attached.iter().any(|at| at.ifindex == link.index && at.interface == link.name));
    Ok(ours.map(|link| told(&link, speed(&link, namespace))).collect())
}

/// In bits a second; 0 where it is not known. Only sysfs tells it without a system call of its own, and that is the one
/// of our namespace.
fn speed(link: &LinkCounters, namespace: Option<&Namespace>) -> u64 {
    if namespace.is_some() {
        return 0;
    }
    let text = std::fs::read_to_string(format!("/sys/class/net/{}/speed", link.name)).unwrap_or_default();
    // -1 says that there is none.
    text.trim().parse::<u64>().map_or(0, |megabits| megabits.saturating_mul(1_000_000))
}

/// Counters of 32 bits go around.
fn told(link: &LinkCounters, speed: u64) -> InterfaceCounters {
    let (input, output) = (&link.received, &link.sent);
    InterfaceCounters {
        index: link.index,
        kind: if link.ethernet { ETHERNET } else { OTHER },
        speed,
        direction: FULL_DUPLEX,
        status: u32::from(link.up) | u32::from(link.running) << 1,
        input: Received {
            octets: input.bytes,
            unicast: input.packets.wrapping_sub(input.multicast) as u32,
            multicast: input.multicast as u32,
            broadcast: UNKNOWN,
            discards: input.dropped as u32,
            errors: input.errors as u32,
            unknown_protocols: UNKNOWN,
        },
        output: Sent {
            octets: output.bytes,
            unicast: output.packets as u32,
            multicast: UNKNOWN,
            broadcast: UNKNOWN,
            discards: output.dropped as u32,
            errors: output.errors as u32,
        },
        promiscuous: u32::from(link.promiscuous),
    }
}
