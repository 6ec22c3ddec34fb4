//! Processes that die in the middle of reloads.

use crate::reloads::SAME_MEANING;
use crate::support::{Both, Edge, packets, require_kernel, say};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use weir_dataplane::{Instance, Keeper, Lifetime, Policy};
use weir_kernel::netns::Namespace;
use weir_lab::wire::{Pace, SendOptions, send};

const INSTANCE: &str = "WEIR_TEST_INSTANCE";
const WORK: &str = "WEIR_TEST_WORK";

/// Not a test of its own: what the tests below start and kill.
#[test]
#[ignore = "a helper process of the other tests"]
fn helper() {
    let Ok(name) = std::env::var(INSTANCE) else { return };
    let work = std::env::var(WORK).unwrap_or_default();
    if let Some(netns) = work.strip_prefix("filters in ") {
        return crate::filters::load_and_unload(&name, netns);
    }
    let mut instance = Instance::open(&name).expect("the instance");
    if let Some(netns) = work.strip_prefix("pools in ") {
        let namespace = Namespace::find(netns).expect("a namespace");
        let start = || Keeper::start(instance.clone());
        let mut keeper = namespace.run(start).expect("the namespace").expect("a keeper");
        loop {
            keeper.turn().expect("keeps");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    for round in 0.. {
        match work.as_str() {
            "sets" => {
                let mut set = instance.set("blocked").expect("a set");
                let prefixes: Vec<String> =
                    (0..50).map(|n| format!("10.{}.{n}.0/24", 100 + round % 50)).collect();
                set.add(&prefixes, Lifetime::Forever).expect("an addition");
                set.delete(&prefixes).expect("a deletion");
            }
            "growth" => {
                let mut set = instance.set("blocked").expect("a set");
                let all = many(round as u32 % 3);
                set.add(&all, Lifetime::Forever).expect("an addition");
                set.delete(&all[..200]).expect("a deletion");
                if round % 4 == 3 {
                    set.flush().expect("nothing");
                    set.add(&[STAYS], Lifetime::Forever).expect("an addition");
                }
            }
            "capture" => {
                let mut capture = instance.capture(&["bad"]).expect("a capture");
                capture.read(Duration::from_secs(3600), &mut |_| ()).expect("frames");
                std::thread::sleep(Duration::from_secs(3600));
            }
            _ => {
                let text = SAME_MEANING[round % SAME_MEANING.len()];
                instance.reload(&Policy::new("test.weir", text)).expect("a reload");
            }
        }
    }
}

/// What the helper leaves in the set.
const STAYS: &str = "10.1.0.0/24";

/// More addresses and prefixes than the section of a new set holds.
fn many(seed: u32) -> Vec<String> {
    let mut random = weir_lab::traffic::Random::new(seed.into());
    let one = |nth: u32| {
        let address = 0x0b00_0000 | random.bits() as u32 & 0x00ff_ffff;
        let length = if nth.is_multiple_of(3) { 12 + random.below(20) } else { 32 };
        format!("{}/{length}", std::net::Ipv4Addr::from(address >> (32 - length) << (32 - length)))
    };
    (0..4000).map(one).collect()
}

pub(crate) fn start(instance: &str, work: &str) -> Child {
    let this = std::env::current_exe().expect("a path");
    let mut command = Command::new(this);
    command.args(["--exact", "kills::helper", "--ignored"]).env(INSTANCE, instance).env(WORK, work);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

/// Kills it (SIGKILL) at a moment of its work that differs from time to time.
pub(crate) fn kill_after(mut child: Child, time: Duration) {
    std::thread::sleep(time);
    assert_eq!(child.try_wait().expect("a state"), None, "the helper ended by itself");
    child.kill().expect("a kill");
    child.wait().expect("an end");
}

#[test]
fn twenty_kills_lose_and_misjudge_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(SAME_MEANING[0]);
    let options = SendOptions::new(Pace::Fastest, Duration::from_secs(120));
    let stop = options.stop.clone();
    let client = edge.lab.host("client").unwrap();
    let mut traffic = Both(edge.steady(4000, 53, 53), edge.steady(4000, 80, 80), false);
    let mut leftovers = 0;
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(client, "eth0", &mut traffic, &options).expect("sending"));
        for round in 0..20u64 {
            let child = start(&edge.instance, "reloads");
            // Every other time while the next generation stands beside the running one, a little later each time.
            std::thread::sleep(Duration::from_micros(200_000 + round * 23_137));
            while round % 2 == 0 && edge.generations().len() == 1 {}
            kill_after(child, Duration::from_micros(round / 2 * 100));
            leftovers += edge.generations().len() - 1;
            let adopted = Instance::open(&edge.instance).unwrap();
            assert_eq!(edge.generations().len(), 1, "leftovers are removed");
            let text = adopted.policy_text().unwrap();
            assert!(SAME_MEANING.contains(&text.as_str()), "{text}");
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    std::thread::sleep(Duration::from_millis(100));
    let (bad, good) = (packets(&instance, "bad"), packets(&instance, "good"));
    let generation = instance.status().unwrap().generation;
    say(&format!(
        "20 kills over {generation} generations ({leftovers} half-made) under {} frames at {:.0}/s: {bad} dropped, {good} passed",
        sent.frames,
        sent.rate()
    ));
    assert!(generation > 20, "the helpers did reload");
    assert_eq!(packets(&instance, "default"), 0);
    let lost = sent.frames - bad - good;
    assert_eq!(lost, crate::reloads::wire_losses(&edge), "a frame met no policy");
    instance.unload().unwrap();
}

#[test]
fn a_killed_change_of_a_set_is_mended() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load("set blocked : ip max 1k\ndrop blocked when ip.src in blocked\n");
    let mut set = instance.set("blocked").unwrap();
    set.add(&["10.1.0.0/24"], Lifetime::Forever).unwrap();
    for round in 0..10u64 {
        kill_after(start(&edge.instance, "sets"), Duration::from_micros(50_000 + round * 11_731));
        let before = packets(&instance, "blocked");
        edge.send(80, 10);
        assert_eq!(packets(&instance, "blocked") - before, 10);
        let list = set.list().unwrap();
        let others: Vec<String> =
            list.into_iter().map(|element| element.element).filter(|text| text != "10.1.0.0/24").collect();
        set.delete(&others).unwrap();
        assert_eq!(set.list().unwrap().len(), 1);
        assert_eq!(instance.sets().unwrap()[0].elements, 1);
    }
}

/// In the middle of additions, of deletions, of moves into larger sections: what is listed is what packets meet.
#[test]
fn killed_changes_and_growth_of_an_index_are_mended() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load("set blocked : ip max 100k\ndrop blocked when ip.src in blocked\n");
    let mut set = instance.set("blocked").unwrap();
    set.add(&[STAYS], Lifetime::Forever).unwrap();
    let mut sizes = std::collections::BTreeSet::new();
    for round in 0..24u64 {
        kill_after(start(&edge.instance, "growth"), Duration::from_micros(200_000 + round * 23_137));
        let list: Vec<String> = set.list().unwrap().into_iter().map(|element| element.element).collect();
        assert_eq!(edge.generations().len(), 1, "leftovers are removed");
        assert_eq!(instance.sets().unwrap()[0].elements, list.len() as u64);
        sizes.insert(list.len());
        let listed = crate::indexes::Listed::of(&list);
        for text in many(round as u32 % 3).iter().step_by(20).chain([&STAYS.to_owned()]) {
            let address = crate::indexes::first_address(text);
            let dropped = crate::indexes::drops(&edge, &instance, address, false);
            assert_eq!(dropped, listed.holds(address), "{text} in round {round}");
        }
    }
    say(&format!(
        "{} different sizes after 24 kills, {:?}",
        sizes.len(),
        instance.status().unwrap().generation
    ));
    assert!(sizes.len() > 3 && instance.status().unwrap().generation > 1, "{sizes:?}");
}

#[test]
fn a_killed_capture_gives_the_plain_policy_back() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(SAME_MEANING[0]);
    let child = start(&edge.instance, "capture");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while instance.status().unwrap().capturing.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the capture did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    Instance::open(&edge.instance).unwrap();
    assert_eq!(instance.status().unwrap().capturing, ["bad"], "it runs while its reader lives");
    assert_eq!(edge.generations().len(), 2);
    kill_after(child, Duration::from_millis(1));
    Instance::open(&edge.instance).unwrap();
    assert_eq!(instance.status().unwrap().capturing, Vec::<String>::new());
    assert_eq!(edge.generations(), ["gen-1"]);
}

/// What a kill leaves between any two steps, made by hand.
#[test]
fn whatever_is_half_made_goes_and_what_runs_stays() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(SAME_MEANING[0]);
    let place = weir_kernel::pins::ensure_bpffs().unwrap().join("weir").join(&edge.instance);
    let pins: Vec<String> = std::fs::read_dir(place.join("gen-1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "program")
        .collect();
    for many in 0..=pins.len() {
        std::fs::create_dir(place.join("gen-2")).unwrap();
        for name in &pins[..many] {
            weir_kernel::pins::duplicate(&place.join("gen-1").join(name), &place.join("gen-2").join(name))
                .unwrap();
        }
        // Commands that only look do not mind.
        assert_eq!(instance.status().unwrap().generation, 1);
        Instance::open(&edge.instance).unwrap();
        assert_eq!(edge.generations(), ["gen-1"]);
    }
    // Killed right before the swap, or right after it and before the old generation went: both are complete.
    std::fs::create_dir(place.join("gen-7")).unwrap();
    for name in &pins {
        weir_kernel::pins::duplicate(&place.join("gen-1").join(name), &place.join("gen-7").join(name))
            .unwrap();
    }
    weir_kernel::pins::duplicate(&place.join("root"), &place.join("gen-7").join("program")).unwrap();
    assert_eq!(instance.status().unwrap().generation, 1);
    instance.reload(&Policy::new("test.weir", SAME_MEANING[1])).unwrap();
    assert_eq!(edge.generations(), ["gen-2"]);
    edge.send(53, 10);
    assert_eq!(packets(&instance, "bad"), 10);

    // An unload that was killed: nothing runs, and the next command removes the rest.
    std::fs::rename(place.join("links"), place.join("detaching")).unwrap();
    assert!(!weir_dataplane::list_instances().unwrap().contains(&edge.instance));
    assert!(matches!(Instance::open(&edge.instance), Err(weir_dataplane::Error::NoInstance { .. })));
    assert_eq!(crate::support::leftovers(&edge.instance), Vec::<String>::new());
    // And a load takes its place.
    let (again, _) = edge.load(SAME_MEANING[0]);
    edge.send(53, 10);
    assert_eq!(packets(&again, "bad"), 10);
}
