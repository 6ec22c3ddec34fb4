//! What the numbers mean that the kernel answers when it does not attach a program.
//!
//! Links have no extended acknowledgement, so the reason is found by looking: who sits there, the MTU, the driver.

use std::io;

use super::{AttachError, Hook, occupants};
use crate::KernelError;
use crate::netlink::{Interface, Netlink};
use crate::offload;
use crate::program::Program;

/// What fits beside headroom (256) and the skb's tail (320) into a page of 4 KiB, less the Ethernet header:
/// veth's own limit (`veth_xdp_set`); drivers of cards take a little less.
pub(crate) const PAGE_MTU: u32 = 3506;

/// Drivers whose native XDP refuses only certain settings: their EOPNOTSUPP is about those.
pub(crate) const XDP_DRIVERS: [&str; 19] = [
    "veth",
    "tun",
    "virtio_net",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "ice",
    "igb",
    "igc",
    "mlx4_en",
    "mlx5_core",
    "bnxt_en",
    "ena",
    "gve",
    "hv_netvsc",
    "nfp",
    "sfc",
    "stmmac",
    "netkit",
];

/// Errno, and what it means in the drivers that answer with it.
const DRIVER_WORDS: [(i32, &str); 5] = [
    (libc::ENOTCONN, "the veth has no other end"),
    (libc::ENOSPC, "it has fewer receive queues than its peer has send queues; make the queues equal"),
    (
        libc::ENOMEM,
        "there are not enough queues or not enough memory; `ethtool -L` with fewer queues may help",
    ),
    (libc::EOPNOTSUPP, "a setting is in the way; `ethtool -K` with lro off and rx-gro-hw off often helps"),
    (libc::EINVAL, "the driver does not take this program with its present settings"),
];

pub(super) fn of_xdp(
    program: &Program,
    interface: &Interface,
    hook: Hook,
    error: KernelError,
) -> AttachError {
    let name = interface.name.clone();
    match error.errno() {
        libc::EPERM | libc::EACCES => AttachError::Permission { interface: name },
        libc::ENODEV | libc::ENXIO => AttachError::NoInterface { interface: name },
        libc::EBUSY | libc::EEXIST => taken(interface, hook, error),
        libc::ERANGE => too_large(interface),
        _ => of_driver(program, interface, hook, error),
    }
}

pub(super) fn of_tc(interface: &Interface, error: io::Error) -> AttachError {
    let name = interface.name.clone();
    match error.raw_os_error().unwrap_or(0) {
        libc::EPERM | libc::EACCES => AttachError::Permission { interface: name },
        libc::ENODEV | libc::ENXIO => AttachError::NoInterface { interface: name },
        // Without cls_bpf or clsact in the kernel.
        libc::ENOENT => {
            refused(interface, "this kernel has no clsact qdisc or no cls_bpf filters".to_owned())
        }
        _ => KernelError::new("attach to", format!("`{name}`"), error).into(),
    }
}

/// The older `ingress` qdisc, in clsact's place, takes filters of both ways and runs them all on the way in.
pub(super) fn of_ingress_qdisc(interface: &Interface) -> AttachError {
    let name = &interface.name;
    refused(
        interface,
        format!("its `ingress` qdisc has no way out; replace it: `tc qdisc del dev {name} ingress`"),
    )
}

fn taken(interface: &Interface, hook: Hook, error: KernelError) -> AttachError {
    let found = Netlink::open().and_then(|mut netlink| occupants::xdp_occupants(&mut netlink, interface));
    let Some(occupant) = found.ok().and_then(|all| all.into_iter().next()) else {
        // EEXIST also says that a bond or bridge above it has a program.
        let reason = format!("{}; an interface above it may have a program", error.reason());
        return refused(interface, reason);
    };
    let (interface, occupant) = (interface.name.clone(), Box::new(occupant));
    if occupant.hook == hook {
        AttachError::Busy { interface, occupant }
    } else {
        AttachError::OtherMode { interface, occupant }
    }
}

fn too_large(interface: &Interface) -> AttachError {
    AttachError::MtuTooLarge { interface: interface.name.clone(), mtu: mtu(interface), limit: PAGE_MTU }
}

fn of_driver(program: &Program, interface: &Interface, hook: Hook, error: KernelError) -> AttachError {
    if is_gone(interface) {
        // Links answer EINVAL for an index that nobody has.
        return AttachError::NoInterface { interface: interface.name.clone() };
    }
    let errno = error.errno();
    let driver = offload::driver(&interface.name).unwrap_or_else(|_| "unknown".to_owned());
    let known = XDP_DRIVERS.contains(&driver.as_str());
    if hook == Hook::XdpNative && errno == libc::EOPNOTSUPP && !known {
        return AttachError::NoNative { interface: interface.name.clone(), driver };
    }
    let too_long = mtu(interface) > PAGE_MTU && matches!(errno, libc::EINVAL | libc::EOPNOTSUPP);
    if hook == Hook::XdpNative && too_long {
        return too_large(interface);
    }
    match DRIVER_WORDS.iter().find(|row| row.0 == errno) {
        Some((_, words)) => refused(interface, format!("{words} ({})", error.reason())),
        None => {
            let subject = format!("`{}` to `{}`", program.name(), interface.name);
            KernelError { action: "attach", subject, ..error }.into()
        }
    }
}

fn refused(interface: &Interface, reason: String) -> AttachError {
    AttachError::Refused { interface: interface.name.clone(), reason }
}

fn is_gone(interface: &Interface) -> bool {
    let link = Netlink::open().and_then(|mut netlink| netlink.link_by_index(interface.index));
    link.is_err_and(|error| error.is_missing())
}

fn mtu(interface: &Interface) -> u32 {
    let link = Netlink::open().and_then(|mut netlink| netlink.link_by_index(interface.index));
    link.map_or(0, |link| link.mtu)
}
