//! `replay`: verdicts, shapes, captures written.

use crate::common::{Place, capture, frames};
use serde_json::{Value, json};
use weir_packet::capture::Capture;

fn of<'a>(json: &'a Value, name: &str) -> &'a Value {
    let rows = json["statements"].as_array().expect("statements");
    rows.iter().find(|row| row["name"] == name).expect("the statement")
}

#[test]
fn the_shape_that_programs_rely_on() {
    let place = Place::new();
    let json = place.weir(&["replay", "p.weir", "c.pcap", "--json"]).exits(0).json();
    assert_eq!(json["packets"], 6);
    assert_eq!(json["verdicts"], json!({"pass": 4, "drop": 2}));
    let names: Vec<_> =
        json["statements"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["blocked", "friends", "big", "small", "syns", "udps", "default"]);
    assert_eq!(
        *of(&json, "friends"),
        json!({"name": "friends", "action": "pass", "packets": 1, "bytes": 1000})
    );
    assert_eq!(of(&json, "small")["shadow"], true);
    assert_eq!(
        (of(&json, "syns")["packets"].as_u64(), of(&json, "syns")["over"].as_u64()),
        (Some(3), Some(1))
    );
    assert_eq!(of(&json, "default")["packets"], 3);
    assert!(json.get("frames").is_none());
}

#[test]
fn frames_have_numbers_verdicts_and_statements() {
    let place = Place::new();
    let json = place.weir(&["replay", "p.weir", "c.pcap", "--json", "--frames"]).exits(0).json();
    assert_eq!(json["frames"][0], json!({"frame": 1, "verdict": "pass", "statement": "friends"}));
    assert_eq!(json["frames"][1], json!({"frame": 2, "verdict": "drop", "statement": "big"}));
    assert_eq!(json["frames"][2], json!({"frame": 3, "verdict": "pass", "statement": null}));
    assert_eq!(json["frames"][5], json!({"frame": 6, "verdict": "drop", "statement": "syns"}));
    place.weir(&["replay", "p.weir", "c.pcap", "--frames"]).exits(0).answers("2 drop big");
}

#[test]
fn several_captures_are_named_and_numbered_each_from_one() {
    let place = Place::new();
    capture(&place.path("d.pcap"), &frames()[..1]);
    let json = place.weir(&["replay", "p.weir", "c.pcap", "d.pcap", "--json", "--frames"]).exits(0).json();
    assert_eq!(json["packets"], 7);
    assert_eq!(
        json["frames"][6],
        json!({"file": "d.pcap", "frame": 1, "verdict": "pass", "statement": "friends"})
    );
}

#[test]
fn a_capture_that_begins_earlier_finds_full_buckets() {
    let place = Place::new();
    let json = place.weir(&["replay", "p.weir", "c.pcap", "c.pcap", "--json"]).exits(0).json();
    assert_eq!(
        (of(&json, "syns")["packets"].as_u64(), of(&json, "syns")["over"].as_u64()),
        (Some(6), Some(2))
    );
}

#[test]
fn time_is_that_of_the_capture() {
    let place = Place::new();
    place.file("slow.weir", b"limit syns when tcp.flags.syn to 1/s burst 1 per ip.src\n");
    let json = place.weir(&["replay", "slow.weir", "c.pcap", "--json"]).exits(0).json();
    assert_eq!(of(&json, "syns")["over"], 0, "a second between two SYNs");
}

#[test]
fn a_capture_a_verdict_is_written() {
    let place = Place::new();
    place.weir(&["replay", "p.weir", "c.pcap", "--write", "out"]).exits(0);
    let read = |name: &str| -> Vec<_> {
        Capture::open(place.path(name)).unwrap().map(|frame| frame.unwrap()).collect()
    };
    let (pass, drop) = (read("out/pass.pcapng"), read("out/drop.pcapng"));
    assert_eq!((pass.len(), drop.len()), (4, 2));
    assert_eq!(drop[0].data, frames()[1]);
    assert_eq!(drop[0].comment.as_deref(), Some("drop by big"));
    assert_eq!(drop[0].timestamp_ns, 1_700_000_001_000_000_000);
}

#[test]
fn captures_come_from_standard_input_too() {
    let place = Place::new();
    let bytes = std::fs::read(place.path("c.pcap")).unwrap();
    place.weir_reads(&["replay", "p.weir", "-"], &bytes).exits(0).answers("6 packets: 4 passed, 2 dropped");
    place.weir_reads(&["replay", "-", "-"], &bytes).exits(2).says("only once");
}
