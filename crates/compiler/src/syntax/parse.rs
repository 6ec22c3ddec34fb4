//! Tokens → syntax tree, by recursive descent.
//!
//! An error is told once for its line; then the parser goes on with the next line or item, so that
//! all errors of a text are told at once.

mod element;
mod expr;
mod file;
mod packet;
mod pool;
mod protocol;
mod sample;
mod statement;
mod words;

use super::ast::{Element, Expr, File, Name, Packet, Path, Segment, Str};
use super::lex::{Comments, Lexed, lex};
use super::literal;
use super::token::{Kind, Token};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{SourceId, Sources, Span};
use std::collections::HashSet;

/// Parses a policy, an included file or a protocol definition. What could not be read is missing in
/// the tree, or is [`ExprKind::Error`](super::ast::ExprKind::Error) in it.
pub fn parse(sources: &Sources, id: SourceId, diagnostics: &mut Diagnostics) -> File {
    let (mut parser, comments) = Parser::new(sources, id, Comments::Hash, diagnostics);
    let items = parser.items();
    File { items, comments }
}

/// Parses a text that is one expression.
pub fn parse_expr(sources: &Sources, id: SourceId, diagnostics: &mut Diagnostics) -> Option<Expr> {
    single(sources, id, diagnostics, |p| p.expr())
}

/// Parses a text that is one test packet: `udp(ip.src=10.0.0.1, udp.dstport=53)`.
pub fn parse_packet(sources: &Sources, id: SourceId, diagnostics: &mut Diagnostics) -> Option<Packet> {
    single(sources, id, diagnostics, |p| p.packet())
}

/// Parses a text that is one element of a set.
pub fn parse_literal(sources: &Sources, id: SourceId, diagnostics: &mut Diagnostics) -> Option<Element> {
    single(sources, id, diagnostics, |p| p.element())
}

/// Parses a set's file: one element a line, the parts of a tuple after each other with commas, with
/// or without parentheses; comments begin with `#` or `;`.
/// They come one by one, as there may be millions.
pub fn parse_elements_file(
    sources: &Sources,
    id: SourceId,
    diagnostics: &mut Diagnostics,
    each: impl FnMut(&Element),
) {
    let (mut parser, _) = Parser::new(sources, id, Comments::HashOrSemicolon, diagnostics);
    parser.element_lines(each);
}

fn single<T>(
    sources: &Sources,
    id: SourceId,
    diagnostics: &mut Diagnostics,
    rule: impl FnOnce(&mut Parser<'_>) -> Parsed<T>,
) -> Option<T> {
    let (mut parser, _) = Parser::new(sources, id, Comments::Hash, diagnostics);
    parser.lines = Lines::Free;
    let value = rule(&mut parser).ok();
    if value.is_some() && parser.peek() != Kind::End {
        parser.unexpected("the end of the text");
        return None;
    }
    value
}

/// An error was told; the caller goes on at a place of its choice.
struct Reported;

type Parsed<T> = Result<T, Reported>;

/// Whether the end of a line means something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    EndItems,
    Free,
}

/// How deep parentheses and negations may nest: the parser recurses over them.
const MAX_NESTING: u32 = 64;

struct Parser<'a> {
    text: &'a str,
    sources: &'a Sources,
    id: SourceId,
    tokens: Vec<Token>,
    at: usize,
    lines: Lines,
    /// The first token of the item at hand: it begins a line and yet does not end one.
    item_start: usize,
    /// The first token of the entry at hand, in a block whose entries have a line each.
    entry_start: Option<usize>,
    /// Brackets that are open, as indices of their tokens.
    open: Vec<usize>,
    nesting: u32,
    diagnostics: &'a mut Diagnostics,
    /// Lines that have had their error.
    refused: HashSet<u32>,
}

impl<'a> Parser<'a> {
    fn new(
        sources: &'a Sources,
        id: SourceId,
        style: Comments,
        diagnostics: &'a mut Diagnostics,
    ) -> (Self, Vec<Span>) {
        let text = sources[id].text.as_str();
        let before = diagnostics.iter().count();
        let Lexed { tokens, comments } = lex(text, id, style, diagnostics);
        let told = diagnostics.iter().skip(before);
        let refused = told.map(|d| line_of(sources, d.primary.0)).collect();
        let parser = Parser {
            text,
            sources,
            id,
            tokens,
            at: 0,
            lines: Lines::EndItems,
            item_start: 0,
            entry_start: None,
            open: Vec::new(),
            nesting: 0,
            diagnostics,
            refused,
        };
        (parser, comments)
    }

    // Looking.

    /// The token at hand; at the end of an item's line, [`Kind::End`].
    fn peek(&self) -> Kind {
        self.nth(0)
    }

    fn nth(&self, ahead: usize) -> Kind {
        let index = (self.at + ahead).min(self.tokens.len() - 1);
        match self.tokens[index] {
            token if token.fresh && self.ends_line(index) => Kind::End,
            token => token.kind,
        }
    }

    fn raw(&self) -> Token {
        self.tokens[self.at]
    }

    /// Whether the line before this token, the first of its line, ends an item.
    fn ends_line(&self, index: usize) -> bool {
        if self.lines == Lines::Free || index == self.item_start {
            return false;
        }
        if self.open.is_empty() {
            return !words::continues(self.text_of(self.tokens[index]));
        }
        if let Some(start) = self.entry_start {
            return index > start && !words::continues_entry(self.text_of(self.tokens[index]));
        }
        // A bracket that nobody closed must not swallow the items after it.
        self.begins_item(index)
    }

    fn text_of(&self, token: Token) -> &'a str {
        &self.text[token.start as usize..token.end as usize]
    }

    fn word(&self) -> Option<&'a str> {
        (self.peek() == Kind::Word).then(|| self.text_of(self.raw()))
    }

    fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    fn here(&self) -> Span {
        self.token_span(self.raw())
    }

    fn token_span(&self, token: Token) -> Span {
        Span::new(self.id, token.start, token.end)
    }

    /// From a token on to the last one taken.
    fn since(&self, first: usize) -> Span {
        let last = self.at.saturating_sub(1).max(first);
        self.token_span(self.tokens[first]).to(self.token_span(self.tokens[last]))
    }

    // Taking.

    fn bump(&mut self) -> Token {
        let token = self.raw();
        if token.kind.closing().is_some() {
            self.open.push(self.at);
        } else if self.open_kinds().any(|k| k.closing() == Some(token.kind)) {
            while let Some(open) = self.open.pop() {
                if self.tokens[open].kind.closing() == Some(token.kind) {
                    break;
                }
            }
        }
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn open_kinds(&self) -> impl Iterator<Item = Kind> {
        self.open.iter().rev().map(|&open| self.tokens[open].kind)
    }

    fn take(&mut self, kind: Kind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.bump();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, kind: Kind, what: &str) -> Parsed<Token> {
        if self.peek() == kind { Ok(self.bump()) } else { Err(self.unexpected(what)) }
    }

    fn expect_word(&mut self, word: &str) -> Parsed<Token> {
        if self.is_word(word) { Ok(self.bump()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn name(&mut self, what: &str) -> Parsed<Name> {
        let token = self.expect(Kind::Word, what)?;
        Ok(Name { text: self.text_of(token).to_owned(), span: self.token_span(token) })
    }

    fn str(&mut self, what: &str) -> Parsed<Str> {
        let token = self.expect(Kind::Text, what)?;
        let value = self.bytes(token)?;
        Ok(Str { value, span: self.token_span(token) })
    }

    fn bytes(&mut self, token: Token) -> Parsed<Vec<u8>> {
        literal::unescape(self.text_of(token)).map_err(|e| self.unreadable(token, e))
    }

    fn path(&mut self, what: &str) -> Parsed<Path> {
        let first = self.at;
        let mut segments = vec![self.segment(what)?];
        while self.take(Kind::Dot) {
            segments.push(self.segment("a name after the `.`")?);
        }
        Ok(Path { segments, span: self.since(first) })
    }

    fn segment(&mut self, what: &str) -> Parsed<Segment> {
        let name = self.name(what)?;
        // `[2]` is an index, `[2:1]` the slice of a whole path.
        let indexed = self.peek() == Kind::OpenBracket && self.nth(2) == Kind::CloseBracket;
        if !indexed {
            return Ok(Segment { name, index: None });
        }
        let first = self.at;
        self.bump();
        let index = self.small_number("an index")?;
        self.expect(Kind::CloseBracket, "`]`")?;
        Ok(Segment { name, index: Some((index, self.since(first))) })
    }

    // Telling.

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>) -> Refusal<'_> {
        let first = self.refused.insert(line_of(self.sources, span));
        Refusal(first.then(|| self.diagnostics.report(code, span, message)))
    }

    /// Something else stands where the user's words say what was expected.
    fn unexpected(&mut self, expected: &str) -> Reported {
        self.expected(expected).done()
    }

    fn expected(&mut self, expected: &str) -> Refusal<'_> {
        if self.peek() != Kind::End {
            let found = self.text_of(self.raw());
            let message = format!("expected {expected}, found `{}`", shortened(found));
            let span = self.here();
            return self.report(Code::Expected, span, message);
        }
        match self.open.last() {
            Some(&open) if self.entry_start.is_none() => self.unclosed(open),
            _ => {
                let end = self.line_end();
                let message = format!("expected {expected}, found the line's end");
                self.report(Code::Expected, end, message)
            }
        }
    }

    fn unclosed(&mut self, open: usize) -> Refusal<'_> {
        let token = self.tokens[open];
        let (span, end) = (self.token_span(token), self.line_end());
        let bracket = self.text_of(token);
        self.open.clear();
        self.report(Code::Expected, span, format!("nothing closes this `{bracket}`"))
            .also(end, "it is still open here")
    }

    /// The place just after the last token taken.
    fn line_end(&self) -> Span {
        match self.at.checked_sub(1) {
            Some(last) => {
                let end = self.tokens[last].end;
                Span::new(self.id, end, end)
            }
            None => Span::new(self.id, 0, 0),
        }
    }

    fn unreadable(&mut self, token: Token, why: literal::Unreadable) -> Reported {
        let span = self.token_span(token);
        let refusal = self.report(Code::BadLiteral, span, why.message);
        match why.help {
            Some(help) => refusal.help(help).done(),
            None => refusal.done(),
        }
    }

    /// One level of parentheses or negation deeper.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == MAX_NESTING {
            return Err(self.too_deep(self.here()));
        }
        self.nesting += 1;
        let value = rule(self);
        self.nesting -= 1;
        value
    }

    fn too_deep(&mut self, span: Span) -> Reported {
        self.report(Code::TooDeep, span, "nested too deep")
            .help("split the condition over several statements, or list the values in a set")
            .done()
    }

    // Going on after an error.

    /// Runs a rule for each entry up to the `}`; the `{` is at hand. A bad entry costs its line.
    fn block<T>(&mut self, mut entry: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(Kind::OpenBrace, "`{`")?;
        let depth = self.open.len();
        let mut entries = Vec::new();
        while !self.take(Kind::CloseBrace) {
            if self.peek() == Kind::End {
                return Err(self.unexpected("`}`"));
            }
            let first = self.at;
            match entry(self) {
                Ok(value) => entries.push(value),
                Err(Reported) => self.skip_line(depth, first),
            }
            if self.open.len() < depth {
                break;
            }
        }
        Ok(entries)
    }

    /// Skips to the next line of the block of this depth, or to its end.
    fn skip_line(&mut self, depth: usize, first: usize) {
        while self.peek() != Kind::End && self.open.len() >= depth {
            let token = self.raw();
            if token.fresh && self.at > first {
                while self.open.len() > depth && !self.open_kinds().next().is_some_and(is_brace) {
                    self.open.pop();
                }
                if self.open.len() == depth {
                    return;
                }
            }
            if token.kind == Kind::CloseBrace && self.open.len() == depth {
                return;
            }
            self.bump();
        }
    }

    /// Skips to the next item.
    fn skip_item(&mut self) {
        while self.raw().kind != Kind::End && (self.at == self.item_start || self.peek() != Kind::End) {
            self.bump();
        }
    }
}

/// An error just told, unless its line had one already.
struct Refusal<'a>(Option<&'a mut Diagnostic>);

impl Refusal<'_> {
    fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.0 {
            diagnostic.label(text);
        }
        self
    }

    fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.0 {
            diagnostic.also(span, text);
        }
        self
    }

    fn help(mut self, text: impl Into<String>) -> Self {
        if let Some(diagnostic) = &mut self.0 {
            diagnostic.help(text);
        }
        self
    }

    fn done(self) -> Reported {
        Reported
    }
}

fn is_brace(kind: Kind) -> bool {
    kind == Kind::OpenBrace
}

fn line_of(sources: &Sources, span: Span) -> u32 {
    sources[span.source].line_column(span.start).0
}

/// A token's text, cut where it would fill the message.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
