//! A mitigation in etcd: one statement, as text.

use weir_dataplane::protect::Taking;

/// What an edge wants to know of a mitigation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// It only counts.
    pub(crate) in_shadow: bool,
    /// As it stands in the edge's policy.
    pub(crate) text: String,
}

/// What the statement says, or why the text is none that an edge would run: it must be one `drop` or `limit`, so that a
/// key in etcd can do no more to a policy than that. Sources in the set `never` of the edge's policy are left out of it.
pub(crate) fn read(text: &str, never: Option<&str>) -> Result<Told, String> {
    let taking = Taking::read("mitigation", text).map_err(|told| told.message())?;
    let Taking { statement, .. } = &taking;
    let name = statement.name.as_ref().ok_or("it has no name")?;
    Ok(Told { name: name.text.clone(), in_shadow: statement.shadow, text: taking.text(never) })
}

/// Statements as they stand in a policy, with their comments: a line each, and by their names.
pub(crate) fn split(text: &str) -> Vec<(String, String)> {
    let (mut all, mut one) = (Vec::new(), String::new());
    for line in text.lines() {
        one.push_str(line);
        one.push('\n');
        if !line.trim_start().starts_with('#') {
            let text = std::mem::take(&mut one);
            all.extend(read(&text, None).ok().map(|told| (told.name, told.text)));
        }
    }
    all
}

/// The number in a mitigation's name.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.strip_prefix("mitigation_")?.split('_').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{read, split};

    #[test]
    fn what_stands_is_read_back_however_it_was_written() {
        let written =
            ["# why\ndrop a when udp.srcport in { 53, # DNS\n    123 }", "limit b when tcp to 10/s"];
        let texts = written.map(|text| read(text, Some("protected")).unwrap().text);
        let read: Vec<(String, String)> = split(&texts.concat());
        assert_eq!(read, [("a".to_owned(), texts[0].clone()), ("b".to_owned(), texts[1].clone())]);
    }

    #[test]
    fn only_one_statement_that_takes_packets_away() {
        let told = |text: &str| read(text, None).map(|told| (told.name, told.in_shadow)).unwrap();
        assert_eq!(told("# why\nshadow drop a when udp\n"), ("a".to_owned(), true));
        assert_eq!(told("likely shadow drop a when udp\n"), ("a".to_owned(), true));
        assert_eq!(told("limit b when udp to 10/s per ip.src/24/56"), ("b".to_owned(), false));
        for (text, why) in [
            ("", "not one statement"),
            ("default drop", "not one statement"),
            ("drop a when udp\ndrop b when tcp", "not one statement"),
            ("include \"/etc/shadow\"", "not one statement"),
            ("pass all", "neither"),
            ("drop when udp", "no name"),
        ] {
            let told = read(text, None).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        assert!(read("drop a when (", None).is_err());
    }
}
