/* drop listed when ip4.src in sources: a bare hash look-up of single addresses */
#define STATEMENTS 2
#include "bench.h"

enum { LISTED, DEFAULT };

struct {
    __uint(type, HASH);
    __uint(max_entries, ENTRIES);
    __type(key, u32);
    __type(value, u32);
} sources SEC(".maps");

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (ethernet(&cursor) == NET16(ETH_IP4)) {
        struct ip4 *ip = take_ip4(&cursor);
        if (ip) {
            u32 key = ip->src;
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
