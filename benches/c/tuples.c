/* Tuple space search: a hash look-up for each combination of lengths that rules have (V. Srinivasan, S. Suri,
 * G. Varghese, "Packet Classification using Tuple Space Search", SIGCOMM 1999), as Open vSwitch searches it: the
 * combinations stand in the order of their first rule, and what comes behind the rule found is not looked at.
 *
 * A tuple is a length for each address, and whether protocol and ports are exact. Rules that differ in nothing but
 * ranges of ports share an entry, which is a chain of rows. All tuples are one hash map: its keys name the tuple. */
#include "rules.h"

struct tuple {
    u32 src_mask;
    u32 dst_mask;
    u16 from_mask;
    u16 to_mask;
    u32 proto_mask;
    /* The first rule of it. */
    u32 first;
};

struct key {
    u32 src;
    u32 dst;
    u16 from;
    u16 to;
    u16 proto;
    u16 tuple;
};

/* Neighbouring rows. */
struct entry {
    u32 row;
    u32 rows;
};

struct {
    __uint(type, ARRAY);
    __uint(max_entries, TUPLES);
    __type(key, u32);
    __type(value, struct tuple);
} tuples SEC(".maps");

struct {
    __uint(type, HASH);
    __uint(max_entries, RULES);
    __type(key, struct key);
    __type(value, struct entry);
} entries SEC(".maps");

struct {
    __uint(type, ARRAY);
    __uint(max_entries, RULES);
    __type(key, u32);
    __type(value, struct row);
} rows SEC(".maps");

struct search {
    struct fields fields;
    /* The first rule that was met, and its verdict. */
    u32 number;
    u32 drops;
};

static long look(u32 nth, struct search *search)
{
    struct tuple *tuple = map_lookup(&tuples, &nth);
    if (!tuple || tuple->first >= search->number)
        return 1;
    struct fields fields = search->fields;
    struct key key = {
        .src = fields.src & tuple->src_mask,
        .dst = fields.dst & tuple->dst_mask,
        .from = fields.from & tuple->from_mask,
        .to = fields.to & tuple->to_mask,
        .proto = fields.proto & tuple->proto_mask,
        .tuple = nth,
    };
    struct entry *entry = map_lookup(&entries, &key);
    if (!entry)
        return 0;
    for (u32 link = 0; link < LONGEST; link++) {
        if (link >= entry->rows)
            break;
        u32 at = entry->row + link;
        struct row *row = map_lookup(&rows, &at);
        if (!row || row->number >= search->number)
            break;
        if (is_met(row, &fields)) {
            search->number = row->number;
            search->drops = row->drops;
            break;
        }
    }
    return 0;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    struct search search = {.number = DEFAULT};
    if (take_fields(&cursor, &search.fields))
        loop(TUPLES, look, &search, 0);
    return decide(search.number, search.drops, FRAME_LEN(context));
}

char _license[] SEC("license") = "GPL";
