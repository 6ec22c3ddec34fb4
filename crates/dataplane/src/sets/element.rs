//! Elements as text: read as the policy would read them, written as it would write them.

use super::content::FOREVER;
use super::meta::{Kind, PartMeta, SetMeta, type_of};
use crate::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_compiler::diagnostic::Diagnostics;
use weir_compiler::index::{Key, Prefix};
use weir_compiler::lower::scalars;
use weir_compiler::plan::ranges_to_prefixes;
use weir_compiler::policy::ValueType;
use weir_compiler::source::{SourceId, Sources, Span};
use weir_compiler::syntax::ast::{Element, Literal, LiteralValue};
use weir_compiler::syntax::parse_literal;

/// An element as a map holds it: in which part of the set, its scalars and how many bits of them count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parsed {
    pub(crate) part: usize,
    pub(crate) scalars: Vec<u64>,
    pub(crate) bits: u32,
}

type Range = (u128, u128);

/// Reads one element of a set. A range of addresses is several prefixes.
pub(crate) fn parse(set: &SetMeta, text: &str) -> Result<Vec<Parsed>, Error> {
    let bad = |why: String| Error::BadElement { set: set.name.clone(), text: text.to_owned(), why };
    let element = address(text).map_or_else(|| element(text), Ok).map_err(bad)?;
    let items = match element {
        Element::Tuple(items, _) => items,
        other => vec![other],
    };
    if items.len() != set.types.len() {
        let (wanted, found) = (set.types.len(), items.len());
        let types = set.types.join(", ");
        return Err(bad(format!(
            "an element has {wanted} value{} ({types}), this has {found}",
            plural(wanted)
        )));
    }
    let mut family = None;
    let mut ranges = Vec::new();
    for (item, ty) in items.iter().zip(&set.types) {
        let (range, its) = item_range(item, type_of(ty)).map_err(bad)?;
        if ty == "ip" {
            if family.is_some_and(|seen| seen != its) {
                return Err(bad("an element is of one address family".into()));
            }
            family = Some(its);
        }
        ranges.push(range);
    }
    let family = family.flatten();
    let part = set.parts.iter().position(|part| part.family == family);
    let part = part.ok_or_else(|| bad("the set has no such part".into()))?;
    entries(&set.parts[part], part, &ranges).map_err(bad)
}

fn entries(part: &PartMeta, index: usize, ranges: &[Range]) -> Result<Vec<Parsed>, String> {
    if let ([width], [(low, high)], Kind::Index) = (part.widths.as_slice(), ranges, part.kind) {
        let prefixes = ranges_to_prefixes(*width, *low, *high).into_iter();
        let one = |(first, length)| Parsed {
            part: index,
            scalars: scalars(*width, first),
            bits: u32::from(length),
        };
        return Ok(prefixes.map(one).collect());
    }
    if ranges.iter().any(|(low, high)| low != high) {
        return Err(
            "only sets of addresses alone hold ranges and prefixes while running; give single values".into(),
        );
    }
    let values = part.widths.iter().zip(ranges);
    let scalars = values.flat_map(|(width, (value, _))| scalars(*width, *value)).collect();
    let bits = part.words.iter().map(|&width| u32::from(width)).sum();
    Ok(vec![Parsed { part: index, scalars, bits }])
}

/// An address or a prefix that is written plainly, as nearly all of a long list are: the language's parser takes several
/// times as long, and is asked for all else.
fn address(text: &str) -> Option<Element> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(plain_length(length)?)),
        None => (text, None),
    };
    let value = match (address.parse().ok()?, length) {
        (IpAddr::V4(address), None) => LiteralValue::Ip4(address),
        (IpAddr::V4(address), Some(length @ ..=32)) => LiteralValue::Prefix4(address, length),
        (IpAddr::V6(address), None) => LiteralValue::Ip6(address),
        (IpAddr::V6(address), Some(length @ ..=128)) => LiteralValue::Prefix6(address, length),
        _ => return None,
    };
    Some(Element::One(Literal { value, span: Span::new(SourceId(0), 0, 0) }))
}

fn plain_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn element(text: &str) -> Result<Element, String> {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let id = sources.add("element", text);
    let element = parse_literal(&sources, id, &mut diagnostics);
    let first = diagnostics.iter().next().map(|found| match &found.help {
        Some(help) => format!("{}; {help}", found.message),
        None => found.message.clone(),
    });
    match (element, first) {
        (Some(element), None) => Ok(element),
        (_, Some(message)) => Err(message),
        (None, None) => Err("it cannot be read".into()),
    }
}

fn item_range(item: &Element, ty: ValueType) -> Result<(Range, Option<u8>), String> {
    let (low, high) = match item {
        Element::One(literal) => (literal, literal),
        Element::Range(low, high) => (low, high),
        Element::Tuple(..) => return Err("it is a tuple inside a tuple".into()),
    };
    let ((first, _), family) = literal_range(low, ty)?;
    let ((_, last), other) = literal_range(high, ty)?;
    if family != other {
        return Err("the range is of two address families".into());
    }
    if first > last {
        return Err("the range ends before it begins".into());
    }
    Ok(((first, last), family))
}

fn literal_range(literal: &Literal, ty: ValueType) -> Result<(Range, Option<u8>), String> {
    use LiteralValue as L;
    use ValueType as T;
    let one = |value: u128| Ok(((value, value), None));
    let number = |bytes: &[u8]| bytes.iter().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
    match (&literal.value, ty) {
        (L::Int(value), T::Int(_) | T::Bool | T::Bytes(_)) => fit(*value, ty.bits()).and_then(one),
        (L::Bool(value), T::Bool | T::Int(1)) => one(u128::from(*value)),
        (L::Ip4(address), T::Ip4 | T::Ip) => prefix4(*address, 32),
        (L::Prefix4(address, length), T::Ip4 | T::Ip) => prefix4(*address, *length),
        (L::Ip6(address), T::Ip6 | T::Ip) => prefix6(*address, 128),
        (L::Prefix6(address, length), T::Ip6 | T::Ip) => prefix6(*address, *length),
        (L::Ip4(address), T::Bytes(4)) => one(u128::from(u32::from(*address))),
        (L::Ip6(address), T::Bytes(16)) => one(u128::from(*address)),
        (L::Mac(mac), T::Mac | T::Bytes(6)) => one(number(mac)),
        (L::Bytes(bytes), T::Bytes(length)) if bytes.len() == usize::from(length) => one(number(bytes)),
        _ => Err(format!("expected {}", type_words(ty))),
    }
}

fn fit(value: u128, bits: u8) -> Result<u128, String> {
    let max = u128::MAX >> (128 - u32::from(bits));
    if value > max { Err(format!("the largest value is {max}")) } else { Ok(value) }
}

fn prefix4(address: Ipv4Addr, length: u8) -> Result<(Range, Option<u8>), String> {
    let (bits, host) = (u32::from(address), u32::MAX.checked_shr(length.into()).unwrap_or(0));
    if bits & host != 0 {
        return Err(format!(
            "it has bits beyond its length, perhaps `{}/{length}` is meant",
            Ipv4Addr::from(bits & !host)
        ));
    }
    Ok(((bits.into(), (bits | host).into()), Some(4)))
}

fn prefix6(address: Ipv6Addr, length: u8) -> Result<(Range, Option<u8>), String> {
    let (bits, host) = (u128::from(address), u128::MAX.checked_shr(length.into()).unwrap_or(0));
    if bits & host != 0 {
        return Err(format!(
            "it has bits beyond its length, perhaps `{}/{length}` is meant",
            Ipv6Addr::from(bits & !host)
        ));
    }
    Ok(((bits, bits | host), Some(6)))
}

fn type_words(ty: ValueType) -> String {
    match ty {
        ValueType::Int(bits) => format!("a number of {bits} bits"),
        ValueType::Bool => "`true` or `false`".into(),
        ValueType::Ip4 => "an IPv4 address or prefix".into(),
        ValueType::Ip6 => "an IPv6 address or prefix".into(),
        ValueType::Ip => "an IP address or prefix".into(),
        ValueType::Mac => "a MAC address".into(),
        ValueType::Bytes(bytes) => format!("{bytes} bytes"),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The text of an entry of a hash map.
pub(crate) fn hash_text(set: &SetMeta, part: &PartMeta, key: &[u8]) -> String {
    let mut scalars = hash_scalars(&part.words, key).into_iter();
    let values = part.widths.iter().map(|&width| {
        let parts = weir_compiler::table::words(width).count();
        scalars.by_ref().take(parts).fold(0u128, |value, scalar| value << 64 | u128::from(scalar))
    });
    let text: Vec<String> =
        values.zip(&set.types).map(|(value, ty)| value_text(value, type_of(ty), part.family)).collect();
    match text.as_slice() {
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    }
}

/// The scalars of a key, for the order of a list: they are laid out as [`weir_compiler::codegen::sets`] says.
pub(crate) fn hash_scalars(words: &[u8], key: &[u8]) -> Vec<u64> {
    let mut end = 0usize;
    let scalar = |bits: &u8| {
        let bytes = usize::from(*bits).div_ceil(8).next_power_of_two();
        let offset = end.next_multiple_of(bytes);
        end = offset + bytes;
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&key[offset..end]);
        u64::from_le_bytes(word)
    };
    words.iter().map(scalar).collect()
}

/// The text of an element of an index.
pub(crate) fn prefix_text(set: &SetMeta, part: &PartMeta, key: Key, prefix: Prefix) -> String {
    let (ty, length) = (type_of(&set.types[0]), u32::from(prefix.length));
    let first = key.value(prefix);
    let text = |value: u128| value_text(value, ty, part.family);
    match ty {
        _ if length == key.bits() => text(first),
        ValueType::Ip | ValueType::Ip4 | ValueType::Ip6 => format!("{}/{length}", text(first)),
        _ => format!("{}..{}", text(first), text(first | u128::MAX >> (128 - key.bits() + length))),
    }
}

/// How long an element that has not expired still lives.
pub(crate) fn left(expiry: u64, now: u64) -> Option<u64> {
    (expiry != FOREVER).then(|| expiry.saturating_sub(now))
}

fn value_text(value: u128, ty: ValueType, family: Option<u8>) -> String {
    match (ty, family) {
        (ValueType::Ip4, _) | (ValueType::Ip, Some(4)) => Ipv4Addr::from(value as u32).to_string(),
        (ValueType::Ip6 | ValueType::Ip, _) => Ipv6Addr::from(value).to_string(),
        (ValueType::Int(_), _) => value.to_string(),
        (ValueType::Bool, _) => (value != 0).to_string(),
        (ValueType::Mac, _) => {
            let bytes = &value.to_be_bytes()[10..];
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
        }
        (ValueType::Bytes(bytes), _) => format!("{value:#0width$x}", width = usize::from(bytes) * 2 + 2),
    }
}
