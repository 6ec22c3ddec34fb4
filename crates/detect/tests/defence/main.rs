//! The whole decision in a world that is made up: what it does to attacks, and to who wants it to block its own users.
//!
//! What becomes of packets, the compiler's evaluator says; so a rule does here what it would do at an edge.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and what is found is for people")]

mod captures;
#[path = "../mine/recorded.rs"]
#[allow(dead_code, reason = "each test target uses another part of it")]
mod recorded;
mod services;
#[path = "../mine/traffic.rs"]
#[allow(dead_code, reason = "each test target uses another part of it")]
mod traffic;
mod world;

use std::net::IpAddr;
use traffic::{KINDS, Make, Maker, RESOLVER};
use weir_detect::defence::What;
use weir_detect::life;
use weir_detect::mine::{Prefix, Protected};
use weir_detect::traffic::Config;
use world::{Flow, World};

const EVERYDAY: f64 = 5000.0;
const FLOOD: f64 = 50_000.0;

fn everyday() -> Flow<'static> {
    Flow::good(EVERYDAY, &Maker::everyday)
}

#[test]
fn each_kind_of_attack_is_met_and_everyday_traffic_spared() {
    for (name, make) in KINDS {
        let mut world = World::new(Protected::default());
        world.run(10, &[everyday()]);
        assert_eq!(world.text(), "", "{name}: nothing to do");
        world.run(8, &[everyday(), Flow::bad(FLOOD, make)]);
        world.forget();
        world.run(4, &[everyday(), Flow::bad(FLOOD, make)]);
        assert!(
            world.bad.dropped() >= 0.995,
            "{name}: {} of it dropped by\n{}",
            world.bad.dropped(),
            world.text()
        );
        assert!(
            world.good.dropped() <= 0.005,
            "{name}: {} of good traffic lost by\n{}",
            world.good.dropped(),
            world.text()
        );
        world.run(90, &[everyday()]);
        assert_eq!(world.text(), "", "{name}: it is over");
    }
}

/// Somebody forges samples, of packets like those of good clients: traffic itself is as every day.
#[test]
fn forged_samples_of_good_traffic_do_not_get_it_blocked() {
    let imitated: [(&str, Make); 4] = [
        ("all of it", Maker::everyday),
        ("connections", Maker::client_syn),
        ("answers of the resolver", Maker::answer),
        ("web", |maker| {
            let mut frame = Maker::everyday(maker);
            while frame.get(23) != Some(&6) {
                frame = Maker::everyday(maker);
            }
            frame
        }),
    ];
    for (name, make) in imitated {
        let mut world = World::new(Protected::default());
        world.run(10, &[everyday()]);
        world.run(30, &[everyday(), Flow::forged(FLOOD, &make)]);
        let lost = world.good.dropped();
        assert!(lost <= 0.01, "{name}: {lost} of good traffic lost by\n{}", world.text());
        assert!(world.worst_second <= 0.15, "{name}: {} in one second", world.worst_second);
    }
}

/// It is answers of the resolver that are forged, and the resolver is protected.
#[test]
fn who_imitates_the_protected_resolver_gets_nothing_of_it_matched() {
    let protected = Protected { sources: vec![Prefix::host(IpAddr::from(RESOLVER))], ..Protected::default() };
    let mut world = World::new(protected);
    world.run(10, &[everyday()]);
    world.run(20, &[everyday(), Flow::bad(FLOOD, &Maker::answer)]);
    assert_eq!(
        world.text().matches("drop ").count() + world.text().matches("limit ").count(),
        0,
        "{}",
        world.text()
    );
    assert_eq!(world.good.dropped(), 0.0);
}

/// It comes so slowly that what came just before an alert is mostly the attack.
#[test]
fn a_slow_ramp_is_not_taken_for_good_traffic_nor_the_other_way() {
    let (_, amplified) = &KINDS[0];
    let mut world = World::new(Protected::default());
    world.run(900, &[everyday()]);
    for step in 1..=60 {
        world.run(3, &[everyday(), Flow::bad(FLOOD * f64::from(step) / 60.0, &amplified)]);
    }
    assert!(
        world.good.dropped() <= 0.001,
        "{} of good traffic lost by\n{}",
        world.good.dropped(),
        world.text()
    );
    world.forget();
    world.run(5, &[everyday(), Flow::bad(FLOOD, &amplified)]);
    assert!(world.bad.dropped() >= 0.99, "{} of it dropped by\n{}", world.bad.dropped(), world.text());
}

/// The machine slept, or its clock was set: nothing is enforced that was not watched, and nothing dropped stays for ever.
#[test]
fn jumps_of_the_clock_decide_nothing() {
    let (_, amplified) = &KINDS[1];
    let mut world = World::new(Protected::default());
    world.run(10, &[everyday()]);
    world.run(5, &[everyday(), Flow::bad(FLOOD, &amplified)]);
    let text = world.text();
    assert!(text.contains("drop mitigation_1_"), "{text}");
    for seconds in [3600, 86_400] {
        world.jump(seconds);
        world.run(2, &[everyday(), Flow::bad(FLOOD, &amplified)]);
        assert_eq!(world.text(), text, "after a jump of {seconds} s");
    }
    world.run(90, &[everyday()]);
    assert_eq!(world.text(), "");
    assert!(world.good.dropped() <= 0.001);
}

/// Pulses that are over before anybody could do something each.
#[test]
fn short_pulses_are_met_once_they_are_known() {
    let (_, amplified) = &KINDS[1];
    let mut world = World::new(Protected::default());
    world.run(10, &[everyday()]);
    for _ in 0..3 {
        world.run(1, &[everyday(), Flow::bad(FLOOD, &amplified)]);
        world.run(9, &[everyday()]);
    }
    world.forget();
    world.run(1, &[everyday(), Flow::bad(FLOOD, &amplified)]);
    assert!(
        world.bad.dropped() >= 0.99,
        "{} of the fourth dropped by\n{}",
        world.bad.dropped(),
        world.text()
    );
    assert_eq!(world.good.dropped(), 0.0);
}

/// Many come to a service that is new: packets that clients send, more of them each second.
#[test]
fn a_flash_crowd_is_no_attack_that_a_rule_is_found_for() {
    let mut world = World::new(Protected::default());
    world.run(900, &[everyday()]);
    let game: Make = |maker| {
        let mut frame = Maker::everyday(maker);
        while frame.get(23) != Some(&17) || frame[36..38] != 443u16.to_be_bytes() {
            frame = Maker::everyday(maker);
        }
        frame[36..38].copy_from_slice(&7777u16.to_be_bytes());
        frame[40..42].copy_from_slice(&[0, 0]);
        frame
    };
    for step in 1..=60 {
        world.run(3, &[everyday(), Flow::bad(FLOOD * f64::from(step) / 60.0, &game)]);
    }
    world.run(30, &[everyday(), Flow::bad(FLOOD, &game)]);
    assert!(world.bad.dropped() <= 0.01, "{} lost by\n{}", world.bad.dropped(), world.text());
}

/// Less than is an attack by itself comes with one.
#[test]
fn a_small_vector_beside_a_large_one_is_met() {
    let mut world = World::new(Protected::default());
    world.run(10, &[everyday()]);
    let all = [everyday(), Flow::bad(0.86 * FLOOD, &KINDS[10].1), Flow::bad(0.14 * FLOOD, &KINDS[14].1)];
    world.run(5, &all);
    world.forget();
    world.run(5, &all);
    assert!(world.bad.dropped() >= 0.995, "{} dropped by\n{}", world.bad.dropped(), world.text());
    assert!(world.good.dropped() <= 0.005, "{}", world.good.dropped());
    assert_eq!(world.text().matches("drop ").count(), 2, "{}", world.text());
}

#[test]
fn several_attacks_at_once_have_a_rule_each() {
    let mut world = World::new(Protected::default());
    world.run(10, &[everyday()]);
    let attacks: Vec<Flow> = [0, 9, 11].map(|kind| Flow::bad(FLOOD / 2.0, &KINDS[kind].1)).into();
    let all: Vec<Flow> = std::iter::once(everyday()).chain(attacks).collect();
    world.run(10, &all);
    world.forget();
    world.run(5, &all);
    assert!(world.bad.dropped() >= 0.99, "{} dropped by\n{}", world.bad.dropped(), world.text());
    assert!(world.good.dropped() <= 0.005, "{}", world.good.dropped());
    assert!(world.text().matches("drop ").count() <= 4, "{}", world.text());
}

/// A person narrows what was found: what goes by now is not mined again, and another kind of attack is.
#[test]
fn what_a_person_edited_stands_against_its_kind_and_another_kind_is_met() {
    let (ntp, syn) = (Flow::bad(FLOOD, &KINDS[1].1), Flow::bad(FLOOD, &KINDS[9].1));
    let mut world = World::new(Protected::default());
    world.run(10, &[everyday()]);
    world.run(4, &[everyday(), ntp]);
    let found = world.text();
    assert!(found.contains("drop mitigation_1_ntp_amplification when"), "{found}");
    world.edit(1, false, "udp.srcport == 123 and ip.src == 0.0.0.0/1");
    world.forget();
    world.run(6, &[everyday(), ntp]);
    let dropped = world.bad.dropped();
    assert!((0.3..0.7).contains(&dropped), "{dropped} dropped by\n{}", world.text());
    assert_eq!(world.text().matches("drop ").count(), 1, "{}", world.text());
    let why = "a person edited what stands against it";
    let refused = |what: &What| matches!(what, What::NotTried { why: told, .. } if told == why);
    assert_eq!(world.told.iter().filter(|what| refused(what)).count(), 1, "{:?}", world.told);
    let edited = world.told.iter().find_map(|what| match what {
        What::Edited { named, old, new, shadow } => Some((named.id, old.clone(), new.clone(), *shadow)),
        _ => None,
    });
    let new = "# written by a person, against NTP amplification to 203.0.113.7\ndrop mitigation_1_ntp_amplification when udp.srcport == 123 and ip.src == 0.0.0.0/1\n";
    assert_eq!(edited, Some((1, found, new.to_owned(), false)));
    world.run(4, &[everyday(), ntp, syn]);
    assert!(world.text().contains("drop mitigation_2_syn_flood when"), "{}", world.text());
}

/// A person writes what takes good traffic: that is told, in shadow before it takes any, and left to people.
#[test]
fn harm_of_what_a_person_wrote_is_told_and_nothing_else_is_done() {
    for in_shadow in [true, false] {
        let mut world = World::new(Protected::default());
        world.run(10, &[everyday()]);
        let ntp = Flow::bad(FLOOD, &KINDS[1].1);
        world.run(4, &[everyday(), ntp]);
        world.edit(1, in_shadow, "ip.dst == 203.0.113.7");
        world.forget();
        world.run(2, &[everyday(), ntp]);
        assert_eq!(world.good.dropped() > 0.9, !in_shadow, "{}", world.good.dropped());
        let harms: Vec<&What> = world.told.iter().filter(|what| matches!(what, What::Harms { .. })).collect();
        assert_eq!(harms.len(), 1, "{:?}", world.told);
        let text = "`mitigation_1_ntp_amplification` does harm: it matches traffic that looks good; it stays, as a person wrote it";
        assert_eq!(harms[0].to_string(), text);
        assert!(world.text().contains(" when ip.dst == 203.0.113.7\n"), "{}", world.text());
    }
}

fn config() -> (Config, life::Config) {
    (Config::default(), life::Config::default())
}
