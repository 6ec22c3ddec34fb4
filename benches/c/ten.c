/* The first example of the language's description, statement by statement. */
#define STATEMENTS 6
#include "bench.h"

enum { FRIENDS, BOGONS, AMPLIFICATION, SYN_FLOOD, SYN_FLOOD_OVER, DEFAULT };

/* An element's value is when it expires, 0 for never. */
struct {
    __uint(type, HASH);
    __uint(max_entries, 1000000);
    __uint(map_flags, NO_PREALLOC);
    __type(key, u32);
    __type(value, u64);
} blocked4 SEC(".maps");

struct address {
    u32 word[4];
};

struct {
    __uint(type, HASH);
    __uint(max_entries, 1000000);
    __uint(map_flags, NO_PREALLOC);
    __type(key, struct address);
    __type(value, u64);
} blocked6 SEC(".maps");

/* A network that sends SYNs, and when its bucket is full again. */
struct network {
    u64 prefix;
    u64 version;
};

struct {
    __uint(type, LRU_HASH);
    __uint(max_entries, 65536);
    __type(key, struct network);
    __type(value, u64);
} syns SEC(".maps");

INLINE int is_alive(u64 *expiry)
{
    return expiry && (*expiry == 0 || *expiry > ktime_get_ns());
}

/* 500 a second, bursts of 1,000. */
INLINE int is_over(struct network *network)
{
    u64 step = 2000000, burst = 1000 * step, now = ktime_get_ns();
    u64 *bucket = map_lookup(&syns, network);
    if (!bucket) {
        u64 first = now + step;
        map_update(&syns, network, &first, 0);
        return 0;
    }
    u64 full = (*bucket > now ? *bucket : now) + step;
    if (full > now + burst)
        return 1;
    *bucket = full;
    return 0;
}

INLINE int is_amplifier(u16 port)
{
    switch (NET16(port)) {
    case 17:
    case 19:
    case 53:
    case 123:
    case 389:
    case 1900:
    case 11211:
        return 1;
    }
    return 0;
}

INLINE int decide(u32 statement, int verdict, u64 bytes)
{
    count(statement, bytes);
    return verdict;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    u64 bytes = FRAME_LEN(context);
    struct network network = {};
    u8 proto = 0xff;
    u16 type = ethernet(&cursor);
    if (type == NET16(ETH_IP4)) {
        struct ip4 *ip = take_ip4(&cursor);
        if (!ip)
            return decide(DEFAULT, XDP_PASS, bytes);
        u32 src = ip->src;
        if ((src & NET32(0xffffff00)) == NET32(0xc0000200))
            return decide(FRIENDS, XDP_PASS, bytes);
        u32 first = src & NET32(0xff000000);
        if (first == 0 || first == NET32(0x7f000000) || is_alive(map_lookup(&blocked4, &src)))
            return decide(BOGONS, XDP_DROP, bytes);
        network.prefix = src & NET32(0xffffff00);
        network.version = 4;
        if (!is_later_fragment(ip))
            proto = ip->proto;
    } else if (type == NET16(ETH_IP6)) {
        struct ip6 *ip = take_ip6(&cursor);
        if (!ip)
            return decide(DEFAULT, XDP_PASS, bytes);
        struct address src = {{ip->src[0], ip->src[1], ip->src[2], ip->src[3]}};
        if (src.word[0] == NET32(0x20010db8))
            return decide(FRIENDS, XDP_PASS, bytes);
        if (is_alive(map_lookup(&blocked6, &src)))
            return decide(BOGONS, XDP_DROP, bytes);
        network.prefix = (u64)src.word[1] << 32 | src.word[0];
        network.version = 6;
        proto = skip_extensions(&cursor, ip->nxt);
    }
    if (proto == UDP) {
        struct udp *udp = TAKE(&cursor, struct udp);
        if (udp && bytes > 400 && is_amplifier(udp->srcport))
            return decide(AMPLIFICATION, XDP_DROP, bytes);
    } else if (proto == TCP) {
        struct tcp *tcp = take_tcp(&cursor);
        if (tcp && (tcp->flags & 0x12) == 0x02) {
            count(SYN_FLOOD, bytes);
            if (is_over(&network))
                return decide(SYN_FLOOD_OVER, XDP_DROP, bytes);
        }
    }
    return decide(DEFAULT, XDP_PASS, bytes);
}

char _license[] SEC("license") = "GPL";
