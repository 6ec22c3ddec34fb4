//! Whether the kernel knows a way to backends that have no fixed next hop. It is asked when a policy is put in place: what it
//! says is no error, as a route may come later, and other backends are not worse off.

use super::meta::PoolMeta;
use serde::Serialize;
use std::fmt;
use weir_kernel::netlink::{Netlink, Way};
use weir_kernel::sysctl;
use weir_pool::pool::Endpoint;

/// Why packets for a backend would not leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWay {
    /// No route leads to it.
    NoRoute,
    /// It is one of this host's own addresses.
    Own,
    /// A router leads to it, and packets stay as they are: it would bring them back.
    BehindRouter,
    /// The host does not forward packets of its family.
    NoForwarding,
}

/// A backend to which packets would not leave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unreached {
    /// Its pool.
    pub pool: String,
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub backend: Endpoint,
    /// Why.
    pub why: NoWay,
}

fn as_text<S: serde::Serializer>(backend: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(backend)
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreached { pool, backend, why } = self;
        write!(f, "packets do not reach backend `{backend}` of pool `{pool}`: ")?;
        match why {
            NoWay::NoRoute => write!(f, "the kernel has no route to it"),
            NoWay::Own => write!(f, "the address is this host's own"),
            NoWay::BehindRouter => {
                write!(f, "it is behind a router, which would bring back what `via l2` sends as it came")
            }
            NoWay::NoForwarding => write!(f, "this host does not forward {}", family(backend)),
        }
    }
}

impl Unreached {
    /// What mends it.
    pub fn help(&self) -> String {
        let backend = self.backend.address;
        match self.why {
            NoWay::NoRoute => format!(
                "add a route (`ip route add {backend} …`), or say the next hop: `{backend} mac …`, or `gateway …` for its pool"
            ),
            NoWay::Own => "name the address of another host".to_owned(),
            NoWay::BehindRouter => "send in a tunnel, such as `via ipip from ADDRESS`".to_owned(),
            NoWay::NoForwarding => format!("`sysctl -w {}=1`", forwarding(self.backend.address.is_ipv6())),
        }
    }
}

fn family(backend: &Endpoint) -> &'static str {
    if backend.address.is_ipv6() { "IPv6" } else { "IPv4" }
}

/// What `bpf_fib_lookup` wants to be on.
fn forwarding(six: bool) -> &'static str {
    if six { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" }
}

/// The declared backends to which packets would not leave, as it is now in the calling thread's network namespace. If that is not the one
/// of the interfaces, by index and name, or the kernel cannot be asked, nothing is said.
pub(crate) fn unreached(pools: &[PoolMeta], interfaces: &[(u32, String)]) -> Vec<Unreached> {
    let Ok(mut netlink) = Netlink::open() else { return Vec::new() };
    let mut here = |(index, name): &(u32, String)| netlink.link(name).is_ok_and(|link| link.index == *index);
    if !interfaces.iter().all(&mut here) {
        return Vec::new();
    }
    let off = |six: bool| sysctl::read(forwarding(six)).is_ok_and(|value| value.trim() == "0");
    let forwards = [!off(false), !off(true)];
    let mut unreached = Vec::new();
    for pool in pools {
        for declared in pool.declared.iter().filter(|declared| pool.hop(declared.mac).is_none()) {
            let backend = declared.endpoint();
            let why = match netlink.way_to(backend.address) {
                Ok(Way::None) => NoWay::NoRoute,
                Ok(Way::Here) => NoWay::Own,
                Ok(Way::Router) if pool.needs_link() => NoWay::BehindRouter,
                Ok(_) if !forwards[usize::from(backend.address.is_ipv6())] => NoWay::NoForwarding,
                _ => continue,
            };
            unreached.push(Unreached { pool: pool.name.clone(), backend, why });
        }
    }
    unreached
}
