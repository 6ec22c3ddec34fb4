//! What the protection is told.

use super::services;
use crate::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use weir_compiler::policy::{Family46, Policy, Service, Set, ValueType};
use weir_detect::mine::{Prefix, Protected};
use weir_detect::{life, traffic};

/// The set of a policy that is protected if none is named.
pub(super) const PROTECTED: &str = "protected";

/// How attacks are told, and how mitigations live.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Options {
    /// The set whose addresses no mitigation matches as sources; `protected` if the policy has one and nothing is said.
    pub never: Option<String>,
    /// What is an attack.
    pub traffic: traffic::Config,
    /// How mitigations live; what is protected there comes from the set.
    pub life: life::Config,
    /// From how many packets a second to a host or a service on there is an attack, if not from what `traffic` says.
    pub from: Option<u64>,
    /// After how long without hits a mitigation goes, if not after what `life` says.
    pub idle: Option<Duration>,
}

impl Options {
    /// What is an attack, with `from`.
    pub fn traffic(&self) -> traffic::Config {
        let mut config = self.traffic.clone();
        if let Some(from) = self.from {
            // Bits and prefixes keep their relation to it.
            let times = from as f64 / config.floor.packets;
            let floors = config.levels.iter_mut().map(|level| &mut level.floor).chain([&mut config.floor]);
            for floor in floors {
                *floor = traffic::Rate { packets: floor.packets * times, bits: floor.bits * times };
            }
        }
        config
    }

    /// The services of policies, which have names; an attack on one is as large as one on a host.
    pub fn services(&self, policies: &[(&str, &[Service])]) -> Vec<traffic::Service> {
        services::of(policies, self.traffic().floor)
    }

    /// How mitigations live, with `idle`; what policies protect is not in it.
    pub fn life(&self) -> life::Config {
        let mut config = self.life.clone();
        config.idle = self.idle.unwrap_or(config.idle);
        config
    }

    /// What the policy's set protects.
    pub fn protected(&self, policy: &Policy) -> Result<Protected, Error> {
        Ok(match never(policy, self.never.as_deref())? {
            Some(set) => Protected {
                sources: prefixes(set),
                set: Some(set.name.clone()),
                victims: self.life.protected.victims.clone(),
            },
            None => self.life.protected.clone(),
        })
    }
}

/// The set of a policy that no mitigation matches as sources: that of this name, or `protected` if there is one.
pub fn never<'a>(policy: &'a Policy, named: Option<&str>) -> Result<Option<&'a Set>, Error> {
    let name = named.unwrap_or(PROTECTED);
    match policy.sets.iter().find(|set| set.name == name) {
        Some(set) if set.types == [ValueType::Ip] => Ok(Some(set)),
        Some(_) => Err(Error::Protect(format!("the set `{name}` must be of type `ip` to protect sources"))),
        None if named.is_some() => Err(Error::Protect(format!("the policy has no set `{name}`"))),
        None => Ok(None),
    }
}

/// The elements that the policy itself lists.
fn prefixes(set: &Set) -> Vec<Prefix> {
    let of = |part: &weir_compiler::policy::Part| {
        let family = part.family;
        let ranges = part.elements.iter().filter_map(|element| element.first().copied());
        ranges.flat_map(move |range| split(range, family)).collect::<Vec<_>>()
    };
    set.parts.iter().flat_map(of).collect()
}

/// The prefixes that a range is made of.
fn split((mut first, last): (u128, u128), family: Option<Family46>) -> Vec<Prefix> {
    let bits: u32 = if family == Some(Family46::V6) { 128 } else { 32 };
    let mut all = Vec::new();
    while first <= last {
        let mut free = first.trailing_zeros().min(bits);
        // The largest block that begins here and ends within.
        while free > 0 && ones(free) > last - first {
            free -= 1;
        }
        let address: IpAddr = match family {
            Some(Family46::V6) => Ipv6Addr::from(first).into(),
            _ => Ipv4Addr::from(first as u32).into(),
        };
        all.push(Prefix::new(address, (bits - free) as u8));
        match first.checked_add(ones(free)).and_then(|end| end.checked_add(1)) {
            Some(next) => first = next,
            None => break,
        }
    }
    all
}

/// A number of so many ones.
fn ones(count: u32) -> u128 {
    u128::MAX.checked_shr(128 - count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_compiler::NoFiles;

    fn protected(text: &str, never: Option<&str>) -> Result<Protected, Error> {
        let analysis = weir_compiler::analyse("test.weir", text, &NoFiles);
        Options { never: never.map(str::to_owned), ..Options::default() }.protected(&analysis.policy)
    }

    #[test]
    fn a_set_of_addresses_protects_what_it_lists() {
        let text = "set protected : ip = { 192.0.2.0/24, 10.0.0.1..10.0.0.6, 2001:db8::/32, ::/1 }\nset ports : tcp.dstport = { 80 }\n";
        let found = protected(text, None).unwrap();
        let mut shown: Vec<String> = found.sources.iter().map(ToString::to_string).collect();
        shown.sort();
        let expected = ["10.0.0.1", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6", "192.0.2.0/24", "::/1"];
        assert_eq!(shown, expected, "what stands in ::/1 is in it");
        assert_eq!(found.set.as_deref(), Some("protected"));
        assert!(protected(text, Some("nobody")).is_err());
        assert!(protected(text, Some("ports")).is_err());
        assert_eq!(protected("default pass\n", None).unwrap(), Protected::default());
    }

    #[test]
    fn everything_is_one_prefix() {
        for text in ["set protected : ip = { 0.0.0.0/0 }\n", "set protected : ip = { ::/0 }\n"] {
            assert_eq!(protected(text, None).unwrap().sources.len(), 1, "{text}");
        }
    }
}
