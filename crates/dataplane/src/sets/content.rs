//! The policy's own elements of sets, as entries of maps.

use super::meta::PartMeta;
use weir_compiler::codegen::set_map_name;
use weir_compiler::codegen::sets::{key_bytes, lpm_key_bytes};
use weir_compiler::ir::{SetDecl, SetKind, SetRef};
use weir_compiler::lower::{Lowered, set_elements};
use weir_compiler::policy::Policy;

/// The value of an element that never expires.
pub(crate) const FOREVER: u64 = 0;

/// The key of an element in a hash map or a trie.
pub(crate) fn key(decl: &SetDecl, scalars: &[u64], bits: u32) -> Vec<u8> {
    match decl.kind {
        SetKind::Lpm => lpm_key_bytes(decl, scalars, bits),
        SetKind::Hash | SetKind::Index => key_bytes(decl, scalars),
    }
}

/// The keys of a part's own elements in its hash map or trie.
pub(crate) fn keys(part: &PartMeta, own: &[(Vec<u64>, u32)]) -> Vec<Vec<u8>> {
    let decl = part.decl(true);
    own.iter().map(|(scalars, bits)| key(&decl, scalars, *bits)).collect()
}

/// All entries that the maps of a program begin with: map, key, value. The value of a section may be shorter than it: the
/// rest is zeros.
pub(crate) fn entries(policy: &Policy, lowered: &Lowered) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    for (index, part) in (0..).zip(&lowered.sets) {
        let (set, decl) = (SetRef(index), &lowered.program.sets[index as usize]);
        let map = set_map_name(&lowered.program, set);
        match lowered.index(policy, set) {
            Some(index) => entries.push((map, vec![0; 4], bytes(&index))),
            None => {
                let elements = set_elements(policy, *part).into_iter();
                entries.extend(
                    elements.map(|(scalars, bits)| (map.clone(), key(decl, &scalars, bits), value(FOREVER))),
                );
            }
        }
    }
    entries
}

/// Words as a section holds them.
pub(crate) fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A `u64` as maps hold it.
pub(crate) fn value(number: u64) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}
