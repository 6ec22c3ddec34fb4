use crate::support::{Both, Edge, packets, require_kernel, say};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use weir_dataplane::{Error, Instance, Lifetime, Policy, Report};
use weir_lab::wire::{Counter, Flow, Pace, SendOptions, send};

/// Policies of one meaning (53 is dropped, 80 passes, nothing else comes) and of different shapes.
pub(crate) const SAME_MEANING: [&str; 4] = [
    "drop bad when udp.dstport == 53\npass good when udp.dstport == 80\n",
    "set ports : u16 = { 80, 81, 82 }\ncount all when udp\ncount web when udp.dstport in ports\npass good when udp.dstport == 80\ndrop bad when udp.dstport == 53\n",
    "set blocked : ip max 1k\ndrop never when ip.src in blocked\ndrop bad when udp.dstport == 53\npass good when udp.dstport == 80\n",
    "limit wide when udp to 100M/s burst 100M per ip.src/24\npass good when udp.dstport == 80\ndrop bad when udp.dstport == 53\ndefault drop\n",
];

pub(crate) fn reload(instance: &mut Instance, text: &str) -> weir_dataplane::Report {
    instance.reload(&Policy::new("test.weir", text)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn counters_follow_what_statements_mean() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load("count a when udp.dstport == 1\ncount b when udp.dstport == 2\n");
    edge.send(1, 100);
    edge.send(2, 30);
    // `a` is called `c` now, and `b` asks for something else.
    let report = reload(&mut instance, "count c when udp.dstport == 1\ncount b when udp.dstport == 9\n");
    assert!(report.kept.contains(&"statement c (was a)".to_owned()), "{report:?}");
    assert_eq!((&report.fresh[..], report.gone.len()), (&["statement b (changed)".to_owned()][..], 0));
    let counted = |instance: &Instance, names: [&str; 3]| names.map(|name| packets(instance, name));
    assert_eq!(counted(&instance, ["b", "c", "default"]), [0, 100, 130]);
    edge.send(1, 7);
    edge.send(9, 3);
    // Now `d` gets the slot that `b` had, and begins at zero all the same; the others keep what they begin at.
    let three =
        "count c when udp.dstport == 1\ncount b when udp.dstport == 9\ncount d when udp.dstport == 3\n";
    reload(&mut instance, three);
    edge.send(3, 5);
    assert_eq!(counted(&instance, ["b", "c", "d"]), [3, 107, 5]);
    let report = reload(&mut instance, "count d when udp.dstport == 3\n");
    assert_eq!(report.gone, ["statement b", "statement c"]);
    assert_eq!((packets(&instance, "d"), packets(&instance, "default")), (5, 145));
}

#[test]
fn statements_without_a_name_move() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load("count when udp.dstport == 1\ncount when udp.dstport == 2\n");
    edge.send(1, 4);
    edge.send(2, 9);
    let report = reload(
        &mut instance,
        "count new when udp.dstport == 5\ncount when udp.dstport == 1\ncount when udp.dstport == 2\n",
    );
    assert!(report.kept.contains(&"statement count@3 (was count@2)".to_owned()), "{report:?}");
    assert_eq!(["new", "count@2", "count@3"].map(|name| packets(&instance, name)), [0, 4, 9]);
}

#[test]
fn counters_outgrow_their_map_and_keep_what_they_counted() {
    require_kernel!();
    let edge = Edge::new();
    let policy = |count: u32| -> String {
        let rules = (0..count).map(|n| format!("drop r{n} when udp.dstport == {}\n", 1000 + n));
        rules.collect::<String>() + "count kept when udp.dstport == 7\n"
    };
    let (mut instance, _) = edge.load(&policy(10));
    edge.send(7, 50);
    let report = reload(&mut instance, &policy(4200));
    assert_eq!(packets(&instance, "kept"), 50);
    edge.send(7, 50);
    edge.send(5199, 3);
    assert_eq!((packets(&instance, "kept"), packets(&instance, "r4199")), (100, 3));
    say(&format!("4,200 statements: compiled in {} µs, loaded in {} µs", report.compile_us, report.load_us));
    reload(&mut instance, &policy(20));
    edge.send(7, 1);
    assert_eq!((packets(&instance, "kept"), packets(&instance, "default")), (101, 101));
}

#[test]
fn buckets_survive() {
    require_kernel!();
    let edge = Edge::new();
    let limit = "limit few when udp.dstport == 53 to 1/h burst 10 per ip.src\n";
    let (mut instance, _) = edge.load(limit);
    let over = |instance: &Instance| instance.counters().unwrap()[0].over_packets;
    edge.send(53, 10);
    assert_eq!(over(&instance), 0);
    let report = reload(&mut instance, &format!("set s : ip max 5\n{limit}drop s when ip.src in s\n"));
    assert!(report.kept.contains(&"limit few".to_owned()), "{report:?}");
    edge.send(53, 5);
    assert_eq!(over(&instance), 5, "the bucket is still empty");
    let report = reload(&mut instance, &limit.replace("10 per", "20 per"));
    assert!(report.fresh.contains(&"limit few".to_owned()), "{report:?}");
    edge.send(53, 25);
    assert_eq!(over(&instance), 10, "another limit has another bucket");
}

#[test]
fn a_bad_policy_changes_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(SAME_MEANING[2]);
    instance.set("blocked").unwrap().add(&["192.0.2.1"], Lifetime::Forever).unwrap();
    edge.send(53, 10);
    let before = instance.status().unwrap();
    let bad = [
        "drop what when tcp.dstprt == 1\n",
        "nonsense",
        "set s : ip from \"nowhere.txt\"\ndrop s when ip.src in s\n",
        "\u{0}",
    ];
    for text in bad {
        let error = instance.reload(&Policy::new("bad.weir", text)).unwrap_err();
        assert!(matches!(error, Error::Policy(_)), "{error}");
        assert!(error.to_string().starts_with("the policy has "), "{error}");
        assert!(error.to_string().contains("bad.weir:1: "), "{error}");
    }
    assert_eq!(instance.status().unwrap(), before);
    assert_eq!(edge.generations(), ["gen-1"]);
    edge.send(53, 10);
    assert_eq!(packets(&instance, "bad"), 20);
}

/// The client's side of the wire: what left it, less what the wire itself had no room for.
pub(crate) fn wire_losses(edge: &Edge) -> u64 {
    let statistics = |host: &str, interface: &str| -> u64 {
        let read =
            || std::process::Command::new("ip").args(["-s", "-j", "link", "show", "dev", interface]).output();
        let output = edge.lab.host(host).unwrap().run(read).unwrap().expect("ip");
        let all: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
        let drops = |way: &str| all[0]["stats64"][way]["dropped"].as_u64().expect("a number");
        if host == "client" { drops("tx") } else { drops("rx") }
    };
    statistics("client", "eth0") + statistics("edge", "in0")
}

/// Reloads so often, at the full rate of frames that `bad` drops and others that `good` passes, and makes sure that
/// each of them was judged so, and counted.
pub(crate) fn under_traffic(
    edge: &Edge,
    instance: &mut Instance,
    reloads: usize,
    mut next: impl FnMut() -> String,
) -> Vec<Report> {
    let tap = Counter::start(edge.host(), "in0").unwrap();
    let options = SendOptions::new(Pace::Fastest, Duration::from_secs(1200));
    let stop = options.stop.clone();
    let client = edge.lab.host("client").unwrap();
    let mut traffic = Both(edge.steady(4000, 53, 53), edge.steady(4000, 80, 80), false);
    let lost_before = wire_losses(edge);
    let (mut reports, mut total) = (Vec::new(), Duration::ZERO);
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(client, "eth0", &mut traffic, &options).expect("sending"));
        let (reader, stopped) = (instance.clone(), stop.clone());
        let reading = scope.spawn(move || {
            let (mut looks, mut last) = (0u64, 0);
            while !stopped.load(Ordering::Relaxed) {
                let status = reader.status().unwrap_or_else(|error| panic!("{error}"));
                let of = |name| status.counters.iter().find(|counter| counter.name == name).unwrap().packets;
                let now = of("bad") + of("good");
                assert!(now >= last, "counters ran backwards: {last}, {now}");
                (looks, last) = (looks + 1, now);
                std::thread::sleep(Duration::from_millis(2));
            }
            looks
        });
        for _ in 0..reloads {
            let text = next();
            let start = Instant::now();
            reports.push(reload(instance, &text));
            total += start.elapsed();
        }
        stop.store(true, Ordering::Relaxed);
        say(&format!("{} looks at status meanwhile", reading.join().unwrap()));
        sender.join().unwrap()
    });
    std::thread::sleep(Duration::from_millis(100));
    let lost = wire_losses(edge) - lost_before;
    let received = tap.stop().unwrap();
    let (bad, good) = (packets(instance, "bad"), packets(instance, "good"));
    let middle = |of: fn(&Report) -> u64| {
        let mut all: Vec<u64> = reports.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    say(&format!(
        "{reloads} reloads ({:?} each: compiling {} µs, loading {} µs, swap {} µs) under {} frames at {:.0}/s: {bad} dropped, {good} passed, {lost} found the wire full, the tap saw {} and overflowed by {}",
        total / reloads as u32,
        middle(|report| report.compile_us),
        middle(|report| report.load_us),
        middle(|report| report.swap_us),
        sent.frames,
        sent.rate(),
        received.frames(),
        received.overflowed
    ));
    assert_eq!(packets(instance, "default"), 0, "a policy judged otherwise");
    assert_eq!(received.of(Flow(53)), 0, "a frame that is dropped got through");
    assert_eq!(bad + good, sent.frames - lost, "a frame met no policy");
    // What the tap had no room for may be others' frames too, such as the edge's own.
    let seen = received.of(Flow(80));
    let passed = seen..=seen + u64::from(received.overflowed);
    assert!(passed.contains(&good), "a frame that passes did not: {good} passed, the tap saw {passed:?}");
    assert!(sent.frames > 100_000);
    reports
}

#[test]
fn two_hundred_reloads_at_full_rate_lose_and_misjudge_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(SAME_MEANING[0]);
    let mut policies = SAME_MEANING.iter().cycle().skip(1);
    under_traffic(&edge, &mut instance, 200, || (*policies.next().expect("a cycle")).to_owned());
    assert_eq!(edge.generations(), ["gen-201"]);
}
