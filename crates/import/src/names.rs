//! Names that the language takes, each once, and addresses as it writes them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Words that have a place of their own in a statement, and the default's name.
const TAKEN: [&str; 15] = [
    "and", "or", "not", "when", "in", "to", "burst", "per", "max", "timeout", "from", "by", "via", "default",
    "inner",
];

/// Longer ones would push the conditions off the page.
const LONGEST: usize = 40;

/// Names that were given, and the number that the next of each is to have.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, u32>);

impl Names {
    /// The wanted name, or the first of `name_2`, `name_3` … that is free.
    pub(crate) fn give(&mut self, wanted: &str) -> String {
        let wanted = name(wanted);
        let mut given = wanted.clone();
        while self.0.contains_key(&given) {
            let number = self.0.entry(wanted.clone()).or_insert(2);
            given = format!("{wanted}_{number}");
            *number += 1;
        }
        self.0.insert(given.clone(), 2);
        given
    }
}

/// A text as a name: letters, digits and `_`, a letter first.
pub(crate) fn name(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars() {
        match letter {
            _ if name.len() == LONGEST => break,
            letter if letter.is_ascii_alphanumeric() => name.push(letter),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "rule".into(),
        Some(first) if first.is_ascii_digit() || TAKEN.contains(&name) => format!("_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// An Ethernet address as the language writes it.
pub(crate) fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_byte = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
    (parts.len() == 6 && parts.iter().all(is_byte)).then(|| text.to_ascii_lowercase())
}

/// A prefix as the language writes it, without the bits below its length; nothing if there is none of that
/// length.
pub(crate) fn network(address: IpAddr, length: u8) -> Option<String> {
    let network = |address: IpAddr, whole: u8| match length == whole {
        true => address.to_string(),
        false => format!("{address}/{length}"),
    };
    match address {
        IpAddr::V4(address) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some(network(Ipv4Addr::from(u32::from(address) & mask).into(), 32))
        }
        IpAddr::V6(address) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Some(network(Ipv6Addr::from(u128::from(address) & mask).into(), 128))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_name() {
        assert_eq!(name("allow SSH (office)"), "allow_SSH_office");
        assert_eq!(name("22"), "_22");
        assert_eq!(name("in"), "_in");
        assert_eq!(name("…"), "rule");
        assert_eq!(name(&"a".repeat(100)).len(), LONGEST);
        let mut names = Names::default();
        assert_eq!([names.give("a"), names.give("a"), names.give("a")], ["a", "a_2", "a_3"]);
    }
}
