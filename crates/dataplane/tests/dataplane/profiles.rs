//! Reloads that lay a program out for what it has counted.

use crate::reloads::reload;
use crate::support::{Edge, packets, require_kernel};
use weir_dataplane::{Change, Error, Instance, Policy, Report};

/// A chain, of which one statement is hot, and a table behind it.
fn policy(ports: std::ops::Range<u16>) -> String {
    let rules = ports.map(|port| format!("drop r{port} when udp.dstport == {port}\n"));
    format!(
        "count large when frame.len > 1000\ncount hot when udp.srcport == 4000\n{}",
        rules.collect::<String>()
    )
}

fn profiled(instance: &mut Instance, text: &str) -> Result<Report, Error> {
    instance.reload_with_profile(&Policy::new("test.weir", text))
}

#[test]
fn a_profile_is_another_layout_of_the_same_meaning_and_stays() {
    require_kernel!();
    let edge = Edge::new();
    let text = policy(1000..1100);
    let (mut instance, _) = edge.load(&text);
    edge.send(1005, 900);
    edge.send(2000, 300);
    let counted = |instance: &Instance| ["hot", "large", "r1005"].map(|name| packets(instance, name));
    assert_eq!(counted(&instance), [1200, 0, 900]);
    let report = profiled(&mut instance, &text).unwrap();
    assert_eq!(report.change, Change::Program);
    let profile = report.profile.unwrap();
    assert!((1200..1300).contains(&profile.packets), "{profile:?}");
    let frequent: Vec<_> = profile.frequent.iter().map(|frequent| frequent.statement.as_str()).collect();
    assert_eq!(frequent, ["hot", "r1005", "default"]);
    edge.send(1005, 10);
    edge.send(1050, 5);
    assert_eq!(counted(&instance), [1215, 0, 910]);
    assert_eq!(packets(&instance, "r1050"), 5);
    // What comes and goes in tables then needs no program, and the profile stays.
    assert_eq!(reload(&mut instance, &text).change, Change::Text);
    let report = reload(&mut instance, &policy(1001..1101));
    assert_eq!((report.change, report.profile), (Change::Tables, None));
    edge.send(1100, 7);
    assert_eq!((packets(&instance, "r1100"), counted(&instance)[0]), (7, 1222));
}

#[test]
fn a_profile_takes_packets_that_came_since_the_last_one() {
    require_kernel!();
    let edge = Edge::new();
    let text = policy(1000..1100);
    let (mut instance, _) = edge.load(&text);
    let refused = |instance: &mut Instance| match profiled(instance, &text) {
        Err(Error::FewPackets { packets, wanted, .. }) => (packets, wanted),
        other => panic!("{other:?}"),
    };
    let generations = edge.generations();
    assert!(refused(&mut instance).0 < 100);
    assert_eq!(edge.generations(), generations);
    edge.send(1005, 1200);
    profiled(&mut instance, &text).unwrap();
    edge.send(1005, 200);
    let (packets, wanted) = refused(&mut instance);
    assert!((200..300).contains(&packets), "{packets} of {wanted}");
}
