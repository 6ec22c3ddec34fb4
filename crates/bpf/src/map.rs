//! Map definitions: kind, types of key and value, size.

use std::fmt;

/// The kernel keeps names of at most this many bytes (`BPF_OBJ_NAME_LEN` less its zero).
pub const NAME_MAX: usize = 15;

macro_rules! kinds {
    ($($name:ident $number:literal $text:literal)*) => {
        /// A kind of map, numbered as `enum bpf_map_type` (include/uapi/linux/bpf.h).
        #[allow(missing_docs)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum MapKind { $($name = $number,)* }

        impl MapKind {
            /// All kinds.
            pub const ALL: &[MapKind] = &[$(MapKind::$name,)*];

            /// The name that `bpftool map` prints.
            pub fn name(self) -> &'static str {
                match self { $(MapKind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    Hash 1 "hash"
    Array 2 "array"
    ProgArray 3 "prog_array"
    PerfEventArray 4 "perf_event_array"
    PerCpuHash 5 "percpu_hash"
    PerCpuArray 6 "percpu_array"
    LruHash 9 "lru_hash"
    LruPerCpuHash 10 "lru_percpu_hash"
    LpmTrie 11 "lpm_trie"
    ArrayOfMaps 12 "array_of_maps"
    HashOfMaps 13 "hash_of_maps"
    DevMap 14 "devmap"
    CpuMap 16 "cpumap"
    XskMap 17 "xskmap"
    Queue 22 "queue"
    Stack 23 "stack"
    DevMapHash 25 "devmap_hash"
    RingBuf 27 "ringbuf"
    BloomFilter 30 "bloom_filter"
}

impl MapKind {
    /// The kernel's number.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// One value for each possible CPU.
    pub fn per_cpu(self) -> bool {
        matches!(self, MapKind::PerCpuHash | MapKind::PerCpuArray | MapKind::LruPerCpuHash)
    }

    /// The value is another map.
    pub fn of_maps(self) -> bool {
        matches!(self, MapKind::ArrayOfMaps | MapKind::HashOfMaps)
    }

    /// The kernel takes BTF types for key and value only from kinds that hold plain data
    /// (libbpf `bpf_object__create_map` has the list of the others).
    pub fn typed(self) -> bool {
        matches!(
            self,
            MapKind::Hash
                | MapKind::Array
                | MapKind::PerCpuHash
                | MapKind::PerCpuArray
                | MapKind::LruHash
                | MapKind::LruPerCpuHash
                | MapKind::LpmTrie
        )
    }
}

/// Flags of [`MapDef::flags`] (include/uapi/linux/bpf.h).
pub mod flags {
    /// Entries are allocated when they are inserted; LPM tries require it.
    pub const NO_PREALLOC: u32 = 1;
    /// Programs only read.
    pub const RDONLY_PROG: u32 = 1 << 7;
    /// User space can map the values into its memory.
    pub const MMAPABLE: u32 = 1 << 10;
    /// Inner maps of an outer map may differ in size.
    pub const INNER_MAP: u32 = 1 << 12;
}

/// The shape of a key or a value. Integers are in the machine's order unless the program says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MapType {
    /// No bytes at all: the key of a ring buffer.
    Empty,
    /// An unsigned integer of 1, 2, 4 or 8 bytes.
    Int(u8),
    /// Elements in a row.
    Array(Box<MapType>, u32),
    /// Named members at byte offsets.
    Struct(StructType),
}

/// A structure of [`MapType`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StructType {
    /// A C identifier.
    pub name: String,
    /// In order of their offsets.
    pub members: Vec<Member>,
    /// Bytes, trailing padding included.
    pub size: u32,
}

/// A member of [`StructType`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// A C identifier.
    pub name: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Its shape.
    pub ty: MapType,
}

impl MapType {
    /// One byte.
    pub const U8: MapType = MapType::Int(1);
    /// Two bytes.
    pub const U16: MapType = MapType::Int(2);
    /// Four bytes.
    pub const U32: MapType = MapType::Int(4);
    /// Eight bytes.
    pub const U64: MapType = MapType::Int(8);

    /// `len` bytes without an order, such as an address.
    pub fn bytes(len: u32) -> MapType {
        MapType::Array(Box::new(MapType::U8), len)
    }

    /// `len` elements.
    pub fn array(of: MapType, len: u32) -> MapType {
        MapType::Array(Box::new(of), len)
    }

    /// A structure laid out as C does, padding included.
    pub fn structure<'a>(name: &str, members: impl IntoIterator<Item = (&'a str, MapType)>) -> MapType {
        MapType::laid_out(name, members, MapType::align)
    }

    /// A structure without padding.
    pub fn packed<'a>(name: &str, members: impl IntoIterator<Item = (&'a str, MapType)>) -> MapType {
        MapType::laid_out(name, members, |_| 1)
    }

    /// The key of an LPM trie: 32 bits of prefix length in the machine's order, then `len` bytes
    /// in the network's.
    pub fn lpm_key(name: &str, len: u32) -> MapType {
        MapType::packed(name, [("prefixlen", MapType::U32), ("data", MapType::bytes(len))])
    }

    fn laid_out<'a>(
        name: &str,
        members: impl IntoIterator<Item = (&'a str, MapType)>,
        align: impl Fn(&MapType) -> u32,
    ) -> MapType {
        let (mut end, mut widest) = (0u32, 1);
        let members = members
            .into_iter()
            .map(|(name, ty)| {
                let offset = end.next_multiple_of(align(&ty));
                widest = widest.max(align(&ty));
                end = offset + ty.size();
                Member { name: name.to_string(), offset, ty }
            })
            .collect();
        MapType::Struct(StructType { name: name.to_string(), members, size: end.next_multiple_of(widest) })
    }

    /// Bytes.
    pub fn size(&self) -> u32 {
        match self {
            MapType::Empty => 0,
            MapType::Int(bytes) => u32::from(*bytes),
            MapType::Array(of, len) => of.size().saturating_mul(*len),
            MapType::Struct(structure) => structure.size,
        }
    }

    /// Bytes that the start must be a multiple of in C.
    pub fn align(&self) -> u32 {
        match self {
            MapType::Empty => 1,
            MapType::Int(bytes) => u32::from(*bytes),
            MapType::Array(of, _) => of.align(),
            MapType::Struct(s) => s.members.iter().map(|m| m.ty.align()).max().unwrap_or(1),
        }
    }

    /// The offset of a member in bytes; `a.b` walks into inner structures.
    pub fn offset_of(&self, path: &str) -> Option<u32> {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let MapType::Struct(structure) = self else {
            return None;
        };
        let member = structure.members.iter().find(|m| m.name == first)?;
        match rest {
            Some(rest) => Some(member.offset + member.ty.offset_of(rest)?),
            None => Some(member.offset),
        }
    }
}

/// Where a map stays when its loader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pinning {
    /// Nowhere.
    #[default]
    None,
    /// Under its name in the loader's directory (`LIBBPF_PIN_BY_NAME`).
    ByName,
}

/// A map.
///
/// A name that starts with `.bss`, `.data` or `.rodata` makes a data section: an array of one
/// value which programs reach by address ([`crate::insn::Insn::LdMapValue`]); `initial` is its
/// contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDef {
    /// At most 15 bytes of letters, digits, `_` and `.`.
    pub name: String,
    /// The kernel's kind.
    pub kind: MapKind,
    /// For the kernel and for readers (`bpftool map dump`).
    pub key: MapType,
    /// As `key`; with per-CPU kinds the value of one CPU.
    pub value: MapType,
    /// Entries; for ring buffers bytes, a power of two and a multiple of the page.
    pub max_entries: u32,
    /// A sum of [`flags`].
    pub flags: u32,
    /// The shape of the values of a map of maps.
    pub inner: Option<Box<MapDef>>,
    /// Whether the map outlives its loader.
    pub pinning: Pinning,
    /// Contents of a data section, shorter than the value is filled with zeros.
    pub initial: Vec<u8>,
}

impl MapDef {
    /// A map without flags, or with those that its kind cannot do without.
    pub fn new(name: &str, kind: MapKind, key: MapType, value: MapType, max_entries: u32) -> MapDef {
        let flags = match kind {
            MapKind::LpmTrie => flags::NO_PREALLOC,
            _ => 0,
        };
        MapDef {
            name: name.to_string(),
            kind,
            key,
            value,
            max_entries,
            flags,
            inner: None,
            pinning: Pinning::None,
            initial: Vec::new(),
        }
    }

    /// A ring buffer of so many bytes.
    pub fn ring(name: &str, bytes: u32) -> MapDef {
        let kind = MapKind::RingBuf;
        MapDef::new(name, kind, MapType::Empty, MapType::Empty, bytes)
    }

    /// A table of programs for tail calls.
    pub fn programs(name: &str, max_entries: u32) -> MapDef {
        let kind = MapKind::ProgArray;
        MapDef::new(name, kind, MapType::U32, MapType::U32, max_entries)
    }

    /// A data section: `name` starts with `.bss`, `.data` or `.rodata`.
    pub fn section(name: &str, value: MapType) -> MapDef {
        let mut def = MapDef::new(name, MapKind::Array, MapType::U32, value, 1);
        if name.starts_with(".rodata") {
            def.flags |= flags::RDONLY_PROG;
        }
        def
    }

    /// True for `.bss…`, `.data…`, `.rodata…`.
    pub fn is_section(&self) -> bool {
        [".bss", ".data", ".rodata"].iter().any(|start| self.name.starts_with(start))
    }

    /// What the kernel would refuse, found early.
    pub fn check(&self) -> Result<(), MapError> {
        let fail = |kind| Err(MapError { map: self.name.clone(), kind });
        if self.name.len() > NAME_MAX {
            return fail(MapErrorKind::NameTooLong(self.name.len()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return fail(MapErrorKind::BadName);
        }
        if self.max_entries == 0 && self.kind != MapKind::PerfEventArray {
            return fail(MapErrorKind::NoEntries);
        }
        if self.kind == MapKind::RingBuf && !(self.max_entries.is_power_of_two() && self.max_entries >= 4096)
        {
            return fail(MapErrorKind::RingSize(self.max_entries));
        }
        if self.kind == MapKind::LpmTrie && !(5..=260).contains(&self.key.size()) {
            return fail(MapErrorKind::LpmKey(self.key.size()));
        }
        if self.kind.of_maps() != self.inner.is_some() {
            return fail(MapErrorKind::Inner);
        }
        if self.is_section() && (self.kind != MapKind::Array || self.max_entries != 1) {
            return fail(MapErrorKind::Section);
        }
        if self.initial.len() > self.value.size() as usize {
            return fail(MapErrorKind::InitialTooLong(self.initial.len()));
        }
        match &self.inner {
            Some(inner) => inner.check(),
            None => Ok(()),
        }
    }
}

/// A map that no kernel would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapError {
    /// The map's name.
    pub map: String,
    /// What is wrong.
    pub kind: MapErrorKind,
}

/// The reasons of [`MapError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapErrorKind {
    /// Bytes of the name.
    NameTooLong(usize),
    /// Empty, or with characters that the kernel refuses.
    BadName,
    /// `max_entries` is 0.
    NoEntries,
    /// `max_entries` of a ring buffer.
    RingSize(u32),
    /// Bytes of an LPM trie's key.
    LpmKey(u32),
    /// A map of maps without, or another map with, an inner definition.
    Inner,
    /// A data section that is not an array of one.
    Section,
    /// Bytes of contents.
    InitialTooLong(usize),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map `{}`: ", self.map)?;
        match &self.kind {
            MapErrorKind::NameTooLong(len) => {
                write!(f, "the kernel keeps {NAME_MAX} bytes of a name, shorten this one from {len}")
            }
            MapErrorKind::BadName => {
                f.write_str("a name is made of letters, digits, `_` and `.`, and is not empty")
            }
            MapErrorKind::NoEntries => f.write_str("give room for at least 1 entry, not 0"),
            MapErrorKind::RingSize(size) => {
                write!(f, "the size of a ring buffer is a power of two from 4096 on, not {size}")
            }
            MapErrorKind::LpmKey(size) => write!(
                f,
                "the key of an LPM trie is 4 bytes of prefix length and 1 to 256 of data, not {size} in all"
            ),
            MapErrorKind::Inner => f.write_str("maps of maps, and only they, have an inner definition"),
            MapErrorKind::Section => f.write_str("a data section is an array of 1 entry"),
            MapErrorKind::InitialTooLong(len) => {
                write!(f, "the contents must fit the value, and are longer with {len} bytes")
            }
        }
    }
}

impl std::error::Error for MapError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_laid_out_as_in_c() {
        let members = || [("a", MapType::U8), ("b", MapType::U64), ("c", MapType::U16)];
        let natural = MapType::structure("s", members());
        assert_eq!((natural.size(), natural.align()), (24, 8));
        assert_eq!(natural.offset_of("c"), Some(16));
        let packed = MapType::packed("s", members());
        assert_eq!(packed.size(), 11);
        assert_eq!(packed.offset_of("b"), Some(1));
        let outer = MapType::structure("o", [("x", MapType::U32), ("s", natural)]);
        assert_eq!(outer.offset_of("s.b"), Some(16));
        assert_eq!(outer.offset_of("s.d"), None);
    }

    fn refused(def: MapDef, expected: &str) {
        assert_eq!(def.check().unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_the_kernel_would_refuse() {
        let hash = |name| MapDef::new(name, MapKind::Hash, MapType::U32, MapType::U32, 1);
        assert_eq!(hash("a_name_of_15_by").check(), Ok(()));
        refused(
            hash("a_name_of_16_byt"),
            "map `a_name_of_16_byt`: the kernel keeps 15 bytes of a name, shorten this one from 16",
        );
        refused(hash("a-b"), "map `a-b`: a name is made of letters, digits, `_` and `.`, and is not empty");
        refused(
            MapDef::ring("r", 5000),
            "map `r`: the size of a ring buffer is a power of two from 4096 on, not 5000",
        );
        refused(MapDef { max_entries: 0, ..hash("h") }, "map `h`: give room for at least 1 entry, not 0");
        refused(
            MapDef { kind: MapKind::HashOfMaps, ..hash("h") },
            "map `h`: maps of maps, and only they, have an inner definition",
        );
    }
}
