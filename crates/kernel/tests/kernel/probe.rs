use weir_bpf::target::{Feature, Target};
use weir_kernel::probe::{self, Evidence, Release, State};

use crate::support::{Wire, require_kernel, say};

#[test]
fn without_privileges_it_guesses_and_never_panics() {
    let probed = probe::probe();
    assert_eq!(probed.findings.len(), weir_bpf::target::FEATURES.len());
    let tried = probed.findings.iter().any(|finding| finding.evidence == Evidence::Tried);
    assert_eq!(tried, probed.guessed.is_none());
}

/// The kernel's version is an opinion that nobody here made up: what a mainline kernel has must be found.
#[test]
fn what_the_version_promises_is_found() {
    require_kernel!();
    let started = std::time::Instant::now();
    let probed = probe::probe();
    say!("probed in {:?}: {}", started.elapsed(), probed.target);
    assert_eq!(probed.guessed, None);
    let release = Release::current();
    let promised = Target::for_kernel(release.major, release.minor);
    for finding in &probed.findings {
        assert_eq!(finding.evidence, Evidence::Tried, "{}", finding.feature);
        // A distribution may have taken something out or in: said, not failed.
        if promised.has(finding.feature) != finding.present {
            say!("unlike {release}: {} is {}", finding.feature, finding.present);
        }
    }
    for feature in [Feature::Xdp, Feature::LpmTrie, Feature::BpfToBpfCalls, Feature::BoundedLoops] {
        assert!(probed.target.has(feature), "{feature}");
    }
    assert_eq!(probed.target.cpus as usize, weir_kernel::maps::possible_cpus());
}

#[test]
fn facts_have_fixes_where_something_is_wrong() {
    let facts = probe::facts();
    assert!(facts.len() >= 7);
    for fact in &facts {
        say!("{:?} {}: {} {:?}", fact.state, fact.name, fact.detail, fact.fix);
        assert!(!fact.detail.is_empty());
        if matches!(fact.state, State::Bad | State::Warn) {
            assert!(fact.fix.is_some(), "{fact:?}");
        }
    }
}

#[test]
fn facts_about_a_veth() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        let facts = probe::interface_facts(&left.name);
        for fact in &facts {
            say!("{:?} {}: {} {:?}", fact.state, fact.name, fact.detail, fact.fix);
        }
        let of = |name| facts.iter().find(|fact| fact.name == name).unwrap();
        assert_eq!(of("native XDP").state, State::Good);
        assert_eq!(of("programs").detail, "none attached");
        assert_eq!(of("veth answers (XDP_TX)").state, State::Unknown);
        assert_eq!(probe::interface_facts("nothing")[0].state, State::Bad);
    });
}
