use crate::one_cpu::OneCpu;
use crate::reloads::reload;
use crate::support::{Edge, packets, require_kernel, say};
use std::time::{Duration, Instant};
use weir_compiler::ir::Verdict;
use weir_dataplane::{Change, Error, Instance, SampleKeeper, SampleStatus, Samples};

/// A sample that outlives the read.
#[derive(Clone, PartialEq, Debug)]
struct Kept {
    statement: String,
    decider: String,
    verdict: Verdict,
    one_in: u32,
    length: u32,
    bytes: Vec<u8>,
    interface: u32,
    pool: u64,
    lost: u64,
}

fn read(samples: &mut Samples) -> Vec<Kept> {
    let mut all = Vec::new();
    let mut take = |sample: &weir_dataplane::Sample<'_>| {
        let record = sample.record;
        assert_eq!(sample.detected().header, record.bytes);
        all.push(Kept {
            statement: sample.statement.to_owned(),
            decider: sample.decider.to_owned(),
            verdict: record.verdict,
            one_in: record.one_in,
            length: record.length,
            bytes: record.bytes.to_vec(),
            interface: record.interface,
            pool: record.pool,
            lost: record.lost,
        });
    };
    while samples.read(Duration::from_millis(50), &mut take).unwrap() > 0 {}
    all
}

fn status(instance: &Instance, name: &str) -> SampleStatus {
    let all = instance.status().unwrap().samples;
    all.into_iter().find(|sample| sample.name == name).unwrap()
}

#[test]
fn samples_say_what_became_of_their_packets_and_by_what() {
    require_kernel!();
    let edge = Edge::new();
    let text = "sample all 1 in 1 bytes 64\ndrop dns when udp.dstport == 53\nsample rest 1 in 2 when udp\n";
    let (instance, _) = edge.load(text);
    let mut samples = instance.samples().unwrap();
    edge.send(53, 10);
    edge.send(80, 1000);
    let found = read(&mut samples);
    let of = |statement: &str, decider: &str, verdict: Verdict| {
        let fits = |kept: &&Kept| {
            (kept.statement.as_str(), kept.decider.as_str(), kept.verdict) == (statement, decider, verdict)
        };
        found.iter().filter(fits).count()
    };
    assert_eq!(of("all", "dns", Verdict::Drop), 10);
    assert!(of("all", "default", Verdict::Pass) >= 1000, "the host's own packets come as well");
    let rest = of("rest", "default", Verdict::Pass);
    // Six standard deviations of 1,000 throws of a coin.
    assert!((405..600).contains(&rest), "{rest}");
    let interface = edge.host().interface("in0").unwrap().index;
    let udp: Vec<&Kept> = found.iter().filter(|kept| kept.length == 100).collect();
    assert!(udp.iter().all(|kept| kept.bytes.len() == if kept.statement == "all" { 64 } else { 100 }));
    assert!(udp.iter().all(|kept| kept.interface == interface && kept.lost == 0));
    let (all, rest_now) = (status(&instance, "all"), status(&instance, "rest"));
    assert_eq!((all.one_in, all.taken, all.lost), (1, all.pool, 0));
    assert_eq!((rest_now.taken, rest_now.pool), (rest as u64, 1000));
    assert_eq!(packets(&instance, "rest"), rest as u64);
    // Pools are each CPU's own; the last ones seen of all CPUs are those of all packets at most.
    assert!(found.iter().filter(|kept| kept.statement == "rest").all(|kept| kept.pool <= 1000));

    let error = instance.samples().unwrap_err();
    assert!(matches!(error, Error::ReadingSamples { .. }), "{error}");
    drop(samples);
    instance.samples().unwrap();
}

#[test]
fn a_policy_without_samples_says_so() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load("drop dns when udp.dstport == 53\n");
    let error = instance.samples().unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error}");
    assert_eq!(instance.status().unwrap().samples, []);
}

#[test]
fn a_ring_that_nobody_reads_loses_samples_and_nothing_else() {
    require_kernel!();
    // Each CPU says what it has lost itself.
    let _stay = OneCpu::stay();
    let edge = Edge::new();
    let (instance, _) =
        edge.load("sample all 1 in 1 when udp.dstport == 53 bytes 512\ndrop dns when udp.dstport == 53\n");
    edge.send(53, 30_000);
    let now = status(&instance, "all");
    assert_eq!((packets(&instance, "dns"), now.taken, now.pool), (30_000, 30_000, 30_000));
    assert!(now.lost > 5_000, "{now:?}");
    let mut samples = instance.samples().unwrap();
    assert_eq!(read(&mut samples).len() as u64 + now.lost, 30_000);
    // With room again it goes on, and says what was lost.
    edge.send(53, 100);
    let found = read(&mut samples);
    assert_eq!(found.len(), 100);
    assert!(found.iter().any(|kept| kept.lost > 0), "{:?}", found[0]);
    assert_eq!(status(&instance, "all").lost, now.lost);
}

#[test]
fn a_reload_keeps_the_ring_the_counters_and_n() {
    require_kernel!();
    let edge = Edge::new();
    let text = "sample all 1 in 1 when udp.dstport == 53 budget 100/s\ndrop dns when udp.dstport == 53\n";
    let (mut instance, _) = edge.load(text);
    let mut samples = instance.samples().unwrap();
    edge.send(53, 100);
    // Another program, with the same samples.
    let report =
        reload(&mut instance, &text.replace("drop dns", "count more when udp.srcport > 1\ndrop dns"));
    assert_eq!(report.change, Change::Program);
    assert_eq!(status(&instance, "all").pool, 100);
    edge.send(53, 50);
    let found = read(&mut samples);
    assert_eq!(found.iter().filter(|kept| kept.decider == "dns").count(), 150);

    // Too many for its budget: another N, which the next ones say, and which a reload keeps.
    let mut keeper = SampleKeeper::new(instance.clone());
    assert_eq!(keeper.turn().unwrap(), []);
    edge.send(53, 10_000);
    std::thread::sleep(Duration::from_secs(1));
    let adapted = keeper.turn().unwrap();
    let [change] = adapted.as_slice() else { panic!("{adapted:?}") };
    assert!((change.from, change.to > 20) == (1, true), "{change}");
    read(&mut samples);
    edge.send(53, 20_000);
    // What chance was asked for before has the N of then.
    let found = read(&mut samples);
    let rare = found.iter().filter(|kept| kept.one_in == change.to).count();
    assert!(rare > 0 && found.len() - rare <= 2, "{rare} of {}", found.len());
    let expected = 20_000.0 / f64::from(change.to);
    assert!((rare as f64 - expected).abs() < 6.0 * expected.sqrt() + 3.0, "{rare}, {expected} are expected");
    reload(&mut instance, text);
    assert_eq!(status(&instance, "all").one_in, change.to);

    // Another N in the policy is another statement's.
    let before = status(&instance, "all");
    reload(&mut instance, &text.replace("1 in 1", "1 in 7"));
    let now = status(&instance, "all");
    assert_eq!((now.one_in, now.declared, now.taken), (7, 7, before.taken));
    reload(&mut instance, "drop dns when udp.dstport == 53\n");
    edge.send(53, 10);
    assert_eq!(read(&mut samples), [], "nothing samples any more");
}

#[test]
fn one_reader_keeps_up_with_far_more_than_a_hundred_thousand_a_second() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) =
        edge.load("sample all 1 in 1 when udp.dstport == 53\ndrop dns when udp.dstport == 53\n");
    let mut samples = instance.samples().unwrap();
    edge.send(53, 20_000);
    let (start, mut count, mut bytes) = (Instant::now(), 0, 0);
    let mut take = |sample: &weir_dataplane::Sample<'_>| {
        count += 1;
        bytes += sample.detected().header.len();
    };
    samples.read(Duration::ZERO, &mut take).unwrap();
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    say(&format!("{count} samples read, {:.1} million a second", rate / 1e6));
    assert_eq!((count, bytes), (20_000, 20_000 * 100));
    assert!(rate > 100_000.0, "{rate} a second");
}
