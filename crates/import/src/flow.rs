//! Chains → statements: which chains are meant, and jumps, returns and gotos as conditions.
//!
//! A chain that is jumped to is written out where the jump stands, its rules under the jump's condition.
//! What leaves a chain early (`RETURN`, `goto`) is excluded from the rules behind it.

use crate::condition::Condition;
use crate::rule::{Base, Chain, Entry, Family, Limit, Rule, Ruleset, Target};
use crate::write::{Action, Statement, Step};
use crate::{Finding, Garbage, Kind};

/// Copies of chains, and what is excluded behind a return, can multiply without bound: so many conditions and
/// values are written.
const MAX_CONDITIONS: usize = 3_000_000;
/// The kernel's own bound of nested jumps is 16 (nft) or the chains' number (iptables).
const MAX_DEPTH: usize = 64;
/// The language's parser stops at 500.
const MAX_PARTS: usize = 300;

/// The chains that packets enter, in the order in which they do.
pub(crate) fn entered<'a>(rules: &'a Ruleset, wanted: &[String]) -> Result<Vec<&'a Chain>, Garbage> {
    let mut chosen = if wanted.is_empty() { vec![the_only_one(rules)?] } else { named(rules, wanted)? };
    chosen.sort_by_key(|chain| chain.base.as_ref().map(|base| (stage(&base.hook), base.priority)));
    let family = chosen[0].family;
    match chosen.iter().find(|chain| chain.family != family) {
        None => Ok(chosen),
        Some(other) => Err(Garbage::new(format!(
            "`{}` and `{}` see packets of different families",
            full_name(chosen[0]),
            full_name(other)
        ))
        .help("import them one at a time")),
    }
}

/// Chains that packets enter and that are not imported.
pub(crate) fn others(rules: &Ruleset, chosen: &[&Chain]) -> Vec<Finding> {
    let is_other = |chain: &&Chain| {
        chain.base.is_some() && does_something(chain) && !chosen.iter().any(|own| std::ptr::eq(*own, *chain))
    };
    let others = rules.chains.iter().filter(is_other);
    let told = others.map(|chain| Finding {
        kind: Kind::Ignored,
        place: format!("chain {}", full_name(chain)),
        chain: chain.name.clone(),
        rule: format!("{} rules", chain.entries.len()),
        why: format!("not asked for: `--chain {}`", full_name(chain)),
    });
    told.collect()
}

fn stage(hook: &str) -> usize {
    let order = ["ingress", "prerouting", "input", "forward", "output", "postrouting", "egress"];
    order.iter().position(|own| *own == hook).unwrap_or(order.len())
}

fn full_name(chain: &Chain) -> String {
    format!("{}/{}", chain.table.replace(' ', "/"), chain.name)
}

fn does_something(chain: &Chain) -> bool {
    !chain.entries.is_empty() || chain.base.as_ref().is_some_and(|base| base.drops)
}

fn the_only_one(rules: &Ruleset) -> Result<&Chain, Garbage> {
    let arrives = |base: &Base| base.filters && stage(&base.hook) <= stage("input");
    let is_meant = |chain: &&Chain| chain.base.as_ref().is_some_and(arrives) && does_something(chain);
    let meant: Vec<&Chain> = rules.chains.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [one] => Ok(one),
        [] => Err(Garbage::new("no chain of the hooks `prerouting` and `input` has rules")
            .help(format!("choose a chain with `--chain`: {}", choices(rules)))),
        _ => Err(Garbage::new(format!("{} chains see the packets that come in", meant.len()))
            .help(format!("choose with `--chain`, which may be given several times: {}", choices(rules)))),
    }
}

fn choices(rules: &Ruleset) -> String {
    let bases = rules.chains.iter().filter(|chain| chain.base.is_some() && does_something(chain));
    let names: Vec<String> = bases.map(|chain| format!("`{}`", full_name(chain))).collect();
    if names.is_empty() { "there is none with rules".into() } else { names.join(", ") }
}

fn named<'a>(rules: &'a Ruleset, wanted: &[String]) -> Result<Vec<&'a Chain>, Garbage> {
    let mut chosen: Vec<&Chain> = Vec::new();
    for name in wanted {
        let is_it = |chain: &&Chain| {
            chain.base.is_some() && (chain.name == *name || full_name(chain).ends_with(&format!("/{name}")))
                || full_name(chain) == *name
        };
        let found: Vec<&Chain> = rules.chains.iter().filter(is_it).collect();
        let help = || format!("chains that packets enter: {}", choices(rules));
        match found.as_slice() {
            [one] if one.base.is_some() => chosen.push(one),
            [] => return Err(Garbage::new(format!("packets enter no chain named `{name}`")).help(help())),
            [_] => return Err(Garbage::new(format!("packets enter `{name}` by jumps only")).help(help())),
            many => {
                let many: Vec<String> = many.iter().map(|chain| format!("`{}`", full_name(chain))).collect();
                return Err(Garbage::new(format!("`{name}` is the name of {} chains", many.len()))
                    .help(format!("say which: {}", many.join(", "))));
            }
        }
    }
    chosen.dedup_by(|a, b| std::ptr::eq(*a, *b));
    Ok(chosen)
}

/// What became of the chains.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) steps: Vec<Step>,
    pub(crate) drops: bool,
}

/// The statements that do what the chains do, one chain after the other.
pub(crate) fn flatten(rules: &Ruleset, chains: &[&Chain]) -> Result<Flow, Garbage> {
    let family = chains[0].family;
    let mut walk = Walk {
        rules,
        limits: Vec::new(),
        accepted: Vec::new(),
        last: false,
        steps: Vec::new(),
        conditions: 0,
    };
    if let Some(step) = others_pass(family, chains) {
        walk.steps.push(step);
    }
    let mut drops = false;
    for (index, chain) in chains.iter().enumerate() {
        walk.accepted.clear();
        walk.last = index + 1 == chains.len();
        walk.chain(chain, Vec::new(), 0)?;
        drops = chain.base.as_ref().is_some_and(|base| base.drops);
        if drops && !walk.last {
            walk.drop_the_rest(chain);
        }
    }
    Ok(Flow { steps: walk.steps, drops })
}

/// The table does not judge them.
fn others_pass(family: Family, chains: &[&Chain]) -> Option<Step> {
    let header = family.header()?;
    let tables: Vec<&str> = chains.iter().map(|chain| chain.table.as_str()).collect();
    let statement = Statement::new(format!("not_{header}"), Condition::test(header).not(), Action::Pass);
    let remark =
        format!("The table `{}` judges {} alone; all else goes on as before.", tables[0], told(family));
    Some(Step::Statement(statement.remark(remark)))
}

fn told(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
        Family::Both => "IP",
        Family::Link => "frames",
    }
}

struct Walk<'a> {
    rules: &'a Ruleset,
    /// Rules with a bucket, by table and place: a copy would have a bucket of its own.
    limits: Vec<(String, String)>,
    /// What left the chain that packets entered, where another follows it.
    accepted: Vec<Condition>,
    /// Whether what is accepted here passes.
    last: bool,
    steps: Vec<Step>,
    conditions: usize,
}

impl<'a> Walk<'a> {
    /// The rules of a chain for packets that meet `path`.
    fn chain(&mut self, chain: &'a Chain, path: Vec<Condition>, depth: usize) -> Result<(), Garbage> {
        if depth > MAX_DEPTH {
            return Err(Garbage::new(format!("jumps from chain to chain end nowhere: `{}`", chain.name)));
        }
        let mut path = path;
        for (index, entry) in chain.entries.iter().enumerate() {
            if path.len() + self.accepted.len() > MAX_PARTS {
                let message =
                    format!("packets leave the chain `{}` in more than {MAX_PARTS} ways", chain.name);
                return Err(Garbage::new(message).help("return from it less often, or by a set"));
            }
            self.conditions += 1 + path.iter().chain(&self.accepted).map(Condition::weight).sum::<usize>();
            if self.conditions > MAX_CONDITIONS {
                let message = format!("written out, the chains have more than {MAX_CONDITIONS} conditions");
                return Err(
                    Garbage::new(message).help("jump to a chain less often, return from it less often")
                );
            }
            match entry {
                Entry::Aside(finding) => self.aside(finding.clone()),
                Entry::Rule(rule) => self.rule(chain, index, rule, &mut path, depth)?,
            }
            // Behind a rule that takes everything nothing is reached.
            if path.contains(&Condition::Never) {
                break;
            }
        }
        Ok(())
    }

    fn rule(
        &mut self,
        chain: &'a Chain,
        index: usize,
        rule: &'a Rule,
        path: &mut Vec<Condition>,
        depth: usize,
    ) -> Result<(), Garbage> {
        if let Some(limit) = &rule.limit
            && let Err(why) = self.limit(chain, index, rule, limit, path)
        {
            self.aside(rule.origin.finding(Kind::Refused, why));
            return Ok(());
        }
        let own = Condition::all(rule.when.iter().cloned());
        let leaves = match &rule.target {
            // What is above the limit was dropped; the rest goes on.
            _ if rule.limit.as_ref().is_some_and(|limit| limit.above) => false,
            Target::Count => {
                self.statement(rule, path, Action::Count);
                false
            }
            Target::Accept if self.last => {
                self.statement(rule, path, Action::Pass);
                own == Condition::Always
            }
            Target::Accept => {
                exclude(&mut self.accepted, Condition::all(path.iter().chain(&rule.when).cloned()));
                own == Condition::Always
            }
            Target::Drop => {
                self.statement(rule, path, Action::Drop);
                own == Condition::Always
            }
            Target::Return => true,
            Target::Jump(name) | Target::Goto(name) => {
                self.jump(chain, rule, name, path, depth)?;
                matches!(rule.target, Target::Goto(_))
            }
        };
        if leaves {
            exclude(path, own);
        }
        Ok(())
    }

    fn jump(
        &mut self,
        chain: &Chain,
        rule: &Rule,
        name: &str,
        path: &[Condition],
        depth: usize,
    ) -> Result<(), Garbage> {
        let Some(target) = self.rules.chain(&chain.table, name) else {
            let why = format!("`{name}` is neither a chain of its table nor a target that is known here");
            self.aside(rule.origin.finding(Kind::Refused, why));
            return Ok(());
        };
        let inside = path.iter().chain(&rule.when).cloned().collect();
        self.chain(target, inside, depth + 1)
    }

    /// A `limit` for a rule that drops above a rate, or for one that lets pass within it where what is
    /// above is dropped by what follows.
    fn limit(
        &mut self,
        chain: &Chain,
        index: usize,
        rule: &Rule,
        limit: &Limit,
        path: &[Condition],
    ) -> Result<(), String> {
        let fits = match (limit.above, &rule.target) {
            (true, Target::Drop) => true,
            (false, Target::Accept | Target::Return) => rest_is_dropped(chain, index, rule),
            _ => false,
        };
        if !fits {
            return Err(
                "a `limit` drops what is above its rate: that takes a rule that drops above the rate, \
                or one that lets pass within it and is followed by one that drops the same packets"
                    .into(),
            );
        }
        let key = (chain.table.clone(), rule.origin.place.clone());
        if self.limits.contains(&key) {
            return Err("its chain is reached in several ways that share one bucket".into());
        }
        self.limits.push(key);
        self.statement(rule, path, Action::Limit(limit.clone()));
        Ok(())
    }

    fn statement(&mut self, rule: &Rule, path: &[Condition], action: Action) {
        let when = Condition::all(path.iter().chain(&rule.when).chain(&self.accepted).cloned());
        if when == Condition::Never {
            return;
        }
        if let Some(why) = &rule.changed {
            self.aside(rule.origin.finding(Kind::Changed, why));
        }
        let statement = Statement::new(rule.name.clone(), when, action).chosen(rule.chosen);
        self.steps.push(Step::Statement(statement));
    }

    fn aside(&mut self, finding: Finding) {
        self.steps.push(Step::Finding(finding));
    }

    fn drop_the_rest(&mut self, chain: &Chain) {
        let when = Condition::all(self.accepted.iter().cloned());
        self.steps.push(Step::Statement(Statement::new(
            format!("{}_policy", chain.name),
            when,
            Action::Drop,
        )));
    }
}

/// What follows is not for packets that meet the condition.
fn exclude(path: &mut Vec<Condition>, condition: Condition) {
    let joined = match path.last_mut() {
        Some(Condition::Not(last)) => last.widen(&condition),
        _ => false,
    };
    if !joined {
        path.push(condition.not());
    }
}

/// Whether what the rule leaves is dropped at once.
fn rest_is_dropped(chain: &Chain, index: usize, rule: &Rule) -> bool {
    let reported = |entry: &&Entry| !matches!(entry, Entry::Aside(f) if f.kind == Kind::Ignored);
    match chain.entries[index + 1..].iter().find(reported) {
        Some(Entry::Rule(next)) => {
            next.target == Target::Drop
                && next.limit.is_none()
                && next.when.iter().all(|part| rule.when.contains(part))
        }
        Some(Entry::Aside(_)) => false,
        None => chain.base.as_ref().is_some_and(|base| base.drops),
    }
}
