//! Two policies as one: the same protocols and sets under the same numbers, one list after the other.

use crate::plan::headers_asked;
use crate::policy::{
    Action, Balance, HeaderRef, KeyPart, Limit, Next, Policy, Pool, Pred, Protocol, ProtocolId, Protocols,
    Selector, Set, SetPart, Statement,
};
use crate::symbolic::Names;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Both policies in one.
pub(super) struct Joint {
    /// The statements of the old policy, then those of the new one.
    pub policy: Policy,
    /// Where the new one's begin.
    pub split: usize,
    /// For each statement the first that asks and does the same, in either policy.
    pub same: Vec<usize>,
}

impl Joint {
    /// Joins two policies; or the protocols of which they have different ideas, where that matters.
    /// With `counts` the names of all statements tell them apart, else those of limits.
    pub(super) fn of(old: &Policy, new: &Policy, counts: bool) -> Result<Joint, Vec<String>> {
        let protocols = merged(old, new)?;
        let (sets, new_sets) = merged_sets(old, new);
        let id = |from: &Policy, id: ProtocolId| {
            protocols.find(&from.protocols[id].name).expect("every protocol was merged")
        };
        let (pools, new_pools) = merged_pools(old, new);
        let renamed = |from: &Policy, numbers: &[u32], pools: &[u32]| -> Vec<Statement> {
            let header = |header: HeaderRef| HeaderRef { protocol: id(from, header.protocol), ..header };
            let set = |part: SetPart| SetPart { set: numbers[part.set as usize], ..part };
            let names = Names { header: &header, set: &set };
            from.statements.iter().map(|statement| said(&names, pools, statement)).collect()
        };
        let old_sets: Vec<u32> = (0..old.sets.len() as u32).collect();
        let old_pools: Vec<u32> = (0..old.pools.len() as u32).collect();
        let mut statements = renamed(old, &old_sets, &old_pools);
        let split = statements.len();
        statements.extend(renamed(new, &new_sets, &new_pools));
        let same = first_of_each(&statements, counts);
        let policy = Policy { protocols, sets, pools, statements, ..Policy::default() };
        Ok(Joint { policy, split, same })
    }
}

fn said(names: &Names, pools: &[u32], statement: &Statement) -> Statement {
    let key = |part: &KeyPart| KeyPart { term: names.term(&part.term), ..part.clone() };
    let keys = |keys: &[Vec<KeyPart>]| keys.iter().map(|parts| parts.iter().map(key).collect()).collect();
    let of_joint = |balance: &Balance| Balance {
        keys: keys(&balance.keys),
        pool: pools[balance.pool as usize],
        ..balance.clone()
    };
    let action = match &statement.action {
        Action::Limit(limit) => Action::Limit(Limit { keys: keys(&limit.keys), ..limit.clone() }),
        Action::Balance(balance) => Action::Balance(of_joint(balance)),
        Action::Answer(balance) => Action::Answer(of_joint(balance)),
        other => other.clone(),
    };
    Statement { when: names.pred(&statement.when), action, ..statement.clone() }
}

fn first_of_each(statements: &[Statement], counts: bool) -> Vec<usize> {
    let mut first = HashMap::new();
    let key = |statement: &Statement| {
        let named = counts || matches!(statement.action, Action::Limit(_));
        let action = format!("{:?}", statement.action);
        (statement.when.clone(), action, statement.shadow, named.then(|| statement.name.clone()))
    };
    statements.iter().enumerate().map(|(index, s)| *first.entry(key(s)).or_insert(index)).collect()
}

/// The sets of both, of which equal ones are one, and the numbers of the new policy's among them.
fn merged_sets(old: &Policy, new: &Policy) -> (Vec<Set>, Vec<u32>) {
    let mut sets = old.sets.clone();
    let equal = |a: &Set, b: &Set| {
        a.parts == b.parts && a.live.is_some() == b.live.is_some() && (a.live.is_none() || a.name == b.name)
    };
    let mut numbers = Vec::new();
    for set in &new.sets {
        let at = old.sets.iter().position(|known| equal(known, set)).unwrap_or_else(|| {
            sets.push(set.clone());
            sets.len() - 1
        });
        numbers.push(at as u32);
    }
    (sets, numbers)
}

/// The pools of both, of which equal ones are one, and the numbers of the new policy's among them.
fn merged_pools(old: &Policy, new: &Policy) -> (Vec<Pool>, Vec<u32>) {
    let mut pools = old.pools.clone();
    let mut numbers = Vec::new();
    for pool in &new.pools {
        let equal = |known: &Pool| known.meaning() == pool.meaning();
        let at = old.pools.iter().position(equal).unwrap_or_else(|| {
            pools.push(pool.clone());
            pools.len() - 1
        });
        numbers.push(at as u32);
    }
    (pools, numbers)
}

/// What a policy asks of the protocols.
struct Demand<'p> {
    protocols: &'p Protocols,
    /// Protocols that statements ask for, and all by which packets get to them.
    relevant: BTreeSet<ProtocolId>,
}

impl<'p> Demand<'p> {
    fn of(policy: &'p Policy) -> Self {
        let mut relevant = BTreeSet::new();
        for statement in &policy.statements {
            relevant.extend(headers_asked(&statement.when).iter().map(|header| header.protocol));
            let terms = statement.action.terms(&policy.protocols).into_iter();
            let asked = terms.flat_map(|term| headers_asked(&Pred::There(term)));
            relevant.extend(asked.map(|header| header.protocol));
        }
        let protocols = &policy.protocols;
        loop {
            let leads = |id: &ProtocolId| {
                protocols[*id].next.iter().flat_map(|next| &next.table).any(|row| relevant.contains(&row.1))
            };
            let more: Vec<_> = protocols.ids().filter(|id| !relevant.contains(id) && leads(id)).collect();
            if more.is_empty() {
                return Self { protocols, relevant };
            }
            relevant.extend(more);
        }
    }

    fn asks_for(&self, name: &str) -> bool {
        self.protocols.find(name).is_some_and(|id| self.relevant.contains(&id))
    }
}

/// The protocols of both policies in one table, if it means to each what its own does.
fn merged(old: &Policy, new: &Policy) -> Result<Protocols, Vec<String>> {
    let (ours, theirs) = (Demand::of(old), Demand::of(new));
    let mut merged = Protocols::default();
    merged.root = old.protocols.root;
    let mut at_odds = Vec::new();
    let more = new.protocols.list.iter().filter(|p| old.protocols.find(&p.name).is_none());
    for protocol in old.protocols.list.iter().chain(more) {
        merged.add(protocol.clone());
    }
    merged.families = old.protocols.families.clone();
    for id in merged.ids() {
        let name = merged[id].name.clone();
        let next = tables(&name, &ours, &theirs);
        let matters = ours.asks_for(&name) || theirs.asks_for(&name);
        if matters && (next.is_none() || !same_definition(&name, old, new)) {
            at_odds.push(name);
        } else {
            let named = next.unwrap_or_default().into_iter();
            merged[id].next = named.map(|(next, rows)| with_rows(&merged, next, rows)).collect();
        }
    }
    // The group of a protocol is a number of its table, and a name for those that share it.
    regroup(&mut merged, old, new);
    if at_odds.is_empty() { Ok(merged) } else { Err(at_odds) }
}

fn regroup(merged: &mut Protocols, old: &Policy, new: &Policy) {
    let first = |protocols: &Protocols, name: &str| {
        let group = protocols[protocols.find(name)?].group;
        protocols.list.iter().find(|p| p.group == group).map(|p| p.name.clone())
    };
    for id in merged.ids() {
        let name = merged[id].name.clone();
        let head = first(&old.protocols, &name).or_else(|| first(&new.protocols, &name));
        merged[id].group = head.and_then(|head| merged.find(&head)).map_or(id.0, |head| head.0);
    }
}

fn same_definition(name: &str, old: &Policy, new: &Policy) -> bool {
    let (Some(a), Some(b)) = (old.protocols.find(name), new.protocols.find(name)) else { return true };
    let said = |p: &Protocol| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            p.depth, p.fields, p.fixed, p.length, p.require, p.carries, p.options
        )
    };
    said(&old.protocols[a]) == said(&new.protocols[b])
}

type Rows = BTreeMap<u128, (String, bool)>;

/// What follows a protocol, for both policies: `None` if they would go on differently where one of them
/// asks for what comes.
fn tables<'p>(name: &str, ours: &Demand<'p>, theirs: &Demand<'p>) -> Option<Vec<(&'p Next, Rows)>> {
    let of = |demand: &Demand<'p>| Some(&demand.protocols[demand.protocols.find(name)?].next);
    let (a, b) = match (of(ours), of(theirs)) {
        (Some(a), Some(b)) => (a, b),
        (Some(only), None) => return Some(only.iter().map(|n| (n, rows(ours.protocols, n))).collect()),
        (None, Some(only)) => return Some(only.iter().map(|n| (n, rows(theirs.protocols, n))).collect()),
        (None, None) => return None,
    };
    if a.len() != b.len() {
        return None;
    }
    let mut all = Vec::new();
    for (index, (x, y)) in a.iter().zip(b).enumerate() {
        if x.when != y.when || asked(&x.selector) != asked(&y.selector) {
            return None;
        }
        let (mut first, second) = (rows(ours.protocols, x), rows(theirs.protocols, y));
        let goes_on = |demand: &Demand, next: &[Next]| {
            let targets = next[index + 1..].iter().flat_map(|next| &next.table);
            targets.into_iter().any(|row| demand.relevant.contains(&row.1))
        };
        // A way that only one side knows hides the ways of later questions from the other.
        let hides = |more: &Rows, (blind, next, rows): (&Demand, &[Next], &Rows), other: &Demand| {
            let unknown = more.iter().filter(|(value, _)| !rows.contains_key(value));
            let lost = goes_on(blind, next);
            unknown.into_iter().any(|(_, (target, _))| lost || sees_behind(blind, other, target))
        };
        if hides(&second, (ours, a, &first), theirs) || hides(&first, (theirs, b, &second), ours) {
            return None;
        }
        if first.iter().any(|(value, row)| second.get(value).is_some_and(|other| other != row)) {
            return None;
        }
        first.extend(second);
        all.push((x, first));
    }
    Some(all)
}

/// Whether a side asks for what lies behind a way that only the other one knows.
fn sees_behind(blind: &Demand, other: &Demand, target: &str) -> bool {
    if blind.protocols.find(target).is_some() {
        return blind.asks_for(target);
    }
    let mut seen: BTreeSet<ProtocolId> = other.protocols.find(target).into_iter().collect();
    let mut todo: Vec<_> = seen.iter().copied().collect();
    while let Some(id) = todo.pop() {
        let rows = other.protocols[id].next.iter().flat_map(|next| &next.table);
        todo.extend(rows.map(|row| row.1).filter(|id| seen.insert(*id)));
    }
    seen.iter().any(|id| blind.asks_for(&other.protocols[*id].name))
}

fn asked(selector: &Selector) -> String {
    format!("{selector:?}")
}

fn rows(protocols: &Protocols, next: &Next) -> Rows {
    let row = |row: &(u128, ProtocolId, bool)| (row.0, (protocols[row.1].name.clone(), row.2));
    next.table.iter().rev().map(row).collect()
}

fn with_rows(merged: &Protocols, next: &Next, rows: Rows) -> Next {
    let row = |(value, (name, inner)): (u128, (String, bool))| Some((value, merged.find(&name)?, inner));
    Next { table: rows.into_iter().filter_map(row).collect(), ..next.clone() }
}
