//! Every combination of what a balance can be, on frames and states of pools that nobody chose: all engines must agree, and
//! what leaves must say of itself what is so.

use crate::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use weir_bpf::target::Target;
use weir_compiler::ir::Verdict;
use weir_compiler::state::{Hop, PoolState};
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::engines::{Bytecode, Engine, Ir, Judgement, Kernel, Plain};
use weir_packet::checksum;
use weir_pool::slots::{SAME, Word};

const VIAS: [&str; 11] = [
    "l2",
    "ipip from 192.0.2.1",
    "ipip from 2001:db8:2::1",
    "ipip from (192.0.2.0/24, 2001:db8:2::/96)",
    "gue from 192.0.2.1",
    "gue port 6081 from 2001:db8:2::/64",
    "gue from (192.0.2.1, 2001:db8:2::1)",
    "vxlan id 7 from 192.0.2.1",
    "vxlan id 16777215 port 4790 from (192.0.2.0/24, 2001:db8:2::/96)",
    "nat from 192.0.2.1 ports 1000..1007",
    "nat from 2001:db8:2::2/127 ports 65532..65535",
];
const HOPS: [&str; 2] = ["gateway 02:00:00:00:00:99", ""];
const KEYS: [&str; 3] = ["", "by ip.src", "by (ip.src, udp.srcport)"];
/// And whether its echo requests are answered.
const SERVICES: [(&str, &str); 4] = [
    ("ip.dst == 203.0.113.10", ""),
    ("ip6 and udp.dstport < 100", ""),
    ("ip", ""),
    ("ip.dst in { 203.0.113.10, 2001:db8::10 } and not udp.dstport == 53", "echo"),
];
const DOWN: [&str; 3] = ["all", "pass", "drop"];
const TRACK: [&str; 2] = ["changes", "all\n    settle 5s"];
/// Frames of each combination.
const FRAMES: usize = 100;
/// Numbers that backends of a test can have.
const MOST: u16 = 6;

/// One combination, by its number.
fn policy(nth: usize) -> String {
    let (via, rest) = (VIAS[nth % VIAS.len()], nth / VIAS.len());
    let (hop, rest) = (HOPS[rest % HOPS.len()], rest / HOPS.len());
    let (key, rest) = (KEYS[rest % KEYS.len()], rest / KEYS.len());
    let ((service, echo), track) =
        (SERVICES[rest % SERVICES.len()], TRACK[rest / SERVICES.len() % TRACK.len()]);
    let four = "    10.0.1.1\n    10.0.1.2 weight 3\n";
    let six = "    2001:db8:1::1\n    2001:db8:1::2 weight 2\n";
    let backends = match via {
        via if via.contains(", ") || via == "l2" => format!("{four}{six}"),
        via if via.starts_with("nat from 2001") => six.replace("::1\n", "::1\n    [2001:db8:1::1]:8080\n"),
        via if via.starts_with("nat") => four.replace("10.0.1.1\n", "10.0.1.1:8080\n"),
        via if via.contains("from 2001") => six.to_owned(),
        _ => four.to_owned(),
    };
    // A frame in VXLAN goes to a backend's own address.
    let backends: String = match via.starts_with("vxlan") {
        true => backends.lines().map(|line| format!("{line} mac 02:00:00:00:00:aa\n")).collect(),
        false => backends,
    };
    let down = DOWN[nth % DOWN.len()];
    format!(
        "pool web {{\n{backends}    ring 251\n    max {MOST}\n    down {down}\n    track {track}\n    {hop}\n}}\n\
         balance web when {service} to web {key} via {via} {echo}\ncount rest\ndefault pass\n"
    )
}

fn combinations() -> usize {
    VIAS.len() * HOPS.len() * KEYS.len() * SERVICES.len() * TRACK.len()
}

#[test]
fn every_combination_agrees_on_frames_and_states_that_nobody_chose() {
    let kernel = crate::kernel();
    match &kernel {
        None => each_combination(None),
        Some(_) => {
            let routed = crate::routed::namespace().expect("a namespace with routes");
            routed.run(|| each_combination(kernel.as_ref())).expect("a thread in a namespace");
        }
    }
}

fn each_combination(kernel: Option<&Target>) {
    let combinations = combinations();
    let mut sent = 0;
    for nth in 0..combinations {
        let text = policy(nth);
        let target = kernel.cloned().unwrap_or_else(Target::newest);
        let compilation = compile("balance.weir", &text, &NoFiles, &Options::new(target, Hook::Xdp));
        let compilation = compilation.unwrap_or_else(|analysis| panic!("{text}{:?}", analysis.diagnostics));
        sent += combination(&compilation, &text, nth as u64, kernel.is_some());
    }
    assert!(
        sent > combinations * FRAMES / 5,
        "{sent} frames sent of {combinations} combinations prove little"
    );
}

/// How many frames were sent.
fn combination(compilation: &Compilation, text: &str, seed: u64, kernel: bool) -> usize {
    let dice = &mut Dice::new(seed);
    let policy = &compilation.analysis.policy;
    let mut engines: Vec<Box<dyn Engine + '_>> = vec![
        Box::new(Plain::new(policy)),
        Box::new(Ir::new(compilation)),
        Box::new(Bytecode::new(compilation)),
    ];
    if kernel {
        let loaded = Kernel::load(compilation).unwrap_or_else(|error| panic!("{text}{error}"));
        // No backend is on the kernel's own links: there it is enough that the verifier takes the program.
        if policy.pools[0].gateway.is_some() || !text.contains("via l2") {
            engines.push(Box::new(loaded));
        }
    }
    let states: Vec<PoolState> =
        policy.pools.iter().map(|pool| any_state(PoolState::of(pool), dice)).collect();
    for engine in &mut engines {
        engine.set_pools(&states).unwrap_or_else(|error| panic!("{text}{error}"));
    }
    let mut sent = 0;
    let mut earlier: Vec<Vec<u8>> = Vec::new();
    // What has left, if that can be answered.
    let mut left: Vec<Vec<u8>> = Vec::new();
    for _ in 0..FRAMES {
        // Some frames come again, so that flows are remembered and fragments follow.
        let frame = match dice.below(4) {
            0 if !earlier.is_empty() => again(&earlier[dice.below(earlier.len())], dice),
            1 if !left.is_empty() => answer(&left[dice.below(left.len())], dice),
            _ => any_frame(dice),
        };
        earlier.push(frame.clone());
        let judged: Vec<Judgement> = engines
            .iter_mut()
            .map(|engine| {
                engine.judge(&frame, 1).unwrap_or_else(|error| panic!("{text}{error}: {frame:02x?}"))
            })
            .collect();
        for (engine, judgement) in engines.iter().zip(&judged).skip(1) {
            assert!(
                judged[0].agrees(judgement),
                "{text}{frame:02x?}\n{}: {:02x?}\n{}: {judgement:02x?}",
                engines[0].name(),
                judged[0],
                engine.name()
            );
        }
        if judged[0].verdict == Verdict::Send {
            sent += 1;
            let leaves = judged[0].frame.as_deref().unwrap_or_default();
            // What leaves as it came, or nearly so, is as sound as it came.
            let same = ["via l2", "via nat", " echo\n"].iter().any(|word| text.contains(word));
            assert!(same || is_sound(leaves), "{text}{frame:02x?} leaves as {leaves:02x?}");
            left.extend(text.contains("via nat").then(|| leaves.to_vec()));
        }
    }
    let counters: Vec<_> = engines.iter_mut().map(|engine| engine.counters().expect("counters")).collect();
    assert!(counters.windows(2).all(|pair| pair[0] == pair[1]), "{text}{counters:#?}");
    sent
}

/// Slots in any state, backends that are dead or have a short way.
fn any_state(mut state: PoolState, dice: &mut Dice) -> PoolState {
    let numbers: Vec<u16> = state.backends.keys().copied().collect();
    let number = |dice: &mut Dice| match dice.below(8) {
        0 => 0,
        _ => numbers[dice.below(numbers.len())],
    };
    for word in &mut state.slots {
        let now = number(dice);
        let before = match dice.below(4) {
            0 => now,
            1 => SAME,
            _ => number(dice),
        };
        *word = Word(u32::from(before) << 16 | u32::from(now));
    }
    for backend in state.backends.values_mut() {
        backend.alive = dice.below(4) > 0;
        backend.hop = backend.hop.map(|hop| Hop { mtu: [1500, 1400, 600][dice.below(3)], ..hop });
    }
    state
}

/// A frame of IP, or nearly one.
fn any_frame(dice: &mut Dice) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    if dice.below(30) == 0 {
        frame[0] = 0x01;
    }
    for _ in 0..[0, 0, 0, 1, 2, 4, 5][dice.below(7)] {
        frame.extend([0x81, 0, 0, dice.below(255) as u8]);
    }
    let six = dice.below(2) == 0;
    frame.extend(if six { [0x86, 0xdd] } else { [0x08, 0x00] });
    let (protocol, transport) = any_transport(dice, six);
    let packet = if six { any_ip6(dice, protocol, &transport) } else { any_ip4(dice, protocol, &transport) };
    frame.extend(packet);
    // Padding, or a frame that is cut off.
    match dice.below(12) {
        0 => frame.extend([0; 9]),
        1 => frame.truncate(frame.len() - dice.below(frame.len() / 2)),
        _ => {}
    }
    frame.resize(frame.len().max(14), 0);
    frame
}

fn any_transport(dice: &mut Dice, six: bool) -> (u8, Vec<u8>) {
    let length = [0, 8, 100, 560, 1300, 1460][dice.below(6)];
    let ports = [0, dice.below(4) as u8, 0, [53, 80, 7][dice.below(3)]];
    let data = vec![dice.below(256) as u8; length];
    match dice.below(4) {
        0 => {
            let flags = [0x02, 0x10, 0x12, 0x18][dice.below(4)];
            let header = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 16, 0, 0, 0, 0, 0];
            (6, [&ports[..], &header, &data].concat())
        }
        1 => {
            let kind = [128, 8, if six { 128 } else { 8 }][dice.below(3)];
            let sum = [dice.below(256) as u8, [0, 0xff, 0xf8, dice.below(256) as u8][dice.below(4)]];
            let message = [kind, u8::from(dice.below(20) == 0), sum[1], sum[0], 0, 1, 0, 1];
            (if six { 58 } else { 1 }, [&message, &data[..]].concat())
        }
        _ => {
            let [high, low] = (8 + length as u16).to_be_bytes();
            (17, [&ports[..], &[high, low, 0, 0], &data].concat())
        }
    }
}

fn any_ip4(dice: &mut Dice, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let options = [0, 0, 0, 4, 40][dice.below(5)];
    let header = 20 + options;
    let mut length = header + transport.len();
    if dice.below(15) == 0 {
        length = [0, 19, length + 1, 65_535][dice.below(4)];
    }
    let fragment = [0x4000u16, 0x4000, 0x4000, 0, 0x2000, 0x20b9, 0x00b9][dice.below(7)].to_be_bytes();
    let [high, low] = (length as u16).to_be_bytes();
    let time = [64, 64, 64, 64, 1, 0][dice.below(6)];
    let service = dice.below(256) as u8;
    let first = 0x40 | (header / 4) as u8;
    let mut ip = vec![
        first,
        service,
        high,
        low,
        0,
        dice.below(3) as u8,
        fragment[0],
        fragment[1],
        time,
        protocol,
        0,
        0,
    ];
    ip.extend([198, 51, 100, dice.below(5) as u8]);
    ip.extend([203, 0, 113, 10 + dice.below(2) as u8]);
    ip.resize(header, 1);
    let sum = checksum::internet(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&ip, transport].concat()
}

fn any_ip6(dice: &mut Dice, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut next = protocol;
    let mut between = Vec::new();
    if dice.below(3) == 0 {
        let offset = [0x0001u16, 0x05c9, 0x05c8][dice.below(3)].to_be_bytes();
        between = vec![next, 0, offset[0], offset[1], 0, 0, 0, dice.below(3) as u8];
        next = 44;
    }
    if dice.below(4) == 0 {
        between = [&[next, 0, 1, 4, 0, 0, 0, 0], &between[..]].concat();
        next = 60;
    }
    let mut length = between.len() + transport.len();
    if dice.below(15) == 0 {
        length = [0, length + 1, 65_535][dice.below(3)];
    }
    let [high, low] = (length as u16).to_be_bytes();
    let class = dice.below(256) as u8;
    let hops = [64, 64, 64, 1, 0][dice.below(5)];
    let mut ip = vec![0x60 | class >> 4, class << 4, 0, 0, high, low, next, hops];
    for last in [dice.below(5) as u8, 0x10] {
        ip.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&ip, &between[..], transport].concat()
}

/// The same once more: as a later packet of a flow, or of a datagram.
fn again(frame: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if dice.below(4) == 0 && frame.len() > 40 {
        let at = 14 + dice.below(frame.len() - 14);
        frame[at] ^= 1 << dice.below(8);
    }
    frame
}

/// What may come back when a frame has left: an answer, one that is not quite that, or an error about it.
fn answer(frame: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut ip = 14;
    while frame[ip - 2..ip] == [0x81, 0] {
        ip += 4;
    }
    let (link, packet) = frame.split_at(ip);
    let mut packet = packet.to_vec();
    let six = packet[0] >> 4 == 6;
    let (from, bytes) = if six { (8, 16) } else { (12, 4) };
    let addresses = packet[from..from + 2 * bytes].to_vec();
    let turned = [&addresses[bytes..], &addresses[..bytes]].concat();
    let (hops, header) = if six { (7, 40) } else { (8, usize::from(packet[0] & 15) * 4) };
    packet[hops] = [64, 64, 64, 1][dice.below(4)];
    if dice.below(4) == 0 {
        packet.truncate(header + [4, 8, 28][dice.below(3)]);
        let protocol = if six { 58 } else { 1 };
        let message = [&[if six { 1 } else { 3 }, 4, 0x12, 0x34, 0, 0, 5, 0][..], &packet].concat();
        let [high, low] = ((message.len() + if six { 0 } else { 20 }) as u16).to_be_bytes();
        let mut outer = match six {
            true => vec![0x60, 0, 0, 0, high, low, protocol, 64],
            false => vec![0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0],
        };
        outer.extend(&turned);
        return [link, &outer, &message].concat();
    }
    packet[from..from + 2 * bytes].copy_from_slice(&turned);
    if packet.len() >= header + 4 {
        let ports = packet[header..header + 4].to_vec();
        packet[header..header + 4].copy_from_slice(&[&ports[2..], &ports[..2]].concat());
    }
    again(&[link, &packet].concat(), dice)
}

/// Whether the outermost IP header tells the truth: it ends in the frame, and its checksum is right. Around a packet or of a
/// message, it is one that was written here; without one, lengths were looked at before.
fn is_sound(frame: &[u8]) -> bool {
    let mut at = 12;
    while frame.get(at..at + 2) == Some(&[0x81, 0]) {
        at += 4;
    }
    let word = |at: usize| frame.get(at..at + 2).map(|two| usize::from(two[0]) << 8 | usize::from(two[1]));
    let ip = at + 2;
    match (word(at), frame.get(ip).map(|first| first >> 4)) {
        (Some(0x0800), Some(4)) => {
            let header = usize::from(frame[ip] & 15) * 4;
            let ends = word(ip + 2).is_some_and(|length| header <= length && ip + length <= frame.len());
            ends && checksum::internet(&frame[ip..ip + header]) == 0
        }
        (Some(0x86dd), Some(6)) => word(ip + 4).is_some_and(|length| ip + 40 + length <= frame.len()),
        _ => false,
    }
}

#[test]
fn the_combinations_are_all_different() {
    let combinations = combinations();
    let mut all = BTreeMap::new();
    for nth in 0..combinations {
        all.entry(policy(nth)).or_insert_with(BTreeSet::new).insert(nth);
    }
    assert_eq!(all.len(), combinations);
}
