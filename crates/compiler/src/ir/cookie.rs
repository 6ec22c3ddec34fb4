//! SYN cookies.

use super::{StatementId, Type, Value};

/// What the host's TCP is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CookieCall {
    /// To make a cookie for a SYN: the answer's sequence number, and from bit 32 on the largest segment; 0 if nobody listens for it, or the
    /// kernel makes none.
    Make,
    /// What an acknowledgement brings: an [`Acknowledged`](crate::sockets::Acknowledged).
    Check,
}

impl CookieCall {
    /// All calls and their names.
    pub const NAMES: [(CookieCall, &'static str); 2] =
        [(CookieCall::Make, "make"), (CookieCall::Check, "check")];

    /// The type of what comes back.
    pub fn ty(self) -> Type {
        match self {
            CookieCall::Make => Type::Int(48),
            CookieCall::Check => Type::Int(2),
        }
    }
}

/// Answers the SYN at the offset `packet` as the host would: addresses and ports change places, the sequence number and the largest
/// segment are those of a cookie ([`CookieCall::Make`]), and nothing of the packet is left but its link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SynAck {
    /// The statement.
    pub by: StatementId,
    /// Whether the packet is of IPv6.
    pub six: bool,
    /// Where the packet begins, as an offset from the frame's start, `u16`.
    pub packet: Value,
    /// `u48`
    pub cookie: Value,
}

impl SynAck {
    /// How many hops the answer may go.
    pub const HOPS: u8 = 64;
    /// How much it lets the client send: ten segments, which is what may be sent at first (RFC 6928). More is said as soon as the
    /// connection is there.
    pub const WINDOW: u16 = 14_600;
    /// The largest segment that it says at most, for IPv4 and IPv6: of a packet of 1,500 bytes.
    pub const LARGEST: [u16; 2] = [1460, 1440];
}
