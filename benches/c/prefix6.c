/* drop listed when ip6.src in sources */
#define STATEMENTS 2
#include "bench.h"

enum { LISTED, DEFAULT };

struct prefix {
    u32 bits;
    u32 address[4];
};

struct {
    __uint(type, LPM_TRIE);
    __uint(max_entries, ENTRIES);
    __uint(map_flags, NO_PREALLOC);
    __type(key, struct prefix);
    __type(value, u32);
} sources SEC(".maps");

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (ethernet(&cursor) == NET16(ETH_IP6)) {
        struct ip6 *ip = take_ip6(&cursor);
        if (ip) {
            struct prefix key = {128, {ip->src[0], ip->src[1], ip->src[2], ip->src[3]}};
            if (map_lookup(&sources, &key)) {
                count(LISTED, FRAME_LEN(context));
                return XDP_DROP;
            }
        }
    }
    count(DEFAULT, FRAME_LEN(context));
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
