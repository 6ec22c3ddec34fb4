//! A topology that is there: namespaces and links, until it is dropped.

use std::net::IpAddr;
use std::thread::{self, JoinHandle};

use weir_kernel::netlink::{Netlink, Route, VethEnd};
use weir_kernel::netns::{Namespace, OwnedNamespace};
use weir_kernel::offload::{Offload, set_offload};
use weir_kernel::{KernelError, sysctl};
use weir_packet::Mac;

use crate::error::{io, kernel};
use crate::topology::{End, HostSpec, Link, Prefix, Topology};
use crate::{LabError, sweep};

/// Hosts in namespaces and links between them. Dropping it removes them.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
}

/// One host: a namespace.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: OwnedNamespace,
    interfaces: Vec<Interface>,
}

/// An interface of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index in the host's namespace.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The Ethernet address at the other end.
    pub peer: Mac,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
    /// Its MTU.
    pub mtu: u32,
}

impl Interface {
    /// Its first IPv4 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv4(&self) -> Result<IpAddr, LabError> {
        self.address("IPv4", IpAddr::is_ipv4)
    }

    /// Its first IPv6 address.
    ///
    /// # Errors
    /// When it has none.
    pub fn ipv6(&self) -> Result<IpAddr, LabError> {
        self.address("IPv6", IpAddr::is_ipv6)
    }

    fn address(&self, family: &'static str, of: fn(&IpAddr) -> bool) -> Result<IpAddr, LabError> {
        let mut addresses = self.addresses.iter().map(|prefix| prefix.address());
        addresses.find(of).ok_or_else(|| LabError::NoAddress { interface: self.name.clone(), family })
    }
}

impl Lab {
    pub(crate) fn build(topology: &Topology) -> Result<Lab, LabError> {
        sweep::sweep()?;
        let number = sweep::register()?;
        let hosts = topology.hosts.iter().map(|host| Host::create(number, host));
        let mut lab = Lab { hosts: hosts.collect::<Result<_, _>>()? };
        for (index, link) in topology.links.iter().enumerate() {
            lab.connect(index as u32, link)?;
        }
        for host in &topology.hosts {
            lab.host(&host.name)?.add_routes(&host.routes)?;
        }
        Ok(lab)
    }

    /// A host by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host, LabError> {
        let mut hosts = self.hosts.iter();
        hosts.find(|host| host.name == name).ok_or_else(|| LabError::UnknownHost(name.to_owned()))
    }

    /// All hosts, in the order of the topology.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn connect(&mut self, number: u32, link: &Link) -> Result<(), LabError> {
        let [one, other] = &link.ends;
        let macs = [chosen(one, number * 2 + 1), chosen(other, number * 2 + 2)];
        let what = format!("link {}/{} – {}/{}", one.host, one.interface, other.host, other.interface);
        let ends = [
            veth_end(one, &self.host(&one.host)?.namespace, macs[0]),
            veth_end(other, &self.host(&other.host)?.namespace, macs[1]),
        ];
        Netlink::open()
            .and_then(|mut netlink| netlink.create_veth(&ends[0], &ends[1]))
            .map_err(kernel(&what))?;
        for (end, peer, mac, peer_mac) in [(one, other, macs[0], macs[1]), (other, one, macs[1], macs[0])] {
            let neighbours = if link.static_neighbours { &peer.addresses[..] } else { &[] };
            let host = self.host(&end.host)?;
            let index = host
                .run(|| configure(end, peer_mac, neighbours))?
                .map_err(kernel(format!("interface `{}` of `{}`", end.interface, end.host)))?;
            let interface = Interface {
                name: end.interface.clone(),
                index,
                mac,
                peer: peer_mac,
                addresses: end.addresses.clone(),
                mtu: end.mtu,
            };
            let host = self.hosts.iter_mut().find(|host| host.name == end.host);
            if let Some(host) = host {
                host.interfaces.push(interface);
            }
        }
        // veth says of an end that frames may be redirected to it when the other one, which is up, turns GRO on
        // (`veth_set_features`): before that it has no effect on an end that was up first.
        for end in [one, other] {
            self.host(&end.host)?
                .run(|| set_offload(&end.interface, Offload::Gro, end.gro))?
                .map_err(kernel(format!("interface `{}` of `{}`", end.interface, end.host)))?;
        }
        Ok(())
    }
}

impl Host {
    fn create(lab: u32, spec: &HostSpec) -> Result<Host, LabError> {
        let namespace = OwnedNamespace::create(&sweep::namespace_name(lab, &spec.name))
            .map_err(kernel(format!("host `{}`", spec.name)))?;
        let host = Host { name: spec.name.clone(), namespace, interfaces: Vec::new() };
        if spec.forwards {
            host.run(|| sysctl::set_forwarding(true))?
                .map_err(kernel(format!("forwarding host `{}`", spec.name)))?;
        }
        Ok(host)
    }

    /// Its name in the topology.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace, whose [`Namespace::label`] `ip netns` and `nsenter --net=/run/netns/…` know.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its interfaces, in the order of the links.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// One interface by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn interface(&self, name: &str) -> Result<&Interface, LabError> {
        let mut interfaces = self.interfaces.iter();
        interfaces
            .find(|interface| interface.name == name)
            .ok_or_else(|| LabError::UnknownInterface { host: self.name.clone(), interface: name.to_owned() })
    }

    /// Runs `work` on this host and waits for it. Sockets that it opens stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace.run(work).map_err(kernel(format!("a thread on host `{}`", self.name)))
    }

    /// Runs `work` on this host on a thread of its own. It may outlive the lab, and so should
    /// look for a sign to stop.
    ///
    /// # Errors
    /// When the thread cannot be started. When it cannot enter the namespace, joining gives the
    /// error.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, LabError>>, LabError> {
        let what = format!("a thread on host `{}`", self.name);
        let namespace = self.namespace.try_clone().map_err(kernel(&what))?;
        let entered = what.clone();
        thread::Builder::new()
            .name(format!("lab {}", self.name))
            .spawn(move || {
                namespace.enter_thread().map_err(kernel(entered))?;
                Ok(work())
            })
            .map_err(io(format!("start {what}")))
    }

    /// Pulls the cable of an interface, or plugs it in again: the fault that every edge meets.
    /// IPv6 addresses and routes by it go while it is down.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_link(&self, interface: &str, state: LinkState) -> Result<(), LabError> {
        let set = || {
            let mut netlink = Netlink::open()?;
            match state {
                LinkState::Up => netlink.set_up(interface),
                LinkState::Down => netlink.set_down(interface),
            }
        };
        self.run(set)?.map_err(kernel(format!("`{interface}` of `{}` {state:?}", self.name)))
    }

    fn add_routes(&self, routes: &[(Prefix, IpAddr)]) -> Result<(), LabError> {
        for (to, via) in routes {
            let route = Route { to: to.address(), prefix_len: to.length(), via: Some(*via), interface: None };
            self.run(|| Netlink::open()?.add_route(&route))?
                .map_err(kernel(format!("route to {to} by {via} on host `{}`", self.name)))?;
        }
        Ok(())
    }
}

/// Whether a cable is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Plugged in.
    Up,
    /// Pulled out.
    Down,
}

/// Numbers of links begin anew in each lab: the same topology always has the same addresses.
fn chosen(end: &End, number: u32) -> Mac {
    // The third byte keeps clear of `Mac::local(1)` and its like, which topologies choose.
    end.mac.unwrap_or(Mac::local(0x1000_0000 | number))
}

fn veth_end<'a>(end: &'a End, namespace: &'a Namespace, mac: Mac) -> VethEnd<'a> {
    VethEnd {
        name: &end.interface,
        namespace: Some(namespace),
        mac: Some(mac.0),
        mtu: Some(end.mtu),
        queues: Some(end.queues),
    }
}

/// Runs on the end's host; gives the index.
fn configure(end: &End, peer: Mac, neighbours: &[Prefix]) -> Result<u32, KernelError> {
    let name = end.interface.as_str();
    let has_v6 = end.addresses.iter().any(|prefix| prefix.address().is_ipv6());
    set_offload(name, Offload::TxChecksum, end.tx_checksum)?;
    sysctl::set_ipv6(name, has_v6)?;
    if has_v6 {
        quiet_ipv6(name)?;
    }
    // Floods have sources that no route leads back to.
    sysctl::set_rp_filter(name, 0)?;
    let mut netlink = Netlink::open()?;
    netlink.set_up(name)?;
    for prefix in &end.addresses {
        netlink.add_address(name, prefix.address(), prefix.length())?;
    }
    for prefix in neighbours {
        netlink.add_neighbour(name, prefix.address(), peer.0)?;
    }
    netlink.link(name).map(|link| link.index)
}

/// No link-local address, so no solicitations and reports that would mix with what is counted.
fn quiet_ipv6(name: &str) -> Result<(), KernelError> {
    sysctl::set_duplicate_address_detection(name, false)?;
    sysctl::write(&format!("net/ipv6/conf/{name}/accept_ra"), "0")?;
    sysctl::write(&format!("net/ipv6/conf/{name}/addr_gen_mode"), "1")
}
