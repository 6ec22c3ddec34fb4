//! Items → rows, with the comments between and after them.

mod pool;
mod statement;
mod unit;

use super::expr::Pieces;
use super::layout::{Row, Table, fits};
use crate::source::{SourceId, Sources, Span};
use crate::syntax::ast::{Element, File, Protocol, Set};
use crate::syntax::token::{Kind, Token};
use unit::{Unit, start_of};

/// The rows of a whole text.
pub(super) fn rows(sources: &Sources, id: SourceId, tokens: &[Token], file: &File) -> Vec<Row> {
    let mut rows = Rows {
        sources,
        text: &sources[id].text,
        tokens,
        comments: &file.comments,
        last_end: None,
        rows: Vec::new(),
    };
    let units = file.items.iter().map(Unit::Item).collect();
    rows.sequence(units, rows.text.len() as u32, 0);
    rows.rows
}

struct Rows<'a> {
    sources: &'a Sources,
    text: &'a str,
    tokens: &'a [Token],
    /// Those not set yet.
    comments: &'a [Span],
    /// Where the unit or comment before ended; `None` at the start of a block.
    last_end: Option<u32>,
    rows: Vec<Row>,
}

/// The braces of a block.
#[derive(Clone, Copy)]
struct Braces {
    open: Token,
    close: Token,
}

impl<'a> Rows<'a> {
    /// The units of a block that ends at `close`, and all comments in it.
    fn sequence(&mut self, units: Vec<Unit<'a>>, close: u32, indent: usize) {
        self.last_end = None;
        let starts: Vec<u32> = units.iter().map(|u| start_of(u, self.tokens)).collect();
        for (i, unit) in units.into_iter().enumerate() {
            let limit = starts.get(i + 1).copied().unwrap_or(close);
            self.comments_before(starts[i], indent);
            let end = self.end_before(limit, starts[i]);
            let blank = self.is_blank_before(starts[i]);
            let first_row = self.rows.len();
            self.unit(unit, starts[i]..end, indent);
            if let Some(row) = self.rows.get_mut(first_row) {
                row.blank_before = blank;
            }
            self.last_end = Some(end);
            self.comment_after(end, limit);
        }
        self.comments_before(close, indent);
    }

    /// The end of the last token before `limit`, commas aside.
    fn end_before(&self, limit: u32, start: u32) -> u32 {
        let after = self.tokens.partition_point(|t| t.start < limit);
        let before = self.tokens[..after].iter().rev();
        let last =
            before.take_while(|t| t.start >= start).find(|t| !matches!(t.kind, Kind::Comma | Kind::End));
        last.map_or(start, |t| t.end)
    }

    fn is_blank_before(&self, start: u32) -> bool {
        let Some(end) = self.last_end else {
            return false;
        };
        let between = &self.text[end as usize..(start as usize).max(end as usize)];
        between.bytes().filter(|&b| b == b'\n').count() > 1
    }

    fn next_comment(&mut self, before: u32) -> Option<Span> {
        let (&first, rest) = self.comments.split_first()?;
        if first.start >= before {
            return None;
        }
        self.comments = rest;
        Some(first)
    }

    fn comment_text(&self, comment: Span) -> String {
        self.sources.text(comment).trim_end().to_owned()
    }

    /// Comments on lines of their own.
    fn comments_before(&mut self, start: u32, indent: usize) {
        while let Some(comment) = self.next_comment(start) {
            let mut row = Row::plain(indent, self.comment_text(comment));
            row.blank_before = self.is_blank_before(comment.start);
            self.rows.push(row);
            self.last_end = Some(comment.end);
        }
    }

    /// A comment at the end of a unit's line, which goes to the unit's last row.
    fn comment_after(&mut self, end: u32, limit: u32) {
        let Some(&comment) = self.comments.first().filter(|c| c.start < limit) else {
            return;
        };
        let between = self.text.get(end as usize..comment.start as usize);
        if between.is_none_or(|b| b.contains('\n')) {
            return;
        }
        self.comments = &self.comments[1..];
        self.last_end = Some(comment.end);
        let text = self.comment_text(comment);
        if let Some(row) = self.rows.last_mut() {
            row.comment = Some(text);
        }
    }

    fn has_comment(&self, range: std::ops::Range<u32>) -> bool {
        let inside = |c: &&Span| c.start >= range.start;
        let first = self.comments.iter().find(inside);
        first.is_some_and(|c| c.start < range.end)
    }

    /// The braces of the block whose first entry starts at `first` and that ends at `end`.
    fn braces(&self, unit: &std::ops::Range<u32>, first: Option<u32>) -> Option<Braces> {
        let before = first.unwrap_or(unit.end);
        let after = self.tokens.partition_point(|t| t.start < before);
        let opening = |t: &&Token| t.kind == Kind::OpenBrace;
        let open = *self.tokens[..after].iter().rev().find(opening)?;
        let end = self.tokens.partition_point(|t| t.start < unit.end);
        let closing = |t: &&Token| t.kind == Kind::CloseBrace;
        let close = *self.tokens[..end].iter().rev().find(closing)?;
        Some(Braces { open, close })
    }

    fn is_one_line(&self, braces: Braces) -> bool {
        let inside = &self.text[braces.open.end as usize..braces.close.start as usize];
        !inside.contains('\n')
    }

    fn pieces(&self) -> Pieces<'a> {
        Pieces::new(Some(self.sources))
    }

    /// A unit with a comment where the layout has no place for one keeps its lines.
    fn verbatim(&mut self, range: std::ops::Range<u32>, indent: usize) {
        while self.next_comment(range.end).is_some() {}
        let text = &self.text[range.start as usize..range.end as usize];
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let mut row = Row::plain(indent, lines.next().unwrap_or_default());
        row.verbatim = lines.map(|line| continued(line, indent)).collect();
        self.rows.push(row);
    }

    /// `HEAD {`, the units, `}`.
    fn block(&mut self, mut head: Row, units: Vec<Unit<'a>>, braces: Braces) {
        let indent = head.indent;
        match head.tail.last_mut() {
            Some(last) => last.push_str(" {"),
            None => head.tail.push("{".to_owned()),
        }
        self.rows.push(head);
        let first = units.first().map(|u| start_of(u, self.tokens));
        self.comment_after(braces.open.end, first.unwrap_or(braces.close.start));
        self.sequence(units, braces.close.start, indent + 1);
        self.rows.push(Row::plain(indent, "}"));
    }

    fn protocol(&mut self, protocol: &'a Protocol, range: std::ops::Range<u32>) {
        let units: Vec<_> = protocol.entries.iter().map(Unit::Entry).collect();
        let first = units.first().map(|u| start_of(u, self.tokens));
        let Some(braces) = self.braces(&range, first) else {
            return self.verbatim(range, 0);
        };
        if self.has_comment(range.start..braces.open.start) {
            return self.verbatim(range, 0);
        }
        let mut head = format!("protocol {}", protocol.name);
        if let Some(reference) = &protocol.reference {
            head.push(' ');
            head.push_str(self.sources.text(reference.span));
        }
        for (flag, word) in [(&protocol.root, " root"), (&protocol.transport, " transport")] {
            head.push_str(if flag.is_some() { word } else { "" });
        }
        if let Some(stack) = &protocol.stack {
            let group = stack.group.as_ref().map_or("", |g| g.text.as_str());
            let space = if group.is_empty() { "" } else { " " };
            head.push_str(&format!(" stack{space}{group} {}", stack.depth));
        }
        self.block(Row::plain(0, head), units, braces);
    }

    fn set(&mut self, set: &'a Set, range: std::ops::Range<u32>) {
        let cells = vec![format!("set {}", set.name.text)];
        let ty = set_type(set);
        let mut clauses = Vec::new();
        if let Some(from) = &set.from {
            clauses.push(format!("from {}", self.sources.text(from.span)));
        }
        for (word, value) in [("timeout", &set.timeout), ("max", &set.max)] {
            if let Some(value) = value {
                clauses.push(format!("{word} {}", self.sources.text(value.span)));
            }
        }
        let Some(elements) = &set.elements else {
            if self.has_comment(range.clone()) {
                return self.verbatim(range, 0);
            }
            let tail = std::iter::once(ty).chain(clauses).collect();
            return self.rows.push(Row::new(Table::Set, 0, cells, tail));
        };
        let Some(braces) = self.set_braces(&range, elements) else {
            return self.verbatim(range, 0);
        };
        if self.has_misplaced_comment(&range, elements, braces) {
            return self.verbatim(range, 0);
        }
        if self.is_one_line(braces) {
            let list = self.list(elements);
            let one_line = format!("{ty} = {list}");
            let tail: Vec<String> = std::iter::once(one_line).chain(clauses.clone()).collect();
            let all: Vec<String> = cells.iter().chain(&tail).cloned().collect();
            if fits(0, &all) {
                return self.rows.push(Row::new(Table::Set, 0, cells, vec![tail.join(" ")]));
            }
        }
        let head = Row::new(Table::Set, 0, cells, vec![format!("{ty} =")]);
        let units = self.lines_of(elements);
        self.block(head, units, braces);
        if let (Some(row), false) = (self.rows.last_mut(), clauses.is_empty()) {
            row.tail = vec![format!("}} {}", clauses.join(" "))];
        }
    }

    /// The braces around a set's elements; clauses may follow them.
    fn set_braces(&self, range: &std::ops::Range<u32>, elements: &[Element]) -> Option<Braces> {
        let from = self.tokens.partition_point(|t| t.start < range.start);
        let open = *self.tokens[from..].iter().find(|t| t.kind == Kind::OpenBrace)?;
        let inside = elements.last().map_or(open.end, |e| element_span(e).end);
        let after = self.tokens.partition_point(|t| t.start < inside);
        let close = *self.tokens[after..].iter().find(|t| t.kind == Kind::CloseBrace)?;
        Some(Braces { open, close })
    }

    fn has_misplaced_comment(
        &self,
        range: &std::ops::Range<u32>,
        elements: &[Element],
        braces: Braces,
    ) -> bool {
        if self.has_comment(range.start..braces.open.start) || self.has_comment(braces.close.end..range.end) {
            return true;
        }
        let comments = self.comments.iter().take_while(|c| c.start < braces.close.start);
        comments.into_iter().any(|comment| {
            let after = elements.partition_point(|e| element_span(e).start < comment.start);
            after > 0 && element_span(&elements[after - 1]).end > comment.start
        })
    }

    fn list(&self, elements: &[Element]) -> String {
        if elements.is_empty() {
            return "{}".to_owned();
        }
        let texts: Vec<String> = elements.iter().map(|e| self.element(e)).collect();
        format!("{{ {} }}", texts.join(", "))
    }

    fn element(&self, element: &Element) -> String {
        let mut pieces = self.pieces();
        pieces.element(element);
        pieces.joined()
    }

    /// Elements that start on the same line stay together.
    fn lines_of(&self, elements: &'a [Element]) -> Vec<Unit<'a>> {
        let same_line = |a: &Element, b: &Element| {
            let (from, to) = (element_span(a).end, element_span(b).start);
            !self.text[from as usize..to as usize].contains('\n')
        };
        elements.chunk_by(same_line).map(Unit::Elements).collect()
    }
}

fn continued(line: &str, indent: usize) -> String {
    let closes = line.starts_with(['}', ')']);
    let indent = if closes { indent } else { indent + 1 };
    format!("{}{line}", "    ".repeat(indent))
}

fn set_type(set: &Set) -> String {
    let types: Vec<String> = set.types.iter().map(|t| t.path.to_string()).collect();
    match types.as_slice() {
        [one] => format!(": {one}"),
        several => format!(": ({})", several.join(", ")),
    }
}

fn element_span(element: &Element) -> Span {
    match element {
        Element::One(value) => value.span,
        Element::Range(low, high) => low.span.to(high.span),
        Element::Tuple(_, span) => *span,
    }
}
