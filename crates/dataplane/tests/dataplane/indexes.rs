//! Live sets of prefixes against a plain list, through the program that runs, while they change and grow.

use crate::support::{Edge, packets, require_kernel, say};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use weir_dataplane::{Instance, Lifetime, LiveSet, Policy};
use weir_kernel::program::Program;
use weir_kernel::run;
use weir_lab::traffic::Random;
use weir_lab::wire::{Pace, SendOptions, send};
use weir_packet::build::{Ethernet, Ipv4, Ipv6, Packet, Udp};

const BLOCKED: &str = "set blocked : ip timeout 1h max 100k\ndrop blocked when ip.src in blocked\n";

/// Whether the program that runs drops what comes from an address.
pub(crate) fn drops(edge: &Edge, instance: &Instance, address: u128, six: bool) -> bool {
    let packet = Packet::new().push(Ethernet::default());
    let packet = match six {
        true => packet.push(Ipv6::new(Ipv6Addr::from(address), Ipv6Addr::LOCALHOST)),
        false => packet.push(Ipv4::new(Ipv4Addr::from((address >> 96) as u32), [10, 1, 0, 1])),
    };
    let mut frame = packet.push(Udp::new(1, 2)).build();
    frame.resize(frame.len().max(60), 0);
    let generation = instance.status().unwrap().generation;
    let place = weir_kernel::pins::ensure_bpffs().unwrap().join("weir").join(&edge.instance);
    let program = Program::open(&place.join(format!("gen-{generation}")).join("program")).unwrap();
    run::once(&program, &frame).unwrap().code == 1
}

/// The first address of an IPv4 prefix, from the most significant bit of 128 on.
pub(crate) fn first_address(text: &str) -> u128 {
    parse(text).0
}

fn parse(text: &str) -> (u128, u8) {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().unwrap();
    (u128::from(u32::from(address)) << 96, length.parse().unwrap())
}

/// Elements as a set lists them.
pub(crate) struct Listed(std::collections::BTreeSet<(u128, u8)>);

impl Listed {
    pub(crate) fn of(texts: &[String]) -> Listed {
        Listed(texts.iter().map(|text| parse(text)).collect())
    }

    pub(crate) fn holds(&self, address: u128) -> bool {
        (0..=32).any(|length| self.0.contains(&(address & mask(length), length)))
    }
}

/// Prefixes from the most significant bit of 128 on, in the order of what covers.
type List = BTreeMap<(u128, u8), Option<Instant>>;

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

fn text((first, length): (u128, u8), six: bool) -> String {
    match six {
        true => format!("{}/{length}", Ipv6Addr::from(first)),
        false => format!("{}/{length}", Ipv4Addr::from((first >> 96) as u32)),
    }
}

/// One that is near others.
fn prefix(random: &mut Random, six: bool) -> (u128, u8) {
    let bits = if six { 128 } else { 32 };
    let start: u128 = if six { 0x2001_0db8 << 96 } else { 0x0b00_0000 << 96 };
    let low = u128::from(random.bits()) << 64 | u128::from(random.bits());
    let keep = [0, 8, 16, 20, 24, 28, 31][random.below(7) as usize] + if six { random.below(96) } else { 0 };
    let length = match random.below(6) {
        0 => random.below(bits + 1),
        1 | 2 => bits,
        _ => (keep + random.below(9)).min(bits),
    } as u8;
    ((start ^ low >> keep) & mask(length), length)
}

fn expected(list: &List, address: u128) -> Option<bool> {
    let now = Instant::now();
    let holding = list.iter().filter(|((first, length), _)| address & mask(*length) == *first);
    let mut sure = true;
    for (_, expires) in holding {
        match expires {
            None => return Some(true),
            // A tick of the index, one of the clock, and what passes between the two looks at it.
            Some(at) if now + Duration::from_millis(20) < *at => return Some(true),
            Some(at) => sure &= now > *at + Duration::from_millis(100),
        }
    }
    sure.then_some(false)
}

fn change(set: &mut LiveSet, list: &mut List, random: &mut Random, six: bool) {
    let known = list.keys().nth(random.below(list.len().max(1) as u32) as usize).copied();
    match (random.below(4), known) {
        (0, Some(known)) => {
            let deleted = set.delete(&[text(known, six)]).unwrap();
            // What had expired may have gone by itself.
            assert_eq!(deleted, 1 - u64::from(list.remove(&known).flatten().is_some() && deleted == 0));
        }
        (kind, known) => {
            let new = known.filter(|_| kind == 1).unwrap_or_else(|| prefix(random, six));
            let lives = [None, Some(Duration::from_secs(100)), Some(Duration::from_millis(150))];
            let lives = lives[random.below(3) as usize];
            set.add(&[text(new, six)], lives.map_or(Lifetime::Forever, Lifetime::For)).unwrap();
            list.insert(new, lives.map(|lives| Instant::now() + lives));
        }
    }
}

#[test]
fn the_program_says_what_a_list_says() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(BLOCKED);
    let mut random = Random::new(5);
    let mut set = instance.set("blocked").unwrap();
    let mut asked = 0;
    for six in [false, true] {
        let mut list = List::new();
        for round in 0..300 {
            change(&mut set, &mut list, &mut random, six);
            if round % 100 == 50 {
                // Far more than a section begins with, next to the others.
                let many: Vec<(u128, u8)> = (0..3000).map(|_| prefix(&mut random, six)).collect();
                let texts: Vec<String> = many.iter().map(|prefix| text(*prefix, six)).collect();
                set.add(&texts, Lifetime::Forever).unwrap();
                list.extend(many.into_iter().map(|prefix| (prefix, None)));
                list.retain(|(_, length), _| *length > 2);
                let all = [
                    "0.0.0.0/0",
                    "0.0.0.0/1",
                    "128.0.0.0/1",
                    "0.0.0.0/2",
                    "64.0.0.0/2",
                    "128.0.0.0/2",
                    "192.0.0.0/2",
                ];
                let all6 = ["::/0", "::/1", "8000::/1", "::/2", "4000::/2", "8000::/2", "c000::/2"];
                set.delete(if six { &all6 } else { &all }).unwrap();
                let text = format!("count round{round}\n{BLOCKED}");
                instance.reload(&Policy::new("test.weir", &text)).unwrap();
            }
            for _ in 0..8 {
                let near = list.keys().nth(random.below(list.len().max(1) as u32) as usize).copied();
                let (first, length) = near.unwrap_or_default();
                let address = match random.below(3) {
                    0 => prefix(&mut random, six).0,
                    1 => first | u128::from(random.bits()) << 64 & !mask(length),
                    _ => first.wrapping_sub(1),
                };
                let address = address & mask(if six { 128 } else { 32 });
                if let Some(expected) = expected(&list, address) {
                    let what = text((address, if six { 128 } else { 32 }), six);
                    assert_eq!(drops(&edge, &instance, address, six), expected, "{what} in round {round}");
                    asked += 1;
                }
            }
        }
        let alive = |list: &List| {
            let now = Instant::now();
            list.values().filter(|expires| expires.is_none_or(|at| at > now)).count()
        };
        let before = alive(&list);
        let listed = set.list().unwrap().len();
        assert!((alive(&list)..=before).contains(&listed), "{listed} of {before}");
        set.flush().unwrap();
        assert!(!drops(&edge, &instance, list.keys().next_back().unwrap().0, six), "flushed");
    }
    let generation = instance.status().unwrap().generation;
    say(&format!("{asked} addresses were judged as the list says, over {generation} generations"));
    assert!(asked > 3000 && generation > 8, "{asked} {generation}");
}

#[test]
fn frames_are_judged_while_a_set_changes_and_grows() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) =
        edge.load("set blocked : ip max 1M\ndrop blocked when ip.src in blocked\npass good\n");
    let mut set = instance.set("blocked").unwrap();
    set.add(&["10.1.0.0/24"], Lifetime::Forever).unwrap();
    let options = SendOptions::new(Pace::Fastest, Duration::from_secs(120));
    let stop = options.stop.clone();
    let client = edge.lab.host("client").unwrap();
    let mut traffic = edge.steady(4000, 80, 1);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(client, "eth0", &mut traffic, &options).expect("sending"));
        let mut random = Random::new(3);
        for round in 0..40 {
            // Around the address of the frames, and all over.
            let length = 25 + random.below(8);
            let near = format!("10.1.0.{}/{length}", random.below(256) >> (32 - length) << (32 - length));
            let others = (0..1000).map(|_| Ipv4Addr::from(random.bits() as u32 | 1 << 31).to_string());
            let mut all: Vec<String> = others.collect();
            all.push(near.clone());
            all.push("10.0.0.0/8".into());
            set.add(&all, Lifetime::Forever).unwrap();
            set.delete(&[&near, "10.0.0.0/8"]).unwrap();
            if round % 4 == 0 {
                set.delete(&all[..500]).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    std::thread::sleep(Duration::from_millis(100));
    let (blocked, good) = (packets(&instance, "blocked"), packets(&instance, "good"));
    let generation = instance.status().unwrap().generation;
    say(&format!("{} frames over {generation} generations: {blocked} dropped, {good} passed", sent.frames));
    assert!(generation > 2, "the set grew");
    assert_eq!(good, 0);
    assert_eq!(sent.frames - blocked, crate::reloads::wire_losses(&edge));
}

#[test]
fn lifetimes_outlive_growth_and_a_larger_max() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(BLOCKED);
    let mut set = instance.set("blocked").unwrap();
    set.add(&["10.1.0.2", "2001:db8::/32"], Lifetime::For(Duration::from_secs(100))).unwrap();
    let many: Vec<String> = (0..9000u32).map(|n| Ipv4Addr::from(0x0c00_0000 + n * 7).to_string()).collect();
    set.add(&many, Lifetime::Declared).unwrap();
    assert!(instance.status().unwrap().generation > 1, "it grew");
    let larger = BLOCKED.replace("100k", "200k");
    crate::reloads::reload(&mut instance, &larger);
    let list = set.list().unwrap();
    assert_eq!(list.len(), 9002);
    assert_eq!(instance.sets().unwrap()[0].elements, 9002);
    let left = list.iter().find(|element| element.element == "10.1.0.2").unwrap().remaining_ns.unwrap();
    assert!(left < 100_000_000_000 && left > 50_000_000_000, "{left}");
    edge.send(80, 10);
    assert_eq!(packets(&instance, "blocked"), 10);
    // What was taken out has left its nodes.
    let generation = instance.status().unwrap().generation;
    set.delete(&many[..500]).unwrap();
    set.add(&many[..500], Lifetime::Declared).unwrap();
    assert_eq!(instance.status().unwrap().generation, generation, "there was room for that");
}
