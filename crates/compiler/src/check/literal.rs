//! Constants: what a literal means beside a value of a known type.

use super::{Typed, describe};
use crate::policy::{Family46, ValueType};
use crate::syntax::ast::{Literal, LiteralValue};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a literal does not go with a type.
pub(super) enum Misfit {
    /// It is of the other address family: the comparison is simply never true there.
    OtherFamily,
    /// It is something else altogether: what it is, for people.
    Kind(String),
    /// It is too large; the largest that fits.
    TooLarge(u128),
    /// Bits are set below the prefix length; the network that was probably meant.
    HostBits(String),
}

/// Where a value or prefix begins and ends.
pub(super) type Range = (u128, u128);

/// The range of values that a literal stands for beside a value of type `ty`.
pub(super) fn range(literal: &Literal, ty: ValueType, slice: bool) -> Result<Range, Misfit> {
    use LiteralValue as L;
    use ValueType as T;
    let one = |value: u128| Ok((value, value));
    match (&literal.value, ty) {
        (L::Int(value), T::Int(_) | T::Bool) => fit(*value, ty),
        (L::Int(value), T::Bytes(_)) if slice => fit(*value, ty),
        (L::Bool(value), T::Bool) => one(u128::from(*value)),
        (L::Bool(value), T::Int(1)) => one(u128::from(*value)),
        (L::Ip4(address), T::Ip4 | T::Ip) => one(u128::from(u32::from(*address))),
        (L::Ip6(address), T::Ip6 | T::Ip) => one(u128::from(*address)),
        (L::Ip4(address), T::Int(32) | T::Bytes(4)) if slice => one(u128::from(u32::from(*address))),
        (L::Ip6(address), T::Bytes(16)) if slice => one(u128::from(*address)),
        (L::Prefix4(address, length), T::Ip4 | T::Ip) => prefix4(*address, *length),
        (L::Prefix6(address, length), T::Ip6 | T::Ip) => prefix6(*address, *length),
        (L::Ip6(_) | L::Prefix6(..), T::Ip4) | (L::Ip4(_) | L::Prefix4(..), T::Ip6) => {
            Err(Misfit::OtherFamily)
        }
        (L::Mac(mac), T::Mac) => one(number(mac)),
        (L::Mac(mac), T::Int(48) | T::Bytes(6)) if slice => one(number(mac)),
        (L::Bytes(bytes), T::Int(bits)) if slice && bytes.len() * 8 == usize::from(bits) => {
            one(number(bytes))
        }
        (L::Bytes(bytes), T::Bytes(n)) if bytes.len() == usize::from(n) => one(number(bytes)),
        (value, _) => Err(Misfit::Kind(describe_literal(value))),
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte))
}

fn fit(value: u128, ty: ValueType) -> Result<Range, Misfit> {
    let max = if ty.bits() >= 128 { u128::MAX } else { (1 << ty.bits()) - 1 };
    if value > max { Err(Misfit::TooLarge(max)) } else { Ok((value, value)) }
}

fn prefix4(address: Ipv4Addr, length: u8) -> Result<Range, Misfit> {
    let bits = u32::from(address);
    let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    if bits & host != 0 {
        return Err(Misfit::HostBits(format!("{}/{length}", Ipv4Addr::from(bits & !host))));
    }
    Ok((u128::from(bits), u128::from(bits | host)))
}

fn prefix6(address: Ipv6Addr, length: u8) -> Result<Range, Misfit> {
    let bits = u128::from(address);
    let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    if bits & host != 0 {
        return Err(Misfit::HostBits(format!("{}/{length}", Ipv6Addr::from(bits & !host))));
    }
    Ok((bits, bits | host))
}

/// The family of an address or prefix.
pub(super) fn family(value: &LiteralValue) -> Option<Family46> {
    match value {
        LiteralValue::Ip4(_) | LiteralValue::Prefix4(..) => Some(Family46::V4),
        LiteralValue::Ip6(_) | LiteralValue::Prefix6(..) => Some(Family46::V6),
        _ => None,
    }
}

/// What a literal is, for people.
pub(super) fn describe_literal(value: &LiteralValue) -> String {
    match value {
        LiteralValue::Int(_) => "a number".into(),
        LiteralValue::Bool(_) => "a truth value".into(),
        LiteralValue::Ip4(_) => "an IPv4 address".into(),
        LiteralValue::Ip6(_) => "an IPv6 address".into(),
        LiteralValue::Prefix4(..) => "an IPv4 prefix".into(),
        LiteralValue::Prefix6(..) => "an IPv6 prefix".into(),
        LiteralValue::Mac(_) => "a MAC address".into(),
        LiteralValue::Bytes(bytes) => describe(ValueType::Bytes(bytes.len().min(255) as u8)),
        LiteralValue::Duration(_) => "a duration".into(),
        LiteralValue::Size(_) => "a size".into(),
        LiteralValue::Rate(_) => "a rate".into(),
    }
}

/// An integer literal as a term's value.
pub(super) fn integer(literal: &LiteralValue) -> Option<u128> {
    match literal {
        LiteralValue::Int(value) => Some(*value),
        LiteralValue::Bool(value) => Some(u128::from(*value)),
        _ => None,
    }
}

impl Typed {
    /// The range of values of a literal beside this term.
    pub(super) fn literal(&self, literal: &Literal) -> Result<Range, Misfit> {
        range(literal, self.ty, self.slice)
    }
}
