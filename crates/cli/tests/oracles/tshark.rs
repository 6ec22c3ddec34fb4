//! What Weir's conditions pick is what Wireshark's display filters pick.

use crate::common::{Corpus, Pair, Picked, has, pairs, run};

const LISTEN: &str = r#"
local function listen(index, filter)
    local frames = {}
    local tap = Listener.new("frame", filter)
    function tap.packet(packet) frames[#frames + 1] = packet.number end
    function tap.draw() print("picked " .. index .. ":" .. table.concat(frames, " ")) end
end
"#;

/// Frames are looked at one by one, as Weir does: no reassembly, no state, no guesses.
const OPTIONS: [&str; 5] = [
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.relative_sequence_numbers:FALSE",
];

/// Protocols that no pair asks about; without them tshark is three times as fast.
const UNUSED: [&str; 20] = [
    "dtls", "gquic", "http", "isakmp", "nbss", "openvpn", "quic", "raknet", "rtcp", "rtp", "sip", "smb",
    "snmp", "ssdp", "ssh", "tls", "wg", "wol", "memcache", "chargen",
];

/// Tags and labels before a network header, in Wireshark's list of a frame's protocols.
const LINK: &str = "^eth:ethertype:((vlan|ieee8021ad|mpls):(ethertype:)?)*";
/// Network headers with what belongs to them.
const NETWORK: &str = "(ip|ipv6(:ipv6[.][a-z]+)*)(:ah)*";
/// What carries a packet, and the Ethernet header of that.
const TUNNEL: &str = "((gre|udp:vxlan|udp:gtp|udp:geneve):)?(eth:ethertype:(vlan:ethertype:)*)?";

/// Writes `{tcp}` and `{in:tcp}` out.
fn expand(filter: &str) -> String {
    let mut text = String::new();
    let mut rest = filter;
    while let Some((before, (name, after))) =
        rest.split_once("{").and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        text.push_str(before);
        match kind(name) {
            Some(protocols) => {
                text.push_str(&format!("frame.protocols matches \"{protocols}(:|$)\""));
                // A TCP header that claims less than its own fields, or more than there is, is not there.
                if name == "tcp" {
                    text.push_str(" and tcp.hdr_len#1 >= 20 and tcp.hdr_len#1 <= frame.len - 34");
                }
            }
            // A set of values.
            None => text.push_str(&format!("{{{name}}}")),
        }
        rest = after;
    }
    text + rest
}

fn kind(name: &str) -> Option<String> {
    let (outer, name) = match name.strip_prefix("in:") {
        Some(name) => (format!("{LINK}{NETWORK}:{TUNNEL}"), name),
        None => (LINK.to_owned(), name),
    };
    Some(match name {
        "eth" => format!("{LINK}{NETWORK}:(gre|udp:vxlan|udp:geneve):eth"),
        "ip4" => format!("{outer}ip"),
        "ip6" => format!("{outer}ipv6"),
        "arp" | "ip" | "ipv6" => format!("{outer}{name}"),
        "dns" | "ntp" => format!("{outer}{NETWORK}:udp:{name}"),
        "tcp" | "udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "esp" | "gre" => {
            format!("{outer}{NETWORK}:{name}")
        }
        _ => return None,
    })
}

/// Runs once for all filters: each is a listener of its own, in the Lua that Wireshark carries.
fn picks(corpus: &Corpus, filters: &[Pair]) -> Vec<Picked> {
    let script = corpus.path().with_file_name("listeners.lua");
    let mut text = String::from(LISTEN);
    for (index, pair) in filters.iter().enumerate() {
        text.push_str(&format!("listen({index}, [==[{}]==])\n", expand(&pair.theirs)));
    }
    std::fs::write(&script, text).expect("a script");
    let mut args: Vec<String> =
        vec!["-n".into(), "-q".into(), "-r".into(), corpus.path().display().to_string()];
    args.extend(["-X".into(), format!("lua_script:{}", script.display())]);
    OPTIONS.iter().for_each(|option| args.extend(["-o".into(), (*option).into()]));
    UNUSED.iter().for_each(|name| args.extend(["--disable-protocol".into(), (*name).into()]));
    let mut picked = vec![None; filters.len()];
    for line in run("tshark", args).lines() {
        let Some((index, frames)) = line.strip_prefix("picked ").and_then(|line| line.split_once(':')) else {
            continue;
        };
        let frames = frames.split_whitespace().map(|frame| frame.parse().expect("a number"));
        picked[index.parse::<usize>().expect("an index")] = Some(frames.collect());
    }
    picked.into_iter().map(|picked| picked.expect("tshark answers every filter")).collect()
}

#[test]
fn conditions_pick_what_display_filters_pick() {
    let test = "conditions_pick_what_display_filters_pick";
    if !has("tshark", test) {
        return;
    }
    let pairs = pairs(include_str!("wireshark.txt"));
    assert!(pairs.len() >= 70, "the table is too short");
    let corpus = Corpus::new(test);
    corpus.compare(&pairs, &picks(&corpus, &pairs));
}
