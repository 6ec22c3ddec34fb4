//! "Perhaps you meant": names that are close to a word.

/// The candidate closest to a word that nobody knows, if one is close enough to be meant. Swapped
/// neighbours count as one mistake; a third of the letters may be wrong, one in any case.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|c| !c.is_empty() && c.len().abs_diff(word.len()) <= most)
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= most && distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The language's word for another tool's (`dport` → `tcp.dstport`), by a table of such pairs.
pub fn translated<'a>(word: &str, synonyms: &[(&str, &'a str)]) -> Option<&'a str> {
    let found = synonyms.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(word))?;
    Some(found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[&str] = &["tcp.srcport", "tcp.dstport", "udp.dstport", "ip.src", "ip.ttl"];

    #[test]
    fn one_slip_is_found() {
        for (word, meant) in [
            ("tcp.dstprot", "tcp.dstport"),
            ("tcp.dst_port", "tcp.dstport"),
            ("ip.scr", "ip.src"),
            ("ip.tll", "ip.ttl"),
        ] {
            assert_eq!(nearest(word, FIELDS.iter().copied()), Some(meant));
        }
    }

    #[test]
    fn a_far_word_finds_nothing() {
        for word in ["dns.qry", "x", "", "ipv6.source"] {
            assert_eq!(nearest(word, FIELDS.iter().copied()), None);
        }
    }

    #[test]
    fn other_tools_words_are_translated() {
        let table = [("dport", "tcp.dstport"), ("ip.hop_limit", "ip6.hlim")];
        assert_eq!(translated("DPORT", &table), Some("tcp.dstport"));
        assert_eq!(translated("sport", &table), None);
    }
}
