/* Rules one after the other, as code: what bpfilter makes of a chain. `chain.h` is made of the rules: functions of
 * a thousand rules each, because jumps reach no further, and `chain`, which calls one after the other.
 *
 * The fields stand in a map: of those on the stack the verifier would keep what each rule tells of them, and go
 * through the rest of the chain once for each. */
#include "rules.h"

struct search {
    struct fields fields;
    u32 number;
    u32 drops;
};

struct {
    __uint(type, PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct search);
} searches SEC(".maps");

/* The verifier goes through each function by itself, as it is not static. */
#define FUNCTION(name)                                                                                 \
    __attribute__((noinline)) int name(volatile struct search *search)                                 \
    {                                                                                                  \
        if (!search)                                                                                   \
            return 0;
#define END                                                                                            \
        return 0;                                                                                      \
    }
#define RULE(number_, drops_, condition)                                                               \
    if (condition) {                                                                                   \
        search->number = number_;                                                                      \
        search->drops = drops_;                                                                        \
        return 1;                                                                                      \
    }

#define ASK(field) search->fields.field
#define IN(value, low, high) ((u32)(value) - (low) <= (u32)(high) - (low))

#include "chain.h"

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    u32 zero = 0;
    volatile struct search *search = map_lookup(&searches, &zero);
    if (!search)
        return XDP_PASS;
    struct fields fields = {};
    search->number = DEFAULT;
    search->drops = 0;
    if (take_fields(&cursor, &fields)) {
        search->fields = fields;
        chain(search);
    }
    return decide(search->number, search->drops, FRAME_LEN(context));
}

char _license[] SEC("license") = "GPL";
