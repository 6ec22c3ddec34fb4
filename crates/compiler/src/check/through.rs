//! `check … through NAME`: a probe that is a packet of a `balance`'s service.

use super::Checker;
use super::balance::TRANSPORTS;
use super::pool::entry;
use crate::diagnostic::{Code, nearest};
use crate::policy::{
    Action, Balance, Compare, FieldRef, HeaderRef, Pred, ProtocolId, Protocols, Relation, Statement, Term,
    Through, Via,
};
use crate::syntax::ast::{self, Name, PoolEntry};
use std::net::IpAddr;
use weir_pool::probe::Probe;

/// The IP headers, of IPv4 and of IPv6.
const FAMILIES: [&str; 2] = ["ip4", "ip6"];

impl Checker<'_> {
    /// What checks name are statements, so these must be known.
    pub(super) fn ways_of_checks(&mut self) {
        for item in self.items() {
            let ast::Item::Pool(pool) = item else { continue };
            let check = entry(pool, |entry| match entry {
                PoolEntry::Check(check) => Some(check),
                _ => None,
            });
            let known = self.pool_names.get(&pool.name.text).filter(|known| known.span == pool.name.span);
            if let (Some(check), Some(index)) = (check, known.map(|known| known.index)) {
                self.way_of_check(check, index);
            }
        }
    }

    fn way_of_check(&mut self, check: &ast::Check, pool: u32) -> Option<()> {
        let name = check.through.as_ref()?;
        let balance = self.balance_named(name, pool)?;
        let services = self.fixed_services(name)?;
        let through = Through { statement: name.text.clone(), via: balance.via, services };
        let port = self.policy.pools[pool as usize].check.as_ref().map(|check| check.port)?;
        let port = port.or_else(|| self.service_port(&name.text, pool));
        if port.is_none() {
            let message = format!("`check {}` has no port to ask at", self.probe_of(pool)?.word());
            let found = self.diagnostics.report(Code::BadPool, check.span, message);
            found.label(format!("the condition of `{}` holds for more than one", name.text));
            found.help("say `port N`");
            return None;
        }
        let pool = &mut self.policy.pools[pool as usize];
        pool.check.as_mut()?.port = port;
        pool.through = Some(through);
        Some(())
    }

    fn probe_of(&self, pool: u32) -> Option<&Probe> {
        self.policy.pools[pool as usize].check.as_ref().map(|check| &check.probe)
    }

    /// The statement that a check names, if its packets go to the pool's backends as those of a service.
    fn balance_named(&mut self, name: &Name, pool: u32) -> Option<Balance> {
        let Some(statement) = self.policy.statements.iter().find(|statement| statement.name == name.text)
        else {
            return self.no_balance(name, pool);
        };
        let (span, verb, shadow) = (statement.span, statement.verb(), statement.shadow);
        let Action::Balance(balance) = &statement.action else {
            // What was found wrong in a `balance` was told where it stands.
            if !self.services.contains_key(&name.text) {
                let message = format!("a check goes `through` a `balance`, and `{}` is none", name.text);
                let found = self.diagnostics.report(Code::BadPool, name.span, message);
                found.label(format!("a `{verb}`")).also(span, "stands here");
            }
            return None;
        };
        let balance = balance.clone();
        let (message, help) = if balance.pool != pool {
            let other = &self.policy.pools[balance.pool as usize].name;
            let message = format!("`{}` sends to pool `{other}`", name.text);
            (message, "name a `balance` that sends to this pool")
        } else if shadow {
            let message = format!("`{}` sends nothing: it is a `shadow`", name.text);
            (message, "leave `through` out until it is enforced")
        } else if matches!(balance.via, Via::Nat { .. }) {
            let message = "`via nat` sends to the backends' own addresses".to_owned();
            (message, "leave `through` out: a check goes there anyway")
        } else {
            return Some(balance);
        };
        let found = self.diagnostics.report(Code::BadPool, name.span, message);
        found.also(span, "stands here").help(help);
        None
    }

    fn no_balance<T>(&mut self, name: &Name, pool: u32) -> Option<T> {
        let message = format!("no `balance` is called `{}`", name.text);
        // Where none was given, a name has the statement's line behind an `@`, and cannot be said.
        let named = |name: &&str| !name.contains('@');
        let near = nearest(&name.text, self.services.keys().map(String::as_str).filter(named));
        let sends = |statement: &&Statement| {
            named(&statement.name.as_str())
                && matches!(&statement.action, Action::Balance(balance) if balance.pool == pool)
        };
        let to_pool = || self.policy.statements.iter().find(sends).map(|statement| statement.name.as_str());
        let near = near.or_else(to_pool).map(str::to_owned);
        let found = self.diagnostics.report(Code::UnknownName, name.span, message);
        found.label("unknown").help(match near {
            Some(near) => format!("there is `{near}`"),
            None => format!("name the one that sends to this pool: `balance {} when …`", name.text),
        });
        None
    }

    /// The service's address of each family.
    fn fixed_services(&mut self, name: &Name) -> Option<[Option<IpAddr>; 2]> {
        let when = self.services.get(&name.text)?;
        let protocols = &self.policy.protocols;
        let [four, six] = [0, 1].map(|family| {
            let [own, other] = [FAMILIES[family], FAMILIES[1 - family]];
            values(when, field(protocols, own, "dst")?, &[protocols.find(other)?])
        });
        let services = match (four.as_deref(), six.as_deref()) {
            (Some([]), Some([])) => None,
            (Some(four @ ([] | [_])), Some(six @ ([] | [_]))) => {
                let four = four.first().map(|four| IpAddr::from((*four as u32).to_be_bytes()));
                Some([four, six.first().map(|six| IpAddr::from(six.to_be_bytes()))])
            }
            _ => None,
        };
        if services.is_none() {
            let message = format!("`{}` is not for one address, so a check has none to ask", name.text);
            let found = self.diagnostics.report(Code::BadPool, name.span, message);
            found.label("its condition holds for several destinations");
            found.help("give one address a `balance` of its own: `when ip.dst == 203.0.113.10 and …`");
        }
        services
    }

    /// The port of the service, if its condition holds for one only, else the probe's usual one.
    fn service_port(&self, name: &str, pool: u32) -> Option<u16> {
        let probe = self.probe_of(pool)?;
        let own = match probe {
            Probe::Dns { .. } | Probe::Udp { .. } => "udp",
            Probe::Tcp | Probe::Http { .. } | Probe::Exec { .. } => "tcp",
        };
        let protocols = &self.policy.protocols;
        let others = TRANSPORTS.iter().filter(|name| **name != own);
        let others: Vec<ProtocolId> = others.filter_map(|name| protocols.find(name)).collect();
        let port = field(protocols, own, "dstport")?;
        match values(self.services.get(name)?, port, &others).as_deref() {
            Some([port]) => u16::try_from(*port).ok(),
            _ => probe.usual_port(),
        }
    }
}

/// A field of the first header of a protocol.
fn field(protocols: &Protocols, protocol: &str, name: &str) -> Option<FieldRef> {
    let protocol = protocols.find(protocol)?;
    let field = protocols[protocol].field(name)?;
    Some(FieldRef { header: HeaderRef { level: 0, protocol, index: 0 }, field })
}

/// All values of a field for which a condition can hold; `None` if these are many. Where one of `others` is there, the field is not.
fn values(pred: &Pred, of: FieldRef, others: &[ProtocolId]) -> Option<Vec<u128>> {
    let inner = |pred| values(pred, of, others);
    match pred {
        Pred::Const(false) => Some(Vec::new()),
        Pred::And(list) => list.iter().filter_map(inner).min_by_key(Vec::len),
        Pred::Or(list) => {
            let mut all = list.iter().map(inner).collect::<Option<Vec<_>>>()?.concat();
            all.sort_unstable();
            all.dedup();
            Some(all)
        }
        Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(value) })
            if *left == Term::Field(of) =>
        {
            Some(vec![*value])
        }
        Pred::In(term, ranges) if *term == Term::Field(of) => {
            let single = |range: &(u128, u128)| (range.0 == range.1).then_some(range.0);
            ranges.iter().map(single).collect()
        }
        Pred::Const(true) | Pred::Not(_) => None,
        question => {
            let without = |header: &HeaderRef| header.level == 0 && others.contains(&header.protocol);
            crate::plan::headers_asked(question).iter().any(without).then(Vec::new)
        }
    }
}
