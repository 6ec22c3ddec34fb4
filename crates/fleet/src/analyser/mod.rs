//! An analyser of the fleet: it hears what all edges sample, and one of all analysers decides.
//!
//! Each hands on to the others what agents send it ([`crate::listener`]), so each sees all of the traffic and is ready to
//! decide. The one that holds the key `leader` does; its mitigations are keys that go with a lease which only a leader
//! keeps alive. A leader that loses etcd decides no more, and the next one goes on with what it finds there: etcd alone says
//! what stands. Each write is tied to holding the key, so no two decide at once.

mod event;
mod hits;
mod leader;
mod policies;

pub use event::{Event, Fleet, What};
pub use leader::{Answer, Life};

use crate::Error;
use crate::edge::Report;
use crate::etcd::{Change, Link, Store};
use crate::keys::{ANALYSERS, EDGES, FILES, LEADER, POLICIES};
use crate::listener::{Listener, Senders};
use hits::Hits;
use leader::Leader;
use policies::Policies;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use weir_dataplane::protect;
use weir_detect::defence::{Defence, Evidence, Memory};
use weir_detect::life::Mitigation;
use weir_kernel::clock::monotonic_ns;

/// How long one turn takes datagrams in before it looks at anything else.
const TURN: Duration = Duration::from_millis(20);
/// How often is looked what edges say: each of them says something twice a second.
const LOOK: Duration = Duration::from_millis(250);

/// What an analyser is told.
#[derive(Debug)]
pub struct Options {
    /// Its name in the fleet.
    pub name: String,
    /// Where the other analysers reach it: where it listens, unless that is every address.
    pub address: SocketAddr,
    /// Agents that are no edges of the fleet.
    pub agents: Vec<IpAddr>,
    /// What is an attack, and how mitigations live.
    pub protect: protect::Options,
    /// For how long mitigations stand without any analyser.
    pub hold: Duration,
}

/// What an analyser says of itself: the value of its key in etcd.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Presence {
    /// Where it takes sFlow.
    pub sflow: SocketAddr,
    /// Tells it from others of its name, before and after it.
    pub run: String,
}

/// An analyser, as long as somebody turns it.
#[derive(Debug)]
pub struct Analyser {
    options: Options,
    store: Store,
    listener: Listener,
    defence: Defence,
    /// The value of the key `leader` while it is this one.
    run: String,
    leader: Option<Leader>,
    seen: Change,
    link: Link,
    policies: Policies,
    /// Of what they were made.
    revisions: Vec<(String, i64)>,
    hits: Hits,
    looked: Instant,
    events: Vec<Event>,
}

impl Analyser {
    /// Begins to listen. `listener` need not read anybody yet.
    pub fn start(store: Store, listener: Listener, options: Options) -> Result<Analyser, Error> {
        let run = format!("{}/{}/{}", options.name, std::process::id(), monotonic_ns());
        let presence = Presence { sflow: options.address, run: run.clone() };
        let json = serde_json::to_vec(&presence).map_err(|error| Error::Options(error.to_string()))?;
        store.lend(&format!("{ANALYSERS}{}", options.name), json);
        Ok(Analyser {
            defence: Defence::new(options.protect.traffic(), options.protect.life()),
            policies: Policies::of(&store, &options.protect),
            options,
            store,
            listener,
            run,
            leader: None,
            seen: Change::default(),
            link: Link::Opening,
            revisions: Vec::new(),
            hits: Hits::default(),
            looked: Instant::now(),
            events: Vec::new(),
        })
    }

    /// Takes in datagrams for a moment, does what is due, and says what happened.
    pub fn turn(&mut self) -> Result<Vec<Event>, Error> {
        self.listen()?;
        let change = self.store.change();
        let has_changed = std::mem::replace(&mut self.seen, change) != change;
        if has_changed {
            self.follow_link();
            self.lead();
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look();
        }
        self.defend(has_changed);
        Ok(std::mem::take(&mut self.events))
    }

    /// The samples behind the rules that were found since the last call.
    pub fn evidence(&mut self) -> Vec<Evidence> {
        self.defence.evidence()
    }

    /// The mitigations that it answers for; none while another one decides.
    pub fn mitigations(&self) -> impl Iterator<Item = &Mitigation> {
        self.defence.standing()
    }

    /// What is to be kept over a restart.
    pub fn memory(&self) -> Memory {
        self.defence.memory()
    }

    /// Goes on from what was kept: what is usual, and the numbers of attacks. The rest etcd knows.
    pub fn recall(&mut self, memory: Memory) {
        let Memory { attacks, learnt, .. } = memory;
        self.defence.recall(Memory { attacks, learnt, ..Memory::default() });
    }

    /// Whether this one decides.
    pub fn leads(&self) -> bool {
        self.leader.is_some()
    }

    /// What it listens with.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    fn listen(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        while start.elapsed() < TURN {
            let Analyser { listener, defence, .. } = self;
            let read = listener.read(now, |sample| defence.observe(&sample));
            match read.map_err(|error| Error::Listening(error.to_string()))? {
                (false, _) => break,
                (true, None) => {}
                (true, Some(told)) => self.tell(Fleet::Heard { told }),
            }
        }
        Ok(())
    }

    fn follow_link(&mut self) {
        let link = self.store.link();
        match (&self.link, &link) {
            (Link::Up | Link::Opening, Link::Lost(why)) => self.tell(Fleet::Lost { why: why.clone() }),
            (Link::Opening | Link::Lost(_), Link::Up) => self.tell(Fleet::Found),
            _ => {}
        }
        self.link = link;
    }

    /// What etcd says of the others.
    fn look(&mut self) {
        let edges = self.store.read(EDGES);
        self.meet(&edges);
        // An answer of etcd may have been lost.
        self.lead();
        if self.leader.is_some() {
            self.hits.take(&edges);
            let hits = &self.hits;
            self.defence.count(now(), |name| Some(hits.of(name)));
            self.hits.refused_by_all().into_iter().for_each(|id| self.defence.refuse(id));
        }
    }

    /// The other analysers, and whose samples are read.
    fn meet(&mut self, edges: &BTreeMap<String, Report>) {
        let analysers = self.store.read::<Presence>(ANALYSERS).into_iter();
        let others = analysers.filter(|(name, _)| *name != self.options.name);
        self.listener.share_with(others.map(|(_, presence)| presence.sflow).collect());
        let agents = edges.values().filter_map(|report| report.agent);
        let agents: BTreeSet<IpAddr> = agents.chain(self.options.agents.iter().copied()).collect();
        self.listener.listen_to(Senders::Listed(agents));
    }

    /// Protects what policies do now, and knows their services, if any has changed.
    fn protect(&mut self) {
        let named = self.store.list(POLICIES).into_iter().chain(self.store.list(FILES));
        let revisions: Vec<(String, i64)> = named.map(|(name, entry)| (name, entry.changed)).collect();
        if revisions == self.revisions {
            return;
        }
        self.revisions = revisions;
        self.policies = Policies::of(&self.store, &self.options.protect);
        let Analyser { policies, defence, .. } = self;
        defence.read_again(now(), policies.protected(), |name, text| {
            let edit = policies.read(name, text).map_err(|told| told.message())?;
            Ok(edit.matcher)
        });
        defence.protect(policies.protected().clone());
        defence.serve(policies.services().to_vec());
    }

    /// Takes the lead if nobody has it, and gives it up if it is lost.
    fn lead(&mut self) {
        // Before anything is adopted: what does not spare it ends.
        self.protect();
        let entry = self.store.get(LEADER);
        let ours = entry.filter(|entry| self.link == Link::Up && entry.value == self.run.as_bytes());
        match (&self.leader, ours) {
            (None, Some(entry)) => {
                let hold = self.options.hold;
                let leader =
                    Leader::begin(&self.store, (entry.made, hold), &self.policies, &mut self.defence, now());
                match leader {
                    Ok(leader) => {
                        self.leader = Some(leader);
                        self.hits = Hits::default();
                        self.tell(Fleet::Leads);
                    }
                    Err(error) => {
                        // What it adopted is adopted again, under another lease.
                        self.step_down();
                        self.tell(Fleet::Trouble { why: error.to_string() });
                    }
                }
            }
            (Some(leader), Some(entry)) if leader.made == entry.made => {}
            (Some(_), _) => {
                self.step_down();
                self.tell(Fleet::Follows);
            }
            (None, None) => {}
        }
        if self.link == Link::Up && self.store.get(LEADER).is_none() {
            // Another one may be faster; the copy says who it was.
            let _ = leader::apply_for(&self.store, &self.run);
        }
    }

    /// Decides no more, nor keeps alive what others decide about.
    fn step_down(&mut self) {
        self.leader = None;
        self.defence.abandon();
        self.store.keep([]);
    }

    fn defend(&mut self, has_changed: bool) {
        let now = now();
        let Some(leader) = &mut self.leader else {
            self.defence.stand_by(now);
            // What it sees is the leader's to tell.
            self.defence.events();
            return;
        };
        self.defence.turn(now);
        let granted = match has_changed {
            true => leader.grant(&self.store, &self.policies, &mut self.defence, now),
            false => Ok(()),
        };
        let commands = self.defence.commands(now);
        if let Err(error) = granted.and_then(|()| leader.put(&self.store, &self.defence, &commands)) {
            // Somebody else decides, or will: what stands in etcd stands.
            self.step_down();
            self.tell(Fleet::Trouble { why: error.to_string() });
            return;
        }
        self.defence.done(now, &commands);
        let told = self.defence.events();
        self.events.extend(told.into_iter().map(Event::from));
    }

    fn tell(&mut self, what: Fleet) {
        self.events.push(Event { time_ns: monotonic_ns(), what: What::Fleet(what) });
    }
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}
