//! What a `sample` says.

/// Bytes of a packet that are handed on unless the policy says otherwise: what sFlow agents send by custom.
pub const BYTES: u16 = 128;
/// The most: behind this no header is, and a record of the ring stays small.
pub const MOST_BYTES: u16 = 512;
/// Samples a second unless the policy says otherwise.
pub const BUDGET: u64 = 10_000;
/// How many statements of a policy may sample: each is a bit of a word, and its code stands in every program.
pub const MOST_SAMPLES: usize = 16;

/// One in N packets, at random, with their first bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// N, at least; more where there would be too many samples.
    pub one_in: u32,
    /// How many bytes of a packet are handed on.
    pub bytes: u16,
    /// How many samples there may be in a second, about.
    pub budget: u64,
}
