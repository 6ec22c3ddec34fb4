use crate::reloads::reload;
use crate::support::{Edge, packets, require_kernel, say};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_compiler::Loader;
use weir_dataplane::protect::{Options, Protector, Put};
use weir_dataplane::{Instance, Policy, Samples};
use weir_detect::defence::{Event, What};
use weir_detect::{life, traffic};
use weir_lab::traffic::{Amplifier, Everyday, Reflection, SynFlood, Traffic};
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_packet::build::{Layer, Packet, Udp};

const POLICY: &str =
    "sample all 1 in 50\ncount everyday when tcp.dstport == 443\ndrop telnet when tcp.dstport == 23\n";

/// Everyday traffic, for as long as this is there.
struct Background<'a> {
    stop: Arc<AtomicBool>,
    _thread: std::thread::ScopedJoinHandle<'a, ()>,
}

impl<'a> Background<'a> {
    fn start<'b: 'a>(scope: &'a std::thread::Scope<'a, 'b>, edge: &'b Edge) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let options = SendOptions {
            stop: Arc::clone(&stop),
            ..SendOptions::new(Pace::PerSecond(5000), Duration::from_secs(60))
        };
        let mut everyday = Everyday::new(edge.route(), 200, 7, Flow(100));
        let thread = scope.spawn(move || {
            send(edge.lab.host("client").unwrap(), "eth0", &mut everyday, &options).unwrap();
        });
        Self { stop, _thread: thread }
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Quick to forget.
fn options() -> Options {
    let life = life::Config { idle: Duration::from_secs(2), ..life::Config::default() };
    let traffic = traffic::Config { quiet: Duration::from_secs(1), ..traffic::Config::default() };
    Options { life, traffic, ..Options::default() }
}

/// A protection, and the samples that it takes.
struct Protected(Samples, Protector);

impl Protected {
    fn start(instance: &Instance) -> Protected {
        let protector = Protector::start(instance.clone(), options()).unwrap();
        Protected(instance.samples().unwrap(), protector)
    }
}

fn turn(Protected(samples, protector): &mut Protected, time: Duration, events: &mut Vec<Event>) {
    let start = Instant::now();
    while start.elapsed() < time {
        samples.read(Duration::from_millis(20), &mut |sample| protector.observe(sample)).unwrap();
        for event in protector.turn().unwrap() {
            say(&format!("{:>12} {event}", event.time_ns / 1000));
            events.push(event);
        }
    }
}

fn attack(edge: &Edge, traffic: &mut (impl Traffic + Send), time: Duration, work: impl FnOnce()) -> u64 {
    std::thread::scope(|scope| {
        let options = SendOptions::new(Pace::PerSecond(50_000), time);
        let client = edge.lab.host("client").unwrap();
        let sent = scope.spawn(move || send(client, "eth0", traffic, &options).unwrap());
        work();
        sent.join().unwrap().frames
    })
}

fn names(events: &[Event], of: impl Fn(&What) -> Option<String>) -> Vec<String> {
    events.iter().filter_map(|event| of(&event.what)).collect()
}

fn found(what: &What) -> Option<String> {
    match what {
        What::Found { name, .. } => Some(name.clone()),
        _ => None,
    }
}

fn ended(what: &What) -> Option<String> {
    match what {
        What::Ended { named, why, .. } => Some(format!("{}: {why}", named.name)),
        _ => None,
    }
}

/// Frames over and over.
struct Cycle(Vec<Vec<u8>>, usize);

impl Cycle {
    /// From that many sources, of which the first is numbered so.
    fn of(edge: &Edge, first: u32, sources: u32, layer: impl Fn() -> Layer) -> Cycle {
        Cycle::apart(edge, first, sources, 7, layer)
    }

    /// That far apart.
    fn apart(edge: &Edge, first: u32, sources: u32, step: u32, layer: impl Fn() -> Layer) -> Cycle {
        let route = edge.route();
        let frame = |n| {
            let packet = Packet::between(Ipv4Addr::from(first + n * step).into(), route.dst);
            packet.macs(route.src_mac, route.dst_mac).push(layer()).padded_to(90).build()
        };
        Cycle((0..sources).map(frame).collect(), 0)
    }
}

impl Traffic for Cycle {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        frame.clear();
        frame.extend_from_slice(&self.0[self.1]);
        self.1 = (self.1 + 1) % self.0.len();
        Some(Flow(9))
    }
}

#[test]
fn a_rule_goes_at_once_when_good_clients_meet_it() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(POLICY);
    let clients = 0xc633_6401;
    let (quic, game) = (|| Udp::new(5000, 443).into(), || Udp::new(6000, 7777).into());
    let send_for = |traffic: &mut Cycle, rate: u64, ms: u64| {
        let options = SendOptions::new(Pace::PerSecond(rate), Duration::from_millis(ms));
        send(edge.lab.host("client").unwrap(), "eth0", traffic, &options).unwrap();
    };
    let mut protector = Protected::start(&instance);
    let mut events = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| send_for(&mut Cycle::of(&edge, clients, 100, quic), 4000, 8000));
        turn(&mut protector, Duration::from_secs(3), &mut events);
        scope.spawn(|| send_for(&mut Cycle::of(&edge, 0x0102_0304, 5000, game), 50_000, 4000));
        turn(&mut protector, Duration::from_secs(2), &mut events);
        assert_eq!(names(&events, found).len(), 1);
        assert_eq!(names(&events, ended), [""; 0], "clients are spared so far");
        // Now the clients play the game, too.
        scope.spawn(|| send_for(&mut Cycle::of(&edge, clients, 100, game), 1500, 2000));
        turn(&mut protector, Duration::from_millis(1500), &mut events);
        let ended = names(&events, ended);
        assert!(
            ended.first().is_some_and(|line| line.ends_with("it matches traffic that looks good")),
            "{ended:?}"
        );
        assert_eq!(instance.policy_text().unwrap(), POLICY);
    });
}

#[test]
fn what_looks_like_good_traffic_is_limited_by_source() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(POLICY);
    let quic = || Udp::new(5000, 443).into();
    let send_for = |traffic: &mut Cycle, rate: u64, ms: u64| {
        let options = SendOptions::new(Pace::PerSecond(rate), Duration::from_millis(ms));
        send(edge.lab.host("client").unwrap(), "eth0", traffic, &options).unwrap();
    };
    let mut protector = Protected::start(&instance);
    let mut events = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| send_for(&mut Cycle::apart(&edge, 0xc633_0001, 60, 256, quic), 4000, 9000));
        turn(&mut protector, Duration::from_secs(3), &mut events);
        assert_eq!(events, []);
        // Four of the clients: whoever they are cannot be told from the others.
        let mut flood = Cycle::apart(&edge, 0xc633_0001, 4, 16 * 256, quic);
        scope.spawn(move || send_for(&mut flood, 40_000, 5000));
        turn(&mut protector, Duration::from_secs(5), &mut events);
    });
    let text = instance.policy_text().unwrap();
    let line = text.lines().find(|line| line.contains("mitigation_")).expect("it stands");
    assert!(line.starts_with("limit mitigation_1_") && line.contains("/s per ip.src/24/56"), "{text}");
    let counters = instance.counters().unwrap();
    let limit = counters.iter().find(|counter| counter.name.starts_with("mitigation_1_")).unwrap();
    say(&format!("{} of {} over", limit.over_packets, limit.packets));
    // Four sources of ten thousand each, of which some hundreds may pass.
    assert!(limit.over_packets > 80_000, "{limit:?}");
    assert_eq!(names(&events, ended), [""; 0], "good clients are below it");
}

#[test]
fn an_attack_is_met_by_a_rule_of_its_own_which_goes_after_it() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(POLICY);
    std::thread::scope(|scope| {
        let _background = Background::start(scope, &edge);
        let mut protector = Protected::start(&instance);
        let mut events = Vec::new();
        turn(&mut protector, Duration::from_secs(3), &mut events);
        assert_eq!(events, [], "everyday traffic is no attack");
        let mut flood = Reflection::new(edge.route(), Amplifier::Dns, 500, 1200, 1, Flow(1));
        let sent = attack(&edge, &mut flood, Duration::from_secs(3), || {
            turn(&mut protector, Duration::from_secs(3), &mut events);
        });
        let found = names(&events, found);
        assert_eq!(found, ["mitigation_1_dns_amplification"]);
        let dropped: u64 = found.iter().map(|name| packets(&instance, name)).sum();
        say(&format!("{dropped} of {sent} dropped"));
        assert!(dropped as f64 > 0.7 * sent as f64, "{dropped} of {sent}");
        let text = instance.policy_text().unwrap();
        assert!(text.contains("drop mitigation_1_dns_amplification when ip.dst == 10.1.0.1"), "{text}");

        turn(&mut protector, Duration::from_secs(6), &mut events);
        let ended = names(&events, ended);
        assert_eq!(ended.len(), found.len(), "{ended:?}");
        assert!(ended[0].ends_with("it is hardly hit any more"), "{ended:?}");
        assert_eq!(instance.policy_text().unwrap(), POLICY);
        assert_eq!(protector.1.mitigations().count(), 0);
    });
}

#[test]
fn what_the_policy_protects_is_never_matched_also_after_somebody_reloads() {
    require_kernel!();
    let edge = Edge::new();
    let text = format!("set protected : ip = {{ 0.0.0.0/1 }}\n{POLICY}");
    let (mut instance, _) = edge.load(&text);
    std::thread::scope(|scope| {
        let _background = Background::start(scope, &edge);
        let mut protector = Protected::start(&instance);
        let mut events = Vec::new();
        turn(&mut protector, Duration::from_secs(3), &mut events);
        let mut flood = SynFlood::new(edge.route(), 80, 1, Flow(1));
        attack(&edge, &mut flood, Duration::from_secs(5), || {
            turn(&mut protector, Duration::from_secs(1), &mut events);
            let found = names(&events, found);
            assert!(!found.is_empty(), "a half of the flood comes from elsewhere");
            let standing = instance.policy_text().unwrap();
            let line =
                standing.lines().find(|line| line.starts_with("drop mitigation_1_")).expect("it stands");
            assert!(line.ends_with("and not ip.src in protected"), "{line}");

            // Somebody loads another policy: mitigations stand in it again.
            let other = text.replace("count everyday", "count tls");
            reload(&mut instance, &other);
            turn(&mut protector, Duration::from_secs(3), &mut events);
            let again = instance.policy_text().unwrap();
            assert!(again.contains("count tls") && again.contains(line), "{again}");

            // Everything is protected now: what does not spare it goes at once.
            reload(&mut instance, &format!("set protected : ip = {{ 0.0.0.0/0 }}\n{POLICY}"));
            turn(&mut protector, Duration::from_secs(3), &mut events);
            assert!(!instance.policy_text().unwrap().contains("mitigation_"));
        });
        let ended = names(&events, ended);
        assert!(ended.iter().any(|line| line.ends_with("protected now")), "{ended:?}");
    });
}

#[test]
fn a_killed_protection_leaves_its_rules_to_be_read_and_the_next_one_takes_them_over() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(POLICY);
    let left = POLICY.replace(
        "drop telnet",
        "# mitigations by weir: begin; they come and go by themselves\ndrop mitigation_1_x when udp.dstport == 9\n# mitigations by weir: end\ndrop telnet",
    );
    reload(&mut instance, &left);
    let protector = Protector::start(instance.clone(), options()).unwrap();
    assert_eq!(instance.policy_text().unwrap(), POLICY);
    protector.stop().unwrap();
}

/// The file of a set.
struct List(&'static str);

impl Loader for List {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Ok((path.to_owned(), self.0.to_owned()))
    }
}

#[test]
fn a_file_that_changed_under_the_same_policy_stays_as_it_is_now() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(POLICY);
    let text = format!("set bad : ip from \"bad.txt\"\n{POLICY}drop bad when ip.src in bad\n");
    let mut load = |list| {
        let loader = List(list);
        instance.reload(&Policy { name: "edge.weir", text: &text, loader: &loader }).unwrap();
        instance.clone()
    };
    let instance = load("192.0.2.1\n");
    let listed = || instance.analysis().unwrap().policy.sets[0].parts[0].elements.len();
    let (mut put, _) = Put::open(instance.clone()).unwrap();
    assert!(put.follow().unwrap().is_none());
    load("192.0.2.1\n192.0.2.9\n");
    assert_eq!(listed(), 2);
    assert!(put.follow().unwrap().is_some(), "somebody has reloaded");
    put.put(&["drop mitigation_1_x when udp.dstport == 9\n".to_owned()]).unwrap();
    assert!(put.follow().unwrap().is_none(), "its own reload is no news");
    assert!(instance.policy_text().unwrap().contains("mitigation_1_x"));
    assert_eq!(listed(), 2);
    put.put(&[]).unwrap();
    assert_eq!((instance.policy_text().unwrap(), listed()), (text, 2));
}

#[test]
fn a_policy_that_cannot_be_protected_says_why() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load("sample all 1 in 50\n");
    let never = Options { never: Some("nobody".into()), ..options() };
    let error = Protector::start(instance.clone(), never).unwrap_err();
    assert_eq!(error.to_string(), "the policy has no set `nobody`");
    reload(&mut instance, "sample all 1 in 50\nset protected : tcp.dstport = { 80 }\n");
    let error = Protector::start(instance.clone(), options()).unwrap_err();
    assert_eq!(error.to_string(), "the set `protected` must be of type `ip` to protect sources");
}
