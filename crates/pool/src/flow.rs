//! From a packet's key to a slot of a ring.
//!
//! A key is a list of words: what `by` names, in its order. Words are written one behind the other into *lanes* of 64 bits,
//! as big-endian bytes would be: a lane takes words as long as they fit into it whole, each below those before it. A word of
//! 128 bits is two of 64, the upper one first. So fields that are neighbours in a packet are one load and one byte swap, and
//! the key of TCP over IPv4 (two addresses; two ports and the protocol) is two lanes, over IPv6 five.
//!
//! The hash of lanes, all arithmetic modulo 2^64 and shifts of unsigned numbers:
//!
//! ```text
//! state = seed
//! for each lane:  state = state xor lane
//!                 state = (state xor state >> 30) * 0xbf58476d1ce4e5b9
//! state = (state xor state >> 27) * 0x94d049bb133111eb
//! hash  = state xor state >> 31
//! ```
//!
//! For one lane that is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) with Stafford's constants. Each
//! step can be undone, so keys that differ in one lane only never have the same hash. What it costs in eBPF is a
//! multiplication and four cheap instructions a lane, and the same once. The slot is made of the upper 32 bits,
//! without a division: `((hash >> 32) * size) >> 32`.
//!
//! The seed is no secret and need not be: who can choose ports can find out which flows meet by trying.
//!
//! Test vectors, with slots of 65,537:
//!
//! ```
//! use weir_pool::flow::{Word::*, hash, lanes, slot};
//!
//! // A single word.
//! assert_eq!(hash(0, &[1]), 0x5692_161d_100b_05e5);
//! assert_eq!(slot(hash(0, &[1]), 65_537), 22_162);
//!
//! // TCP from 192.0.2.1, port 12345, to 192.0.2.2, port 443.
//! let key = [W32(0xc000_0201), W32(0xc000_0202), W16(12_345), W16(443), W8(6)];
//! assert_eq!(lanes(&key), [0xc000_0201_c000_0202, 0x30_3901_bb06]);
//! assert_eq!(hash(0, &lanes(&key)), 0x6ba6_f8fe_1380_5a6a);
//! assert_eq!(slot(hash(0, &lanes(&key)), 65_537), 27_559);
//!
//! // UDP from 2001:db8::1, port 12345, to 2001:db8::2, port 443.
//! let from = 0x2001_0db8_0000_0000_0000_0000_0000_0001;
//! let key = [W128(from), W128(from + 1), W16(12_345), W16(443), W8(17)];
//! assert_eq!(lanes(&key), [0x2001_0db8_0000_0000, 1, 0x2001_0db8_0000_0000, 2, 0x30_3901_bb11]);
//! assert_eq!(hash(7, &lanes(&key)), 0x5a7a_2009_43ad_59d1);
//! assert_eq!(slot(hash(7, &lanes(&key)), 65_537), 23_162);
//! ```

/// One word of a key. A field of another width is a word of the next one, with zeros above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// 8 bits.
    W8(u8),
    /// 16 bits, as a number.
    W16(u16),
    /// 32 bits, as a number.
    W32(u32),
    /// 64 bits, as a number.
    W64(u64),
    /// 128 bits, as a number.
    W128(u128),
}

impl Word {
    /// Its value.
    fn value(self) -> u128 {
        match self {
            Word::W8(value) => value.into(),
            Word::W16(value) => value.into(),
            Word::W32(value) => value.into(),
            Word::W64(value) => value.into(),
            Word::W128(value) => value,
        }
    }

    /// Its width.
    fn bits(self) -> u32 {
        match self {
            Word::W8(_) => 8,
            Word::W16(_) => 16,
            Word::W32(_) => 32,
            Word::W64(_) => 64,
            Word::W128(_) => 128,
        }
    }
}

/// The words of a key as lanes.
pub fn lanes(key: &[Word]) -> Vec<u64> {
    let mut lanes = Vec::new();
    let mut room = 0;
    for word in key {
        let (bits, value) = (word.bits(), word.value());
        if bits == 128 {
            lanes.push((value >> 64) as u64);
        }
        let (bits, value) = (bits.min(64), value as u64);
        match lanes.last_mut() {
            Some(lane) if bits <= room => {
                *lane = *lane << bits | value;
                room -= bits;
            }
            _ => {
                lanes.push(value);
                room = 64 - bits;
            }
        }
    }
    lanes
}

/// The multiplier for each lane.
pub const STEP: u64 = 0xbf58_476d_1ce4_e5b9;
/// The last multiplier.
pub const LAST: u64 = 0x94d0_49bb_1331_11eb;

/// The hash of lanes. All of its 64 bits are good: the upper half chooses the slot, and the whole tells flows apart.
pub fn hash(seed: u64, lanes: &[u64]) -> u64 {
    let step = |state: u64, lane: &u64| {
        let state = state ^ lane;
        (state ^ state >> 30).wrapping_mul(STEP)
    };
    let state = lanes.iter().fold(seed, step);
    let state = (state ^ state >> 27).wrapping_mul(LAST);
    state ^ state >> 31
}

/// The hash of bytes: their number is the first lane, then come eight to a lane as a big-endian number, the last one with
/// zeros behind it.
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let lane = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_be_bytes(bytes)
    };
    let lanes: Vec<u64> = [bytes.len() as u64].into_iter().chain(bytes.chunks(8).map(lane)).collect();
    hash(seed, &lanes)
}

/// The seed of the hashes of a pool's flows: pools tell flows apart by themselves, and edges that know a pool by the same
/// name agree.
pub fn seed(pool: &str) -> u64 {
    hash_bytes(0, pool.as_bytes())
}

/// The slot of a hash in a ring of `size` slots, from 0.
pub fn slot(hash: u64, size: u32) -> u32 {
    (((hash >> 32) * u64::from(size)) >> 32) as u32
}
