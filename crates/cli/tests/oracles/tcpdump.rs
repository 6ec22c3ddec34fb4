//! What Weir's conditions pick is what tcpdump's filters pick.

use crate::common::{Corpus, Picked, has, pairs, run};

/// tcpdump looks behind no tag, label, AH or IPv6 extension header, its `tcp[…]` is IPv4 only, and
/// a header that claims to be longer than the frame is there for it.
const TABLE: &str = "
ip4
    ip
ip4.addr == 192.168.0.0/16
    net 192.168.0.0/16
ip4.src in { 10.0.0.0/8, 172.16.0.0/12 } and ip4.ttl <= 64
    (src net 10.0.0.0/8 or src net 172.16.0.0/12) and ip[8] <= 64
ip4.flags.mf or ip4.frag_offset > 0
    ip[6:2] & 0x3fff != 0
ip4.len - ip4.hdr_len > 1000
    ip[2:2] - ((ip[0] & 15) << 2) > 1000
ip4.ihl > 5
    ip[0] & 15 > 5
ip6.dst in { ff00::/8, 2001::/16 }
    ip6 dst net ff00::/8 or ip6 dst net 2001::/16
ip6 and ip6.hlim == 64
    ip6[7] == 64
arp.opcode == 1
    arp[6:2] == 1
ip4 and tcp.flags.syn
    tcp[tcpflags] & tcp-syn != 0 and tcp[12] & 0xf0 >= 0x50 and (tcp[12] & 0xf0) >> 2 <= len - 14 - ((ip[0] & 15) << 2)
ip4 and tcp.flags & 0x12 == 0x02
    tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn and tcp[12] & 0xf0 >= 0x50 and (tcp[12] & 0xf0) >> 2 <= len - 14 - ((ip[0] & 15) << 2)
ip4 and not ah and tcp.port in { 1..1023 }
    ip and tcp portrange 1-1023
tcp.dstport == 443 and not ah
    tcp dst port 443
udp.port == 53 and not ip6.frag
    udp port 53
ip4 and udp.length > 520
    udp[4:2] > 520
ip4 and udp.payload[0:4] == 0xffffffff
    udp[8:4] == 0xffffffff
icmp.type in { 0, 8 }
    icmp[icmptype] == icmp-echo or icmp[icmptype] == icmp-echoreply
frame.len > 1000
    greater 1001
eth.dst == ff:ff:ff:ff:ff:ff
    ether broadcast
eth.src[0:3] == 0x000c29
    ether[6:4] & 0xffffff00 == 0x000c2900
vlan.id == 100
    vlan 100
ip4.proto == 47 or ip6.nxt == 58
    ip proto 47 or ip6 proto 58
";

/// How filters begin that ask for nothing behind a tag.
const LINK: [&str; 3] = ["ether", "vlan", "greater"];

fn picks(corpus: &Corpus, filter: &str) -> Picked {
    let path = corpus.path().display().to_string();
    let text = run("tcpdump", ["-n", "-tt", "-q", "-r", &path, filter]);
    text.lines().filter_map(|line| line.split_once(".000000 ")?.0.parse().ok()).collect()
}

#[test]
fn conditions_pick_what_tcpdump_picks() {
    let test = "conditions_pick_what_tcpdump_picks";
    if !has("tcpdump", test) {
        return;
    }
    let corpus = Corpus::new(test);
    let mut pairs = pairs(TABLE);
    for pair in pairs.iter_mut().filter(|pair| !LINK.iter().any(|word| pair.theirs.starts_with(word))) {
        pair.weir = format!("eth.type in {{ 0x0800, 0x0806, 0x86dd }} and ({})", pair.weir);
    }
    let theirs: Vec<_> = pairs.iter().map(|pair| picks(&corpus, &pair.theirs)).collect();
    corpus.compare(&pairs, &theirs);
}
