//! The policies that mitigations stand in.

use crate::etcd::Store;
use crate::keys::POLICIES;
use crate::policy::policy;
use weir_compiler::{Analysis, analyse};
use weir_dataplane::Source;
use weir_dataplane::protect::{Diagnosis, Edit, Options};
use weir_detect::mine::Protected;
use weir_detect::traffic::Service;

/// All that the fleet has, what they protect, and their services.
#[derive(Debug)]
pub(super) struct Policies {
    sources: Vec<Source>,
    protected: Protected,
    services: Vec<Service>,
}

impl Policies {
    /// Those that etcd has.
    pub(super) fn of(store: &Store, options: &Options) -> Policies {
        let published = store.list(POLICIES).into_iter().filter_map(|(name, _)| {
            let source = policy(store, &name).ok()??.source;
            let analysis = analyse(&source.name, &source.text, &source);
            Some((name, source, analysis))
        });
        let published: Vec<(String, Source, Analysis)> = published.collect();
        let mut protected = options.life().protected;
        let all = published.iter().filter_map(|(_, _, analysis)| options.protected(&analysis.policy).ok());
        protected.sources.extend(all.flat_map(|one| one.sources));
        protected.sources.sort();
        protected.sources.dedup();
        let named = published.iter().map(|(name, _, analysis)| (&name[..], &analysis.policy.services[..]));
        let services = options.services(&named.collect::<Vec<_>>());
        let sources = published.into_iter().map(|(_, source, _)| source).collect();
        Policies { sources, protected, services }
    }

    /// What any of them protects. Statements list it: a set of one policy is none of another.
    pub(super) fn protected(&self) -> &Protected {
        &self.protected
    }

    /// Destinations that have names.
    pub(super) fn services(&self) -> &[Service] {
        &self.services
    }

    /// What a person wrote in the place of the mitigation of this name. It has a place in one policy at least, as edges of others
    /// refuse it by themselves; and in none it may match what is protected.
    pub(super) fn read(&self, name: &str, text: &str) -> Result<Edit, Diagnosis> {
        let none = Source::default();
        let sources = if self.sources.is_empty() { std::slice::from_ref(&none) } else { &self.sources };
        let (mut fits, mut refused) = (None, None);
        for source in sources {
            match Edit::read(source, name, text, &self.protected) {
                Ok(edit) => fits = fits.or(Some(edit)),
                Err(told) if told.is_of_protected() => return Err(told),
                Err(told) => refused = refused.or(Some(told)),
            }
        }
        fits.ok_or_else(|| refused.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_detect::mine::Prefix;

    #[test]
    fn what_a_person_wrote_has_a_place_in_one_policy_and_spares_what_any_protects() {
        let source = |text: &str| Source { name: "edge.weir".into(), text: text.into(), files: Vec::new() };
        let sources = vec![Prefix::new([192, 0, 2, 0].into(), 24)];
        let protected = Protected { sources, ..Protected::default() };
        let all = Policies {
            sources: vec![source(""), source("set mine : ip = { 10.0.0.0/8 }\n")],
            protected,
            services: Vec::new(),
        };
        let read = |text: &str| {
            all.read("mitigation_1_x", text).map(|edit| edit.written.rest).map_err(|told| told.to_string())
        };
        let in_one = "when ip.src in mine";
        assert_eq!(read(&format!("drop {in_one}")).unwrap(), in_one);
        assert!(read("drop when ip.src in nobodys").unwrap_err().contains("E0101"));
        let told = read("drop when ip.src in mine or udp").unwrap_err();
        assert!(told.contains("E0117") && told.contains("and not (ip.src in { 192.0.2.0/24 })"), "{told}");
        let none = Policies { sources: Vec::new(), protected: Protected::default(), services: Vec::new() };
        assert!(none.read("mitigation_1_x", "drop when udp").is_ok());
    }
}
