//! Laws of the parser and the formatter, on random texts and trees.

use proptest::prelude::*;
use weir_compiler::diagnostic::{Diagnostics, Style, render};
use weir_compiler::source::{SourceId, Sources};
use weir_compiler::syntax::{format, parse, parse_elements_file, parse_expr, parse_literal, parse_packet};

/// A tree as text without places, and the comments' texts.
fn shape(text: &str) -> Result<(String, Vec<String>), String> {
    let (mut sources, mut told) = (Sources::default(), Diagnostics::default());
    let id = sources.add("t", text);
    let file = parse(&sources, id, &mut told);
    if told.has_errors() {
        return Err(render(&told, &sources, Style::Plain));
    }
    let comments = file.comments.iter();
    let comments = comments.map(|&c| sources.text(c).trim_end().to_owned());
    Ok((without_spans(&format!("{:?}", file.items)), comments.collect()))
}

/// Drops the `0:12..34` of spans from a debug text.
fn without_spans(debug: &str) -> String {
    let mut out = String::with_capacity(debug.len());
    let mut rest = debug;
    while let Some(at) = rest.find("0:") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let end = after[2..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(after.len(), |n| n + 2);
        if !after[..end].contains("..") {
            out.push_str(&after[..end]);
        }
        rest = &after[end..];
    }
    out + rest
}

/// Formats and checks the three laws.
fn laws(text: &str) -> Result<String, TestCaseError> {
    let formatted = |text: &str| {
        let mut sources = Sources::default();
        let id = sources.add("t", text);
        format(&sources, id).map_err(|told| {
            TestCaseError::fail(format!("{}\nof\n{text}", render(&told, &sources, Style::Plain)))
        })
    };
    let once = formatted(text)?;
    let twice = formatted(&once)?;
    prop_assert_eq!(&once, &twice, "not idempotent:\n{}", text);
    let (before, comments) = shape(text).map_err(TestCaseError::fail)?;
    let (after, kept) = shape(&once).map_err(TestCaseError::fail)?;
    prop_assert_eq!(before, after, "{}\nbecame\n{}", text, &once);
    prop_assert_eq!(comments, kept, "{}\nbecame\n{}", text, &once);
    Ok(once)
}

fn all_entries(text: &str) {
    let mut sources = Sources::default();
    let id: SourceId = sources.add("t", text);
    let mut told = Diagnostics::default();
    parse(&sources, id, &mut told);
    parse_expr(&sources, id, &mut told);
    parse_packet(&sources, id, &mut told);
    parse_literal(&sources, id, &mut told);
    parse_elements_file(&sources, id, &mut told, |_| ());
    told.sort();
    told.dedupe();
    render(&told, &sources, Style::Plain);
    // Where a text is accepted, it can be formatted.
    let _ = format(&sources, id);
}

const TOKENS: &[&str] = &[
    "pass",
    "drop",
    "count",
    "limit",
    "balance",
    "likely",
    "unlikely",
    "shadow",
    "set",
    "protocol",
    "family",
    "default",
    "test",
    "include",
    "when",
    "and",
    "or",
    "not",
    "in",
    "to",
    "burst",
    "per",
    "max",
    "timeout",
    "from",
    "over",
    "any",
    "length",
    "require",
    "carries",
    "next",
    "peek",
    "u4",
    "always",
    "options",
    "inner",
    "stack",
    "root",
    "tcp",
    "ip.src",
    "x3",
    "hex",
    "payload",
    "by",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "=",
    "==",
    "!=",
    "<",
    ">=",
    "=>",
    "&",
    "&&",
    "||",
    "!",
    "+",
    "-",
    "*",
    "/",
    ".",
    "..",
    "10.0.0.1",
    "10.0.0.0/8",
    "2001:db8::/32",
    "02:00:00:00:00:01",
    "80",
    "0x12",
    "1M",
    "10m",
    "500/s",
    "64kB",
    "\"a\"",
    "\"",
    "# c\n",
    "\n",
    "\n\n",
    "\n    ",
    "pool",
    "check",
    "http",
    "expect",
    "down",
    "mtu",
    "weight",
    "drained",
    "via",
    "gue",
    "vxlan",
    "id",
    "1..5",
    "12:2",
    "contains",
    "eq",
    "é",
    "/*",
    "true",
    "\\",
    "\u{feff}",
    "\r\n",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(TOKENS), prop::bool::weighted(0.9)), 0..60).prop_map(
        |tokens| {
            let spaced = tokens.iter().map(|(t, space)| format!("{t}{}", if *space { " " } else { "" }));
            spaced.collect()
        },
    )
}

// Random trees, as text with needless parentheses and odd spaces.

fn constant() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|n| n.to_string()),
        any::<u16>().prop_map(|n| format!("{n:#x}")),
        any::<[u8; 4]>().prop_map(|b| std::net::Ipv4Addr::from(b).to_string()),
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(b, n)| format!("{}/{n}", std::net::Ipv4Addr::from(b))),
        any::<[u16; 8]>().prop_map(|b| std::net::Ipv6Addr::from(b).to_string()),
        (any::<u16>(), 0..=128u8).prop_map(|(b, n)| format!("{b:x}::/{n}")),
        Just("02:00:00:00:00:01".to_owned()),
        Just("\"GET \\x00\"".to_owned()),
        Just("true".to_owned()),
        Just("10m".to_owned()),
        Just("64kB".to_owned()),
    ]
}

fn element() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => constant(),
        1 => (constant(), constant()).prop_map(|(a, b)| format!("{a} .. {b}")),
        1 => prop::collection::vec(constant(), 1..3).prop_map(|e| format!("({})", e.join(" , "))),
    ]
}

fn field() -> impl Strategy<Value = String> {
    let fields = ["tcp", "ip.src", "tcp.flags.syn", "vlan[1].id", "inner.ip.ttl", "payload[0:4]"];
    prop::sample::select(fields.to_vec()).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![field(), constant()].prop_recursive(3, 8, 2, |inner| {
        let sign = prop::sample::select(vec![" + ", " - ", " * ", " & "]);
        (inner.clone(), sign, inner, any::<bool>()).prop_map(|(a, sign, b, around)| match around {
            true => format!("({a}{sign}{b})"),
            false => format!("{a}{sign}{b}"),
        })
    })
}

fn condition() -> impl Strategy<Value = String> {
    let relation = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let elements = prop::collection::vec(element(), 0..30);
    let leaf = prop_oneof![
        field(),
        (value(), relation, value()).prop_map(|(a, r, b)| format!("{a} {r} {b}")),
        (value(), elements).prop_map(|(a, e)| format!("{a} in {{{}}}", e.join(",\n  "))),
        Just("(ip.src, tcp.dstport) in friends".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}\n or {b}")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

fn comment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(String::new()),
        1 => "  # [a-z{}() ]{0,12}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "x[a-z_]{0,11}".prop_map(|n| n)]
}

fn statement() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec!["pass", "likely drop", "unlikely  shadow drop", "count"]);
    let keys = prop::sample::select(vec!["", " per ip.src/24", " per (ip.src/24/56, (tcp.port + 1) * 2)"]);
    prop_oneof![
        (verb, name(), condition()).prop_map(|(v, n, c)| format!("{v}  {n} when {c}")),
        (name(), condition(), keys).prop_map(|(n, c, k)| format!("limit {n} when {c}\n to 500/s{k}")),
        (name(), condition()).prop_map(|(n, c)| format!("sample {n} 1  in 1k when {c} bytes 64 budget 5/s")),
        name().prop_map(|n| format!("shadow sample {n}   1 in 10 budget 10k/s")),
        Just("default   pass".to_owned()),
    ]
}

fn set() -> impl Strategy<Value = String> {
    let line = (prop::collection::vec(element(), 1..6), comment());
    let lines = prop::collection::vec(line, 0..6);
    let clauses = prop::sample::select(vec!["", " timeout 10m", " timeout 10m max 1M"]);
    prop_oneof![
        (lines, comment(), clauses).prop_map(|(lines, after, clauses)| {
            let lines = lines.iter().map(|(e, c)| format!("{}{c}\n", e.join(", ")));
            format!("set s : ip = {{{after}\n{}}}{clauses}", lines.collect::<String>())
        }),
        prop::collection::vec(element(), 0..20)
            .prop_map(|e| format!("set longer_name:ip={{{}}}", e.join(","))),
    ]
}

fn protocol() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        Just("over ipproto 6, ethertype 0x800 inner".to_owned()),
        Just("srcport:u16".to_owned()),
        Just("src.mac : mac at hdr_len * 2 when (flags == 1)".to_owned()),
        Just("flags : u8 { _ : u7 syn : bool }".to_owned()),
        Just("flags : u8 {\n _ : u7 # seven\n\n syn : bool }".to_owned()),
        Just("any port = srcport, dstport".to_owned()),
        Just("hdr_len = (data_off) * 4".to_owned()),
        Just("length (hdr_len)".to_owned()),
        Just("require # why\n version == 4".to_owned()),
        Just("carries when not (frag == 1)".to_owned()),
        Just("next proto in ipproto when x".to_owned()),
        Just("next peek u4 { 4 = ip4, 6 = ip6 } inner".to_owned()),
        Just("next peek u4 {\n 4 = ip4 # four\n 6 = ip6\n } when a and b".to_owned()),
        Just("next always = eth inner".to_owned()),
        Just("options from 20 length value {\n 0 end # z\n 2 mss { val : u16 } }".to_owned()),
    ];
    let lines = prop::collection::vec((entry, comment(), 0..3usize), 0..10);
    (lines, comment()).prop_map(|(lines, after)| {
        let lines = lines.iter().map(|(e, c, blank)| format!("{e}{c}\n{}", "\n".repeat(*blank)));
        format!("protocol tcp \"RFC\" transport stack x 2 {{{after}\n{}}}", lines.collect::<String>())
    })
}

fn test() -> impl Strategy<Value = String> {
    let case = prop_oneof![
        Just("udp(ip.src=10.0.0.1,udp.dstport=53) => pass".to_owned()),
        Just("eth/vlan(vlan.id=5)/ip x 10\n => drop by default".to_owned()),
        Just("hex(00 11 # inside\n 22) => drop".to_owned()),
        Just("ip/gre/ip=>pass by y as vlan( vlan.id=5 )/ip".to_owned()),
        Just("eth() / payload(\"a\\x00b\") x3 => drop by x".to_owned()),
    ];
    let cases = prop::collection::vec((case, comment()), 0..5);
    cases.prop_map(|cases| {
        let cases = cases.iter().map(|(case, comment)| format!("{case}{comment}\n"));
        format!("test \"t\" {{\n{}}}", cases.collect::<String>())
    })
}

fn pool() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        Just("10.0.1.10 weight 2".to_owned()),
        Just("10.0.1.12 : 8080   drained".to_owned()),
        Just("[2001:DB8::11]:0x50 drained weight 3".to_owned()),
        Just("[2001:db8::11] mac 02:00:00:00:00:12 weight 10".to_owned()),
        Just("2001:db8::12".to_owned()),
        Just("check  tcp".to_owned()),
        Just("check http \"/\\x20\" host \"a\" fall 3 every 2s".to_owned()),
        Just("check https \"/\"\n timeout 1s # why\n rise 2 port 8443".to_owned()),
        Just("check dns \"example.net\" every 500ms".to_owned()),
        Just("check tcp  through  web port 80".to_owned()),
        Just("check udp \"a\" expect \"\"".to_owned()),
        "check exec \"/usr/bin/[a-z]{80} [a-z]{20}\" every 2s timeout 1s fall 3 rise 2",
        Just("gateway 02:00:00:00:00:01".to_owned()),
        Just("mtu 9000B".to_owned()),
        Just("ring   65537".to_owned()),
        Just("settle 60s".to_owned()),
        Just("slow 30s".to_owned()),
        Just("down   drop".to_owned()),
        Just("track  all".to_owned()),
        Just("max 1k".to_owned()),
    ];
    let lines = prop::collection::vec((entry, comment(), 0..3usize), 0..10);
    (lines, comment()).prop_map(|(lines, after)| {
        let lines = lines.iter().map(|(e, c, blank)| format!("{e}{c}\n{}", "\n".repeat(*blank)));
        format!("pool web {{{after}\n{}}}", lines.collect::<String>())
    })
}

fn balance() -> impl Strategy<Value = String> {
    let keys = vec!["", " by ip.src", " by ( ip.src/24/56,tcp.srcport )", "\n by (ip.src + 1)"];
    let vias = vec![
        "",
        " via l2",
        " via ipip from 192.0.2.1",
        "\n via gue   port 6081",
        " via gue from ( 192.0.2.0/24,2001:db8:1::/64 )",
        " via gue from (192.0.2.0/24) port 6081",
        " via vxlan id 7 from 192.0.2.1",
        "\n via vxlan from (192.0.2.1) port 8472  id 0x7",
    ];
    let verb = prop::sample::select(vec!["balance", "likely  balance", "shadow balance"]);
    (verb, name(), condition(), prop::sample::select(keys), prop::sample::select(vias)).prop_map(
        |(verb, name, condition, by, via)| format!("{verb} {name} when {condition}\n to web{by}{via}"),
    )
}

fn policy() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        8 => statement(), 3 => set(), 2 => protocol(), 2 => test(), 2 => pool(), 2 => balance(),
        1 => Just("include \"a.weir\"".to_owned()),
        1 => Just("family ip = ip4,ip6".to_owned()),
        1 => "# [a-z ]{0,12}",
    ];
    let items = prop::collection::vec((item, comment(), 0..3usize), 0..10);
    items.prop_map(|items| {
        let items = items.iter().map(|(i, c, blank)| format!("{i}{c}\n{}", "\n".repeat(*blank)));
        items.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        all_entries(&text);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        all_entries(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_tokens_are_read_without_panic(text in soup()) {
        all_entries(&text);
        if shape(&text).is_ok() {
            laws(&text)?;
        }
    }

    #[test]
    fn formatting_keeps_meaning_comments_and_itself(text in policy()) {
        laws(&text)?;
    }

    #[test]
    fn a_printed_expression_reads_back(text in condition()) {
        let mut sources = Sources::default();
        let mut told = Diagnostics::default();
        let first = sources.add("t", text);
        let expr = parse_expr(&sources, first, &mut told).expect("an expression");
        let again = Sources::default();
        let mut again = again;
        let second = again.add("t", expr.to_string());
        let reread = parse_expr(&again, second, &mut told).expect("an expression again");
        prop_assert_eq!(expr.to_string(), reread.to_string());
        let shapes = [without_spans(&format!("{expr:?}")), without_spans(&format!("{reread:?}"))];
        prop_assert_eq!(&shapes[0], &shapes[1]);
    }
}

#[test]
fn built_in_protocols_keep_the_laws() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../protocols");
    for entry in std::fs::read_dir(directory).expect("the protocols' directory") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        laws(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
