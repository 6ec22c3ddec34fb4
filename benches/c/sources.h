/* drop listed when the source is in a set. Who includes this says how the set is looked up: KIND and FLAGS of its map,
 * `key`, KEY of a header, and that header: IP, TAKE_IP, ETH_IP. */
enum { LISTED, DEFAULT };

struct {
    __uint(type, KIND);
    __uint(max_entries, ENTRIES);
    __uint(map_flags, FLAGS);
    __type(key, key);
    __type(value, u32);
} sources SEC(".maps");

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    if (ethernet(&cursor) == NET16(ETH_IP)) {
        struct IP *ip = TAKE_IP(&cursor);
        if (ip) {
            key of = KEY(ip);
            if (map_lookup(&sources, &of)) {
                count(LISTED, FRAME_LEN(context));
                return XDP_DROP;
            }
        }
    }
    count(DEFAULT, FRAME_LEN(context));
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
