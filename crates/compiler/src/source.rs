//! Source texts and places in them.

use std::fmt;

/// Index of a text in [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SourceId(pub u32);

/// A half-open range of bytes in one source text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which text.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of `start..end` in `source`.
    pub const fn new(source: SourceId, start: u32, end: u32) -> Self {
        Self { source, start, end }
    }

    /// The smallest span that holds both; they must be of one source.
    pub fn to(self, other: Span) -> Span {
        debug_assert_eq!(self.source, other.source);
        Span::new(self.source, self.start.min(other.start), self.end.max(other.end))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}..{}", self.source.0, self.start, self.end)
    }
}

/// One text: a policy, an included file, a set's file or a protocol definition.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown in messages and line info, as the user wrote the path.
    pub name: String,
    /// The whole text.
    pub text: String,
    line_starts: Vec<u32>,
}

impl Source {
    fn new(name: String, text: String) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self { name, text, line_starts }
    }

    /// Line and column of a byte, both counted from 1, the column in bytes.
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self.line_starts.partition_point(|&s| s <= offset);
        (line as u32, offset - self.line_starts[line - 1] + 1)
    }

    /// The text of a line (counted from 1) without its end.
    pub fn line(&self, line: u32) -> &str {
        let start = self.line_starts[line as usize - 1] as usize;
        let end = self.line_starts.get(line as usize).map_or(self.text.len(), |&e| e as usize);
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }
}

/// All texts of one compilation.
#[derive(Clone, Default, Debug)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text and names it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.0.push(Source::new(name.into(), text.into()));
        SourceId(self.0.len() as u32 - 1)
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        &self[span.source].text[span.start as usize..span.end as usize]
    }

    /// `file:line` of a span's start.
    pub fn place(&self, span: Span) -> String {
        let source = &self[span.source];
        format!("{}:{}", source.name, source.line_column(span.start).0)
    }
}

impl std::ops::Index<SourceId> for Sources {
    type Output = Source;
    fn index(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }
}
