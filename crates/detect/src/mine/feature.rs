//! What a sample is told by: a table of the language's fields, with what a condition on each costs.
//!
//! Costs are the bits of a description in [`super::search`]: few for what an attacker cannot do without (the port of
//! the service that answers for him, the flags that make a half-open connection), many for what he can change at
//! will or what only the way to us decides (TTL, IP ID). So of two conditions that part the samples alike, the cause
//! is taken and not the accident.

use serde::{Deserialize, Serialize};

/// How conditions on a feature are made and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A transport header by its number: the bare name of the protocol.
    Header,
    /// A name for something: equal, or one of few; in decimal.
    Name,
    /// Like a name, but in hexadecimal.
    Hex,
    /// A number: also from, to, between.
    Number,
    /// A bit of a header.
    Flag,
    /// Whether an option is there; 0 where its header is there without it.
    Option,
    /// So many bytes of a payload.
    Bytes(u8),
    /// An IPv4 address, by its prefixes.
    Source4,
    /// The first 64 bits of an IPv6 address, by their prefixes.
    Source6,
}

macro_rules! features {
    ($($name:ident $text:literal $kind:expr, $width:literal, $cost:literal;)*) => {
        /// A field of the language, or a slice. Conditions are written in this order.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub(super) enum Feature { $($name),* }

        impl Feature {
            /// All, in order.
            pub(super) const ALL: &[Feature] = &[$(Feature::$name),*];

            /// Text in the language, kind, width in bits, and cost of a condition in bits.
            const fn row(self) -> (&'static str, Kind, u32, u32) {
                use Kind::*;
                match self { $(Feature::$name => ($text, $kind, $width, $cost)),* }
            }
        }
    };
}

features! {
    Transport      ""                       Header,   8, 1;
    Proto4         "ip4.proto"              Name,     8, 3;
    Proto6         "ip6.nxt"                Name,     8, 3;
    FragOffset4    "ip4.frag_offset"        Number,  16, 3;
    MoreFrags4     "ip4.flags.mf"           Flag,     1, 4;
    FragOffset6    "ip6.frag.offset"        Number,  16, 3;
    MoreFrags6     "ip6.frag.more"          Flag,     1, 4;
    UdpSrcport     "udp.srcport"            Name,    16, 6;
    UdpDstport     "udp.dstport"            Name,    16, 6;
    TcpSrcport     "tcp.srcport"            Name,    16, 6;
    TcpDstport     "tcp.dstport"            Name,    16, 6;
    TcpFlags       "tcp.flags"              Hex,     12, 5;
    IcmpType       "icmp.type"              Name,     8, 4;
    IcmpCode       "icmp.code"              Name,     8, 5;
    Icmpv6Type     "icmpv6.type"            Name,     8, 4;
    Icmpv6Code     "icmpv6.code"            Name,     8, 5;
    IpLen          "ip.len"                 Number,  16, 8;
    FrameLen       "frame.len"              Number,  32, 11;
    UdpLength      "udp.length"             Number,  16, 10;
    DnsResponse    "dns.flags.response"     Flag,     1, 6;
    DnsFlags       "dns.flags"              Hex,     16, 9;
    DnsQueries     "dns.count.queries"      Number,  16, 9;
    DnsAnswers     "dns.count.answers"      Number,  16, 8;
    NtpMode        "ntp.flags.mode"         Name,     3, 6;
    OptionMss      "tcp.options.mss"        Option,   1, 7;
    OptionWscale   "tcp.options.wscale"     Option,   1, 7;
    OptionSack     "tcp.options.sack_perm"  Option,   1, 7;
    OptionTime     "tcp.options.timestamp"  Option,   1, 7;
    MssValue       "tcp.options.mss.val"    Number,  16, 9;
    TcpHdrLen      "tcp.hdr_len"            Number,   8, 11;
    Window         "tcp.window_size_value"  Number,  16, 11;
    TcpSeq         "tcp.seq"                Name,    32, 13;
    TcpAck         "tcp.ack"                Name,    32, 13;
    UdpChecksum    "udp.checksum"           Hex,     16, 13;
    UdpBytes0x1    "udp.payload[0:1]"       Bytes(1), 8, 11;
    UdpBytes0x2    "udp.payload[0:2]"       Bytes(2), 16, 11;
    UdpBytes0x4    "udp.payload[0:4]"       Bytes(4), 32, 10;
    UdpBytes0x8    "udp.payload[0:8]"       Bytes(8), 64, 10;
    UdpBytes4x4    "udp.payload[4:4]"       Bytes(4), 32, 12;
    UdpBytes8x4    "udp.payload[8:4]"       Bytes(4), 32, 12;
    UdpBytes12x4   "udp.payload[12:4]"      Bytes(4), 32, 9;
    UdpBytes12x8   "udp.payload[12:8]"      Bytes(8), 64, 8;
    TcpBytes0x2    "tcp.payload[0:2]"       Bytes(2), 16, 11;
    TcpBytes0x4    "tcp.payload[0:4]"       Bytes(4), 32, 10;
    TcpBytes0x8    "tcp.payload[0:8]"       Bytes(8), 64, 10;
    Source4        "ip.src"                 Source4, 32, 12;
    Source6        "ip.src"                 Source6, 64, 12;
    DontFragment   "ip4.flags.df"           Flag,     1, 9;
    Dsfield        "ip.dsfield"             Hex,      8, 10;
    Ttl            "ip.ttl"                 Number,   8, 14;
    IpId           "ip4.id"                 Hex,     16, 14;
}

impl Feature {
    /// How many there are.
    pub(super) const COUNT: usize = Feature::ALL.len();

    /// As the language writes it.
    pub(super) fn text(self) -> &'static str {
        self.row().0
    }

    pub(super) fn kind(self) -> Kind {
        self.row().1
    }

    /// The largest value.
    pub(super) fn max(self) -> u64 {
        u64::MAX >> (64 - self.row().2)
    }

    /// What a condition costs, in bits.
    pub(super) fn cost(self) -> f64 {
        f64::from(self.row().3)
    }

    /// The number of the transport protocol whose header must be there for it.
    pub(super) fn transport(self) -> Option<u64> {
        use Feature::*;
        match self {
            UdpSrcport | UdpDstport | UdpLength | UdpChecksum | DnsResponse | DnsFlags | DnsQueries
            | DnsAnswers | NtpMode | UdpBytes0x1 | UdpBytes0x2 | UdpBytes0x4 | UdpBytes0x8 | UdpBytes4x4
            | UdpBytes8x4 | UdpBytes12x4 | UdpBytes12x8 => Some(17),
            TcpSrcport | TcpDstport | TcpFlags | OptionMss | OptionWscale | OptionSack | OptionTime
            | MssValue | TcpHdrLen | Window | TcpSeq | TcpAck | TcpBytes0x2 | TcpBytes0x4 | TcpBytes0x8 => {
                Some(6)
            }
            IcmpType | IcmpCode => Some(1),
            Icmpv6Type | Icmpv6Code => Some(58),
            _ => None,
        }
    }

    /// Its place in [`Feature::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}
