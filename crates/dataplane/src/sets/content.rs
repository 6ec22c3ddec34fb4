//! The policy's own elements of sets, as entries of maps.

use std::collections::HashMap;
use weir_compiler::codegen::set_map_names;
use weir_compiler::codegen::sets::{key_bytes, lpm_key_bytes};
use weir_compiler::ir::{Program, SetDecl, SetKind, SetRef};
use weir_compiler::lower::{Lowered, set_elements};
use weir_compiler::policy::Policy;

/// The value of an element that never expires.
pub(crate) const FOREVER: u64 = 0;

/// Which of a set's maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    /// The hash map.
    Hash,
    /// The trie.
    Trie,
}

/// Where an element of so many bits lives.
pub(crate) fn home(kind: SetKind, words: &[u8], bits: u32) -> Home {
    let whole: u32 = words.iter().map(|&width| u32::from(width)).sum();
    match kind {
        SetKind::Hash => Home::Hash,
        SetKind::Lpm => Home::Trie,
        SetKind::HashAndLpm if bits == whole => Home::Hash,
        SetKind::HashAndLpm => Home::Trie,
    }
}

/// The key of an element in its map.
pub(crate) fn key(decl: &SetDecl, home: Home, scalars: &[u64], bits: u32) -> Vec<u8> {
    match home {
        Home::Hash => key_bytes(decl, scalars),
        Home::Trie => lpm_key_bytes(decl, scalars, bits),
    }
}

/// All entries that the maps of a program begin with: map, key, value. The count of prefixes (`live`) is last, so
/// that it comes to stand when they do.
pub(crate) fn entries(policy: &Policy, lowered: &Lowered) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let program = &lowered.program;
    let mut entries = Vec::new();
    let mut prefixes = HashMap::new();
    for (index, part) in lowered.sets.iter().enumerate() {
        let (set, decl) = (SetRef(index as u32), &program.sets[index]);
        for (scalars, bits) in set_elements(policy, *part) {
            let home = home(decl.kind, &decl.words, bits);
            if home == Home::Trie && decl.kind == SetKind::HashAndLpm {
                *prefixes.entry(set.0).or_insert(0u64) += 1;
            }
            entries.push((map_name(program, set, home), key(decl, home, &scalars, bits), value(FOREVER)));
        }
    }
    let counts = prefixes
        .into_iter()
        .map(|(set, count)| ("live".to_owned(), set.to_ne_bytes().to_vec(), value(count)));
    entries.extend(counts);
    entries
}

/// The name of one of a set's maps.
fn map_name(program: &Program, set: SetRef, home: Home) -> String {
    let (hash, trie) = set_map_names(program, set);
    let name = match home {
        Home::Hash => hash,
        Home::Trie => trie,
    };
    name.unwrap_or_default()
}

/// A `u64` as maps hold it.
pub(crate) fn value(number: u64) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}
