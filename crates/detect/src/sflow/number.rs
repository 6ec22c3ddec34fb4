//! What tells structures apart.

use std::fmt;

/// The number of a structure: an enterprise's 20 bits above 12 bits that count its structures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Number(pub u32);

impl Number {
    /// A structure of sflow.org.
    pub(super) const fn standard(format: u32) -> Number {
        Number(format)
    }

    /// A structure of ours, by RFC 5612's number for examples.
    pub(super) const fn ours(format: u32) -> Number {
        Number(32473 << 12 | format)
    }

    /// Whose structure it is; 0 is sflow.org.
    pub const fn enterprise(self) -> u32 {
        self.0 >> 12
    }

    /// Which of the enterprise's structures.
    pub const fn format(self) -> u32 {
        self.0 & 0xfff
    }
}

/// `0:1037`, as sflow.org's list writes them.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.enterprise(), self.format())
    }
}

// Samples.
pub(super) const FLOW: Number = Number::standard(1);
pub(super) const COUNTERS: Number = Number::standard(2);
pub(super) const FLOW_EXPANDED: Number = Number::standard(3);
pub(super) const COUNTERS_EXPANDED: Number = Number::standard(4);
pub(super) const DISCARDED: Number = Number::standard(5);

// Records of flow samples and discarded packets.
pub(super) const SAMPLED_HEADER: Number = Number::standard(1);
pub(super) const EXTENDED_ACL: Number = Number::standard(1037);
pub(super) const DECISION: Number = Number::ours(1);

// Records of counter samples.
pub(super) const INTERFACE: Number = Number::standard(1);
pub(super) const STATEMENT: Number = Number::ours(1);
