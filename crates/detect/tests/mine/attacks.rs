//! Attacks made up: each kind alone, several at once, none that can be told, and those that want to mislead.

use crate::judge::{SHOWN, agrees, matched, policy, sample, text};
use crate::traffic::{KINDS, Make, Maker, RESOLVER, VICTIM};
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::mine::{Answer, Budget, Destinations, Findings, Prefix, Proof, Protected, Request, mine};
use weir_detect::sample::Sample;

fn samples(frames: &[Vec<u8>]) -> Vec<Sample<'_>> {
    let taken = |index: usize, frame| Sample {
        time: Duration::from_millis(index as u64),
        ..sample(frame, SHOWN, 100)
    };
    frames.iter().enumerate().map(|(index, frame)| taken(index, frame)).collect()
}

fn mined(attack: &[Vec<u8>], good: &[Vec<u8>], network: &[Vec<u8>], protected: &Protected) -> Findings {
    mine(&Request {
        victim: &Prefix::host(IpAddr::from(VICTIM)).into(),
        attack: &samples(attack),
        good: &samples(good),
        network: &samples(network),
        protected,
        budget: Budget::default(),
    })
}

fn open() -> Protected {
    Protected::default()
}

#[test]
fn every_kind_is_told_by_one_statement() {
    for (seed, (name, make)) in KINDS.iter().enumerate() {
        let mut maker = Maker::new(seed as u64);
        let (attack, good) = (maker.many(500, make), maker.many(1000, Maker::everyday));
        let findings = mined(&attack, &good, &[], &open());
        println!("{}", text(&findings));
        let [statement] = findings.statements.as_slice() else { panic!("{name}: {findings:#?}") };
        assert_eq!(statement.cause, *name);
        let policy = policy(&text(&findings));
        let (attack, good) = (maker.many(4000, make), maker.many(4000, Maker::everyday));
        assert!(matched(&policy, &attack) >= 3980, "{name}");
        assert!(matched(&policy, &good) <= 2, "{name}: {}", matched(&policy, &good));
        agrees(statement, "", &[attack, good].concat());
    }
}

/// As an alert hands it over: with the victim's own traffic among it.
#[test]
fn good_traffic_among_the_attack_does_no_harm() {
    for (seed, (name, make)) in KINDS.iter().enumerate() {
        let mut maker = Maker::new(100 + seed as u64);
        let attack = [maker.many(400, make), maker.many(100, Maker::everyday)].concat();
        let findings = mined(&attack, &maker.many(1000, Maker::everyday), &[], &open());
        let policy = policy(&text(&findings));
        assert!(matched(&policy, &maker.many(4000, make)) >= 3980, "{name}");
        assert!(matched(&policy, &maker.many(4000, Maker::everyday)) <= 2, "{name}: {}", text(&findings));
    }
}

#[test]
fn each_of_several_vectors_gets_a_statement() {
    let mut maker = Maker::new(7);
    let vectors = [KINDS[0], KINDS[1], KINDS[9]];
    let attack: Vec<_> = vectors.iter().flat_map(|kind| maker.many(300, kind.1)).collect();
    let findings = mined(&attack, &maker.many(1000, Maker::everyday), &[], &open());
    let mut causes: Vec<_> = findings.statements.iter().map(|statement| statement.cause.as_ref()).collect();
    causes.sort_unstable();
    assert_eq!(causes, ["DNS amplification", "NTP amplification", "SYN flood"]);
    assert!(findings.covered >= 0.995);
    assert_eq!(findings.statements.iter().map(|s| (s.covered * 3.0).round()).sum::<f64>(), 3.0);
}

#[test]
fn what_looks_like_good_traffic_is_left_alone() {
    let mut maker = Maker::new(8);
    let findings = mined(&maker.many(500, Maker::everyday), &maker.many(1000, Maker::everyday), &[], &open());
    assert_eq!(findings.statements, []);
    assert!(
        findings.left.iter().all(|left| left.answer != Answer::Alert || left.share < 0.5),
        "{findings:#?}"
    );
}

#[test]
fn connections_that_only_look_good_are_for_syn_cookies() {
    let mut maker = Maker::new(9);
    let attack = maker.many(1000, Maker::client_syn);
    let findings = mined(&attack, &maker.many(1000, Maker::everyday), &[], &open());
    let [left] = findings.left.as_slice() else { panic!("{findings:#?}") };
    assert_eq!((left.cause, left.answer), ("SYN flood", Answer::SynCookies));
}

#[test]
fn sources_that_send_too_much_of_good_traffic_are_limited() {
    let mut maker = Maker::new(10);
    let from = |mut frame: Vec<u8>, last: usize| {
        frame[26..30].copy_from_slice(&[198, 18, last as u8 % 40, 1]);
        frame
    };
    let attack = maker.many(1000, Maker::client_syn);
    let attack: Vec<_> = attack.into_iter().enumerate().map(|(last, frame)| from(frame, last)).collect();
    // The victim's own clients come from there too, so that it is no matter of prefixes.
    let good = maker.many(1000, Maker::everyday).into_iter().enumerate();
    let good: Vec<_> =
        good.map(|(index, frame)| if index % 9 == 0 { from(frame, index) } else { frame }).collect();
    let findings = mined(&attack, &good, &[], &open());
    let limits = findings.left.iter().filter_map(|left| left.statement.as_ref());
    let limits: Vec<_> = limits.map(|limit| limit.text(false)).collect();
    let [limit] = limits.as_slice() else { panic!("{findings:#?}") };
    assert!(
        limit.contains("limit syn_flood when ip.dst == 203.0.113.7 and tcp.flags & 0x17 == 0x02 to "),
        "{limit}"
    );
    policy(limit);
}

/// A forged answer is like a real one: neither feed nor miner may turn it into a rule against the resolver.
#[test]
fn who_forges_the_resolver_does_not_get_it_blocked() {
    let mut maker = Maker::new(11);
    let (forged, good) = (maker.many(800, Maker::answer), maker.many(1000, Maker::everyday));
    let answers = maker.many(2000, Maker::answer);
    let findings = mined(&forged, &good, &[], &open());
    assert!(matched(&policy(&text(&findings)), &answers) <= 1, "{}", text(&findings));

    let protected = Protected { sources: vec![Prefix::host(IpAddr::from(RESOLVER))], ..open() };
    for good in [&good[..], &[]] {
        let findings = mined(&forged, good, &[], &protected);
        assert_eq!((findings.statements.len(), findings.covered, findings.protected), (0, 0.0, 1.0));
    }
}

#[test]
fn protected_sources_are_left_out_by_list_or_by_set() {
    let mut maker = Maker::new(12);
    let attack = [maker.many(500, KINDS[0].1), maker.many(100, Maker::answer)].concat();
    let sources = vec![Prefix::new(IpAddr::from(RESOLVER), 24)];
    for (set, text) in [(None, "not ip.src == 192.0.2.0/24"), (Some("friends"), "not ip.src in friends")] {
        let protected = Protected { sources: sources.clone(), set: set.map(str::to_owned), ..open() };
        let findings = mined(&attack, &maker.many(1000, Maker::everyday), &[], &protected);
        assert!(findings.statements[0].condition.ends_with(text), "{}", findings.statements[0].condition);
        let set = "set friends : ip = { 192.0.2.0/24 }\n";
        agrees(&findings.statements[0], set, &attack);
    }
}

#[test]
fn there_is_no_statement_for_a_protected_victim() {
    let mut maker = Maker::new(13);
    let protected = Protected { victims: vec![Prefix::new(IpAddr::from(VICTIM), 24)], ..open() };
    let findings = mined(&maker.many(500, KINDS[0].1), &[], &[], &protected);
    assert!(findings.refused && findings.statements.is_empty());
}

#[test]
fn without_good_samples_a_statement_says_all_it_can() {
    let mut maker = Maker::new(14);
    let findings = mined(&maker.many(500, KINDS[15].1), &[], &[], &open());
    let statement = &findings.statements[0];
    assert_eq!((statement.proof, statement.collateral.high), (Proof::Thin, 1.0));
    assert!(statement.condition.contains("udp.dstport == 27015"), "{}", statement.condition);
    let dns = mined(&maker.many(500, KINDS[0].1), &[], &[], &open());
    assert!(
        dns.statements[0].condition.contains("udp.srcport == 53 and "),
        "{}",
        dns.statements[0].condition
    );
    KINDS.iter().for_each(|kind| println!("{}", text(&mined(&maker.many(500, kind.1), &[], &[], &open()))));
    let random = maker.many(500, |maker| {
        let port = 1000 + maker.below(60_000) as u16;
        maker.amplified(port, b"", (30, 1400))
    });
    assert_eq!(mined(&random, &[], &[], &open()).statements, []);
}

#[test]
fn few_good_samples_are_helped_out_by_the_networks() {
    let mut maker = Maker::new(15);
    let others: Vec<_> = maker.many(2000, Maker::everyday);
    let others: Vec<_> = others
        .into_iter()
        .enumerate()
        .map(|(index, mut frame)| {
            frame[30..34].copy_from_slice(&[203, 0, 113, 100 + index as u8 % 50]);
            frame
        })
        .collect();
    let findings = mined(&maker.many(500, KINDS[0].1), &maker.many(20, Maker::everyday), &others, &open());
    let statement = &findings.statements[0];
    assert_eq!(statement.proof, Proof::Shown);
    assert!(matched(&policy(&text(&findings)), &maker.many(2000, Maker::everyday)) == 0);
}

/// Good-looking packets from few networks are told by these; those of any source never are.
#[test]
fn sources_are_told_where_they_discriminate() {
    let mut maker = Maker::new(18);
    let attack: Vec<_> = maker
        .many(500, Maker::client_syn)
        .into_iter()
        .map(|mut frame| {
            frame[26..28].copy_from_slice(&[198, 18]);
            frame
        })
        .collect();
    let findings = mined(&attack, &maker.many(1000, Maker::everyday), &[], &open());
    let condition = &findings.statements[0].condition;
    assert!(condition.contains("ip.src == 198.18.0.0/16"), "{condition}");
    assert!(KINDS.iter().all(|kind| {
        let findings = mined(&maker.many(500, kind.1), &maker.many(1000, Maker::everyday), &[], &open());
        findings.statements.iter().all(|statement| !statement.condition.contains("ip.src"))
    }));
}

#[test]
fn an_ipv6_victim_gets_a_statement_of_its_family() {
    let (mut maker, victim) = (Maker::new(19), "2001:db8::7".parse().unwrap());
    let attack = maker.many(500, |maker| maker.v6(victim, 53, (1200, 1400)));
    let good = maker.many(500, |maker| maker.v6(victim, 53, (60, 300)));
    let protected = Protected { sources: vec![Prefix::new(IpAddr::V6(victim), 32)], ..open() };
    let findings = mine(&Request {
        victim: &Prefix::new(IpAddr::V6(victim), 64).into(),
        attack: &samples(&attack),
        good: &samples(&good),
        network: &[],
        protected: &protected,
        budget: Budget::default(),
    });
    let statement = &findings.statements[0];
    assert!(statement.condition.starts_with("ip.dst == 2001:db8::/64 and udp.srcport == 53 and ip.len >= "));
    assert!(statement.condition.ends_with(" and not ip.src == 2001:db8::/32"), "{}", statement.condition);
    agrees(statement, "", &[attack, good].concat());
}

/// An attack on all hosts of a network is one statement for the network.
#[test]
fn a_carpet_gets_one_statement() {
    let mut maker = Maker::new(22);
    let spread = |frames: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        let to = |(host, mut frame): (usize, Vec<u8>)| {
            frame[33] = host as u8;
            frame
        };
        frames.into_iter().enumerate().map(to).collect()
    };
    let attack = spread(maker.many(500, KINDS[10].1));
    let good = spread(maker.many(1000, Maker::everyday));
    let findings = mine(&Request {
        victim: &Prefix::new(IpAddr::from(VICTIM), 24).into(),
        attack: &samples(&attack),
        good: &samples(&good),
        network: &[],
        protected: &open(),
        budget: Budget::default(),
    });
    let [statement] = findings.statements.as_slice() else { panic!("{findings:#?}") };
    assert!(
        statement.condition.starts_with("ip.dst == 203.0.113.0/24 and tcp.flags"),
        "{}",
        statement.condition
    );
    agrees(statement, "", &[attack, good].concat());
}

/// Before the attack its author sends much like it to a host of his own: what others get still counts.
#[test]
fn one_loud_destination_does_not_decide_what_is_good() {
    let mut maker = Maker::new(20);
    let to = |(host, mut frame): (usize, Vec<u8>)| {
        frame[33] = 100 + host as u8 % 100;
        frame
    };
    let own: Vec<_> = maker.many(3000, KINDS[15].1).into_iter().map(|frame| to((0, frame))).collect();
    let network = [own, maker.many(3000, Maker::everyday).into_iter().enumerate().map(to).collect()].concat();
    let attack = maker.many(500, KINDS[15].1);
    let findings = mine(&Request {
        victim: &Prefix::host(IpAddr::from(VICTIM)).into(),
        attack: &samples(&attack),
        good: &[],
        network: &samples(&network),
        protected: &open(),
        budget: Budget { max_collateral: 0.02, ..Budget::default() },
    });
    assert!(findings.covered >= 0.995 && findings.collateral.share <= 0.02, "{findings:#?}");
}

#[test]
fn the_same_request_gives_the_same_findings() {
    let make = || {
        let mut maker = Maker::new(16);
        let attack: Vec<_> = KINDS.iter().flat_map(|kind| maker.many(60, kind.1)).collect();
        mined(&attack, &maker.many(500, Maker::everyday), &[], &open())
    };
    assert_eq!(make(), make());
}

/// In a release build 2,000 samples of each kind take less than 20 ms; here some hundred are allowed for other work
/// on the machine.
#[test]
fn it_takes_milliseconds() {
    let mut worst = Duration::ZERO;
    let all: Vec<_> = KINDS.iter().map(|kind| vec![*kind]).chain([KINDS.to_vec()]).collect();
    for kinds in all {
        let mut maker = Maker::new(17);
        let attack: Vec<_> = kinds.iter().flat_map(|kind| maker.many(2000 / kinds.len(), kind.1)).collect();
        let good = maker.many(2000, Maker::everyday);
        let (attack, mut good) = (samples(&attack), samples(&good));
        // Weights that differ take longest.
        good.iter_mut().enumerate().for_each(|(index, sample)| sample.one_in += index as u32 % 7);
        let protected = open();
        let request = Request {
            victim: &Prefix::host(IpAddr::from(VICTIM)).into(),
            attack: &attack,
            good: &good,
            network: &[],
            protected: &protected,
            budget: Budget::default(),
        };
        let took = (0..3).map(|_| {
            let start = std::time::Instant::now();
            mine(&request);
            start.elapsed()
        });
        let took = took.min().unwrap();
        println!("{} kinds, {}: {took:?}", kinds.len(), kinds[0].0);
        worst = worst.max(took);
    }
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}

/// One statement for all addresses of a service, of both families.
#[test]
fn a_service_has_one_statement() {
    let addresses =
        ["203.0.113.7", "198.51.100.20", "2001:db8::7"].map(|text| text.parse::<IpAddr>().unwrap());
    let prefixes = addresses.map(Prefix::host).to_vec();
    let mut maker = Maker::new(18);
    let mut to = |count: usize, make: Make| -> Vec<Vec<u8>> {
        let frame = |number: usize| {
            let mut frame = make(&mut maker);
            if number % 3 == 1 {
                frame[30..34].copy_from_slice(&[198, 51, 100, 20]);
            }
            frame
        };
        (0..count).map(frame).collect()
    };
    let (mut attack, good) = (to(400, KINDS[1].1), to(900, Maker::everyday));
    attack.extend((0..200).map(|_| maker.v6("2001:db8::7".parse().unwrap(), 123, (440, 440))));
    let findings = mine(&Request {
        victim: &Destinations::new(Some("web".into()), prefixes),
        attack: &samples(&attack),
        good: &samples(&good),
        network: &[],
        protected: &Protected { sources: vec![Prefix::host(IpAddr::from(RESOLVER))], ..open() },
        budget: Budget::default(),
    });
    let [statement] = findings.statements.as_slice() else { panic!("{findings:#?}") };
    let begin = "ip.dst in { 198.51.100.20, 203.0.113.7, 2001:db8::7 } and udp.srcport == 123";
    assert!(statement.condition.starts_with(begin), "{}", statement.condition);
    assert!(statement.comment()[0].starts_with("web: NTP amplification; "), "{:?}", statement.comment());
    assert!(findings.covered >= 0.99, "{findings:#?}");
    assert_eq!(matched(&policy(&text(&findings)), &attack), attack.len());
    assert_eq!(matched(&policy(&text(&findings)), &good), 0);
    let elsewhere = maker.many(50, |maker| {
        let mut frame = KINDS[1].1(maker);
        frame[33] = 8;
        frame
    });
    agrees(statement, "", &[attack, good, elsewhere].concat());
}
