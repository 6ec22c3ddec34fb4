//! A rule's line → words → options with their values.

/// A word of a rule; what stood in quotes is never an option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// `! --dports 80,443`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Opt {
    pub(super) negated: bool,
    /// With its hyphens.
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

impl Word {
    fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }

    fn is_option(&self) -> bool {
        !self.quoted && self.text.starts_with('-') && self.text.len() > 1
    }
}

/// Splits as iptables-restore does: at spaces, except in double quotes, where a backslash escapes.
pub(super) fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let Some(&first) = letters.peek() else { return Ok(words) };
        let quoted = first == '"';
        if quoted {
            letters.next();
        }
        words.push(Word { text: word(&mut letters, quoted)?, quoted });
    }
}

fn word(letters: &mut impl Iterator<Item = char>, quoted: bool) -> Result<String, String> {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => text.extend(letters.next()),
            '"' if quoted => return Ok(text),
            letter if letter.is_whitespace() && !quoted => return Ok(text),
            letter => text.push(letter),
        }
    }
    if quoted { Err("a quoted text does not end".into()) } else { Ok(text) }
}

/// What is matched, and from `-j` or `-g` on what is done.
pub(super) fn parts(words: &[Word]) -> (&[Word], &[Word]) {
    let is_target = |word: &Word| ["-j", "--jump", "-g", "--goto"].iter().any(|name| word.is(name));
    words.split_at(words.iter().position(is_target).unwrap_or(words.len()))
}

/// The options of a rule.
pub(super) fn options(words: &[Word]) -> Result<Vec<Opt>, String> {
    let mut options: Vec<Opt> = Vec::new();
    let mut negated = false;
    for word in words {
        match options.last_mut() {
            _ if word.is("!") => negated = true,
            _ if word.is_option() => {
                options.push(Opt { negated, name: word.text.clone(), values: Vec::new() });
                negated = false;
            }
            Some(option) if !negated => option.values.push(word.text.clone()),
            Some(_) => return Err("`!` stands before an option, not before its value".into()),
            None => return Err(format!("`{}` belongs to no option", word.text)),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        let words =
            split(r#"-A INPUT -m comment --comment "a \"b\" -j c" ! -s 10.0.0.1 -j ACCEPT"#).expect("words");
        assert_eq!(words[5], Word { text: r#"a "b" -j c"#.into(), quoted: true });
        let (matches, target) = parts(&words[2..]);
        assert_eq!(target.len(), 2);
        let options = options(matches).expect("options");
        assert_eq!(options.len(), 3);
        assert!(options[2].negated && options[2].values == ["10.0.0.1"]);
        assert!(split(r#"-A INPUT "open"#).is_err());
    }
}
