/* Rules one after the other, as rows of a table: what every filter without an index does.
 *
 * The loop over blocks is the kernel's own (bpf_loop), which the verifier follows once; rows of a block are its
 * value, so that they cost no look-up each. */
#include "rules.h"

#define BLOCK 64

struct block {
    struct row rows[BLOCK];
};

struct {
    __uint(type, ARRAY);
    __uint(max_entries, (RULES + BLOCK - 1) / BLOCK);
    __type(key, u32);
    __type(value, struct block);
} blocks SEC(".maps");

struct search {
    struct fields fields;
    u32 number;
    u32 drops;
};

static long look(u32 nth, struct search *search)
{
    struct block *block = map_lookup(&blocks, &nth);
    if (!block)
        return 1;
    struct fields fields = search->fields;
    for (int row = 0; row < BLOCK; row++) {
        if (is_met(&block->rows[row], &fields)) {
            search->number = block->rows[row].number;
            search->drops = block->rows[row].drops;
            return 1;
        }
    }
    return 0;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    struct search search = {.number = DEFAULT};
    if (take_fields(&cursor, &search.fields))
        loop((RULES + BLOCK - 1) / BLOCK, look, &search, 0);
    return decide(search.number, search.drops, FRAME_LEN(context));
}

char _license[] SEC("license") = "GPL";
