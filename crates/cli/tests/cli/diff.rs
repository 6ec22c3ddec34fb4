//! `weir diff`: what it answers, and how it ends.

use crate::common::Place;
use weir_packet::capture::Capture;

const OLD: &str = "set blocked : ip timeout 10m max 1k
drop  blocked when ip.src in blocked
drop  telnet  when tcp.dstport == 23
limit syns    when tcp.flags.syn to 100/s per ip.src
default pass
";

fn place(old: &str, new: &str) -> Place {
    let place = Place::new();
    place.file("old.weir", old.as_bytes());
    place.file("new.weir", new.as_bytes());
    place
}

#[test]
fn equal_policies() {
    let new = OLD.replace("tcp.dstport == 23", "not (not tcp or tcp.dstport != 23)");
    let place = place(OLD, &new);
    place.weir(&["diff", "old.weir", "new.weir"]).exits(0).answers("equal: proven for all packets");
    let answer = place.weir(&["diff", "old.weir", "new.weir", "--json"]).exits(0).json();
    assert_eq!(answer["result"], "equal");
}

#[test]
fn a_port_more() {
    let place = place(OLD, &OLD.replace("== 23", "in { 23, 2323 }"));
    let args = ["diff", "old.weir", "new.weir", "--pcap", "d.pcapng"];
    let answer = place.weir(&args).exits(1).answers("tcp(dstport=2323)").answers("by telnet (new.weir:3)");
    answer.answers("found symbolically").answers("different: ");
    let frames: Vec<_> = Capture::open(place.path("d.pcapng")).unwrap().map(Result::unwrap).collect();
    assert_eq!(frames[0].comment.as_deref(), Some("old: pass by default; new: drop by telnet"));
    assert_eq!(&frames[0].data[36..38], [0x09, 0x13]);
}

#[test]
fn what_is_in_a_live_set_is_told() {
    let place = place(OLD, &OLD.replace("drop  blocked when ip.src in blocked\n", ""));
    let answer = place.weir(&["diff", "old.weir", "new.weir", "--json"]).exits(1).json();
    let given = &answer["differences"][0]["given"][0];
    assert_eq!((&given["set"], &given["element"]), (&"blocked".into(), &"192.0.2.1".into()));
}

#[test]
fn another_rate_is_a_difference() {
    let place = place(OLD, &OLD.replace("100/s", "200/s"));
    place.weir(&["diff", "old.weir", "new.weir"]).exits(1).answers("if syns (200/s");
}

#[test]
fn names_are_none_unless_counts_are_asked_for() {
    let place = place(OLD, &OLD.replace("telnet", "old_shells"));
    place.weir(&["diff", "old.weir", "new.weir"]).exits(0);
    place.weir(&["diff", "old.weir", "new.weir", "--counts"]).exits(1).answers("by old_shells");
}

#[test]
fn a_protocol_defined_otherwise_is_searched() {
    let sensor = |size| {
        format!(
            "protocol sensor {{\n over udp.dstport 5555\n kind : {size}\n rest : u8\n}}\ndrop when sensor.rest == 1\n"
        )
    };
    let place = place(&sensor("u8"), &sensor("u16"));
    let answer = place.weir(&["diff", "old.weir", "new.weir"]).exits(1).answers("found by search");
    answer.answers("the policies define sensor differently");
    place.file("same.weir", (sensor("u8") + "# the same\n").as_bytes());
    place.weir(&["diff", "old.weir", "same.weir"]).exits(0);
    let more = OLD.to_owned() + &sensor("u8").replace("drop when", "count when");
    place.file("more.weir", more.as_bytes());
    place.file("less.weir", OLD.as_bytes());
    place.weir(&["diff", "less.weir", "more.weir"]).exits(0);
}

#[test]
fn nothing_found_and_nothing_proven() {
    // The payload of UDP and the DNS header are the same bytes, which the diagrams do not know.
    let place = place("drop when dns.id == 5", "drop when dns and udp.payload[0:2] == 5");
    let answer = place.weir(&["diff", "old.weir", "new.weir", "--tries", "500"]).exits(3);
    answer.answers("equality is not proven").answers("no packet was found");
}

#[test]
fn both_policies_errors_are_told() {
    let place = place("drop when tpc\n", "drop when upd\n");
    let answer = place.weir(&["diff", "old.weir", "new.weir"]).exits(2);
    answer.says("old.weir:1").says("new.weir:1").says("both policies have errors");
    place.weir(&["diff", "old.weir", "no.weir"]).exits(2).says("cannot read policy `no.weir`");
    let answer = place.weir(&["diff", "none.weir", "no.weir"]).exits(2);
    answer.says("cannot read policy `none.weir`").says("cannot read policy `no.weir`");
    place.weir(&["diff", "-", "-"]).exits(2).says("only once");
    place.file("fine.weir", b"default pass\n");
    place.weir(&["diff", "fine.weir", "fine.weir", "--pcap", "no/d.pcapng"]).exits(2).says("cannot write");
}
