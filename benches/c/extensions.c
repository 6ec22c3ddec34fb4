/* drop telnet when ip6 and tcp.dstport == 23 */
#define STATEMENTS 2
#include "bench.h"

enum { TELNET, DEFAULT };

INLINE int is_telnet(struct cursor *cursor)
{
    if (ethernet(cursor) != NET16(ETH_IP6))
        return 0;
    struct ip6 *ip = take_ip6(cursor);
    if (!ip || skip_extensions(cursor, ip->nxt) != TCP)
        return 0;
    struct tcp *tcp = take_tcp(cursor);
    return tcp && tcp->dstport == NET16(23);
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (is_telnet(&cursor)) {
        count(TELNET, FRAME_LEN(context));
        return XDP_DROP;
    }
    count(DEFAULT, FRAME_LEN(context));
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
