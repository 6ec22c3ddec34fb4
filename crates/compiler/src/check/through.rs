//! `check … through NAME`: a probe that is a packet of a `balance`'s service.

use super::Checker;
use super::balance::TRANSPORTS;
use super::pool::entry;
use crate::diagnostic::{Code, nearest};
use crate::policy::{Action, Admitted, Balance, Statement, Through, Via, destinations};
use crate::syntax::ast::{self, Name, PoolEntry};
use std::net::IpAddr;
use weir_pool::probe::Probe;

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
        let [four, six] = destinations(&self.policy, when)?;
        let services = match (four.as_deref().and_then(only), six.as_deref().and_then(only)) {
            (None, _) | (_, None) | (Some(None), Some(None)) => None,
            (Some(four), Some(six)) => {
                let four = four.map(|four| IpAddr::from((four as u32).to_be_bytes()));
                Some([four, six.map(|six| IpAddr::from(six.to_be_bytes()))])
            }
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
        let others: Vec<&str> = TRANSPORTS.into_iter().filter(|name| *name != own).collect();
        let ports = Admitted::of(&self.policy, own, "dstport", &others)?.by(self.services.get(name)?);
        match ports.as_deref().and_then(only) {
            Some(Some(port)) => u16::try_from(port).ok(),
            _ => probe.usual_port(),
        }
    }
}

/// The only value that there is, if there is any; `None` if there are several.
fn only(ranges: &[(u128, u128)]) -> Option<Option<u128>> {
    match ranges {
        [] => Some(None),
        [(low, high)] if low == high => Some(Some(*low)),
        _ => None,
    }
}
