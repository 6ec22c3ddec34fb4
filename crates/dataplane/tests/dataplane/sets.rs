use crate::support::{Edge, packets, require_kernel};
use std::time::Duration;
use weir_dataplane::{Error, Instance, Lifetime, LiveSet, Policy};

const BLOCKED: &str = "set blocked : ip timeout 1h max 4\ndrop blocked when ip.src in blocked\n";

fn blocked(instance: &Instance) -> LiveSet {
    instance.set("blocked").unwrap_or_else(|error| panic!("{error}"))
}

fn texts(set: &mut LiveSet) -> Vec<String> {
    set.list().unwrap().into_iter().map(|element| element.element).collect()
}

#[test]
fn addresses_and_prefixes_come_and_go() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(BLOCKED);
    let mut set = blocked(&instance);
    let count = |expected: u64, what: &str| {
        let before = packets(&instance, "blocked");
        edge.send(80, 100);
        assert_eq!(packets(&instance, "blocked") - before, expected, "{what}");
    };
    count(0, "an empty set");
    set.add(&["10.1.0.2"], Lifetime::Declared).unwrap();
    count(100, "an address");
    set.add(&["10.1.0.0/24", "2001:db8::/32", "2001:db8::1"], Lifetime::Forever).unwrap();
    assert_eq!(texts(&mut set), ["10.1.0.2", "10.1.0.0/24", "2001:db8::1", "2001:db8::/32"]);
    let remaining = set.list().unwrap()[0].remaining_ns.unwrap();
    assert!(remaining > 3_500_000_000_000 && remaining <= 3_600_000_000_000, "{remaining}");
    assert_eq!(set.delete(&["10.1.0.2", "10.9.9.9"]).unwrap(), 1);
    count(100, "a prefix");
    assert_eq!(set.delete(&["10.1.0.0/24"]).unwrap(), 1);
    count(0, "deleted");
    set.add(&["10.1.0.1..10.1.0.3"], Lifetime::Declared).unwrap();
    assert_eq!(texts(&mut set)[..2], ["10.1.0.1", "10.1.0.2/31"]);
    count(100, "a range");
    assert_eq!(instance.sets().unwrap()[0].elements, 4);
    assert_eq!(set.flush().unwrap(), 4);
    count(0, "flushed");
}

#[test]
fn elements_expire_without_a_sweep() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(BLOCKED);
    let mut set = blocked(&instance);
    set.add(&["10.1.0.2"], Lifetime::For(Duration::from_millis(300))).unwrap();
    edge.send(80, 100);
    assert_eq!(packets(&instance, "blocked"), 100);
    std::thread::sleep(Duration::from_millis(450));
    edge.send(80, 100);
    assert_eq!(packets(&instance, "blocked"), 100);
    assert_eq!(texts(&mut set), Vec::<String>::new());
    assert_eq!(instance.sets().unwrap()[0].elements, 1);
    assert_eq!(set.sweep().unwrap(), 1);
    assert_eq!(instance.sets().unwrap()[0].elements, 0);
}

#[test]
fn an_expired_prefix_hides_no_shorter_one() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(BLOCKED);
    let mut set = blocked(&instance);
    let soon = Lifetime::For(Duration::from_millis(50));
    set.add(&["10.1.0.0/30"], soon).unwrap();
    set.add(&["10.1.0.0/16"], Lifetime::Declared).unwrap();
    set.add(&["10.1.0.0/24"], soon).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    edge.send(80, 100);
    assert_eq!(packets(&instance, "blocked"), 100);
    assert_eq!(texts(&mut set), ["10.1.0.0/16"]);
    set.delete(&["10.1.0.0/16"]).unwrap();
    edge.send(80, 100);
    assert_eq!(packets(&instance, "blocked"), 100, "what was lent is taken back");
}

#[test]
fn a_full_set_says_so_and_takes_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(BLOCKED);
    let mut set = blocked(&instance);
    set.add(&["10.0.0.1", "10.0.0.2"], Lifetime::Declared).unwrap();
    let full = "set `blocked` is full: 4 of 4 IPv4 addresses and prefixes; raise its `max`";
    let error = set.add(&["10.0.0.3", "10.0.0.4", "10.0.0.5"], Lifetime::Declared).unwrap_err();
    assert_eq!(error.to_string(), full);
    assert_eq!(texts(&mut set), ["10.0.0.1", "10.0.0.2"]);
    // What is there already, or twice, takes no room.
    let same = ["10.0.0.1", "10.0.0.2", "2001:db8::/32", "2001:db8::/32"];
    set.add(&same, Lifetime::Declared).unwrap();
    set.add(&["10.0.0.0/8", "11.0.0.0/8"], Lifetime::For(Duration::from_millis(20))).unwrap();
    let error = set.add(&["12.0.0.0/8", "14.0.0.0/8"], Lifetime::Declared);
    if let Err(error) = error {
        assert_eq!(error.to_string(), full);
        std::thread::sleep(Duration::from_millis(30));
        set.add(&["12.0.0.0/8", "14.0.0.0/8"], Lifetime::Declared).unwrap();
    }
    let there = ["10.0.0.1", "10.0.0.2", "12.0.0.0/8", "14.0.0.0/8", "2001:db8::/32"];
    assert_eq!(texts(&mut set), there, "what expired made room");
    set.add(&there, Lifetime::Declared).unwrap();
    assert_eq!(instance.status().unwrap().generation, 1, "a full set is not moved for what is there");
}

#[test]
fn refusals_are_told_with_their_fix() {
    require_kernel!();
    let edge = Edge::new();
    let text = "set ports : u16 max 10\nset fixed : ip = { 10.0.0.1 }\nset pairs : (ip, u16) max 10\nset macs : mac max 3\n\
        drop a when tcp.dstport in ports\ndrop b when ip.src in fixed\n\
        drop c when (ip.src, tcp.dstport) in pairs\ndrop d when eth.src in macs\n";
    let (instance, _) = edge.load(text);
    let refused = |set: &str, element: &str| match instance.set(set) {
        Ok(mut set) => set.add(&[element], Lifetime::Declared).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let expected = [
        (
            "fixed",
            "10.0.0.2",
            "set `fixed` cannot change while running: declare it with `max` or `timeout`, such as `set fixed : ip max 1k`",
        ),
        ("port", "1", "the policy has no set `port`; there is `ports`"),
        ("ports", "10.0.0.1", "`10.0.0.1` is no element of set `ports`: expected a number of 16 bits"),
        ("ports", "70000", "`70000` is no element of set `ports`: the largest value is 65535"),
        (
            "ports",
            "1..5",
            "`1..5` is no element of set `ports`: only sets of addresses alone hold ranges and prefixes while running; give single values",
        ),
        (
            "pairs",
            "10.0.0.1",
            "`10.0.0.1` is no element of set `pairs`: an element has 2 values (ip, u16), this has 1",
        ),
        ("macs", "12", "`12` is no element of set `macs`: expected a MAC address"),
    ];
    for (set, element, message) in expected {
        assert_eq!(refused(set, element), message);
    }
    let mut pairs = instance.set("pairs").unwrap();
    pairs.add(&["(10.0.0.1, 443)", "(2001:db8::1, 53)"], Lifetime::Declared).unwrap();
    assert_eq!(texts(&mut pairs), ["(10.0.0.1, 443)", "(2001:db8::1, 53)"]);
    let mut macs = instance.set("macs").unwrap();
    macs.add(&["02:00:00:00:00:0a"], Lifetime::Declared).unwrap();
    assert_eq!(texts(&mut macs), ["02:00:00:00:00:0a"]);
    assert_eq!(macs.delete(&["02:00:00:00:00:0a"]).unwrap(), 1);
}

#[test]
fn what_was_added_survives_reloads_also_into_a_larger_map() {
    require_kernel!();
    let edge = Edge::new();
    let policy = |max: u32, own: &str| {
        format!("set blocked : ip = {{ {own} }} timeout 1h max {max}\ndrop blocked when ip.src in blocked\n")
    };
    let (mut instance, _) = edge.load(&policy(8, "192.0.2.1, 198.51.100.0/24"));
    let mut set = blocked(&instance);
    set.add(&["10.1.0.2", "10.2.0.0/16", "192.0.2.9"], Lifetime::For(Duration::from_secs(100))).unwrap();
    let mut reload = |text: &str| {
        instance.reload(&Policy::new("test.weir", text)).unwrap_or_else(|error| panic!("{error}"))
    };
    let same = reload(&format!("count all\n{}", policy(8, "192.0.2.1, 198.51.100.0/24")));
    assert!(same.kept.contains(&"set blocked".to_owned()), "{same:?}");
    let all = ["10.1.0.2", "192.0.2.1", "192.0.2.9", "10.2.0.0/16", "198.51.100.0/24"];
    assert_eq!(texts(&mut set), all);
    reload(&policy(100, "192.0.2.1, 198.51.100.0/24"));
    assert_eq!(texts(&mut set), all);
    let left = set.list().unwrap()[0].remaining_ns.unwrap();
    assert!(left < 100_000_000_000 && left > 90_000_000_000, "{left}");
    // The policy's own elements follow the policy.
    reload(&policy(100, "192.0.2.3, 10.2.0.0/16"));
    assert_eq!(texts(&mut set), ["10.1.0.2", "192.0.2.3", "192.0.2.9", "10.2.0.0/16"]);
    let error = instance.reload(&Policy::new("test.weir", &policy(2, "192.0.2.3, 10.2.0.0/16"))).unwrap_err();
    assert!(matches!(&error, Error::SetFull { used: 4, max: 2, .. }), "{error}");
    edge.send(80, 10);
    assert_eq!(packets(&instance, "blocked"), 10);
    assert_eq!(texts(&mut set).len(), 4);
    // What was deleted of the policy's own comes back with the policy.
    set.flush().unwrap();
    edge.send(80, 10);
    assert_eq!(packets(&instance, "blocked"), 10);
    crate::reloads::reload(&mut instance, &policy(100, "192.0.2.3, 10.1.0.0/16"));
    assert_eq!(texts(&mut set), ["192.0.2.3", "10.1.0.0/16"]);
    edge.send(80, 10);
    assert_eq!(packets(&instance, "blocked"), 20);
}

#[test]
fn writers_take_turns() {
    require_kernel!();
    let edge = Edge::new();
    let text = "set blocked : ip max 10k\ndrop blocked when ip.src in blocked\n";
    let (mut instance, _) = edge.load(text);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut set = blocked(&instance);
            scope.spawn(move || {
                for n in 0..50 {
                    set.add(
                        &[format!("10.{writer}.{n}.1"), format!("11.{writer}.{n}.0/24")],
                        Lifetime::Forever,
                    )
                    .unwrap();
                }
            });
        }
        for round in 0..10 {
            // The larger map is a new one: what is written while it is filled must not be lost.
            crate::reloads::reload(&mut instance, &text.replace("10k", &format!("{}", 10_000 + round)));
        }
    });
    let mut set = blocked(&instance);
    assert_eq!(texts(&mut set).len(), 400);
    assert_eq!(instance.sets().unwrap()[0].elements, 400);
}

#[test]
fn a_million_elements() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load("set blocked : ip4 max 1M\ndrop blocked when ip.src in blocked\n");
    let mut set = blocked(&instance);
    let address = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
    let start = std::time::Instant::now();
    let all: Vec<String> = (0..1_000_000).map(address).collect();
    set.add(&all, Lifetime::Declared).unwrap();
    crate::support::say(&format!("a million elements were added in {:?}", start.elapsed()));
    let error = set.add(&["10.1.0.2"], Lifetime::Declared).unwrap_err();
    assert_eq!(error.to_string(), "set `blocked` is full: 1000000 of 1000000 elements; raise its `max`");
    set.delete(&["11.0.0.0"]).unwrap();
    set.add(&["10.1.0.2"], Lifetime::Declared).unwrap();
    edge.send(80, 10);
    assert_eq!(packets(&instance, "blocked"), 10);
}
