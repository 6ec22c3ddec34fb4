/* What the programs beside Weir share, so that clang needs no header but this one. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

enum { XDP_DROP = 1, XDP_PASS = 2 };
enum { HASH = 1, ARRAY = 2, PERCPU_ARRAY = 6, LRU_HASH = 9, LPM_TRIE = 11 };
enum { NO_PREALLOC = 1 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*ktime_get_ns)(void) = (void *)5;
static long (*loop)(u32 count, void *step, void *state, u64 flags) = (void *)181;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define INLINE static inline __attribute__((always_inline))

#define NET16(x) ((u16)__builtin_bswap16(x))
#define NET32(x) ((u32)__builtin_bswap32(x))

enum { ETH_IP4 = 0x0800, ETH_IP6 = 0x86dd };
enum { TCP = 6, UDP = 17 };

struct ip4 {
    u8 version_ihl;
    u8 tos;
    u16 len;
    u16 id;
    u16 frag;
    u8 ttl;
    u8 proto;
    u16 checksum;
    u32 src;
    u32 dst;
};

struct ip6 {
    u32 version_class_flow;
    u16 plen;
    u8 nxt;
    u8 hlim;
    u32 src[4];
    u32 dst[4];
};

struct udp {
    u16 srcport;
    u16 dstport;
    u16 length;
    u16 checksum;
};

struct tcp {
    u16 srcport;
    u16 dstport;
    u32 seq;
    u32 ack;
    u8 data_off;
    u8 flags;
    u16 window;
    u16 checksum;
    u16 urgent;
};

/* Packets and bytes of each statement, on each CPU. */
struct counter {
    u64 packets;
    u64 bytes;
};

struct {
    __uint(type, PERCPU_ARRAY);
    __uint(max_entries, STATEMENTS);
    __type(key, u32);
    __type(value, struct counter);
} counters SEC(".maps");

INLINE void count(u32 statement, u64 bytes)
{
    struct counter *counter = map_lookup(&counters, &statement);
    if (counter) {
        counter->packets += 1;
        counter->bytes += bytes;
    }
}

/* Where the next header starts, and where the frame ends. */
struct cursor {
    void *at;
    void *end;
};

#define START(context) {(void *)(u64)(context)->data, (void *)(u64)(context)->data_end}
#define FRAME_LEN(context) ((u64)((context)->data_end - (context)->data))

/* The header at the cursor if all of it is inside the frame; the cursor goes behind it. */
#define TAKE(cursor, type)                                                                             \
    ({                                                                                                 \
        type *header = (cursor)->at;                                                                   \
        (void *)(header + 1) <= (cursor)->end ? ((cursor)->at = header + 1, header) : (type *)0;       \
    })

INLINE int is_vlan(u16 type)
{
    return type == NET16(0x8100) || type == NET16(0x88a8) || type == NET16(0x9100);
}

/* What follows Ethernet and at most four VLAN tags, in the network's order; 0 for nothing. */
INLINE u16 ethernet(struct cursor *cursor)
{
    struct eth {
        u8 dst[6];
        u8 src[6];
        u16 type;
    } *eth = TAKE(cursor, struct eth);
    if (!eth)
        return 0;
    u16 type = eth->type;
#pragma unroll
    for (int tag = 0; tag < 4; tag++) {
        if (!is_vlan(type))
            break;
        struct vlan {
            u16 tci;
            u16 type;
        } *vlan = TAKE(cursor, struct vlan);
        if (!vlan)
            return 0;
        type = vlan->type;
    }
    return type;
}

/* An IPv4 header with its options. */
INLINE struct ip4 *take_ip4(struct cursor *cursor)
{
    struct ip4 *ip = TAKE(cursor, struct ip4);
    if (!ip || ip->version_ihl >> 4 != 4)
        return 0;
    u32 len = (ip->version_ihl & 15) * 4;
    if (len < sizeof *ip)
        return 0;
    cursor->at = (void *)ip + len;
    return cursor->at <= cursor->end ? ip : 0;
}

INLINE struct ip6 *take_ip6(struct cursor *cursor)
{
    struct ip6 *ip = TAKE(cursor, struct ip6);
    return ip && (*(u8 *)ip >> 4) == 6 ? ip : 0;
}

/* Later fragments carry no transport header. */
INLINE int is_later_fragment(struct ip4 *ip)
{
    return (ip->frag & NET16(0x1fff)) != 0;
}

/* A TCP header with its options. */
INLINE struct tcp *take_tcp(struct cursor *cursor)
{
    struct tcp *tcp = TAKE(cursor, struct tcp);
    if (!tcp)
        return 0;
    u32 len = (tcp->data_off >> 4) * 4;
    return len >= sizeof *tcp && (void *)tcp + len <= cursor->end ? tcp : 0;
}

/* IPv6 extension headers, at most six; answers what follows them, 0xff for nothing. */
INLINE u8 skip_extensions(struct cursor *cursor, u8 next)
{
    struct extension {
        u8 next;
        u8 len;
        u16 frag;
        u32 rest;
    };
#pragma unroll
    for (int nth = 0; nth < 6; nth++) {
        if (next != 0 && next != 43 && next != 44 && next != 60)
            return next;
        struct extension *extension = TAKE(cursor, struct extension);
        if (!extension)
            return 0xff;
        if (next == 44) {
            if (extension->frag & NET16(0xfff8))
                return 0xff;
        } else {
            cursor->at = (void *)extension + (extension->len + 1) * 8;
            if (cursor->at > cursor->end)
                return 0xff;
        }
        next = extension->next;
    }
    return next;
}
