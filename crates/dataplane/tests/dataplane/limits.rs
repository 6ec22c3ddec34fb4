use crate::support::{Edge, require_kernel, say};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use weir_compiler::state::State;
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::engines::{Engine, Kernel};
use weir_kernel::run::{self, TestRun};
use weir_lab::traffic::Traffic;
use weir_lab::wire::{Flow, Pace, SendOptions, send};

fn compiled(text: &str) -> Compilation {
    let options = Options::new(weir_kernel::probe::target(), Hook::Xdp);
    compile("test.weir", text, &NoFiles, &options).unwrap_or_else(|_| panic!("the policy compiles"))
}

/// One frame from many addresses in turn.
struct Many {
    frame: Vec<u8>,
    keys: u32,
    next: u32,
}

impl Many {
    fn new(edge: &Edge, keys: u32) -> Self {
        let mut frame = Vec::new();
        edge.steady(4000, 53, 1).next(&mut frame);
        Self { frame, keys, next: 0 }
    }
}

impl Traffic for Many {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        // The source address of an IPv4 packet right behind Ethernet; nobody looks at the checksum.
        self.frame[26..30].copy_from_slice(&(0x0b00_0000 + self.next).to_be_bytes());
        self.next = (self.next + 1) % self.keys;
        frame.clear();
        frame.extend_from_slice(&self.frame);
        Some(Flow(1))
    }
}

/// What the definition lets through of evenly sent packets.
fn expected(policy: &Compilation, keys: u64, packets: u64, elapsed: Duration) -> u64 {
    let mut state = State::new(&policy.lowered.program);
    let decl = &policy.lowered.program.limits[0];
    let gap = elapsed.as_nanos() as u64 / packets;
    let take = |n: &u64| {
        state.now = 1_000_000_000_000 + n * gap;
        state.take(0, decl, &[n % keys], 1)
    };
    (0..packets).filter(take).count() as u64
}

/// One measurement at a time.
static QUIET: Mutex<()> = Mutex::new(());

/// Sends for ten seconds, and compares what passed with the definition; answers the difference in percent.
fn accuracy(text: &str, keys: u32, rate: u64) -> f64 {
    let _quiet = QUIET.lock();
    let edge = Edge::new();
    let (instance, _) = edge.load(text);
    let client = edge.lab.host("client").unwrap();
    let mut traffic = Many::new(&edge, keys);
    let options = SendOptions::new(Pace::PerSecond(rate), Duration::from_secs(10));
    let sent = send(client, "eth0", &mut traffic, &options).expect("sending");
    std::thread::sleep(Duration::from_millis(100));
    let counters = instance.counters().unwrap();
    let passed = counters[0].packets - counters[0].over_packets;
    let expected = expected(&compiled(text), keys.into(), sent.frames, sent.elapsed);
    let off = (passed as f64 / expected as f64 - 1.0) * 100.0;
    let evictions = instance.statistics().unwrap().evictions;
    say(&format!(
        "{keys} keys, {:.0} packets/s: {passed} of {} passed, {expected} expected, {off:+.2} %, {evictions} evictions",
        sent.rate(),
        sent.frames
    ));
    assert_eq!(counters[0].packets, sent.frames, "every packet was counted");
    off
}

#[test]
fn ten_keys_are_limited_within_two_percent() {
    require_kernel!();
    let off = accuracy("limit few when udp to 1k/s burst 2k per ip.src\n", 10, 50_000);
    assert!(off.abs() < 2.0, "{off}");
}

#[test]
fn a_hundred_thousand_keys_are_limited_within_two_percent() {
    require_kernel!();
    let off = accuracy("limit few when udp to 1800/h burst 2 per ip.src max 100k\n", 100_000, 100_000);
    assert!(off.abs() < 2.0, "{off}");
}

#[test]
fn many_cpus_share_one_rate() {
    require_kernel!();
    let _quiet = QUIET.lock();
    let policy = compiled("limit one when udp to 1M/s burst 200k\n");
    let mut kernel = Kernel::load(&policy).unwrap();
    let edge = Edge::new();
    let mut frame = Vec::new();
    edge.steady(4000, 53, 1).next(&mut frame);
    let program = kernel.program();
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(3) {
                    run::test_run(program, &TestRun { frame: &frame, repeat: 500_000, ingress: None })
                        .unwrap();
                }
            });
        }
    });
    let elapsed = start.elapsed();
    let counters = kernel.counters().unwrap();
    let passed = counters[0].packets - counters[0].over_packets;
    let expected = 200_000.0 + elapsed.as_secs_f64() * 1_000_000.0;
    let off = (passed as f64 / expected - 1.0) * 100.0;
    say(&format!(
        "{threads} CPUs, {:.1} million packets/s: {passed} passed, {expected:.0} expected, {off:+.2} %",
        counters[0].packets as f64 / elapsed.as_secs_f64() / 1e6
    ));
    assert!(counters[0].over_packets > 0, "the threads offered more than the rate");
    assert!(off.abs() < 2.0, "{off}");
}
