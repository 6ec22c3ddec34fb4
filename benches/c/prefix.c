/* drop listed when ip4.src in sources: a bare look-up in a trie of prefixes */
#define STATEMENTS 2
#include "bench.h"

typedef struct {
    u32 bits;
    u32 address;
} key;

#define KEY(ip) {32, (ip)->src}
#define KIND LPM_TRIE
#define FLAGS NO_PREALLOC
#define IP ip4
#define TAKE_IP take_ip4
#define ETH_IP ETH_IP4
#include "sources.h"
