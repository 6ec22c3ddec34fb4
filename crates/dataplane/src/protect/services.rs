//! The services of policies, as the detection takes them.

use std::collections::BTreeMap;
use weir_compiler::policy::{Prefix, Service};
use weir_detect::traffic::{self, Rate};

/// A service, and the first policy that has it.
struct Known<'a> {
    policy: &'a str,
    name: String,
    prefixes: &'a [Prefix],
}

/// Of policies with names. What several of them have with the same addresses is one; where they give a name to other addresses,
/// the policy's stands before it.
pub(super) fn of(policies: &[(&str, &[Service])], floor: Rate) -> Vec<traffic::Service> {
    let known = joined(policies);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    known.iter().for_each(|one| *times.entry(&one.name).or_default() += 1);
    let service = |one: &Known<'_>| {
        let name = match times[one.name.as_str()] {
            1 => one.name.clone(),
            _ => format!("{}/{}", one.policy, one.name),
        };
        let prefixes = one.prefixes.iter().map(|(first, length)| traffic::Prefix::new(*first, *length));
        traffic::Service { floor, ..traffic::Service::new(name, prefixes.collect()) }
    };
    known.iter().map(service).collect()
}

fn joined<'a>(policies: &[(&'a str, &'a [Service])]) -> Vec<Known<'a>> {
    let mut known: Vec<Known<'a>> = Vec::new();
    let mut places = BTreeMap::new();
    for (policy, service) in
        policies.iter().flat_map(|(policy, all)| all.iter().map(move |one| (*policy, one)))
    {
        let Service { name, prefixes } = service;
        let place = *places.entry(prefixes.as_slice()).or_insert(known.len());
        match known.get_mut(place) {
            None => known.push(Known { policy, name: name.clone(), prefixes }),
            Some(one) if one.name == *name || one.name.split('+').any(|part| part == name) => {}
            Some(one) => one.name = format!("{}+{name}", one.name),
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_compiler::NoFiles;

    fn services(balances: &[(&str, &str)]) -> Vec<Service> {
        let balance = |(name, to): &(&str, &str)| format!("balance {name} when ip.dst == {to} to p\n");
        let text =
            format!("pool p {{\n    10.0.0.1\n}}\n{}", balances.iter().map(balance).collect::<String>());
        let analysis = weir_compiler::analyse("test.weir", &text, &NoFiles);
        assert!(!analysis.diagnostics.has_errors(), "{text}");
        analysis.policy.services
    }

    #[test]
    fn services_of_several_policies_have_names_of_their_own() {
        let fra = services(&[("web", "192.0.2.1"), ("mail", "192.0.2.5"), ("same", "192.0.2.9")]);
        let ams = services(&[("web", "192.0.2.2"), ("smtp", "192.0.2.5"), ("same", "192.0.2.9")]);
        let floor = Rate { packets: 5000.0, bits: 5e7 };
        let found = of(&[("fra", &fra), ("ams", &ams), ("lhr", &fra)], floor);
        let shown: Vec<String> =
            found.iter().map(|one| format!("{} {}", one.name, one.prefixes[0])).collect();
        let expected =
            ["fra/web 192.0.2.1/32", "mail+smtp 192.0.2.5/32", "same 192.0.2.9/32", "ams/web 192.0.2.2/32"];
        assert_eq!(shown, expected);
        assert!(found.iter().all(|one| one.floor == floor));
    }
}
