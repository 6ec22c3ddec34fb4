//! What a person waits for: checking a policy, and compiling and loading it.

use std::time::{Duration, Instant};
use weir_compiler::{NoFiles, Options, analyse};
use weir_dataplane::engines::Kernel;

use crate::Failure;
use crate::cases::TEN;
use crate::parts::{self, Shape};
use crate::report::TimeRow;
use crate::spread::Spread;

/// Ten statements over the sets, limits and protocols that policies have most.
const TEN_RULES: &str = "\
set friends : ip = { 192.0.2.0/24, 2001:db8::/32 }
set blocked : ip timeout 10m max 1M
set offices : ip4 = { 198.51.100.0/24, 203.0.113.0/25 }

pass  friends       when ip.src in friends
drop  bogons        when ip.src in blocked or ip.src in { 0.0.0.0/8, 127.0.0.0/8 }
drop  amplification when udp.srcport in { 17, 19, 53, 123, 389, 1900, 11211 } and frame.len > 400
drop  xmas          when tcp.flags & 0x29 == 0x29
drop  telnet        when tcp.dstport == 23 and not ip4.src in offices
drop  tunnels       when vxlan.vni == 7 and inner.ip4.src == 10.0.0.0/8
count queries       when dns and udp.dstport == 53
limit syn_flood     when tcp.flags.syn and not tcp.flags.ack to 500/s burst 1000 per ip.src/24
limit pings         when icmp.type == 8 to 100/s per ip.src
drop  fragments     when ip4.frag > 0 and ip4.proto == 17
default pass
";

/// Ten thousand statements that all go on, so that no table can match them.
const CHAIN: usize = 10_000;

/// Each asks for a network and a port.
fn plain() -> String {
    let statement = |number: usize| {
        let (high, low, port) = (1 + number % 220, number * 7 % 256, 1_000 + number * 5);
        format!("count c{number} when ip4.src == {high}.{low}.0.0/16 and udp.dstport == {port}\n")
    };
    (0..CHAIN).map(statement).collect()
}

pub(crate) fn measure(options: &Options, rounds: usize) -> Result<Vec<TimeRow>, Failure> {
    let (plain, mixed) = (plain(), parts::policy(Shape::Counts, CHAIN));
    let check = |text: &'static str| move || drop(analyse("bench.weir", text, &NoFiles));
    let load = |text: &'static str| {
        move || {
            let compilation = weir_compiler::compile("bench.weir", text, &NoFiles, options);
            let compilation = compilation.unwrap_or_else(|_| panic!("a good policy"));
            drop(Kernel::load(&compilation).expect("a program that loads"));
        }
    };
    let compile = |text| move || drop(weir_compiler::compile("bench.weir", text, &NoFiles, options));
    Ok(vec![
        row("check, ten rules", Duration::from_millis(20), rounds, check(TEN_RULES)),
        row("compile, the ten-line example", Duration::from_millis(100), rounds, compile(TEN)),
        row("compile and load, the ten-line example", Duration::from_millis(100), rounds, load(TEN)),
        row("compile, ten rules", Duration::from_millis(100), rounds, compile(TEN_RULES)),
        row("compile and load, ten rules", Duration::from_millis(100), rounds, load(TEN_RULES)),
        row("compile, 10,000 that go on, by two fields", Duration::from_secs(1), rounds, compile(&plain)),
        row("compile, 10,000 that go on, by six fields", Duration::from_secs(1), rounds, compile(&mixed)),
    ])
}

/// What some work takes.
pub(crate) fn row(name: &'static str, goal: Duration, rounds: usize, work: impl Fn()) -> TimeRow {
    let once = || {
        let (start, on_cpu) = (Instant::now(), on_cpu());
        work();
        (start.elapsed().as_secs_f64() * 1000.0, self::on_cpu() - on_cpu)
    };
    let (wall, cpu) = (0..rounds).map(|_| once()).unzip();
    TimeRow { name, wall: Spread::of(wall), cpu: Some(Spread::of(cpu)), goal: goal.as_secs_f64() * 1000.0 }
}

/// Milliseconds that this thread has had a CPU, in the kernel too: what a busy neighbour does not lengthen.
pub(crate) fn on_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e6
}
