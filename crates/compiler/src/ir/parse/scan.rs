//! Reads words, numbers and strings from one line.

use super::Expected;

#[derive(Clone)]
pub(super) struct Scan<'a> {
    rest: &'a str,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Scan<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest.trim()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty() || self.rest.starts_with('#')
    }

    /// Takes punctuation, or any other fixed text.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes a word that does not go on behind it.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let mut ahead = self.clone();
        let found = ahead.eat(word) && !ahead.rest.starts_with(is_word);
        if found {
            *self = ahead;
        }
        found
    }

    pub(super) fn expect(&mut self, text: &str) -> Expected<()> {
        if self.eat(text) { Ok(()) } else { Err(format!("expected `{text}`")) }
    }

    pub(super) fn word(&mut self) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A number, decimal or hexadecimal.
    pub(super) fn number<T: TryFrom<u64>>(&mut self) -> Expected<T> {
        let word = self.word();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        let number = number.map_err(|_| format!("expected a number, not `{word}`"))?;
        T::try_from(number).map_err(|_| format!("{number} is too large here"))
    }

    /// A letter or word with a number right behind it, such as `v12`.
    pub(super) fn entity(&mut self, prefix: &str) -> Option<u32> {
        let mut ahead = self.clone();
        let index = ahead.word().strip_prefix(prefix)?.parse().ok()?;
        *self = ahead;
        Some(index)
    }

    /// Items with commas between them, up to `close`.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Expected<T>,
    ) -> Expected<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    /// A file's name: in quotes, or up to the next colon.
    pub(super) fn path(&mut self) -> Expected<String> {
        self.skip_space();
        if self.rest.starts_with('"') {
            return self.string();
        }
        let (path, _) = self.rest.split_once(':').ok_or("expected a file's name")?;
        self.rest = &self.rest[path.len()..];
        Ok(path.into())
    }

    /// A string as Rust writes it for debugging.
    pub(super) fn string(&mut self) -> Expected<String> {
        self.expect("\"")?;
        let mut text = String::new();
        loop {
            let c = self.next()?;
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    fn next(&mut self) -> Expected<char> {
        let mut chars = self.rest.chars();
        let c = chars.next().ok_or("the string has no end")?;
        self.rest = chars.as_str();
        Ok(c)
    }

    fn escape(&mut self) -> Expected<char> {
        Ok(match self.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => return self.code_point(),
            c => c,
        })
    }

    fn code_point(&mut self) -> Expected<char> {
        let (digits, rest) =
            self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or("expected `{`")?;
        self.rest = rest;
        let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        code.ok_or_else(|| format!("`{digits}` is no character"))
    }
}
