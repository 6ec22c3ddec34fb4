//! Values as policies write them.

use crate::dice::Dice;
use std::net::{Ipv4Addr, Ipv6Addr};
use weir_compiler::policy::ValueType;

/// One value.
pub(crate) fn literal(dice: &mut Dice, ty: ValueType, slice: bool, value: u128) -> String {
    match ty {
        ValueType::Bool if dice.percent(50) => (value & 1 != 0).to_string(),
        ValueType::Bool => (value & 1).to_string(),
        ValueType::Int(32) if slice && dice.one_in(6) => Ipv4Addr::from(value as u32).to_string(),
        ValueType::Int(48) if slice && dice.one_in(4) => mac(value),
        ValueType::Int(bits) if slice && dice.one_in(4) => bytes(value, bits / 8),
        ValueType::Int(_) => integer(dice, value),
        ValueType::Ip4 => Ipv4Addr::from(value as u32).to_string(),
        ValueType::Ip6 | ValueType::Ip => Ipv6Addr::from(value).to_string(),
        ValueType::Mac => mac(value),
        ValueType::Bytes(n) => bytes(value, n),
    }
}

pub(crate) fn integer(dice: &mut Dice, value: u128) -> String {
    match dice.below(8) {
        0 | 1 => format!("{value:#x}"),
        2 if value < 4096 => format!("{value:#b}"),
        3 if value != 0 && value.is_multiple_of(1000) => format!("{}k", value / 1000),
        _ => value.to_string(),
    }
}

fn mac(value: u128) -> String {
    let bytes: Vec<_> = value.to_be_bytes()[10..].iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

/// A string of `n` bytes.
pub(crate) fn bytes(value: u128, n: u8) -> String {
    let bytes = &value.to_be_bytes()[16 - usize::from(n)..];
    let text: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{text}\"")
}

/// A prefix of an address, of a random length.
pub(crate) fn prefix(dice: &mut Dice, ty: ValueType, value: u128) -> String {
    let width = u32::from(ty.bits());
    let length = dice.below(width as usize + 1) as u32;
    let host = if width == length { 0 } else { u128::MAX >> (128 - (width - length)) };
    let network = value & !host;
    match ty {
        ValueType::Ip4 => format!("{}/{length}", Ipv4Addr::from(network as u32)),
        _ => format!("{}/{length}", Ipv6Addr::from(network)),
    }
}

/// A value, a range or a prefix in which `value` lies.
pub(crate) fn element(dice: &mut Dice, ty: ValueType, slice: bool, value: u128, single: bool) -> String {
    let address = matches!(ty, ValueType::Ip4 | ValueType::Ip6);
    let max = u128::MAX >> (128 - u32::from(ty.bits()));
    match dice.below(10) {
        0..=2 if address && !single => prefix(dice, ty, value),
        3 | 4 if !single && ty != ValueType::Bool => {
            let width = 1u128 << dice.below(usize::from(ty.bits()).min(100));
            let low = value.saturating_sub(dice.wide() % width);
            let high = value.saturating_add(dice.wide() % width).min(max);
            format!("{}..{}", plain(ty, low), plain(ty, high))
        }
        _ => literal(dice, ty, slice, value),
    }
}

/// Without a choice of how.
fn plain(ty: ValueType, value: u128) -> String {
    match ty {
        ValueType::Int(_) | ValueType::Bool => value.to_string(),
        ValueType::Mac => mac(value),
        ValueType::Bytes(n) => bytes(value, n),
        ValueType::Ip4 => Ipv4Addr::from(value as u32).to_string(),
        ValueType::Ip6 | ValueType::Ip => Ipv6Addr::from(value).to_string(),
    }
}
