/// The structures that the kernel offers (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapKind {
    /// Any that the table below does not name, by the kernel's number.
    Other(u32),
    /// `BPF_MAP_TYPE_HASH`.
    Hash,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array,
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    ProgArray,
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
    PerfEventArray,
    /// `BPF_MAP_TYPE_PERCPU_HASH`.
    PerCpuHash,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash,
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`.
    LruPerCpuHash,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    LpmTrie,
    /// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
    ArrayOfMaps,
    /// `BPF_MAP_TYPE_HASH_OF_MAPS`.
    HashOfMaps,
    /// `BPF_MAP_TYPE_DEVMAP`.
    DevMap,
    /// `BPF_MAP_TYPE_CPUMAP`.
    CpuMap,
    /// `BPF_MAP_TYPE_XSKMAP`.
    XskMap,
    /// `BPF_MAP_TYPE_QUEUE`.
    Queue,
    /// `BPF_MAP_TYPE_DEVMAP_HASH`.
    DevMapHash,
    /// `BPF_MAP_TYPE_RINGBUF`.
    RingBuf,
    /// `BPF_MAP_TYPE_BLOOM_FILTER`.
    BloomFilter,
    /// `BPF_MAP_TYPE_USER_RINGBUF`.
    UserRingBuf,
    /// `BPF_MAP_TYPE_ARENA`.
    Arena,
}

/// Kind, the kernel's number, its name in `bpftool`.
const KINDS: [(MapKind, u32, &str); 20] = [
    (MapKind::Hash, 1, "hash"),
    (MapKind::Array, 2, "array"),
    (MapKind::ProgArray, 3, "prog_array"),
    (MapKind::PerfEventArray, 4, "perf_event_array"),
    (MapKind::PerCpuHash, 5, "percpu_hash"),
    (MapKind::PerCpuArray, 6, "percpu_array"),
    (MapKind::LruHash, 9, "lru_hash"),
    (MapKind::LruPerCpuHash, 10, "lru_percpu_hash"),
    (MapKind::LpmTrie, 11, "lpm_trie"),
    (MapKind::ArrayOfMaps, 12, "array_of_maps"),
    (MapKind::HashOfMaps, 13, "hash_of_maps"),
    (MapKind::DevMap, 14, "devmap"),
    (MapKind::CpuMap, 16, "cpumap"),
    (MapKind::XskMap, 17, "xskmap"),
    (MapKind::Queue, 22, "queue"),
    (MapKind::DevMapHash, 25, "devmap_hash"),
    (MapKind::RingBuf, 27, "ringbuf"),
    (MapKind::BloomFilter, 30, "bloom_filter"),
    (MapKind::UserRingBuf, 31, "user_ringbuf"),
    (MapKind::Arena, 33, "arena"),
];

impl MapKind {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        match self {
            Self::Other(number) => number,
            kind => KINDS
                .iter()
                .find(|row| row.0 == kind)
                .map_or(0, |row| row.1),
        }
    }

    /// From the kernel's number.
    pub fn from_number(number: u32) -> Self {
        KINDS
            .iter()
            .find(|row| row.1 == number)
            .map_or(Self::Other(number), |row| row.0)
    }

    /// The name that `bpftool` prints.
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|row| row.0 == self)
            .map_or("other", |row| row.2)
    }

    /// One value for each possible CPU.
    pub fn is_per_cpu(self) -> bool {
        matches!(
            self,
            Self::PerCpuHash | Self::PerCpuArray | Self::LruPerCpuHash
        )
    }

    /// Values are maps.
    pub fn is_of_maps(self) -> bool {
        matches!(self, Self::ArrayOfMaps | Self::HashOfMaps)
    }
}
