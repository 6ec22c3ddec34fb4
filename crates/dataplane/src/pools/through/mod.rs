//! Probes that go the way of a service's packets: in the same tunnel, or to the same MAC address.
//!
//! A probe asks the service's own address, and its packets have a mark. Where they would leave this host, by the kernel's route to that
//! address, a program takes them for the backend that the mark names ([`program`]). What it does to them is made here
//! ([`parcel`]), by the definition of what `balance` does.
//!
//! Why a probe would not get there has room for 33 bytes beside a backend, so it is said shortly; the documentation says more.
//!
//! The program sits on interfaces only as long as somebody probes: its links are pinned nowhere, so they end with the process,
//! however that ends. Without a mark it changes nothing.

mod marks;
mod parcel;
mod program;

use crate::Error;
use marks::Marks;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use weir_bpf::target::Target;
use weir_checks::Way;
use weir_compiler::codegen::pools::Record;
use weir_compiler::policy::Through;
use weir_kernel::attach::{AttachError, Attachment, Hook, attach_first};
use weir_kernel::load::Loaded;
use weir_kernel::maps::{Map, Update};
use weir_kernel::netlink::{self, Interface, Link, Netlink};
use weir_kernel::netns::Namespace;
use weir_kernel::program::Program;
use weir_pool::flow;
use weir_pool::pool::Endpoint;

/// Whose probes: a pool and its backend.
type Whose = (String, Endpoint);

/// Who carries the probes of an instance's pools, in one network namespace.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Or why this host has none.
    means: Result<Means, String>,
    /// The interfaces on which the policy is: next hops that it fixes are there.
    interfaces: Vec<u32>,
    carried: BTreeMap<Whose, Carried>,
    /// Where the kernel's routes lead from here, as they are at one time.
    exits: BTreeMap<IpAddr, Result<Link, String>>,
}

/// What it takes.
#[derive(Debug)]
struct Means {
    namespace: Namespace,
    netlink: Netlink,
    marks: Marks,
    program: Program,
    parcels: Map,
    /// By interface.
    links: BTreeMap<u32, Attachment>,
}

/// A backend that is asked.
#[derive(Debug)]
struct Carried {
    way: Arc<Way>,
    parcel: Vec<u8>,
}

impl Carrier {
    pub(super) fn new(namespace: Namespace, interfaces: Vec<u32>, target: &Target) -> Carrier {
        let means = Means::find(namespace, target).map_err(|error| error.to_string());
        Carrier { means, interfaces, carried: BTreeMap::new(), exits: BTreeMap::new() }
    }

    /// The way of a backend's probes, as everything is now: it says itself where they cannot be made.
    pub(super) fn way(&mut self, whose: &Whose, through: &Through, record: &Record) -> Option<Arc<Way>> {
        let service = through.service(record.backend.address)?;
        let way = match self.carried(whose, service) {
            Ok(way) => way,
            Err(why) => {
                let way = Way::new(service, 0);
                way.hinder(Some(why));
                return Some(Arc::new(way));
            }
        };
        let parcel = self.parcel(whose, service, through, record);
        way.hinder(parcel.and_then(|parcel| self.carry(whose, parcel)).err());
        Some(way)
    }

    /// Probes of others are carried no longer. Routes are asked for anew.
    pub(super) fn keep(&mut self, there: &BTreeSet<Whose>) {
        self.exits.clear();
        let Ok(means) = &mut self.means else { return };
        self.carried.retain(|whose, carried| {
            let stays = there.contains(whose);
            if !stays {
                // One that is left behind has a mark that nothing has, and is written anew with the next one.
                let _ = means.parcels.delete(&carried.way.mark.to_ne_bytes());
                means.marks.release(carried.way.mark);
            }
            stays
        });
    }

    fn means(&mut self) -> Result<&mut Means, String> {
        self.means.as_mut().map_err(|why| why.clone())
    }

    fn carried(&mut self, whose: &Whose, service: IpAddr) -> Result<Arc<Way>, String> {
        if let Some(carried) = self.carried.get(whose) {
            return Ok(Arc::clone(&carried.way));
        }
        let mark = self.means()?.marks.take().ok_or("all marks for probes are taken")?;
        let way = Arc::new(Way::new(service, mark));
        self.carried.insert(whose.clone(), Carried { way: Arc::clone(&way), parcel: Vec::new() });
        Ok(way)
    }

    /// What is to be done to packets of its mark from now on.
    fn carry(&mut self, whose: &Whose, parcel: Vec<u8>) -> Result<(), String> {
        let means = self.means.as_ref().map_err(|why| why.clone())?;
        if let Some(carried) = self.carried.get_mut(whose).filter(|carried| carried.parcel != parcel) {
            let key = carried.way.mark.to_ne_bytes();
            means.parcels.update(&key, &parcel, Update::Any).map_err(|error| error.to_string())?;
            carried.parcel = parcel;
        }
        Ok(())
    }

    /// What is done to probes of a backend; or why they would not get there.
    fn parcel(
        &mut self,
        (pool, endpoint): &Whose,
        service: IpAddr,
        through: &Through,
        record: &Record,
    ) -> Result<Vec<u8>, String> {
        let exit = self.exit(service)?;
        if record.backend.hop.is_some() && !self.interfaces.contains(&exit.index) {
            return Err("its next hop is elsewhere".to_owned());
        }
        // Any flow's will do, as long as backends do not share one.
        let hash = flow::seed(&format!("{pool} {endpoint}"));
        let mac = exit.mac.unwrap_or_default();
        parcel::of(&through.via, record, service.is_ipv6(), mac, hash)
            .map(Vec::from)
            .map_err(|_| "its MAC address is not known".to_owned())
    }

    /// The interface by which probes of a service leave, with the program on it.
    fn exit(&mut self, service: IpAddr) -> Result<Link, String> {
        if let Some(known) = self.exits.get(&service) {
            return known.clone();
        }
        let exit = self.means()?.exit(service);
        self.exits.insert(service, exit.clone());
        exit
    }
}

impl Means {
    fn find(namespace: Namespace, target: &Target) -> Result<Means, Error> {
        let begin = || -> Result<_, Error> { Ok((Netlink::open()?, Marks::claim()?)) };
        let (netlink, marks) = namespace.run(begin)??;
        let Loaded { mut programs, mut maps, .. } = program::load(marks.first_half(), target)?;
        let (Some(loaded), Some(parcels)) =
            (programs.remove(program::PROGRAM), maps.remove(program::PARCELS))
        else {
            return Err(Error::Object("the program that carries probes is not in it".into()));
        };
        Ok(Means { namespace, netlink, marks, program: loaded.program, parcels, links: BTreeMap::new() })
    }

    fn exit(&mut self, service: IpAddr) -> Result<Link, String> {
        let route = self.netlink.route_to(service).map_err(|error| error.to_string())?;
        let interface = match (route.way, route.interface) {
            (netlink::Way::Here, _) => {
                return Err("the service's address is here".to_owned());
            }
            (netlink::Way::None, _) | (_, None) => {
                return Err("no route to the service's address".to_owned());
            }
            (_, Some(interface)) => interface,
        };
        let link = self.netlink.link_by_index(interface).map_err(|error| error.to_string())?;
        if link.mac.is_none() {
            return Err(format!("no Ethernet at `{}`", link.name));
        }
        self.sit_on(&link)?;
        Ok(link)
    }

    /// Puts the program on an interface, unless it sits there.
    fn sit_on(&mut self, link: &Link) -> Result<(), String> {
        if self.links.contains_key(&link.index) {
            return Ok(());
        }
        let interface = Interface { index: link.index, name: link.name.clone() };
        // The kernel looks for the interface in the namespace of the thread.
        let attach = || attach_first(&self.program, &interface, Hook::TcEgress);
        let attached = self.namespace.run(attach).map_err(|error| error.to_string())?;
        let attached = attached.map_err(|error| match error {
            AttachError::NoTcx => "no tcx, as of Linux 6.6".to_owned(),
            error => error.to_string(),
        })?;
        self.links.insert(link.index, attached);
        Ok(())
    }
}
