//! The parser on whole texts and on single ones.

use weir_compiler::diagnostic::Diagnostics;
use weir_compiler::source::{SourceId, Sources};
use weir_compiler::syntax::ast::{ExprKind, File, Item, LiteralValue, SettingKind};
use weir_compiler::syntax::{parse, parse_elements_file, parse_expr, parse_literal, parse_packet};

/// Runs an entry of the parser on a text; also the place and code of each error.
fn read<T>(text: &str, rule: impl FnOnce(&Sources, SourceId, &mut Diagnostics) -> T) -> (T, Vec<String>) {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let id = sources.add("t", text);
    let value = rule(&sources, id, &mut diagnostics);
    let told =
        diagnostics.iter().map(|d| format!("{} {}", sources.place(d.primary.0), d.code.text())).collect();
    (value, told)
}

/// What is read from a text that is right.
fn right<T>(text: &str, rule: impl FnOnce(&Sources, SourceId, &mut Diagnostics) -> T) -> T {
    let (value, told) = read(text, rule);
    assert_eq!(told, [""; 0], "{text}");
    value
}

const EDGE: &str = r#"# edge.weir
set friends : ip = { 192.0.2.0/24, 2001:db8::/32 }
set bogons  : ip from "bogons.txt"
set blocked : ip timeout 10m max 1M

pass    friends       when ip.src in friends
drop    bogons        when ip.src in bogons or ip.src in blocked
drop    amplification when udp.srcport in {17, 19, 53, 123, 389, 1900, 11211} and frame.len > 400
limit   syn_flood     when tcp.flags.syn and not tcp.flags.ack to 500/s burst 1000 per ip.src/24
default pass

test "reflection dies, a query lives" {
    udp(ip.src=198.51.100.7, udp.srcport=53, frame.len=1200)  => drop by amplification
    udp(ip.src=198.51.100.7, udp.dstport=53)                  => pass
}
"#;

#[test]
fn the_example_parses() {
    let file: File = right(EDGE, parse);
    assert_eq!((file.items.len(), file.comments.len()), (9, 1));
    assert!(matches!(&file.items[8], Item::Test(test) if test.cases.len() == 2));
}

#[test]
fn built_in_protocols_parse() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocols");
    for entry in std::fs::read_dir(directory).expect("the protocols' directory") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        assert!(!right(&text, parse).items.is_empty(), "{}", path.display());
    }
}

#[test]
fn every_line_has_its_error_and_good_lines_none() {
    let text = "\
set a : ip = { 10.0.0.1, x, 10.0.0.2
    300.0.0.1
    10.0.0.3 }
pool web {
    10.0.0.1 weight two
    10.0.0.2
}
drop tcp.dstport == 80
drop x when (tcp.port == 1
pass y when udp
drop z when a && b
";
    let (file, told) = read(text, parse);
    let expected = ["t:1 E0003", "t:2 E0002", "t:5 E0003", "t:8 E0003", "t:9 E0003", "t:11 E0003"];
    assert_eq!(told, expected);
    assert_eq!(file.items.len(), 5);
}

#[test]
fn lines_of_a_pool_stand_in_any_order() {
    let text = "pool web {\n check tcp port 80\n [::1]:80 drained weight 2\n max 5\n down pass\n track all\n 10.0.0.1\n}";
    let file: File = right(text, parse);
    let Item::Pool(pool) = &file.items[0] else { panic!("{file:?}") };
    let words: Vec<_> = pool.entries.iter().map(|entry| entry.word()).collect();
    assert_eq!(words, [Some("check"), None, Some("max"), Some("down"), Some("track"), None]);
    for kind in ["gateway", "mtu", "ring", "settle", "slow", "max", "flows"] {
        assert_eq!(SettingKind::named(kind).map(SettingKind::word), Some(kind));
    }
}

#[test]
fn a_pool_that_nobody_closed_swallows_no_statement() {
    let (file, told) = read("pool web {\n 10.0.0.1\nbalance x when tcp to web\npass y when udp\n", parse);
    assert_eq!(told, ["t:1 E0003"]);
    assert_eq!(file.items.len(), 2);
}

#[test]
fn single_texts_parse() {
    let text = "tcp.flags & 0x12 == 0x02 and not (ip.src in a\n or vlan[1].id == 5)";
    let expr = right(text, parse_expr).expect("an expression");
    assert!(matches!(expr.kind, ExprKind::And(..)));

    let text = "eth(eth.src=02:00:00:00:00:01)/vlan/hex(00 1e4f : 5a)/payload(\"a\\x00\")";
    let packet = right(text, parse_packet).expect("a packet");
    let bytes = packet.layers.iter().filter_map(|l| l.bytes.clone());
    assert_eq!(bytes.collect::<Vec<_>>(), [vec![0, 0x1e, 0x4f, 0x5a], b"a\0".to_vec()]);

    assert!(right("(10.0.0.1..10.0.0.9, 1024..65535)", parse_literal).is_some());
    let text = "; list\n10.0.0.0/8 ; RFC 1918\n\n2001:db8::1, 80\n(1, 2..3)\n# end";
    let mut lines = 0;
    right(text, |sources, id, told| parse_elements_file(sources, id, told, |_| lines += 1));
    assert_eq!(lines, 3);
}

#[test]
fn constants_mean_what_they_say() {
    use LiteralValue::*;
    for (text, value) in [
        ("1M", Int(1_000_000)),
        ("10m", Duration(600_000_000_000)),
        ("0xff", Int(255)),
        ("0b101", Int(5)),
        ("64kB", Size(64_000)),
        ("add::1", Ip6("add::1".parse().unwrap())),
        ("::", Ip6("::".parse().unwrap())),
        ("::ffff:10.0.0.1", Ip6("::ffff:10.0.0.1".parse().unwrap())),
        ("10.0.0.1/8", Prefix4("10.0.0.1".parse().unwrap(), 8)),
        ("be:ef:00:00:00:01", Mac([0xbe, 0xef, 0, 0, 0, 1])),
        ("\"a\\x41\\n\"", Bytes(b"aA\n".to_vec())),
    ] {
        let expr = right(text, parse_expr).expect("a constant");
        assert!(matches!(expr.kind, ExprKind::Literal(read) if read == value), "{text}");
    }
    for text in ["1.5M", "256.0.0.1", "1::2::3", "0x", "010", "10.0.0.0/33", "1e5", "1KiB", "a:b:c"] {
        assert_eq!(read(text, parse_expr).1, ["t:1 E0002"], "{text}");
    }
    for text in ["add", "beef", "dead-beef"] {
        let expr = right(text, parse_expr).expect("a field");
        assert!(matches!(expr.kind, ExprKind::Path(_)), "{text}");
    }
    right("protocol face { add:u8 beef:bool f:ip6 }", parse);
}

#[test]
fn operators_of_one_level_bind_from_the_left() {
    for sign in ["+", "-", "*", "&", "and", "or"] {
        let [left, right] = [format!("(a {sign} b) {sign} c"), format!("a {sign} (b {sign} c)")];
        let expr = right_expr(&left);
        assert_eq!(expr, format!("a {sign} b {sign} c"));
        assert_eq!(right_expr(&right), right);
    }
}

fn right_expr(text: &str) -> String {
    right(text, parse_expr).expect("an expression").to_string()
}

#[test]
fn brackets_that_do_not_match_end() {
    for text in ["(}", "({", "{)", "(]", "(1, }", "((1}, 2)"] {
        assert_eq!(read(text, parse_literal).1, ["t:1 E0003"], "{text}");
        let (_, told) = read(&format!("set s : ip = {{{text}}}\npass"), parse);
        assert_eq!(told, ["t:1 E0003"], "{text}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused_not_followed() {
    for text in [
        "(".repeat(100_000),
        "not ".repeat(100_000),
        format!("x == {}1", "1 + ".repeat(100_000)),
        format!("a{}", " or a".repeat(100_000)),
        format!("x in {{{}", "(".repeat(100_000)),
    ] {
        let (_, told) = read(&format!("drop x when {text}\npass"), parse);
        assert_eq!(told, ["t:1 E0005"]);
    }
}
