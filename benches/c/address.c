/* drop listed when ip4.src in sources: a bare look-up of single addresses in a hash map */
#define STATEMENTS 2
#include "bench.h"

typedef u32 key;

#define KEY(ip) (ip)->src
#define KIND HASH
#define FLAGS 0
#define IP ip4
#define TAKE_IP take_ip4
#define ETH_IP ETH_IP4
#include "sources.h"
