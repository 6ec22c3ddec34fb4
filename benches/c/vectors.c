/* Bit vectors: each field's look-up answers which rules its value meets, and the first bit that all have in common is
 * the rule (T. V. Lakshman, D. Stiliadis, "High-Speed Policy-based Packet Forwarding Using Efficient
 * Multi-dimensional Range Matching", SIGCOMM 1998). Addresses are looked up in LPM tries, as Polycube's firewall does
 * (S. Miano and others, "Securing Linux with a Faster and Scalable Iptables", CCR 2019).
 *
 * A second, smaller vector tells which words hold any bit, so that only those are read that may have one in common
 * (F. Baboescu, G. Varghese, "Scalable Packet Classification", SIGCOMM 2001). Equal vectors stand once. */
#include "rules.h"

#define WORDS ((RULES + 63) / 64)
#define GROUPS ((WORDS + 63) / 64)

struct vector {
    u64 groups[GROUPS];
    u64 words[WORDS];
};

struct prefix {
    u32 bits;
    u32 address;
};

#define TRIE(name)                                                                                     \
    struct {                                                                                           \
        __uint(type, LPM_TRIE);                                                                        \
        __uint(max_entries, RULES + 1);                                                                \
        __uint(map_flags, NO_PREALLOC);                                                                \
        __type(key, struct prefix);                                                                    \
        __type(value, u32);                                                                            \
    } name SEC(".maps")

#define TABLE(name, entries, type_)                                                                    \
    struct {                                                                                           \
        __uint(type, ARRAY);                                                                           \
        __uint(max_entries, entries);                                                                  \
        __type(key, u32);                                                                              \
        __type(value, type_);                                                                          \
    } name SEC(".maps")

/* Which vector a value has. */
TRIE(sources);
TRIE(targets);
TABLE(from_ports, 65536, u32);
TABLE(to_ports, 65536, u32);
TABLE(protos, 256, u32);

TABLE(vectors, VECTORS, struct vector);
TABLE(verdicts, RULES, u32);

/* Where a word with one bit set has it (by a de Bruijn sequence: eBPF cannot count zeros). */
static const u8 positions[64] = {
    0, 1, 48, 2, 57, 49, 28, 3, 61, 58, 50, 42, 38, 29, 17, 4,
    62, 55, 59, 36, 53, 51, 43, 22, 45, 39, 33, 30, 24, 18, 12, 5,
    63, 47, 56, 27, 60, 41, 37, 16, 54, 35, 52, 21, 44, 32, 23, 11,
    46, 26, 40, 15, 34, 20, 31, 10, 25, 14, 19, 9, 13, 8, 7, 6,
};

INLINE u32 first_bit(u64 word)
{
    return positions[(word & -word) * 0x03f79d71b4cb0a89 >> 58];
}

INLINE struct vector *vector(u32 *number)
{
    return number ? map_lookup(&vectors, number) : 0;
}

INLINE struct vector *of_address(void *trie, u32 address)
{
    struct prefix key = {32, address};
    return vector(map_lookup(trie, &key));
}

INLINE struct vector *of_value(void *table, u32 value)
{
    return vector(map_lookup(table, &value));
}

INLINE u32 classify(struct fields *fields)
{
    struct vector *src = of_address(&sources, fields->src);
    struct vector *dst = of_address(&targets, fields->dst);
    struct vector *from = of_value(&from_ports, fields->from);
    struct vector *to = of_value(&to_ports, fields->to);
    struct vector *proto = of_value(&protos, fields->proto);
    if (!src || !dst || !from || !to || !proto)
        return DEFAULT;
    for (u32 group = 0; group < GROUPS; group++) {
        u64 left = src->groups[group] & dst->groups[group] & from->groups[group] & to->groups[group] &
                   proto->groups[group];
        for (u32 nth = 0; nth < 64 && left; nth++) {
            u64 word = group * 64 + first_bit(left);
            left &= left - 1;
            /* Or clang asks of another copy of it than it uses, and the verifier does not see that they are one. */
            asm volatile("" : "+r"(word));
            if (word >= WORDS)
                break;
            u64 met = src->words[word] & dst->words[word] & from->words[word] & to->words[word] &
                      proto->words[word];
            if (met)
                return word * 64 + first_bit(met);
        }
    }
    return DEFAULT;
}

SEC("xdp") int policy(struct xdp_md *context)
{
    struct cursor cursor = START(context);
    struct fields fields = {};
    u32 number = DEFAULT;
    if (take_fields(&cursor, &fields))
        number = classify(&fields);
    u32 *drops = map_lookup(&verdicts, &number);
    return decide(number, drops && *drops, FRAME_LEN(context));
}

char _license[] SEC("license") = "GPL";
