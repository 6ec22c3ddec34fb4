//! The naive evaluator: what a checked policy means, said as plainly as can be.
//!
//! It parses the whole frame, tries every statement in order and keeps no cleverness; the IR
//! interpreter, the emitted bytecode and the kernel must agree with it on every packet.

mod balance;
mod cookie;
mod decap;
mod echo;
mod nat;
mod value;
mod walk;

pub use balance::headers_before;
pub use value::{Scope, bits, option};
pub use walk::{Header, walk};

use crate::ir::Verdict;
use crate::nat::Table;
use crate::policy::{Action, Balance, Limit, LimitUnit, Policy, SetPart, Statement, Unsent};
use crate::sampling::{Dice, Odds, Sampler};
use crate::sockets::Sockets;
use crate::state::{Counter, PoolState};
use std::collections::{BTreeMap, HashMap};
use weir_pool::pool::AllDown;

/// What happened to a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Its verdict.
    pub verdict: Verdict,
    /// The statement that decided; `None` for the default.
    pub by: Option<usize>,
    /// The frame that leaves, where the policy has changed it.
    pub frame: Option<Vec<u8>>,
    /// The statements that took it as a sample, in order, each with the N that it was taken with.
    pub samples: Vec<(usize, u32)>,
}

/// A flow as a balancer tells it from others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// The statement that sends it.
    pub statement: usize,
    /// Index into [`Policy::pools`].
    pub pool: usize,
    /// Its hash, by which it gets a slot of the pool's ring.
    pub hash: u64,
    /// Whether the packet is its first one.
    pub begins: bool,
    /// The frame that leaves, as the policy alone says.
    pub frame: Option<Vec<u8>>,
}

/// An element of a live set: a range for each value, and when it expires (monotonic nanoseconds).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveElement {
    /// As in [`crate::policy::Part::elements`].
    pub ranges: Vec<(u128, u128)>,
    /// `None` never expires.
    pub expires: Option<u64>,
}

/// A policy at work.
pub struct Evaluator<'a> {
    policy: &'a Policy,
    /// Elements that were added to live sets while running.
    pub live: HashMap<SetPart, Vec<LiveElement>>,
    /// Monotonic time of the next packet in nanoseconds.
    pub now: u64,
    /// By statement, the default last: packets to which it applied.
    pub counters: Vec<Counter>,
    /// By statement: packets over its limit.
    pub over: Vec<Counter>,
    /// By statement: packets that it did not send.
    pub unsent: HashMap<(usize, Unsent), Counter>,
    /// By pool.
    pub pools: Vec<PoolState>,
    /// By statement that translates: its flows, of IPv4 and of IPv6.
    pub nats: BTreeMap<usize, [Option<Table>; 2]>,
    /// By statement that samples: how likely it is to take a packet.
    pub odds: BTreeMap<usize, Odds>,
    /// By statement.
    pub samplers: Vec<Sampler>,
    /// Chance.
    pub dice: Dice,
    /// What the host's TCP says.
    pub sockets: Sockets,
    /// By statement that answers with cookies and by what it did: packets.
    pub cookies: HashMap<(usize, &'static str), Counter>,
    /// Where first fragments went.
    notes: HashMap<u64, u64>,
    buckets: Vec<HashMap<Vec<u64>, u64>>,
}

impl<'a> Evaluator<'a> {
    /// At the start: every bucket full, every counter zero.
    pub fn new(policy: &'a Policy) -> Self {
        let count = policy.statements.len();
        Self {
            policy,
            live: HashMap::new(),
            now: 0,
            counters: vec![Counter::default(); count + 1],
            over: vec![Counter::default(); count + 1],
            unsent: HashMap::new(),
            pools: policy.pools.iter().map(PoolState::of).collect(),
            nats: nats(policy),
            odds: policy.samples().map(|(index, sample)| (index, Odds::of(sample.one_in))).collect(),
            samplers: vec![Sampler::default(); count],
            dice: Dice::default(),
            sockets: Sockets::default(),
            cookies: HashMap::new(),
            notes: HashMap::new(),
            buckets: vec![HashMap::new(); count],
        }
    }

    /// Judges a frame.
    pub fn judge(&mut self, frame: &[u8]) -> Outcome {
        let policy = self.policy;
        let headers = walk(&policy.protocols, frame);
        let mut samples = Vec::new();
        for (index, statement) in policy.statements.iter().enumerate() {
            let holds = self.with_scope(frame, &headers, |scope| scope.holds(&statement.when));
            let followed = self.followed(index, frame, &headers);
            let answers = match &statement.action {
                Action::Answer(balance) => Some((balance, self.answered(index, balance, frame, &headers))),
                _ => None,
            };
            if matches!(answers, Some((_, None))) || !holds && followed.is_none() && answers.is_none() {
                continue;
            }
            let mut changed = None;
            let verdict = match &statement.action {
                Action::Count => None,
                Action::Sample(_) => match self.samplers[index].draw(&self.odds[&index], &mut self.dice) {
                    None => continue,
                    Some(one_in) => {
                        if !statement.shadow {
                            samples.push((index, one_in));
                        }
                        None
                    }
                },
                Action::Verdict(verdict) => Some(*verdict),
                Action::Limit(limit) => match self.over_limit(index, limit, frame, &headers) {
                    None => continue,
                    Some(over) => over.then_some(Verdict::Drop),
                },
                // What a pool does depends on what it has done: a shadow only counts.
                Action::Balance(_) if statement.shadow => None,
                Action::Balance(balance) | Action::Answer(balance) => {
                    let sent = match answers {
                        Some((_, Some(sent))) => sent,
                        _ => self.sent(index, balance, followed, frame, &headers),
                    };
                    match sent {
                        Ok(frame) => {
                            changed = Some(frame);
                            Some(Verdict::Send)
                        }
                        Err(balance::NotSent { why, answer }) => {
                            add(self.unsent.entry((index, why)).or_default(), frame);
                            let answered = answer.is_some().then_some(Verdict::Send);
                            changed = answer;
                            answered.or(Some(self.unsent_verdict(balance, why)))
                        }
                    }
                }
                Action::Syncookie if statement.shadow => None,
                Action::Syncookie => {
                    let Some(done) = cookie::done(policy, &self.sockets, frame, &headers) else { continue };
                    add(self.cookies.entry((index, done.word())).or_default(), frame);
                    match done {
                        cookie::Done::Answered(answer) => {
                            changed = Some(answer);
                            Some(Verdict::Send)
                        }
                        cookie::Done::Valid => None,
                        cookie::Done::Invalid => Some(Verdict::Drop),
                    }
                }
                Action::Echo => {
                    changed = echo::answered(policy, frame, &headers);
                    Some(Verdict::Send)
                }
                Action::Decap => {
                    changed = decap::unwrapped(&policy.protocols, frame, &headers);
                    Some(if changed.is_some() { Verdict::Pass } else { Verdict::Drop })
                }
            };
            add(&mut self.counters[index], frame);
            if let (Action::Limit(_), Some(_)) = (&statement.action, verdict) {
                add(&mut self.over[index], frame);
            }
            match verdict {
                Some(verdict) if !statement.shadow => {
                    return Outcome { verdict, by: Some(index), frame: changed, samples };
                }
                _ => {}
            }
        }
        add(&mut self.counters[policy.statements.len()], frame);
        Outcome { verdict: policy.default_verdict(), by: None, frame: None, samples }
    }

    /// The flow that a packet belongs to by the statement that sends it; for any other packet who decides.
    pub fn flow(&mut self, frame: &[u8]) -> Result<Flow, Outcome> {
        let outcome = self.judge(frame);
        let statement = outcome.by.map(|index| (index, &self.policy.statements[index].action));
        let Some((index, Action::Balance(balance))) = statement else { return Err(outcome) };
        let headers = walk(&self.policy.protocols, frame);
        let found = self.balancing(index, balance, frame, &headers, |balancing| balancing.flow());
        let Some((hash, begins)) = found else { return Err(outcome) };
        Ok(Flow { statement: index, pool: balance.pool as usize, hash, begins, frame: outcome.frame })
    }

    /// The hash of the flow that a later fragment follows.
    fn followed(&self, index: usize, frame: &[u8], headers: &[Header]) -> Option<u64> {
        match &self.policy.statements[index] {
            Statement { action: Action::Balance(balance), shadow: false, .. } => {
                self.balancing(index, balance, frame, headers, |balancing| balancing.followed(&self.notes))
            }
            _ => None,
        }
    }

    fn sent(
        &mut self,
        index: usize,
        balance: &Balance,
        followed: Option<u64>,
        frame: &[u8],
        headers: &[Header],
    ) -> Result<Vec<u8>, balance::NotSent> {
        let mut pool = std::mem::take(&mut self.pools[balance.pool as usize]);
        let mut notes = std::mem::take(&mut self.notes);
        let mut tables = self.nats.remove(&index);
        let now = self.now;
        let sent = self.balancing(index, balance, frame, headers, |balancing| match &mut tables {
            None => balancing.sent(followed, &mut pool, &mut notes),
            Some(tables) => {
                let kept = nat::Kept { pool: &mut pool, notes: &mut notes, tables, now };
                balancing.translated(followed, kept)
            }
        });
        self.nats.extend(tables.map(|tables| (index, tables)));
        self.pools[balance.pool as usize] = pool;
        self.notes = notes;
        sent
    }

    /// What leaves as an answer; `None` if the packet is none.
    fn answered(
        &mut self,
        index: usize,
        balance: &Balance,
        frame: &[u8],
        headers: &[Header],
    ) -> Option<Result<Vec<u8>, balance::NotSent>> {
        // The statement that translates is the next one.
        let mut tables = self.nats.remove(&(index + 1))?;
        let mut pool = std::mem::take(&mut self.pools[balance.pool as usize]);
        let mut notes = std::mem::take(&mut self.notes);
        let now = self.now;
        let answered = self.balancing(index, balance, frame, headers, |balancing| {
            let kept = nat::Kept { pool: &mut pool, notes: &mut notes, tables: &mut tables, now };
            balancing.answered(kept)
        });
        self.pools[balance.pool as usize] = pool;
        self.notes = notes;
        self.nats.insert(index + 1, tables);
        answered
    }

    fn balancing<T>(
        &self,
        index: usize,
        balance: &Balance,
        frame: &[u8],
        headers: &[Header],
        ask: impl FnOnce(&balance::Balancing) -> T,
    ) -> T {
        let (policy, statement) = (self.policy, self.policy.statements[index].name.as_str());
        self.with_scope(frame, headers, |scope| {
            ask(&balance::Balancing { policy, statement, balance, frame, headers, scope })
        })
    }

    fn unsent_verdict(&self, balance: &Balance, why: Unsent) -> Verdict {
        match (why, self.policy.pools[balance.pool as usize].down) {
            (Unsent::Nobody, AllDown::Pass) => Verdict::Pass,
            _ => Verdict::Drop,
        }
    }

    fn with_scope<T>(&self, frame: &[u8], headers: &[Header], ask: impl FnOnce(&Scope) -> T) -> T {
        let sets = |part: SetPart, key: &[u128]| self.set_holds(part, key);
        ask(&Scope::of_frame(&self.policy.protocols, frame, headers, &sets))
    }

    fn set_holds(&self, name: SetPart, key: &[u128]) -> bool {
        let inside = |ranges: &[(u128, u128)]| {
            ranges.iter().zip(key).all(|(&(low, high), &value)| low <= value && value <= high)
        };
        let part = &self.policy.sets[name.set as usize].parts[name.part as usize];
        let live = self.live.get(&name).into_iter().flatten();
        part.elements.iter().any(inside)
            || live.filter(|e| e.expires.is_none_or(|at| self.now < at)).any(|e| inside(&e.ranges))
    }

    /// Whether the packet is over the limit; `None` if it has no key and so is not limited.
    fn over_limit(&mut self, index: usize, limit: &Limit, frame: &[u8], headers: &[Header]) -> Option<bool> {
        let key = self.with_scope(frame, headers, |scope| {
            if limit.keys.is_empty() {
                return Some(Vec::new());
            }
            limit.keys.iter().find_map(|parts| {
                let scalars = parts.iter().map(|part| Some(part.scalars(scope.term(&part.term)?)));
                Some(scalars.collect::<Option<Vec<_>>>()?.concat())
            })
        })?;
        let cost = match limit.unit {
            LimitUnit::Packets => 1,
            LimitUnit::Bytes => frame.len() as u128,
        };
        let now = self.now << 4;
        let tat = self.buckets[index].entry(key).or_insert(0);
        let next = (*tat).max(now) + ((cost * u128::from(limit.interval)) >> 16) as u64;
        let within = next <= now + limit.tolerance;
        if within {
            *tat = next;
        }
        Some(!within)
    }
}

/// Without flows, by statement that translates.
fn nats(policy: &Policy) -> BTreeMap<usize, [Option<Table>; 2]> {
    let table = |(index, statement): (usize, &Statement)| match &statement.action {
        Action::Balance(balance) if !statement.shadow => {
            Some((index, balance.via.banks()?.map(|bank| bank.map(Table::new))))
        }
        _ => None,
    };
    policy.statements.iter().enumerate().filter_map(table).collect()
}

fn add(counter: &mut Counter, frame: &[u8]) {
    counter.packets += 1;
    counter.bytes += frame.len() as u64;
}
