//! An edge of the fleet: it runs what etcd says, and says what it runs.
//!
//! etcd has the desired state. [`Edge`] follows it: policy and mitigations become one text, which is loaded as a whole or not
//! at all. What is refused is said to etcd, and what ran before runs on. Without etcd it keeps what it has; mitigations then
//! go by themselves when they are no longer hit, as nobody watches them.

mod desired;
mod event;
mod report;
mod standing;

pub use event::Event;
pub use report::{Report, Trouble};

use crate::etcd::{Change, Link, Store};
use crate::keys::{EDGES, numbered};
use crate::mitigation::{Told, number, split};
use crate::policy::{Published, policy};
use desired::{Desired, Fit};
use standing::Standing;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_dataplane::protect::{Base, Put, inside};
use weir_dataplane::{Error, Hook, Instance, Request, Source};
use weir_kernel::clock::monotonic_ns;
use weir_kernel::netns::Namespace;

/// How often is said what was counted.
const REPORT: Duration = Duration::from_millis(500);
/// So many statements are told of: an edge's key is written twice a second.
const STATEMENTS: usize = 100;
/// What the kernel refused may be taken later.
const AGAIN: Duration = Duration::from_secs(30);

/// What an edge is told.
#[derive(Debug)]
pub struct Options {
    /// Its name in the fleet.
    pub name: String,
    /// The name of its policy in etcd.
    pub policy: String,
    /// The instance that it loads, or goes on with.
    pub instance: String,
    /// Where to attach.
    pub interfaces: Vec<String>,
    /// How.
    pub hook: Hook,
    /// The namespace of the interfaces, if it is not ours.
    pub namespace: Option<Namespace>,
    /// The set of the policy whose sources no mitigation takes, if it is not `protected`.
    pub never: Option<String>,
    /// Without etcd a mitigation goes when it was hardly hit for so long.
    pub idle: Duration,
    /// And after so long in any case.
    pub longest: Duration,
    /// The address that its samples come from.
    pub agent: Option<IpAddr>,
}

/// An edge, as long as somebody turns it. Dropping it leaves the policy as it is.
#[derive(Debug)]
pub struct Edge {
    options: Options,
    store: Store,
    seen: Change,
    link: Link,
    put: Option<Put>,
    /// The policy that runs, without mitigations.
    policy: Option<Published>,
    /// What was tried last.
    tried: Option<Desired>,
    again: Option<Instant>,
    standing: BTreeMap<String, Standing>,
    report: Report,
    reported: Option<Instant>,
    events: Vec<Event>,
}

impl Edge {
    /// Goes on with the instance, if it runs already: an edge that was killed left it.
    pub fn start(store: Store, options: Options) -> Result<Edge, Error> {
        let (mut put, mut policy, mut standing) = (None, None, BTreeMap::new());
        match Instance::open(&options.instance) {
            Ok(instance) => {
                for (name, text) in split(&inside(&instance.policy_text()?)) {
                    let id = number(&name).map_or_else(|| name.clone(), |id| numbered("", id));
                    standing.insert(id, Standing::left(name, text, now()));
                }
                let open = Put::open(instance)?.0;
                policy = Some(Published { source: open.source(), revision: 0 });
                put = Some(open);
            }
            Err(Error::NoInstance { .. }) => {}
            Err(error) => return Err(error),
        }
        let report = Report {
            policy: options.policy.clone(),
            agent: options.agent,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            ..Report::default()
        };
        Ok(Edge {
            options,
            seen: Change::default(),
            link: Link::Opening,
            store,
            put,
            policy,
            tried: None,
            again: None,
            standing,
            report,
            reported: None,
            events: Vec::new(),
        })
    }

    /// Waits up to `wait` for etcd, does what is due, and says what happened.
    pub fn turn(&mut self, wait: Duration) -> Result<Vec<Event>, Error> {
        let change = self.store.wait(self.seen, wait);
        let has_changed = std::mem::replace(&mut self.seen, change) != change;
        if has_changed {
            self.follow_link();
        }
        self.count()?;
        let is_due = self.again.is_some_and(|again| Instant::now() >= again);
        if has_changed || is_due || self.link != Link::Up {
            self.follow(is_due);
        }
        self.tell();
        Ok(std::mem::take(&mut self.events))
    }

    /// What runs, once something does.
    pub fn instance(&self) -> Option<&Instance> {
        self.put.as_ref().map(Put::instance)
    }

    /// What is said to etcd.
    pub fn report(&self) -> &Report {
        &self.report
    }

    fn follow_link(&mut self) {
        let link = self.store.link();
        match (&self.link, &link) {
            (Link::Up, Link::Lost(why)) | (Link::Opening, Link::Lost(why)) => {
                self.events.push(Event::Lost { why: why.clone() });
                // From here on nobody else counts whether they are hit.
                self.standing.values_mut().for_each(|one| one.hits.wait_from(now()));
            }
            (Link::Opening | Link::Lost(_), Link::Up) => self.events.push(Event::Found),
            _ => {}
        }
        self.link = link;
    }

    /// Lets run what should.
    fn follow(&mut self, again: bool) {
        let desired = self.desired();
        if !again && self.tried.as_ref() == Some(&desired) {
            return;
        }
        self.again = None;
        self.apply(&desired);
        self.tried = Some(desired);
    }

    /// What should run: what etcd says, or what runs as far as it still should.
    fn desired(&mut self) -> Desired {
        if self.link != Link::Up {
            let Options { idle, longest, .. } = self.options;
            let now = now();
            let stays = self.standing.iter().filter(|(_, one)| !one.is_over(idle, longest, now));
            let mitigations = stays.map(|(id, one)| (id.clone(), one.text.clone())).collect();
            return Desired { policy: self.policy.clone(), mitigations };
        }
        let mut policy = match policy(&self.store, &self.options.policy) {
            Ok(policy) => policy,
            Err(why) => {
                self.refuse_policy(None, why);
                None
            }
        };
        if policy.is_none() && self.policy.is_some() {
            // A policy that is gone is no order to let everything through.
            policy.clone_from(&self.policy);
        }
        Desired { policy, mitigations: desired::mitigations(&self.store) }
    }

    /// All of it, or as much as the compiler and the kernel take: what they refuse is said.
    fn apply(&mut self, desired: &Desired) {
        let Some(wanted) = &desired.policy else {
            let missing = Event::NoPolicy { name: self.options.policy.clone() };
            if self.tried.is_none() {
                self.events.push(missing);
            }
            return;
        };
        let mut policy = wanted.clone();
        let mut fitting = self.fit(&policy.source, desired);
        let mut taken = self.run(&policy.source, &fitting.texts());
        if taken.is_ok() {
            self.report.trouble = None;
        } else {
            self.again = Some(Instant::now() + AGAIN);
            // Who is to blame?
            if let Err(error) = self.run(&policy.source, &[]) {
                self.refuse_policy(Some(policy.revision), error.brief());
                let Some(before) = self.policy.clone() else { return };
                policy = before;
                fitting = self.fit(&policy.source, desired);
                taken = self.run(&policy.source, &fitting.texts());
            } else {
                self.report.trouble = None;
            }
        }
        if let Err(error) = taken {
            let mut taken = Vec::new();
            fitting.good.retain(|(id, told)| {
                taken.push(told.text.clone());
                let Err(error) = self.run(&policy.source, &taken) else { return true };
                taken.pop();
                fitting.refused.insert(id.clone(), error.brief());
                false
            });
            if fitting.refused.is_empty() && self.report.trouble.is_none() {
                // Both went when tried one by one: it was of the moment.
                self.report.trouble = Some(Trouble { revision: policy.revision, why: error.brief() });
            }
        }
        let Fit { never, good, refused } = fitting;
        self.report.never = never;
        self.ran(policy, good);
        for (id, why) in &refused {
            if self.report.refused.get(id) != Some(why) {
                self.events.push(Event::Refused { what: format!("mitigation {id}"), why: why.clone() });
            }
        }
        self.report.refused = refused;
    }

    fn fit(&self, source: &Source, desired: &Desired) -> Fit {
        Fit::of(source, self.options.never.as_deref(), &desired.mitigations)
    }

    /// Loads it, or exchanges what runs.
    fn run(&mut self, source: &Source, statements: &[String]) -> Result<(), Error> {
        match &mut self.put {
            Some(put) => put.replace(source.clone(), statements).map(drop),
            None => {
                self.put = Some(load(&self.options, source, statements)?);
                Ok(())
            }
        }
    }

    /// That runs now.
    fn ran(&mut self, policy: Published, good: Vec<(String, Told)>) {
        if self.policy.as_ref() != Some(&policy) {
            self.events.push(Event::Runs { policy: self.options.policy.clone(), revision: policy.revision });
        }
        self.report.revision = policy.revision;
        self.policy = Some(policy);
        let mut before = std::mem::take(&mut self.standing);
        for (id, Told { name, in_shadow, text }) in good {
            let known = before.remove(&id);
            if known.as_ref().is_none_or(|known| known.text != text) {
                self.events.push(Event::Mitigates { name: name.clone(), shadow: in_shadow });
            }
            let one = match known {
                Some(known) => known.with(text, now()),
                None => Standing::new(name, text, now()),
            };
            self.standing.insert(id, one);
        }
        for one in before.into_values() {
            self.events.push(Event::Ended { name: one.name, hits: one.hits.packets });
        }
    }

    fn refuse_policy(&mut self, revision: Option<i64>, why: String) {
        let trouble = Trouble { revision: revision.unwrap_or_default(), why };
        if self.report.trouble.as_ref() != Some(&trouble) {
            let what = format!("policy `{}`", self.options.policy);
            self.events.push(Event::Refused { what, why: trouble.why.clone() });
        }
        self.report.trouble = Some(trouble);
    }

    /// What the mitigations' counters say.
    fn count(&mut self) -> Result<(), Error> {
        let Some(put) = &self.put else { return Ok(()) };
        if self.reported.is_some_and(|at| at.elapsed() < REPORT) {
            return Ok(());
        }
        let counters = put.instance().counters()?;
        let mut most: Vec<(String, u64)> =
            counters.iter().map(|counter| (counter.name.clone(), counter.packets)).collect();
        most.sort_unstable_by_key(|(_, packets)| Reverse(*packets));
        most.truncate(STATEMENTS);
        self.report.packets = most.into_iter().collect();
        for one in self.standing.values_mut() {
            if let Some(counter) = counters.iter().find(|counter| counter.name == one.name) {
                one.hits.read(counter.hits(), now());
            }
        }
        Ok(())
    }

    fn tell(&mut self) {
        let is_due = self.reported.is_none_or(|at| at.elapsed() >= REPORT);
        if !is_due && self.events.is_empty() {
            return;
        }
        self.reported = Some(Instant::now());
        self.report.running = self.put.is_some();
        let packets = self.standing.iter().map(|(id, one)| (id.clone(), one.hits.packets));
        self.report.mitigations = packets.collect();
        if let Ok(json) = serde_json::to_vec(&self.report) {
            self.store.lend(&format!("{EDGES}{}", self.options.name), json);
        }
    }
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

fn load(options: &Options, source: &Source, statements: &[String]) -> Result<Put, Error> {
    let (base, _) = Base::of(&source.name, &source.text, source);
    let whole = Source { text: base.with(statements), ..source.clone() };
    let load = || {
        let interfaces: Vec<&str> = options.interfaces.iter().map(String::as_str).collect();
        let request = Request::new(whole.policy(), &interfaces);
        Instance::load(&Request { instance: &options.instance, hook: options.hook, ..request })
    };
    let loaded = match &options.namespace {
        None => load(),
        Some(namespace) => namespace.run(load).map_err(Error::Kernel)?,
    };
    Ok(Put::open(loaded?.0)?.0)
}
