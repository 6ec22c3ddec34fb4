/* drop flow when ip4.src == 198.51.100.0/24 and ip4.dst == 203.0.113.7 and ip4.ttl < 64
 *            and udp.srcport == 53 and udp.dstport >= 1024 */
#define STATEMENTS 2
#include "bench.h"

enum { FLOW, DEFAULT };

INLINE int is_flow(struct cursor *cursor)
{
    if (ethernet(cursor) != NET16(ETH_IP4))
        return 0;
    struct ip4 *ip = take_ip4(cursor);
    if (!ip || (ip->src & NET32(0xffffff00)) != NET32(0xc6336400) || ip->dst != NET32(0xcb007107))
        return 0;
    if (ip->ttl >= 64 || ip->proto != UDP || is_later_fragment(ip))
        return 0;
    struct udp *udp = TAKE(cursor, struct udp);
    return udp && udp->srcport == NET16(53) && NET16(udp->dstport) >= 1024;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (is_flow(&cursor)) {
        count(FLOW, FRAME_LEN(context));
        return XDP_DROP;
    }
    count(DEFAULT, FRAME_LEN(context));
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
