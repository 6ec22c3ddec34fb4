//! SYN cookies on segments that nobody chose: all engines do the same, the kernel with sockets of its own among them. Cookies are secrets, so
//! each engine's answer is acknowledged to itself, and answers are compared with one cookie in all of them.

use crate::cookies::{always, listen, put_cookie, segment};
use crate::dice::Dice;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use weir_bpf::target::Target;
use weir_compiler::ir::Verdict;
use weir_compiler::sockets::Sockets;
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::counters::CookieCounters;
use weir_dataplane::engines::{Bytecode, Engine, Ir, Judgement, Kernel, Plain};
use weir_packet::checksum;

/// Conditions, and of how many branches a program's parts are, if it is cut.
const POLICIES: [(&str, Option<u32>); 5] = [
    ("", None),
    ("when tcp.dstport in { 80, 81 } and not ip.src == 10.0.0.0/8", None),
    ("when ip6 or vlan.id == 7", Some(2)),
    ("when ip4.ttl > 1 and tcp.options.mss", None),
    ("when tcp.flags.syn or tcp.ack > 5", None),
];
const FRAMES: usize = 1_500;
/// Where somebody listens, and where nobody does.
const OPEN: u16 = 80;
const CLOSED: u16 = 81;
/// The namespace's own addresses, between which connections can be.
const OWN: [&str; 2] = ["169.254.7.1", "fd00:7::1"];

#[test]
fn segments_that_nobody_chose_are_answered_alike() {
    match crate::kernel() {
        None => each_policy(None),
        Some(target) => {
            let routed = crate::routed::namespace().expect("a namespace with addresses");
            routed.run(|| each_policy(Some(&target))).expect("a thread in a namespace");
        }
    }
}

fn each_policy(kernel: Option<&Target>) {
    let host = kernel.map(|_| Connected::new());
    let ports = host.as_ref().map_or([4_000, 4_001], Connected::ports);
    let mut done = CookieCounters::default();
    for (seed, (condition, part)) in (1..).zip(POLICIES) {
        let target = kernel.cloned().unwrap_or_else(Target::newest);
        let options = Options { part, ..Options::new(target, Hook::Xdp) };
        let text = format!("answer web syncookie {condition}\ncount rest\n");
        let compilation = compile("cookies.weir", &text, &NoFiles, &options);
        let compilation = compilation.unwrap_or_else(|analysis| panic!("{text}{:?}", analysis.diagnostics));
        let now = one(&compilation, &text, &mut Dice::new(seed), ports, kernel.is_some());
        done.answered += now.answered;
        done.valid += now.valid;
        done.invalid += now.invalid;
    }
    let least = (FRAMES * POLICIES.len() / 80) as u64;
    let enough = [done.answered, done.valid, done.invalid].iter().all(|count| *count > least);
    assert!(enough, "{done:?} proves little");
}

/// Connections of the kernel, one of each family.
struct Connected {
    _listener: TcpListener,
    clients: Vec<TcpStream>,
}

impl Connected {
    fn new() -> Connected {
        always().expect("cookies");
        weir_kernel::netlink::Netlink::open().and_then(|mut it| it.set_up("lo")).expect("the loopback");
        let listener = listen(OPEN);
        let to = OWN.map(|own| SocketAddr::new(address(own), OPEN));
        let clients = to.iter().map(|to| TcpStream::connect(to).expect("a connection")).collect();
        Connected { _listener: listener, clients }
    }

    fn ports(&self) -> [u16; 2] {
        let port = |client: &TcpStream| client.local_addr().expect("a port").port();
        [port(&self.clients[0]), port(&self.clients[1])]
    }
}

fn one(
    compilation: &Compilation,
    text: &str,
    dice: &mut Dice,
    ports: [u16; 2],
    kernel: bool,
) -> CookieCounters {
    let plain = compilation.analysis.lower_plainly(&Default::default()).expect("it compiled");
    let mut engines: Vec<Box<dyn Engine + '_>> = vec![
        Box::new(Plain::new(&compilation.analysis.policy)),
        Box::new(Ir::of(&compilation.analysis.policy, &plain)),
        Box::new(Ir::new(compilation)),
        Box::new(Bytecode::new(compilation)),
    ];
    if kernel {
        engines.push(Box::new(Kernel::load(compilation).unwrap_or_else(|error| panic!("{text}{error}"))));
    }
    let connected = OWN.iter().zip(ports).map(|(own, port)| ends(address(own), port)).collect();
    let sockets = Sockets { listening: Some([OPEN].into()), connected };
    engines.iter_mut().for_each(|engine| engine.set_sockets(&sockets));
    for _ in 0..FRAMES {
        let frame = any_frame(dice, ports);
        let judged = agree(&mut engines, text, &vec![frame.clone(); 5]);
        if judged[0].verdict == Verdict::Send && dice.percent(70) {
            let (wrong, flags) =
                (u32::from(dice.one_in(4)) * WRONG, *dice.pick(&[0x10, 0x10, 0x18, 0x11, 0x14]));
            let back = |judged: &Judgement| acknowledged(&frame, judged.frame.as_deref(), wrong, flags);
            let frames: Vec<Vec<u8>> = judged.iter().map(back).collect();
            agree(&mut engines, text, &frames);
        }
    }
    let counters: Vec<_> = engines.iter_mut().map(|engine| engine.counters().expect("counters")).collect();
    assert!(counters.windows(2).all(|pair| pair[0] == pair[1]), "{text}{counters:#?}");
    counters[0][0].cookies.expect("an answer")
}

/// Each engine judges its own frame, all of them alike.
fn agree(engines: &mut [Box<dyn Engine + '_>], text: &str, frames: &[Vec<u8>]) -> Vec<Judgement> {
    let ask = |(engine, frame): (&mut Box<dyn Engine + '_>, &Vec<u8>)| {
        engine.judge(frame, 1).unwrap_or_else(|error| panic!("{text}{error}: {frame:02x?}"))
    };
    let judged: Vec<Judgement> = engines.iter_mut().zip(frames).map(ask).collect();
    for (engine, judgement) in engines.iter().zip(&judged).skip(1) {
        let mut same = judgement.clone();
        if let (Some(frame), Some(first)) = (&mut same.frame, &judged[0].frame) {
            put_cookie(frame, first);
        }
        let (name, first) = (engine.name(), &judged[0]);
        assert!(first.agrees(&same), "{text}{:02x?}\n{first:02x?}\n{name}: {judgement:02x?}", frames[0]);
    }
    judged
}

/// A number next to the kernel's cookie is one for another largest segment: what is wrong is wrong by more.
const WRONG: u32 = 0x10_0000;

/// What a client sends when it has the answer to its SYN; by so much wrong.
fn acknowledged(syn: &[u8], answer: Option<&[u8]>, wrong: u32, flags: u8) -> Vec<u8> {
    let answer = answer.expect("an answer");
    let (mut frame, at) = (syn.to_vec(), segment(syn).expect("a segment"));
    let theirs = segment(answer).expect("a segment");
    let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().expect("four bytes"));
    frame[at + 4..at + 8].copy_from_slice(&answer[theirs + 8..theirs + 12]);
    frame[at + 8..at + 12].copy_from_slice(&word(theirs + 4).wrapping_add(1 + wrong).to_be_bytes());
    frame[at + 13] = flags;
    frame
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Of a connection from a host to itself.
fn ends(own: IpAddr, port: u16) -> Vec<u8> {
    let own = match own {
        IpAddr::V4(own) => own.octets().to_vec(),
        IpAddr::V6(own) => own.octets().to_vec(),
    };
    [&own, &own, &port.to_be_bytes()[..], &OPEN.to_be_bytes()].concat()
}

/// A frame with a segment, or nearly one.
fn any_frame(dice: &mut Dice, ports: [u16; 2]) -> Vec<u8> {
    let mut frame = vec![if dice.one_in(30) { 1 } else { 2 }, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for _ in 0..*dice.pick(&[0, 0, 0, 1, 2, 4, 5]) {
        frame.extend([0x81, 0, 0, *dice.pick(&[7, 8])]);
    }
    let six = dice.one_in(2);
    frame.extend(if six { [0x86, 0xdd] } else { [0x08, 0x00] });
    let own = dice.one_in(5);
    let source = if own { ports[usize::from(six)] } else { dice.word() as u16 };
    let segment = any_segment(dice, source);
    frame.extend(if six { any_ip6(dice, own, &segment) } else { any_ip4(dice, own, &segment) });
    match dice.below(14) {
        0 => frame.extend([0x55; 9]),
        1 => frame.truncate(frame.len() - dice.below(frame.len() / 2)),
        2 => {
            let at = 14 + dice.below(frame.len() - 14);
            frame[at] ^= 1 << dice.below(8);
        }
        _ => {}
    }
    frame
}

fn any_segment(dice: &mut Dice, source: u16) -> Vec<u8> {
    let flags =
        *dice.pick(&[0x02, 0x02, 0x02, 0x02, 0xc2, 0x10, 0x10, 0x18, 0x12, 0x04, 0x14, 0x03, 0x11, 0x00]);
    let mut options = Vec::new();
    for _ in 0..dice.below(5) {
        match dice.below(8) {
            0 => options.push(1),
            1 => options.extend([4, 2]),
            2 => options.extend([3, 3, 7]),
            3 => options.extend([8, 10, 0, 0, 0, 1, 0, 0, 0, 0]),
            4 => options.extend([dice.word() as u8, dice.word() as u8]),
            _ => {
                let size = *dice
                    .pick(&[0u16, 100, 535, 536, 1219, 1220, 1300, 1420, 1439, 1440, 1460, 8960, 65_535]);
                options.extend([2, 4]);
                options.extend(size.to_be_bytes());
            }
        }
    }
    options.truncate(40);
    options.resize(options.len().next_multiple_of(4), 0);
    let to = *dice.pick(&[OPEN, OPEN, OPEN, OPEN, CLOSED]);
    let numbers = [dice.word() as u32, dice.below(9) as u32].map(u32::to_be_bytes).concat();
    let words = (20 + options.len()) as u8 / 4 * 16;
    let data = vec![0x33; *dice.pick(&[0, 0, 0, 1, 7, 100])];
    let rest = [words, flags, 16, 0, 0, 0, 0, 0];
    [&source.to_be_bytes(), &to.to_be_bytes(), &numbers[..], &rest, &options, &data].concat()
}

fn any_ip4(dice: &mut Dice, own: bool, segment: &[u8]) -> Vec<u8> {
    let options = *dice.pick(&[0, 0, 0, 0, 0, 0, 0, 4]);
    let mut length = (20 + options + segment.len()) as u16;
    if dice.one_in(15) {
        length = *dice.pick(&[0, 40, length - 1, length + 1]);
    }
    let [high, low] = length.to_be_bytes();
    let fragment =
        dice.pick(&[0x4000u16, 0x4000, 0x4000, 0x4000, 0x4000, 0, 0, 0, 0, 0x2000, 0x00b9]).to_be_bytes();
    let time = *dice.pick(&[64, 64, 64, 64, 64, 1, 0]);
    let mut ip = vec![0x45 + options as u8 / 4, 0, high, low, 0, 9, fragment[0], fragment[1], time, 6, 0, 0];
    let one = [169, 254, 7, 1];
    let source = *dice.pick(&[[198, 51, 100, 7], [198, 51, 100, 8], [10, 9, 8, 7], [224, 0, 0, 1], one]);
    ip.extend(if own { one } else { source });
    ip.extend(if own || !dice.one_in(20) { one } else { [239, 1, 1, 1] });
    ip.resize(20 + options, 1);
    let sum = checksum::internet(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [&ip, segment].concat()
}

fn any_ip6(dice: &mut Dice, own: bool, segment: &[u8]) -> Vec<u8> {
    let (mut between, mut next) = (Vec::new(), 6);
    if dice.one_in(8) {
        between = vec![6, 0, 1, 4, 0, 0, 0, 0];
        next = 60;
    }
    let mut length = (between.len() + segment.len()) as u16;
    if dice.one_in(15) {
        length = *dice.pick(&[0, 20, length - 1, length + 1]);
    }
    let [high, low] = length.to_be_bytes();
    let mut ip = vec![0x60, 5, 0, 9, high, low, next, *dice.pick(&[64, 64, 64, 64, 1, 0])];
    let address = |last: u8, first: [u8; 4]| [&first[..], &[0; 11], &[last]].concat();
    let one = address(1, [0xfd, 0, 0, 7]);
    let source =
        address(dice.below(4) as u8, *dice.pick(&[[0x20, 0x01, 0x0d, 0xb8], [0xff, 2, 0, 0], [0; 4]]));
    ip.extend(if own { &one } else { &source });
    ip.extend(if own || !dice.one_in(20) { &one } else { &source });
    [&ip, &between[..], segment].concat()
}
