/* drop listed when ip6.src in sources: a bare look-up in a trie of prefixes */
#define STATEMENTS 2
#include "bench.h"

typedef struct {
    u32 bits;
    u32 address[4];
} key;

#define KEY(ip) {128, {(ip)->src[0], (ip)->src[1], (ip)->src[2], (ip)->src[3]}}
#define KIND LPM_TRIE
#define FLAGS NO_PREALLOC
#define IP ip6
#define TAKE_IP take_ip6
#define ETH_IP ETH_IP6
#include "sources.h"
