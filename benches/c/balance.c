/* balance web when ip.dst == 203.0.113.10 and tcp.dstport == 443 to web via ipip from 172.16.0.0/16
 *
 * For IPv4 without VLAN tags, with backends of IPv4 and fixed next hops. It knows no flows: slots alone decide. PROTOCOL is
 * TCP's number or UDP's, SEED that of the pool's hashes. */
#define STATEMENTS 3
#include "bench.h"

enum { WEB, UNSENT, DEFAULT };
enum { XDP_TX = 3 };
enum { SLOTS = 65537, NUMBERS = 256, IP_IN_IP = 4, DONT_FRAGMENT = 0x4000, HOPS = 64 };

static long (*adjust_head)(struct xdp_md *context, int delta) = (void *)44;

struct {
    __uint(type, ARRAY);
    __uint(max_entries, SLOTS);
    __type(key, u32);
    __type(value, u32);
} ring SEC(".maps");

struct backend {
    u32 address;
    u8 hop[6];
    u16 mtu;
};

struct {
    __uint(type, ARRAY);
    __uint(max_entries, NUMBERS);
    __type(key, u32);
    __type(value, struct backend);
} backends SEC(".maps");

struct link {
    u8 dst[6];
    u8 src[6];
    u16 type;
} __attribute__((packed));

struct ports {
    u16 src;
    u16 dst;
};

/* The ports of a packet of the service. */
INLINE struct ports *service(struct cursor *cursor, struct ip4 *ip)
{
    if (ip->dst != NET32(0xcb00710a) || ip->proto != PROTOCOL || is_later_fragment(ip))
        return 0;
    void *header = PROTOCOL == TCP ? (void *)take_tcp(cursor) : (void *)TAKE(cursor, struct udp);
    struct ports *ports = header;
    return ports && ports->dst == NET16(443) ? ports : 0;
}

INLINE u64 flow(struct ip4 *ip, struct ports *ports)
{
    u64 state = SEED;
    state ^= (u64)NET32(ip->src) << 32 | NET32(ip->dst);
    state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    state ^= (u64)NET16(ports->src) << 24 | (u64)NET16(ports->dst) << 8 | PROTOCOL;
    state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    state = (state ^ state >> 27) * 0x94d049bb133111eb;
    return state ^ state >> 31;
}

INLINE u16 checksum(struct ip4 *ip)
{
    u32 sum = 0;
#pragma unroll
    for (int word = 0; word < 10; word++)
        sum += ((u16 *)ip)[word];
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return ~sum;
}

/* In another packet; the answer. */
INLINE int send(struct xdp_md *context, struct backend *to, struct ip4 *packet, u64 hash)
{
    u32 len = NET16(packet->len) + sizeof(struct ip4);
    u8 tos = packet->tos;
    if (adjust_head(context, -(int)sizeof(struct ip4)))
        return 0;
    struct cursor cursor = START(context);
    struct link *link = TAKE(&cursor, struct link);
    struct ip4 *ip = TAKE(&cursor, struct ip4);
    struct link *came = (void *)link + sizeof *ip;
    if (!link || !ip || (void *)(came + 1) > cursor.end)
        return 0;
    __builtin_memcpy(link->src, came->dst, 6);
    __builtin_memcpy(link->dst, to->hop, 6);
    link->type = NET16(ETH_IP4);
    *ip = (struct ip4){
        .version_ihl = 0x45,
        .tos = tos,
        .len = NET16(len),
        .frag = NET16(DONT_FRAGMENT),
        .ttl = HOPS,
        .proto = IP_IN_IP,
        .src = NET32(0xac100000 | (u32)(hash & 0xffff)),
        .dst = to->address,
    };
    ip->checksum = checksum(ip);
    return XDP_TX;
}

/* What the packet says of itself can be true, and the next hop takes it. */
INLINE int is_sound(struct link *link, struct ip4 *ip, u64 bytes, u32 mtu)
{
    u32 len = NET16(ip->len);
    return len >= (ip->version_ihl & 15) * 4 && sizeof *link + len <= bytes && ip->ttl && !(link->dst[0] & 1) &&
           len + sizeof *ip <= mtu;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    u64 bytes = FRAME_LEN(context);
    struct link *link = TAKE(&cursor, struct link);
    struct ip4 *ip = link && link->type == NET16(ETH_IP4) ? take_ip4(&cursor) : 0;
    struct ports *ports = ip ? service(&cursor, ip) : 0;
    if (!ports) {
        count(DEFAULT, bytes);
        return XDP_PASS;
    }
    u64 hash = flow(ip, ports);
    u32 slot = (hash >> 32) * SLOTS >> 32;
    u32 *number = map_lookup(&ring, &slot);
    struct backend *to = number ? map_lookup(&backends, number) : 0;
    count(WEB, bytes);
    if (to && to->address && is_sound(link, ip, bytes, to->mtu)) {
        int answer = send(context, to, ip, hash);
        if (answer)
            return answer;
    }
    count(UNSENT, bytes);
    return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
