/* What the programs beside Weir's tables share: the five fields that rules ask for, and a rule as a row. */
#pragma once
#define STATEMENTS (RULES + 1)
#include "bench.h"

enum { DEFAULT = RULES };

/* Addresses as they stand in the packet, ports as numbers; ports are 0 where there are none. */
struct fields {
    u32 src;
    u32 dst;
    u16 from;
    u16 to;
    u32 proto;
};

/* A rule; `drops` is its verdict. */
struct row {
    u32 src;
    u32 src_mask;
    u32 dst;
    u32 dst_mask;
    u16 from_low;
    u16 from_high;
    u16 to_low;
    u16 to_high;
    u8 proto;
    u8 proto_mask;
    u8 drops;
    u8 reserved;
    u32 number;
};

/* 0 if the frame has none of them. */
INLINE int take_fields(struct cursor *cursor, struct fields *fields)
{
    if (ethernet(cursor) != NET16(ETH_IP4))
        return 0;
    struct ip4 *ip = take_ip4(cursor);
    if (!ip)
        return 0;
    fields->src = ip->src;
    fields->dst = ip->dst;
    fields->proto = ip->proto;
    if (is_later_fragment(ip))
        return 1;
    if (ip->proto == TCP) {
        struct tcp *tcp = take_tcp(cursor);
        if (tcp) {
            fields->from = NET16(tcp->srcport);
            fields->to = NET16(tcp->dstport);
        }
    } else if (ip->proto == UDP) {
        struct udp *udp = TAKE(cursor, struct udp);
        if (udp) {
            fields->from = NET16(udp->srcport);
            fields->to = NET16(udp->dstport);
        }
    }
    return 1;
}

INLINE int is_met(struct row *row, struct fields *fields)
{
    return ((fields->src ^ row->src) & row->src_mask) == 0 && ((fields->dst ^ row->dst) & row->dst_mask) == 0 &&
           ((fields->proto ^ row->proto) & row->proto_mask) == 0 && fields->to >= row->to_low &&
           fields->to <= row->to_high && fields->from >= row->from_low && fields->from <= row->from_high;
}

INLINE int decide(u32 number, int drops, u64 bytes)
{
    count(number, bytes);
    return drops ? XDP_DROP : XDP_PASS;
}
