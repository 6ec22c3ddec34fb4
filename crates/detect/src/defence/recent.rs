//! Recent samples by destination, in bounded memory: what an attack is made of, and what came before it.
//!
//! Each destination has its newest samples, and behind these a history of older ones that is thinner the older they are: at
//! most [`A_SECOND`] of each second, and of what leaves one part of it each fifth goes on to the next, so that it reaches back
//! for half an hour. Only what passed is in it, and nothing while an attack comes through ([`Recent::hold`]): so no flood
//! pushes out what was there before, and none is taken for good later. All together are at most [`ALL`], some 15 MiB; then the
//! destination that was quiet for the longest makes room.

use crate::mine::{Destinations, Prefix};
use crate::sample::{Fate, Sample};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use weir_packet::layers::Layers;

/// The newest samples of a destination.
const NEWEST: usize = 2000;
/// Older ones of it: so many in each part of its history, the newest first.
const OLDER: [usize; 5] = [600, 100, 100, 100, 100];
/// Of those that leave a part, each of so many goes on to the next.
const THINNER: u32 = 5;
/// So old is old.
const OLD: Duration = Duration::from_secs(2);
/// Of each second, so many become old ones.
const A_SECOND: u32 = 50;
/// All together.
const ALL: usize = 50_000;
/// Destinations.
const HOSTS: usize = 4096;
/// Good traffic to others.
const OTHERS: usize = 1000;
/// More bytes of a sample do not tell more.
const BYTES: usize = 128;

/// A sample that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    time: Duration,
    frame_len: u32,
    one_in: u32,
    fate: Fate,
    source: IpAddr,
    bytes: Box<[u8]>,
}

impl Kept {
    pub(super) fn sample(&self) -> Sample<'_> {
        Sample {
            time: self.time,
            header: &self.bytes,
            frame_len: self.frame_len,
            one_in: self.one_in,
            fate: self.fate,
            statement: None,
        }
    }

    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    pub(super) fn time(&self) -> Duration {
        self.time
    }
}

#[derive(Debug, Default)]
struct Host {
    newest: VecDeque<Kept>,
    /// The newest part first; and how many have left it.
    older: [(VecDeque<Kept>, u32); OLDER.len()],
    last: Duration,
    /// How many of which second became old.
    second: (u64, u32),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hosts: HashMap<IpAddr, Host>,
    /// To whom an attack comes through.
    held: Vec<Destinations>,
    count: usize,
}

/// From and to whom a frame goes.
pub(super) fn ends(header: &[u8]) -> Option<(IpAddr, IpAddr)> {
    Layers::of(header)?.ip.map(|ip| (ip.src, ip.dst))
}

impl Recent {
    pub(super) fn add(&mut self, sample: &Sample<'_>, (source, destination): (IpAddr, IpAddr)) {
        let bytes = sample.header[..sample.header.len().min(BYTES)].into();
        let Sample { time, frame_len, one_in, fate, .. } = *sample;
        let host = self.hosts.entry(destination).or_default();
        let before = host.len();
        let held = self.held.iter().any(|victim| victim.contains(destination));
        host.add(Kept { time, frame_len, one_in, fate, source, bytes }, held);
        self.count = self.count + host.len() - before;
        if self.count > ALL || self.hosts.len() > HOSTS {
            self.make_room(destination);
        }
    }

    /// An attack on the victim comes through: nothing of it is history.
    pub(super) fn hold(&mut self, victim: &Destinations) {
        if !self.held.contains(victim) {
            self.held.push(victim.clone());
        }
    }

    /// It does not any more: what came between the two times is no history either.
    pub(super) fn release(&mut self, victim: &Destinations, from: Duration, to: Duration) {
        self.held.retain(|held| held != victim);
        for (_, host) in self.hosts.iter_mut().filter(|(address, _)| victim.contains(**address)) {
            let before = host.len();
            host.newest.retain(|kept| kept.time < from || kept.time >= to);
            for (part, _) in &mut host.older {
                part.retain(|kept| kept.time < from || kept.time >= to);
            }
            self.count = self.count + host.len() - before;
        }
    }

    fn make_room(&mut self, but: IpAddr) {
        let others = self.hosts.iter().filter(|(address, _)| **address != but);
        // A tenth at once: looking for it goes through all.
        let mut quiet: Vec<(Duration, IpAddr)> =
            others.map(|(address, host)| (host.last, *address)).collect();
        quiet.sort_unstable();
        for (_, address) in quiet {
            if self.count <= ALL - ALL / 10 && self.hosts.len() <= HOSTS - HOSTS / 10 {
                break;
            }
            self.count -= self.hosts.remove(&address).map_or(0, |host| host.len());
        }
    }

    /// Samples to the victim from that time on.
    pub(super) fn since(&self, victim: &Destinations, time: Duration) -> Vec<&Kept> {
        self.to(victim).filter(|kept| kept.time >= time).collect()
    }

    /// Samples to the victim before that time.
    pub(super) fn before(&self, victim: &Destinations, time: Duration) -> Vec<&Kept> {
        self.to(victim).filter(|kept| kept.time < time).collect()
    }

    fn to(&self, victim: &Destinations) -> impl Iterator<Item = &Kept> {
        // Most victims are hosts: others need not be gone through for these.
        let host = |prefix: &Prefix| (*prefix == Prefix::host(prefix.address())).then(|| prefix.address());
        let hosts: Option<Vec<IpAddr>> = victim.prefixes().iter().map(host).collect();
        let within = |(address, _): &(&IpAddr, &Host)| victim.contains(**address);
        let all: Vec<&Host> = match hosts {
            Some(hosts) => hosts.iter().filter_map(|address| self.hosts.get(address)).collect(),
            None => self.hosts.iter().filter(within).map(|(_, host)| host).collect(),
        };
        all.into_iter().flat_map(Host::all)
    }

    /// Some samples to others that are not attacked.
    pub(super) fn others(&self, attacked: impl Fn(IpAddr) -> bool) -> Vec<&Kept> {
        let hosts = self.hosts.iter().filter(|(address, _)| !attacked(**address));
        let mut all: Vec<&Kept> = hosts.flat_map(|(_, host)| host.all()).collect();
        all.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.time));
        all.truncate(OTHERS);
        all
    }
}

impl Host {
    fn len(&self) -> usize {
        self.newest.len() + self.older.iter().map(|(part, _)| part.len()).sum::<usize>()
    }

    fn all(&self) -> impl Iterator<Item = &Kept> {
        self.older.iter().flat_map(|(part, _)| part).chain(&self.newest)
    }

    fn add(&mut self, kept: Kept, held: bool) {
        let now = kept.time;
        self.last = self.last.max(now);
        self.newest.push_back(kept);
        while let Some(first) = self.newest.front() {
            let old = first.time + OLD <= now;
            if !old && self.newest.len() <= NEWEST {
                break;
            }
            let Some(first) = self.newest.pop_front() else { break };
            if old && !held && first.fate == Fate::Passed {
                self.age(first);
            }
        }
    }

    fn age(&mut self, kept: Kept) {
        let second = kept.time.as_secs();
        if self.second.0 != second {
            self.second = (second, 0);
        }
        if self.second.1 >= A_SECOND {
            return;
        }
        self.second.1 += 1;
        let mut next = Some(kept);
        for ((part, left), most) in self.older.iter_mut().zip(OLDER) {
            let Some(kept) = next.take() else { return };
            part.push_back(kept);
            if part.len() > most {
                *left = left.wrapping_add(1);
                next = part.pop_front().filter(|_| left.is_multiple_of(THINNER));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn add(recent: &mut Recent, host: u32, ms: u64) {
        let time = Duration::from_millis(ms);
        let sample = Sample {
            time,
            header: &[0; 200],
            frame_len: 200,
            one_in: 1,
            fate: Fate::Passed,
            statement: None,
        };
        let (from, to) = (Ipv4Addr::from(1), Ipv4Addr::from(host));
        recent.add(&sample, (from.into(), to.into()));
    }

    #[test]
    fn a_flood_does_not_push_out_what_was_before() {
        let mut recent = Recent::default();
        let victim = Destinations::from(Prefix::host(Ipv4Addr::from(9).into()));
        (0..1000).for_each(|n| add(&mut recent, 9, 10 * n));
        (0..500_000).for_each(|n| add(&mut recent, 9, 12_000 + n / 50));
        let before = recent.before(&victim, Duration::from_secs(12)).len();
        assert!(before >= 400, "{before}");
        assert_eq!(recent.count, recent.hosts.values().map(Host::len).sum::<usize>());
        assert!(recent.count <= NEWEST + OLDER.iter().sum::<usize>());
        assert!(recent.since(&victim, Duration::from_secs(12)).len() >= NEWEST);
    }

    #[test]
    fn what_was_an_attack_is_no_history() {
        let mut recent = Recent::default();
        let victim = Destinations::from(Prefix::host(Ipv4Addr::from(9).into()));
        (0..100).for_each(|n| add(&mut recent, 9, 100 * n));
        recent.hold(&victim);
        (0..100).for_each(|n| add(&mut recent, 9, 10_000 + 100 * n));
        recent.release(&victim, Duration::from_secs(10), Duration::from_secs(19));
        let all = recent.since(&victim, Duration::ZERO);
        assert!(
            all.iter()
                .all(|kept| kept.time < Duration::from_secs(10) || kept.time >= Duration::from_secs(19))
        );
        assert!(all.len() >= 80, "{}", all.len());
        assert_eq!(recent.count, all.len());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut recent = Recent::default();
        for n in 0..300_000u64 {
            add(&mut recent, (n % 7919) as u32, n / 10);
            assert!(recent.count <= ALL && recent.hosts.len() <= HOSTS);
        }
        assert_eq!(recent.count, recent.hosts.values().map(Host::len).sum::<usize>());
        assert!(recent.others(|address| address == IpAddr::from(Ipv4Addr::from(1))).len() <= OTHERS);
    }
}
