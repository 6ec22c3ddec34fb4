//! Text → tokens.
//!
//! Constants are only delimited here; `literal` reads them. That keeps the decision what a text such
//! as `10m` or `02:00:00:00:00:01` means in one place, and leaves the bytes of `hex(…)` alone.

use super::token::{Kind, Token};
use crate::diagnostic::{Code, Diagnostics};
use crate::source::{SourceId, Span};

/// Tokens, ending in [`Kind::End`], and comments.
pub(super) struct Lexed {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Span>,
}

/// What begins a comment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comments {
    /// `#`
    Hash,
    /// `#` or `;`, as in published address lists.
    HashOrSemicolon,
}

/// Cuts a whole text into tokens and reports characters that the language does not use.
pub(super) fn lex(text: &str, source: SourceId, comments: Comments, diagnostics: &mut Diagnostics) -> Lexed {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        source,
        style: comments,
        at: 0,
        fresh: true,
        unclosed_comment: false,
        refused: false,
        tokens: Vec::with_capacity(text.len() / 6),
        comments: Vec::new(),
        diagnostics,
    };
    lexer.run();
    Lexed { tokens: lexer.tokens, comments: lexer.comments }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    source: SourceId,
    style: Comments,
    at: usize,
    fresh: bool,
    unclosed_comment: bool,
    /// This line has had its unknown character.
    refused: bool,
    tokens: Vec<Token>,
    comments: Vec<Span>,
    diagnostics: &'a mut Diagnostics,
}

impl Lexer<'_> {
    fn run(&mut self) {
        // Spans count in 32 bits.
        if u32::try_from(self.bytes.len()).is_err() {
            let start = Span::new(self.source, 0, 0);
            self.diagnostics.report(Code::Expected, start, "a text of 4 GiB or more");
            self.bytes = &[];
        }
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while self.at < self.bytes.len() {
            self.step();
        }
        self.push(Kind::End, self.at);
    }

    fn step(&mut self) {
        match self.bytes[self.at] {
            b'\n' => {
                (self.fresh, self.refused) = (true, false);
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'#' => self.comment(),
            b';' if self.style == Comments::HashOrSemicolon => self.comment(),
            b'"' => self.quoted(),
            b'/' if matches!(self.peek(1), b'/' | b'*') => self.foreign_comment(),
            _ => self.word_or_sign(),
        }
    }

    fn word_or_sign(&mut self) {
        let first = self.bytes[self.at];
        if let Some(end) = constant_end(self.bytes, self.at) {
            self.push(Kind::Constant, end);
        } else if first.is_ascii_alphabetic() || first == b'_' {
            self.push(Kind::Word, word_end(self.bytes, self.at));
        } else if let Some((kind, length)) = sign(first, self.peek(1)) {
            self.push(kind, self.at + length);
        } else {
            self.unknown();
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(b'\n')
    }

    fn push(&mut self, kind: Kind, end: usize) {
        let (start, fresh) = (self.at as u32, self.fresh);
        self.tokens.push(Token { kind, fresh, start, end: end as u32 });
        self.at = end;
        self.fresh = false;
    }

    fn span(&self, end: usize) -> Span {
        Span::new(self.source, self.at as u32, end as u32)
    }

    fn line_end(&self) -> usize {
        let rest = &self.bytes[self.at..];
        let line = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let carriage_returns = rest[..line].iter().rev().take_while(|&&b| b == b'\r');
        self.at + line - carriage_returns.count()
    }

    fn comment(&mut self) {
        let end = self.line_end();
        self.comments.push(self.span(end));
        self.at = end;
    }

    fn foreign_comment(&mut self) {
        let end = match self.peek(1) {
            b'*' if !self.unclosed_comment => self.text[self.at + 2..].find("*/").map(|n| self.at + n + 4),
            _ => None,
        };
        // Searched once: a text full of `/*` is still read in linear time.
        self.unclosed_comment |= end.is_none() && self.peek(1) == b'*';
        let span = self.span(self.at + 2);
        self.diagnostics
            .report(Code::Character, span, "a comment begins with `#`")
            .help("write `#` before each line of the comment");
        let end = end.unwrap_or_else(|| self.line_end());
        let lines = self.bytes[self.at..end].contains(&b'\n');
        self.push(Kind::Bad, end);
        self.fresh = lines;
    }

    fn quoted(&mut self) {
        let mut end = self.at + 1;
        loop {
            match self.bytes.get(end) {
                None | Some(b'\n') => return self.unclosed_text(),
                Some(b'"') => break,
                Some(b'\\') if end + 1 < self.bytes.len() && self.bytes[end + 1] != b'\n' => {
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        self.push(Kind::Text, end + 1);
    }

    fn unclosed_text(&mut self) {
        let end = self.line_end();
        self.diagnostics
            .report(Code::BadLiteral, self.span(end), "a quoted text that does not end on its line")
            .help("close it with `\"`; a line break inside is written `\\n`");
        self.push(Kind::Bad, end);
    }

    fn unknown(&mut self) {
        let run = self.text[self.at..]
            .char_indices()
            .take_while(|&(_, c)| !c.is_ascii() || (is_unknown(c) && c != '\n'));
        let length = run.last().map_or(1, |(i, c)| i + c.len_utf8());
        let shown = self.text[self.at..self.at + length].chars().next().unwrap_or(' ');
        let span = self.span(self.at + length);
        // One for a line is enough: quotes come in pairs.
        if !std::mem::replace(&mut self.refused, true) {
            let diagnostic = self.diagnostics.report(Code::Character, span, unused_character(shown));
            if let Some(help) = character_help(shown) {
                diagnostic.help(help);
            }
        }
        self.push(Kind::Bad, self.at + length);
    }
}

fn unused_character(c: char) -> String {
    match c.is_control() {
        true => format!("the language does not use the character `{}`", c.escape_default()),
        false => format!("the language does not use the character `{c}`"),
    }
}

fn is_unknown(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !" \t\r\n#\"_{}()[],:./+-*&=!<>".contains(c)
}

fn character_help(c: char) -> Option<&'static str> {
    match c {
        '“' | '”' | '‘' | '’' | '\'' | '`' => Some("write text in straight double quotes: `\"…\"`"),
        ';' => Some("a statement ends with its line"),
        '|' => Some("write `or` between conditions"),
        '~' => Some("`matches` is not in this version; compare a slice: `payload[0:4] == \"GET \"`"),
        '%' => Some("an address is written without its zone"),
        '$' | '@' => Some("a set is named without a sign before it: `ip.src in friends`"),
        _ => None,
    }
}

/// A sign and its length.
fn sign(first: u8, second: u8) -> Option<(Kind, usize)> {
    let two = match (first, second) {
        (b'=', b'=') => Kind::Equal,
        (b'=', b'>') => Kind::Arrow,
        (b'!', b'=') => Kind::NotEqual,
        (b'<', b'=') => Kind::LessEqual,
        (b'>', b'=') => Kind::GreaterEqual,
        (b'.', b'.') => Kind::Range,
        (b'&', b'&') => Kind::AndAnd,
        (b'|', b'|') => Kind::OrOr,
        _ => return single_sign(first).map(|kind| (kind, 1)),
    };
    Some((two, 2))
}

fn single_sign(byte: u8) -> Option<Kind> {
    Some(match byte {
        b'{' => Kind::OpenBrace,
        b'}' => Kind::CloseBrace,
        b'(' => Kind::OpenParen,
        b')' => Kind::CloseParen,
        b'[' => Kind::OpenBracket,
        b']' => Kind::CloseBracket,
        b',' => Kind::Comma,
        b':' => Kind::Colon,
        b'.' => Kind::Dot,
        b'/' => Kind::Slash,
        b'+' => Kind::Plus,
        b'-' => Kind::Minus,
        b'*' => Kind::Star,
        b'&' => Kind::Ampersand,
        b'=' => Kind::Assign,
        b'<' => Kind::Less,
        b'>' => Kind::Greater,
        b'!' => Kind::Bang,
        _ => return None,
    })
}

/// The end of a name; a `-` belongs to it only between letters or digits.
fn word_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start + 1;
    while let Some(&byte) = bytes.get(end) {
        let inner_dash = byte == b'-'
            && bytes[end - 1].is_ascii_alphanumeric()
            && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || inner_dash) {
            break;
        }
        end += 1;
    }
    end
}

/// The end of a constant, if one begins at `start`.
fn constant_end(bytes: &[u8], start: usize) -> Option<usize> {
    let first = bytes[start];
    if !(first.is_ascii_hexdigit() || first == b':') {
        return None;
    }
    address_end(bytes, start).or_else(|| first.is_ascii_digit().then(|| number_end(bytes, start)))
}

/// The end of an IPv6 or MAC address. Two colons tell it: `add`, `face:` and the `12:2` of a slice
/// have fewer.
fn address_end(bytes: &[u8], start: usize) -> Option<usize> {
    let run = skip(bytes, start, |b| b.is_ascii_hexdigit() || b == b':');
    let colons = bytes[start..run].iter().filter(|&&b| b == b':').count();
    if colons < 2 {
        return None;
    }
    // The garbage after an address belongs to it, so that one message names the whole.
    let end = dotted_end(bytes, skip(bytes, run, |b| is_word_byte(b) || b == b':'));
    Some(slash_end(bytes, end, u8::is_ascii_alphanumeric))
}

/// The end of what begins with a digit: a number with its unit, an IPv4 address, a rate.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let plain = skip(bytes, start, is_word_byte);
    let end = dotted_end(bytes, plain);
    if end > plain {
        slash_end(bytes, end, u8::is_ascii_alphanumeric)
    } else {
        // `24/56` is a key's two prefix lengths, `500/s` a rate.
        slash_end(bytes, end, u8::is_ascii_alphabetic)
    }
}

/// Goes on over `.1`, but not over the `..` of a range.
fn dotted_end(bytes: &[u8], mut end: usize) -> usize {
    while bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = skip(bytes, end + 1, is_word_byte);
    }
    end
}

/// Goes on over `/` and what follows it, if that begins as told.
fn slash_end(bytes: &[u8], end: usize, begins: fn(&u8) -> bool) -> usize {
    if bytes.get(end) == Some(&b'/') && bytes.get(end + 1).is_some_and(begins) {
        dotted_end(bytes, skip(bytes, end + 1, is_word_byte))
    } else {
        end
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn skip(bytes: &[u8], start: usize, more: impl Fn(u8) -> bool) -> usize {
    start + bytes[start..].iter().take_while(|&&b| more(b)).count()
}
