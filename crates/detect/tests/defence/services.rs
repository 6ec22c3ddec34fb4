//! Attacks on services: what alerts call so is mined and defended as hosts are.

use crate::traffic::{KINDS, Make, Maker, VICTIM};
use crate::world::{Flow, World};
use std::time::Duration;
use weir_detect::defence::{Defence, Standing};
use weir_detect::life::{self, Command, Mitigation};
use weir_detect::mine::Protected;
use weir_detect::traffic::{Config, Service};

/// The service's addresses: three in each of two /24.
const FARM: [[u8; 4]; 6] =
    [VICTIM, [203, 0, 113, 8], [203, 0, 113, 9], [198, 51, 100, 1], [198, 51, 100, 2], [198, 51, 100, 3]];
/// As a statement writes them.
const ALL: &str =
    "ip.dst in { 198.51.100.1, 198.51.100.2, 198.51.100.3, 203.0.113.7, 203.0.113.8, 203.0.113.9 } and ";
/// 12,000 packets/s to each address, and 36,000 to each /24: below the limits of both.
const SPREAD: f64 = 72_000.0;

fn farm() -> Service {
    let prefix = |address: &[u8; 4]| weir_detect::traffic::Prefix::new((*address).into(), 32);
    Service::new("farm", FARM.iter().map(prefix).collect())
}

/// To one of the addresses.
fn spread(maker: &mut Maker, make: Make) -> Vec<u8> {
    let to = FARM[maker.below(6) as usize];
    let mut frame = make(maker);
    frame[30..34].copy_from_slice(&to);
    frame
}

fn everyday() -> Flow<'static> {
    Flow::good(5000.0, &|maker| spread(maker, Maker::everyday))
}

/// What is spread over the service, and how many statements it takes.
const ATTACKS: [(Make, usize); 4] = [
    (|maker| spread(maker, KINDS[1].1), 1),
    (|maker| spread(maker, KINDS[9].1), 1),
    (|maker| spread(maker, KINDS[11].1), 1),
    (|maker| if maker.below(2) == 0 { spread(maker, KINDS[0].1) } else { spread(maker, KINDS[10].1) }, 2),
];

#[test]
fn an_attack_that_is_spread_over_a_service_is_one_and_has_one_statement_a_vector() {
    for (number, (make, statements)) in ATTACKS.into_iter().enumerate() {
        let mut world = World::with(Protected::default(), vec![farm()]);
        world.run(10, &[everyday()]);
        world.run(8, &[everyday(), Flow::bad(SPREAD, &make)]);
        let text = world.text();
        assert_eq!(text.matches("drop mitigation_").count(), statements, "{number}: {text}");
        assert_eq!(text.matches(ALL).count(), statements, "{number}: {text}");
        assert_eq!(text.matches("# farm: ").count(), statements, "{number}: {text}");
        world.forget();
        world.run(4, &[everyday(), Flow::bad(SPREAD, &make)]);
        assert_eq!(world.attacked, ["farm"], "{number}");
        assert!(world.bad.dropped() >= 0.995, "{number}: {} of it dropped by\n{text}", world.bad.dropped());
        assert!(
            world.good.dropped() <= 0.005,
            "{number}: {} of good traffic lost by\n{text}",
            world.good.dropped()
        );
        world.run(90, &[everyday()]);
        assert_eq!(world.text(), "", "{number}: it is over");
    }
}

#[test]
fn a_host_of_a_service_is_attacked_and_defended_alone() {
    let mut world = World::with(Protected::default(), vec![farm()]);
    world.run(10, &[everyday()]);
    world.run(8, &[everyday(), Flow::bad(50_000.0, &KINDS[1].1)]);
    assert_eq!(world.attacked, ["203.0.113.7"]);
    assert!(world.text().contains("when ip.dst == 203.0.113.7 and "), "{}", world.text());
    assert_eq!(world.text().matches("drop mitigation_").count(), 1, "{}", world.text());
}

#[test]
fn a_service_of_one_address_is_attacked_under_its_name() {
    let web = Service::new("web", vec!["203.0.113.7/32".parse().unwrap()]);
    let mut world = World::with(Protected::default(), vec![web]);
    let everyday = Flow::good(5000.0, &Maker::everyday);
    world.run(10, &[everyday]);
    world.run(8, &[everyday, Flow::bad(50_000.0, &KINDS[1].1)]);
    assert_eq!(world.attacked, ["web"]);
    assert!(world.text().contains("# web: NTP amplification; "), "{}", world.text());
    assert!(world.text().contains("when ip.dst == 203.0.113.7 and "), "{}", world.text());
}

/// What is protected as a victim gets no statement, as a part of a service either.
#[test]
fn a_service_with_a_protected_address_gets_no_statement() {
    let victims = vec!["198.51.100.2/32".parse::<weir_detect::traffic::Prefix>().unwrap().into()];
    let mut world = World::with(Protected { victims, ..Protected::default() }, vec![farm()]);
    world.run(10, &[everyday()]);
    world.run(8, &[everyday(), Flow::bad(SPREAD, &ATTACKS[0].0)]);
    assert_eq!((world.attacked.as_slice(), world.text().as_str()), (&["farm".to_owned()][..], ""));
}

/// Somebody loads another policy while the attack goes on: no rule is lost, none comes twice.
#[test]
fn what_stands_for_a_service_outlives_another_policy() {
    let mut world = World::with(Protected::default(), vec![farm()]);
    world.run(10, &[everyday()]);
    let attack = Flow::bad(SPREAD, &ATTACKS[0].0);
    world.run(5, &[everyday(), attack]);
    let text = world.text();
    let other = Service::new("other", vec!["192.0.2.0/28".parse().unwrap()]);
    world.defence.serve(vec![other.clone(), farm()]);
    world.run(5, &[everyday(), attack]);
    assert_eq!((world.text(), world.attacked.len()), (text.clone(), 1));
    world.defence.serve(vec![other.clone()]);
    world.run(5, &[everyday(), attack]);
    assert_eq!(
        (world.text(), world.attacked.len()),
        (text.clone(), 1),
        "nobody is told of what is dropped anyway"
    );
    world.defence.serve(vec![other, Service { name: "renamed".into(), ..farm() }]);
    world.run(5, &[everyday(), attack]);
    assert_eq!(world.text(), text);
    assert_eq!(world.attacked, ["farm", "renamed"]);
}

/// The next leader of a fleet reads what stands, and the next process what was pinned.
#[test]
fn a_mitigation_of_a_service_is_handed_over_as_text() {
    let mut world = World::with(Protected::default(), vec![farm()]);
    world.run(10, &[everyday()]);
    world.run(5, &[everyday(), Flow::bad(SPREAD, &ATTACKS[0].0)]);
    assert!(world.defence.pin(1, true));
    let text = world.text();
    let json = serde_json::to_string(&world.defence.standing_one(1).unwrap()).unwrap();
    let next =
        || Defence::new(Config { services: vec![farm()], ..Config::default() }, life::Config::default());
    let stands = |defence: &Defence| -> String { defence.standing().map(Mitigation::text).collect() };

    let mut leader = next();
    let standing: Standing = serde_json::from_str(&json).unwrap();
    assert!(leader.adopt(world.now, standing, Duration::from_secs(60)));
    assert_eq!(stands(&leader), text);
    assert_eq!(leader.standing().next().unwrap().proposal.against(), "NTP amplification to farm");

    let memory = serde_json::to_string(&world.defence.memory()).unwrap();
    let mut restarted = next();
    restarted.recall(serde_json::from_str(&memory).unwrap());
    assert!(matches!(restarted.commands(world.now).as_slice(), [Command::Try(_) | Command::Enforce(_)]));
    assert_eq!(stands(&restarted), text);

    // What a person forbids for the service, nobody tries again.
    assert!(world.defence.forbid(1));
    world.run(5, &[everyday(), Flow::bad(SPREAD, &ATTACKS[0].0)]);
    assert_eq!(world.text(), "");
}
