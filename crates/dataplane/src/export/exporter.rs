//! An instance's samples and counters, sent.

use super::agent::{Agent, Counted, Dropped, Settings};
use super::collectors::{CollectorStatus, Collectors};
use super::interfaces;
use crate::samples::Sample;
use crate::{Error, Hook, Instance};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use weir_detect::sflow::Direction;
use weir_kernel::clock::monotonic_ns;
use weir_kernel::netns::Namespace;

/// Sends what is handed to it, and the counters of an instance.
#[derive(Debug)]
pub struct Exporter {
    instance: Instance,
    namespace: Option<Namespace>,
    agent: Agent,
    collectors: Collectors,
    began: Instant,
    /// The same by the clock of samples.
    began_ns: u64,
    /// The time that datagrams have come to.
    told: Duration,
}

impl Exporter {
    /// To collectors, from an address or else the one that packets to the first collector leave from. `namespace` is that
    /// of the instance's interfaces, if it is not ours.
    pub fn new(
        instance: Instance,
        collectors: Collectors,
        address: Option<IpAddr>,
        dropped: Dropped,
        counters: Duration,
        namespace: Option<Namespace>,
    ) -> Result<Exporter, Error> {
        let address = address.or_else(|| collectors.source()).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let is_egress = instance.attachments()?.first().is_some_and(|at| at.hook == Hook::TcEgress);
        let direction = if is_egress { Direction::Egress } else { Direction::Ingress };
        let agent = Agent::new(Settings { address, dropped, counters, direction });
        let (began, began_ns, told) = (Instant::now(), monotonic_ns(), Duration::ZERO);
        Ok(Exporter { instance, namespace, agent, collectors, began, began_ns, told })
    }

    /// A sample was read.
    pub fn sample(&mut self, sample: &Sample<'_>) {
        // What waited in the ring was taken before now; the agent's clock never goes back.
        let taken = sample.record.time.saturating_sub(self.began_ns);
        self.told = self.told.max(Duration::from_nanos(taken));
        self.agent.sample(self.told, sample, &mut |datagram| self.collectors.send(datagram));
    }

    /// Does what is due. To be called some times a second; counters that cannot be read keep nothing else from being sent.
    pub fn turn(&mut self) -> Result<(), Error> {
        let now = self.now();
        let counted = self.agent.wants_counters(now).then(|| self.counted()).transpose();
        let Exporter { agent, collectors, .. } = self;
        let send: &mut dyn FnMut(&[u8]) = &mut |datagram| collectors.send(datagram);
        match &counted {
            Ok(Some(counted)) => agent.counted(now, counted, send),
            Ok(None) => {}
            Err(_) => agent.not_counted(now),
        }
        agent.turn(now, send);
        counted.map(drop)
    }

    /// Sends what waits, and says what became of all.
    pub fn finish(&mut self) -> Vec<CollectorStatus> {
        let now = self.now();
        self.agent.finish(now, &mut |datagram| self.collectors.send(datagram));
        self.collectors.status()
    }

    /// What became of what was sent so far.
    pub fn status(&self) -> Vec<CollectorStatus> {
        self.collectors.status()
    }

    /// Collectors that did not take something for the first time since the last call.
    pub fn troubles(&mut self) -> Vec<(String, io::Error)> {
        self.collectors.troubles()
    }

    /// Samples that fit into no datagram.
    pub fn refused(&self) -> u64 {
        self.agent.refused()
    }

    fn now(&mut self) -> Duration {
        self.told = self.told.max(self.began.elapsed());
        self.told
    }

    fn counted(&self) -> Result<Counted, Error> {
        let attached = self.instance.attachments()?;
        let counters = self.instance.counters()?.into_iter();
        Ok(Counted {
            interfaces: interfaces::counters(&attached, self.namespace.as_ref())?,
            statements: counters.map(|counted| (counted.name, counted.packets, counted.bytes)).collect(),
        })
    }
}
