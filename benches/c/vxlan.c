/* drop tenant when ip4 and vxlan.vni == 7 and inner.ip4.src == 10.0.0.0/8 and inner.udp.dstport == 53 */
#define STATEMENTS 2
#include "bench.h"

enum { TENANT, DEFAULT };

struct vxlan {
    u8 flags;
    u8 reserved[3];
    u32 vni;
};

INLINE int is_tenant(struct cursor *cursor)
{
    if (ethernet(cursor) != NET16(ETH_IP4))
        return 0;
    struct ip4 *ip = take_ip4(cursor);
    if (!ip || ip->proto != UDP || is_later_fragment(ip))
        return 0;
    struct udp *udp = TAKE(cursor, struct udp);
    if (!udp || udp->dstport != NET16(4789))
        return 0;
    struct vxlan *vxlan = TAKE(cursor, struct vxlan);
    if (!vxlan || !(vxlan->flags & 8) || (vxlan->vni & NET32(0xffffff00)) != NET32(7 << 8))
        return 0;
    if (ethernet(cursor) != NET16(ETH_IP4))
        return 0;
    struct ip4 *inner = take_ip4(cursor);
    if (!inner || (inner->src & NET32(0xff000000)) != NET32(0x0a000000))
        return 0;
    if (inner->proto != UDP || is_later_fragment(inner))
        return 0;
    struct udp *carried = TAKE(cursor, struct udp);
    return carried && carried->dstport == NET16(53);
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (is_tenant(&cursor)) {
        count(TENANT, FRAME_LEN(context));
        return XDP_DROP;
    }
    count(DEFAULT, FRAME_LEN(context));
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
