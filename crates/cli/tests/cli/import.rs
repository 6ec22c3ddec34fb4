//! `weir import`: what it prints where, and how it ends.

use crate::common::Place;

const PLAIN: &[u8] = b"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n";
const STATEFUL: &[u8] = b"*filter\n:INPUT DROP [0:0]\n-A INPUT -m state --state NEW -j ACCEPT\nCOMMIT\n";

#[test]
fn a_policy_goes_to_stdout_and_talk_to_stderr() {
    let place = Place::new();
    place.file("plain.save", PLAIN);
    let answer = place.weir(&["import", "plain.save"]).exits(0).says("`plain.save` is read as `iptables`");
    assert!(answer.out.ends_with("default drop\n"), "{}", answer.out);
    let answer = answer.says("2 statements; 0 rules not expressed");
    place.file("made.weir", answer.out.as_bytes());
    place.weir(&["check", "made.weir"]).exits(0);
    place.weir(&["fmt", "--check", "made.weir"]).exits(0);
}

#[test]
fn what_is_not_expressed_is_told_and_the_exit_status_says_so() {
    let place = Place::new();
    place.file("stateful.save", STATEFUL);
    let answer = place.weir(&["import", "stateful.save", "-o", "out.weir", "--json"]).exits(1);
    let answer =
        answer.says("not expressed: line 3: `-A INPUT -m state --state NEW -j ACCEPT`: Weir keeps no state");
    let json = answer.json();
    assert_eq!((&json["complete"], &json["format"]), (&false.into(), &"iptables".into()));
    assert_eq!(json["findings"][0]["kind"], "refused");
    assert_eq!(json["findings"][0]["place"], "line 3");
    assert!(json.get("policy").is_none());
    let policy = std::fs::read_to_string(place.path("out.weir")).unwrap();
    assert!(policy.contains("# refused, line 3: -A INPUT -m state"), "{policy}");
}

#[test]
fn garbage_is_told_with_its_place() {
    let place = Place::new();
    for (name, text, told) in [
        (
            "a.save",
            &b"*filter\n:INPUT DROP [0:0]\nhello\n"[..],
            "`a.save`: line 3: no line of `iptables-save`: `hello`",
        ),
        ("b.save", b"*filter\n-A INPUT -j DROP\n", "`b.save`: line 2: no chain is called `INPUT`"),
        ("c.json", b"{\"nftables\": [\n{]", "`c.json`: line 2, column 2: not JSON"),
        (
            "d.json",
            b"{\"nftables\": [{\"chain\": {\"family\": 5}}]}",
            "`d.json`: .nftables[0].chain.family: a text",
        ),
        ("e.json", b"{\"a\": {\"port_src\": \"x\"}}", "`e.json`: .a.packet_size: not an interval"),
        ("f.txt", b"dear sir or madam\n", "`f.txt`: line 1: this is neither a rule set nor a list"),
        ("g.txt", b"\xff\n", "`g.txt` is not text: line 1"),
        ("h.nft", b"table inet filter {\n}\n", "import its JSON: `nft -j list ruleset`"),
    ] {
        place.file(name, text);
        let answer = place.weir(&["import", name]).exits(2).says(told);
        assert_eq!(answer.out, "");
    }
    place.weir(&["import", "no.save"]).exits(2).says("cannot read `no.save`: no such file");
}

#[test]
fn which_chain_is_asked_where_it_is_not_plain() {
    let place = Place::new();
    place.file(
        "two.save",
        b"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -s 10.0.0.0/8 -j DROP\nCOMMIT\n\
          *filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp -j DROP\nCOMMIT\n",
    );
    let answer = place.weir(&["import", "two.save"]).exits(2).says("2 chains see the packets that come in");
    answer.says("`raw/PREROUTING`, `filter/INPUT`");
    place.weir(&["import", "two.save", "--chain", "INPUT"]).exits(0).answers("INPUT_1");
    let both = place.weir(&["import", "two.save", "--chain", "INPUT", "--chain", "raw/PREROUTING"]).exits(0);
    assert!(both.out.find("PREROUTING_1") < both.out.find("INPUT_1"), "{}", both.out);
    place
        .weir(&["import", "two.save", "--chain", "FORWARD"])
        .exits(2)
        .says("packets enter no chain named `FORWARD`");
}

#[test]
fn standard_input_is_a_list_by_its_content() {
    let place = Place::new();
    let answer = place.weir_reads(&["import", "-", "--json"], b"192.0.2.0/24 ; SBL1\n").exits(0);
    assert_eq!(answer.json()["format"], "list");
    assert!(answer.json()["policy"].as_str().unwrap().contains("set listed : ip = { 192.0.2.0/24 }"));
}
