//! Services: told by their names, once, and changed while the detection runs.

use weir_detect::mine::Destinations;
use weir_detect::traffic::{Config, Detector, Event, Service, Victim};

use crate::common::*;

fn service(name: &str, prefixes: &[&str]) -> Service {
    Service::new(name, prefixes.iter().map(|text| text.parse().unwrap()).collect())
}

fn detector(services: Vec<Service>) -> Detector {
    Detector::new(Config { services, ..Config::default() })
}

fn named(name: &str) -> Victim {
    Victim::Service(name.to_owned())
}

/// A flood that is spread evenly.
fn spread(victims: &[&str], rate: f64) -> Flow {
    let victims = victims.iter().map(|victim| victim.parse().unwrap()).collect();
    Flow { victims, ..Flow::to("192.0.2.1", rate).between(1.0, 6.0) }
}

/// Of one address, of several in different prefixes, of a network and an address, and of two addresses of other networks.
fn several() -> Vec<Service> {
    let farm = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "198.51.100.2", "198.51.100.3"];
    vec![
        service("one", &["203.0.113.10"]),
        service("farm", &farm),
        service("net", &["10.0.0.0/24", "2001:db8::1"]),
        service("pair", &["192.0.2.77", "198.51.100.77"]),
    ]
}

#[test]
fn an_attack_that_no_address_explains_is_one_on_the_service() {
    let farm = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "198.51.100.2", "198.51.100.3"];
    let net: Vec<String> = (0..250).map(|last| format!("10.0.0.{last}")).collect();
    let net: Vec<&str> = net.iter().map(String::as_str).collect();
    for (victims, rate, name) in [
        // 12,000 to each; 36,000 to each of two /24.
        (&farm[..], 72e3, "farm"),
        // 15,000 to each: three are above the limit of their /24, and the service is not all in it.
        (&farm, 90e3, "farm"),
        (&["192.0.2.77", "198.51.100.77"], 34e3, "pair"),
        (&["203.0.113.10"], 60e3, "one"),
        // A carpet on what is as wide as a part of a service, and with it.
        (&net, 100e3, "net"),
        (&net[..16], 100e3, "net"),
    ] {
        for seed in 0..10 {
            let samples = mixed(&[spread(victims, rate)], seed);
            let events = play(&mut detector(several()), &samples, seconds(60.0));
            assert_eq!(began(&events), [named(name)], "{name} at {rate}, seed {seed}");
            assert_eq!(ended(&events), 1);
            // Nearer to the limit it takes longer to be sure.
            let soon = if rate < 40e3 { 2.5 } else { 1.5 };
            assert!(events[0].0 < seconds(soon), "{name}: {:?}", events[0].0);
        }
    }
}

#[test]
fn a_host_of_a_service_that_is_attacked_alone_is_told_once() {
    for seed in 0..20 {
        for one_in in [100, 1000, 3000] {
            let attack = Flow { one_in, ..spread(&["192.0.2.2"], 60e3) };
            let everyday = spread(&["192.0.2.1", "192.0.2.2", "198.51.100.2", "10.0.0.7"], 12e3);
            let samples = mixed(&[attack, Flow { from: seconds(0.0), one_in, ..everyday }], seed);
            let events = play(&mut detector(several()), &samples, seconds(60.0));
            assert_eq!(began(&events), [host("192.0.2.2")], "seed {seed}, one in {one_in}");
        }
    }
}

#[test]
fn alerts_say_the_addresses() {
    let events =
        play(&mut detector(several()), &mixed(&[spread(&["10.0.0.1", "10.0.0.2"], 38e3)], 1), seconds(3.0));
    let victim = Destinations::of(events[0].1.alert());
    assert_eq!((victim.to_string().as_str(), victim.prefixes().len()), ("net", 2));
    assert!(
        victim.contains("10.0.0.255".parse().unwrap()) && victim.contains("2001:db8::1".parse().unwrap())
    );
}

/// Another policy: what is usual for services that stay is kept, and what is new is not taken for an attack.
#[test]
fn services_may_change_while_they_are_watched() {
    let hosts = ["192.0.2.1", "192.0.2.2"];
    let mut detector = Detector::new(Config {
        services: vec![service("gone", &["198.51.100.9"]), service("web", &hosts)],
        learn: seconds(20.0),
        ..Config::default()
    });
    let usual = |from: f64, to: f64| Flow { one_in: 1000, ..spread(&hosts, 60e3).between(from, to) };
    assert_eq!(began(&play(&mut detector, &mixed(&[usual(0.0, 22.0)], 1), seconds(22.0))), []);
    let learnt = detector.usual(&named("web")).unwrap().packets;
    assert!((50e3..100e3).contains(&learnt), "{learnt}");

    // Its place among the services is another one, and its windows are the same.
    let before = detector.tally().flow(&named("web"), 2);
    assert!(before.is_some());
    detector.serve(vec![
        service("web", &hosts),
        service("new", &hosts[..1]),
        service("both", &["192.0.2.0/30"]),
    ]);
    assert_eq!(detector.tally().flow(&named("web"), 2), before);
    assert_eq!(detector.usual(&named("web")).map(|rate| rate.packets), Some(learnt));
    let new = detector.usual(&named("new")).unwrap().packets;
    assert!((25e3..50e3).contains(&new), "{new}: what is usual for its address");
    detector.serve(vec![service("new", &hosts[..1]), service("web", &hosts)]);
    assert_eq!(began(&play(&mut detector, &mixed(&[usual(22.0, 30.0)], 2), seconds(30.0))), []);
}

#[test]
fn an_alert_ends_with_the_service_that_it_is_about() {
    let web = ["192.0.2.1", "198.51.100.1"];
    let mut detector = detector(vec![service("web", &web), service("one", &["203.0.113.10"])]);
    let flows = [spread(&web, 34e3), spread(&["203.0.113.10"], 60e3), spread(&["203.0.113.20"], 60e3)];
    let flows = flows.map(|flow| flow.between(1.0, 30.0));
    let samples = mixed(&flows, 1);
    let (first, rest) = samples.split_at(samples.partition_point(|taken| taken.time < seconds(5.0)));
    let (then, last) = rest.split_at(rest.partition_point(|taken| taken.time < seconds(10.0)));
    let victims = |mut victims: Vec<Victim>| {
        victims.sort();
        victims
    };
    let ends = |events: &[(std::time::Duration, Event)]| -> Vec<Victim> {
        let ended = events.iter().filter(|(_, event)| matches!(event, Event::Ended(_)));
        victims(ended.map(|(_, event)| event.alert().victim.clone()).collect())
    };
    let events = play(&mut detector, first, seconds(5.0));
    assert_eq!(victims(began(&events)), [host("203.0.113.20"), named("one"), named("web")]);
    // One is gone, a host has got a name, and one is another place.
    detector.serve(vec![service("two", &["203.0.113.20"]), service("one", &["203.0.113.10"])]);
    let events = play(&mut detector, then, seconds(10.0));
    assert_eq!(ends(&events), [host("203.0.113.20"), named("web")]);
    assert_eq!(began(&events), [named("two")]);
    detector.serve(Vec::new());
    let events = play(&mut detector, last, seconds(30.0));
    assert_eq!(ends(&events), [named("one"), named("two")]);
    assert_eq!(victims(began(&events)), [host("203.0.113.10"), host("203.0.113.20")]);
}
