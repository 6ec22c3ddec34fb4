//! A namespace in which the kernel's routes say what [`ROUTED`] says: whatever is asked for is behind one router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use weir_compiler::state::ROUTED;
use weir_kernel::KernelError;
use weir_kernel::netlink::{Netlink, Route, VethEnd};
use weir_kernel::netns::{Namespace, OwnedNamespace};
use weir_kernel::sysctl;

/// Frames of tests are shorter.
const MTU: u32 = 9000;

/// Makes it; it goes with the value. It has a name only while it is made, so nothing of it outlives a test that is killed.
pub(crate) fn namespace() -> Result<Namespace, KernelError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("weir-routed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let named = OwnedNamespace::create(&name)?;
    named.run(routes)??;
    named.try_clone()
}

fn routes() -> Result<(), KernelError> {
    let mut netlink = Netlink::open()?;
    let end = |name, mac| VethEnd { name, namespace: None, mac, mtu: Some(MTU), queues: None };
    netlink.create_veth(&end("near", ROUTED.from), &end("far", None))?;
    netlink.set_up("near")?;
    netlink.set_up("far")?;
    sysctl::set_forwarding(true)?;
    let ours: [IpAddr; 2] = [Ipv4Addr::new(169, 254, 7, 1).into(), "fd00:7::1".parse().expect("an address")];
    let router: [IpAddr; 2] =
        [Ipv4Addr::new(169, 254, 7, 2).into(), "fd00:7::2".parse().expect("an address")];
    let anywhere: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    for ((ours, router), to) in ours.into_iter().zip(router).zip(anywhere) {
        let bits = if ours.is_ipv4() { 24 } else { 64 };
        netlink.add_address("near", ours, bits)?;
        netlink.add_neighbour("near", router, ROUTED.to)?;
        netlink.add_route(&Route { to, prefix_len: 0, via: Some(router), interface: Some("near") })?;
    }
    Ok(())
}
