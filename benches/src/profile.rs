//! What a profile earns: the same policy laid out for its frames and without knowing them, in turns.

use std::fmt::Write as _;

use weir_compiler::lower::Frequencies;
use weir_compiler::{Compilation, NoFiles, Options};
use weir_dataplane::engines::Kernel;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Tcp, Udp};

use crate::Failure;
use crate::beside;
use crate::cases::TEN;
use crate::frames::{self, FRAMES, Frames, Way, link};
use crate::report::ProfileRow;

/// A policy, frames, and how often statements are met by those that come to them, in a hundred.
pub(crate) struct Profile {
    policy: String,
    frames: Frames,
    frequencies: Vec<(String, u32)>,
}

type Make = fn() -> Profile;

pub(crate) const PROFILES: &[(&str, Make)] = &[
    ("profile-ports-24", || ports(24)),
    ("profile-ports-1k", || ports(1_000)),
    ("profile-ports-10k", || ports(10_000)),
    ("profile-fields", fields),
    ("profile-bogons", || ten(Way::Bogons, &[("friends", 0), ("bogons", 100)])),
    ("profile-syn", || {
        ten(Way::SynFlood, &[("friends", 0), ("bogons", 0), ("amplification", 0), ("syn_flood", 100)])
    }),
];

pub(crate) fn measure(
    name: &str,
    make: Make,
    options: &Options,
    rounds: usize,
) -> Result<ProfileRow, Failure> {
    let case = make();
    let compile = |frequencies: Frequencies| -> Result<Compilation, Failure> {
        let mut options = options.clone();
        options.lower.frequencies = frequencies;
        let compiled = weir_compiler::compile("bench.weir", &case.policy, &NoFiles, &options);
        Ok(compiled.map_err(|_| format!("case `{name}` does not compile"))?)
    };
    let known = case.frequencies.iter().map(|(name, percent)| (name.clone(), percent * 10_000)).collect();
    let (with, without) = (compile(known)?, compile(Frequencies::new())?);
    let (with, without) = (Kernel::load(&with)?, Kernel::load(&without)?);
    beside::agree(with.program(), &[without.program()], &case.frames)
        .map_err(|failure| format!("case `{name}`: {failure}"))?;
    let measured = beside::measure(with.program(), &[without.program()], &case.frames, rounds)?;
    Ok(ProfileRow {
        name: name.to_owned(),
        with: measured.weir,
        without: measured.others.first().copied(),
        instructions: with.program().info()?.translated_bytes / 8,
        instructions_without: without.program().info()?.translated_bytes / 8,
    })
}

/// Ports far from each other, of which nine in ten frames have the one in the middle.
fn ports(count: u32) -> Profile {
    let port = |number: u32| (1_000 + number * (60_000 / count)) as u16;
    let (mut policy, mut frequencies, hot) = (String::new(), Vec::new(), count / 2);
    for number in 0..count {
        let verb = if number % 2 == 0 { "drop" } else { "pass" };
        let _ = writeln!(policy, "{verb} p{number} when udp.dstport == {}", port(number));
        frequencies.push((format!("p{number}"), if number == hot { 90 } else { 0 }));
    }
    let frames = frames::draw(FRAMES, |random| {
        let number = if frames::once_in(random, 10) { random.below(count) } else { hot };
        udp(random, port(number), 128)
    });
    Profile { policy, frames, frequencies }
}

fn udp(random: &mut Random, port: u16, ttl: u8) -> Packet {
    let header = Ipv4::new(frames::any_ip4(random), [203, 0, 113, 10]).ttl(ttl);
    link(random).push(header).push(Udp::new(random.port(), port))
}

/// A dozen statements that each ask for something else; nine in ten frames come to the last one.
fn fields() -> Profile {
    const CONDITIONS: [&str; 12] = [
        "ip4.src == 10.0.0.0/8",
        "ip4.dst == 10.0.0.0/8",
        "ip4.ttl < 5",
        "ip4.id == 0xdead",
        "ip4.dscp == 46",
        "ip4.flags.mf",
        "ip4.src == 192.168.0.0/16 and udp.srcport == 53",
        "udp.srcport == 7",
        "udp.length > 1400",
        "tcp.flags & 0x29 == 0x29",
        "tcp.window_size_value == 0 and tcp.flags.syn",
        "udp.dstport >= 1024",
    ];
    let mut policy = String::new();
    let mut frequencies = Vec::new();
    for (number, condition) in CONDITIONS.iter().enumerate() {
        let _ = writeln!(policy, "drop f{number} when {condition}");
        frequencies.push((format!("f{number}"), if number == 11 { 90 } else { 0 }));
    }
    let frames = frames::draw(FRAMES, |random| match random.below(20) {
        0 => {
            let header = Ipv4::new([198, 51, 100, 7], [203, 0, 113, 10]);
            link(random).push(header).push(Tcp::new(random.port(), 443))
        }
        1 => udp(random, 53, 128),
        _ => {
            let header = Ipv4::new([198, 51, 100, random.below(250) as u8], [203, 0, 113, 10]);
            let port = 1024 + random.below(60_000) as u16;
            link(random).push(header).push(Udp::new(33_000 + random.below(999) as u16, port))
        }
    });
    Profile { policy, frames, frequencies }
}

/// The ten-line example, and frames of one kind.
fn ten(way: Way, known: &[(&str, u32)]) -> Profile {
    Profile {
        policy: TEN.to_owned(),
        frames: frames::draw(FRAMES, |random| frames::ten(random, way)),
        frequencies: known.iter().map(|(name, percent)| ((*name).to_owned(), *percent)).collect(),
    }
}
