//! The helpers that programs here may call (include/uapi/linux/bpf.h, `___BPF_FUNC_MAPPER`).

macro_rules! helpers {
    ($($constant:ident $id:literal $name:literal $args:literal)*) => {
        $(#[doc = concat!("`bpf_", $name, "`, ", $args, " arguments.")]
          pub const $constant: u32 = $id;)*

        /// The table, in order of ids.
        pub const HELPERS: &[Helper] = &[$(Helper { id: $id, name: $name, args: $args },)*];
    };
}

/// One line of [`HELPERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Helper {
    /// The number in `call`.
    pub id: u32,
    /// Without `bpf_`.
    pub name: &'static str,
    /// How many of `r1`–`r5` it reads.
    pub args: u8,
}

helpers! {
    MAP_LOOKUP_ELEM 1 "map_lookup_elem" 2
    MAP_UPDATE_ELEM 2 "map_update_elem" 4
    MAP_DELETE_ELEM 3 "map_delete_elem" 2
    KTIME_GET_NS 5 "ktime_get_ns" 0
    TRACE_PRINTK 6 "trace_printk" 2
    GET_PRANDOM_U32 7 "get_prandom_u32" 0
    GET_SMP_PROCESSOR_ID 8 "get_smp_processor_id" 0
    SKB_STORE_BYTES 9 "skb_store_bytes" 5
    L3_CSUM_REPLACE 10 "l3_csum_replace" 5
    L4_CSUM_REPLACE 11 "l4_csum_replace" 5
    TAIL_CALL 12 "tail_call" 3
    CLONE_REDIRECT 13 "clone_redirect" 3
    SKB_VLAN_PUSH 18 "skb_vlan_push" 3
    SKB_VLAN_POP 19 "skb_vlan_pop" 1
    REDIRECT 23 "redirect" 2
    PERF_EVENT_OUTPUT 25 "perf_event_output" 5
    SKB_LOAD_BYTES 26 "skb_load_bytes" 4
    CSUM_DIFF 28 "csum_diff" 5
    SKB_CHANGE_TAIL 38 "skb_change_tail" 3
    SKB_PULL_DATA 39 "skb_pull_data" 2
    CSUM_UPDATE 40 "csum_update" 2
    GET_NUMA_NODE_ID 42 "get_numa_node_id" 0
    SKB_CHANGE_HEAD 43 "skb_change_head" 3
    XDP_ADJUST_HEAD 44 "xdp_adjust_head" 2
    SKB_ADJUST_ROOM 50 "skb_adjust_room" 4
    REDIRECT_MAP 51 "redirect_map" 3
    XDP_ADJUST_META 54 "xdp_adjust_meta" 2
    XDP_ADJUST_TAIL 65 "xdp_adjust_tail" 2
    FIB_LOOKUP 69 "fib_lookup" 4
    SK_LOOKUP_TCP 84 "sk_lookup_tcp" 5
    SK_LOOKUP_UDP 85 "sk_lookup_udp" 5
    SK_RELEASE 86 "sk_release" 1
    MAP_PUSH_ELEM 87 "map_push_elem" 3
    MAP_POP_ELEM 88 "map_pop_elem" 2
    MAP_PEEK_ELEM 89 "map_peek_elem" 2
    SPIN_LOCK 93 "spin_lock" 1
    SPIN_UNLOCK 94 "spin_unlock" 1
    SKC_LOOKUP_TCP 99 "skc_lookup_tcp" 5
    TCP_CHECK_SYNCOOKIE 100 "tcp_check_syncookie" 5
    TCP_GEN_SYNCOOKIE 110 "tcp_gen_syncookie" 5
    JIFFIES64 118 "jiffies64" 0
    KTIME_GET_BOOT_NS 125 "ktime_get_boot_ns" 0
    RINGBUF_OUTPUT 130 "ringbuf_output" 4
    RINGBUF_RESERVE 131 "ringbuf_reserve" 3
    RINGBUF_SUBMIT 132 "ringbuf_submit" 2
    RINGBUF_DISCARD 133 "ringbuf_discard" 2
    RINGBUF_QUERY 134 "ringbuf_query" 2
    KTIME_GET_COARSE_NS 160 "ktime_get_coarse_ns" 0
    CHECK_MTU 163 "check_mtu" 5
    FOR_EACH_MAP_ELEM 164 "for_each_map_elem" 4
    LOOP 181 "loop" 4
    XDP_GET_BUFF_LEN 188 "xdp_get_buff_len" 1
    XDP_LOAD_BYTES 189 "xdp_load_bytes" 4
    XDP_STORE_BYTES 190 "xdp_store_bytes" 4
    MAP_LOOKUP_PERCPU_ELEM 195 "map_lookup_percpu_elem" 3
    TCP_RAW_GEN_SYNCOOKIE_IPV4 204 "tcp_raw_gen_syncookie_ipv4" 3
    TCP_RAW_GEN_SYNCOOKIE_IPV6 205 "tcp_raw_gen_syncookie_ipv6" 3
    TCP_RAW_CHECK_SYNCOOKIE_IPV4 206 "tcp_raw_check_syncookie_ipv4" 2
    TCP_RAW_CHECK_SYNCOOKIE_IPV6 207 "tcp_raw_check_syncookie_ipv6" 2
    KTIME_GET_TAI_NS 208 "ktime_get_tai_ns" 0
}

/// The helper with this number.
pub fn by_id(id: u32) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.id == id)
}

/// The helper with this name, with or without `bpf_`.
pub fn by_name(name: &str) -> Option<&'static Helper> {
    let name = name.strip_prefix("bpf_").unwrap_or(name);
    HELPERS.iter().find(|helper| helper.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_both_ways() {
        for helper in HELPERS {
            assert_eq!(by_id(helper.id), Some(helper));
            assert_eq!(by_name(helper.name), Some(helper));
            assert!(helper.args <= 5);
        }
        assert_eq!(by_name("bpf_loop").map(|h| h.id), Some(LOOP));
        assert_eq!(by_id(9999), None);
    }
}
