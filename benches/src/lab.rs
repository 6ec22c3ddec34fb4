//! Balancers side by side: Weir, nftables and HAProxy, each as the edge of a lab of its own.
//!
//! `client – edge – two servers`, the same for all. Everything that an edge does is done on the last CPU, by the
//! kernel's threads for its interfaces and by its process; whoever sends and answers is on the first one. So the
//! scheduler knows what an edge takes, whether it is at its limit or not.

mod edges;
mod flood;
mod rules;
mod streams;

use crate::Failure;
use crate::report::{self, Report};
use crate::threads;
use edges::{Absent, Balancer, Edge};

/// In this order.
const BALANCERS: [Balancer; 8] = [
    Balancer::Redirect,
    Balancer::Back,
    Balancer::WeirGateway,
    Balancer::WeirL2,
    Balancer::WeirIpip,
    Balancer::NftNat,
    Balancer::NftForward,
    Balancer::Haproxy,
];

/// All others are compared with it: what comes next to what nftables and HAProxy do here, by the kernel's routes.
const FIRST: Balancer = Balancer::WeirL2;

pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<(), Failure> {
    if weir_kernel::maps::possible_cpus() < 2 {
        report.absent.push("balancers in labs: there is only one CPU".to_owned());
        return Ok(());
    }
    let mut edges = Vec::new();
    for (number, balancer) in BALANCERS.into_iter().enumerate() {
        match Edge::start(number, balancer)? {
            Ok(edge) => edges.push(edge),
            Err(Absent(why)) => report.absent.push(format!("{}: {why}", balancer.name())),
        }
    }
    report::progress("lab: floods");
    for case in flood::CASES {
        report.floods.extend(flood::measure(&edges, case, rounds)?);
    }
    if let Some(missing) = ["nginx", "wrk", "ethtool"].into_iter().find(|tool| !threads::is_installed(tool)) {
        report.absent.push(format!("services behind balancers: there is no `{missing}`"));
        return Ok(());
    }
    report::progress("lab: services");
    report.streams = streams::measure(&edges, rounds)?;
    Ok(())
}
