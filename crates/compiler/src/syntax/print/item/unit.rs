//! The units of a text, each with its rows.

use super::{Rows, element_span};
use crate::source::Span;
use crate::syntax::ast::{
    Element, Expr, Field, Item, Literal, Next, OptionKind, OptionLength, Options, Over, Path, PoolEntry,
    ProtocolEntry, Selector, Table as NextTable, Test, TestCase,
};
use crate::syntax::print::layout::{Row, Table, fits};
use crate::syntax::token::{Kind, Token};
use std::ops::Range;

/// What stands on lines of its own.
#[derive(Clone, Copy)]
pub(super) enum Unit<'a> {
    Item(&'a Item),
    Entry(&'a ProtocolEntry),
    PoolEntry(&'a PoolEntry),
    Field(&'a Field),
    OptionKind(&'a OptionKind),
    TableEntry(&'a (Literal, Path)),
    Case(&'a TestCase),
    Elements(&'a [Element]),
}

/// Where a unit's text starts; entries without a span of their own start at a keyword before them.
pub(super) fn start_of(unit: &Unit<'_>, tokens: &[Token]) -> u32 {
    match unit {
        Unit::Item(item) => item_span(item).start,
        Unit::Entry(entry) => entry_start(entry, tokens),
        Unit::PoolEntry(entry) => entry.span().start,
        Unit::Field(field) => field.span.start,
        Unit::OptionKind(kind) => kind.span.start,
        Unit::TableEntry((number, _)) => number.span.start,
        Unit::Case(case) => case.span.start,
        Unit::Elements(elements) => elements.first().map_or(0, |e| element_span(e).start),
    }
}

fn item_span(item: &Item) -> Span {
    match item {
        Item::Include(include) => include.span,
        Item::Set(set) => set.span,
        Item::Pool(pool) => pool.span,
        Item::Protocol(protocol) => protocol.span,
        Item::Family(family) => family.span,
        Item::Statement(statement) => statement.span,
        Item::Default(default) => default.span,
        Item::Test(test) => test.span,
    }
}

fn entry_start(entry: &ProtocolEntry, tokens: &[Token]) -> u32 {
    match entry {
        ProtocolEntry::Over(over) => over.span.start,
        ProtocolEntry::Field(field) => field.span.start,
        ProtocolEntry::Derived(name, _) => name.span.start,
        ProtocolEntry::Any(name, _) => keyword_before(name.span, 1, tokens),
        ProtocolEntry::Length(expr) | ProtocolEntry::Require(expr) => keyword_before(expr.span, 1, tokens),
        ProtocolEntry::Carries(expr) => keyword_before(expr.span, 2, tokens),
        ProtocolEntry::Next(next) => next.span.start,
        ProtocolEntry::Options(options) => options.span.start,
    }
}

/// The start of the word that stands `count` words before a span, parentheses aside.
fn keyword_before(span: Span, count: usize, tokens: &[Token]) -> u32 {
    let at = tokens.partition_point(|t| t.start < span.start);
    let mut words = tokens[..at].iter().rev().filter(|t| t.kind != Kind::OpenParen);
    words.nth(count - 1).map_or(span.start, |t| t.start)
}

impl<'a> Rows<'a> {
    pub(super) fn unit(&mut self, unit: Unit<'a>, range: Range<u32>, indent: usize) {
        match unit {
            Unit::Item(item) => self.item(item, range),
            Unit::Entry(entry) => self.entry(entry, range, indent),
            Unit::PoolEntry(entry) => self.pool_entry(entry, range, indent),
            Unit::Field(field) => self.field(field, range, indent),
            Unit::OptionKind(kind) => self.option_kind(kind, range, indent),
            Unit::TableEntry((number, path)) => {
                let cells = vec![self.sources.text(number.span).to_owned()];
                self.leaf(Table::Entry, indent, cells, vec![format!("= {path}")], range);
            }
            Unit::Case(case) => self.case(case, range, indent),
            Unit::Elements(elements) => {
                let texts = elements.iter().map(|e| self.element(e) + ",");
                let tail = texts.collect();
                self.rows.push(Row::new(Table::None, indent, Vec::new(), tail));
            }
        }
    }

    /// A unit of one row, unless a comment stands inside it.
    pub(super) fn leaf(
        &mut self,
        table: Table,
        indent: usize,
        cells: Vec<String>,
        tail: Vec<String>,
        range: Range<u32>,
    ) {
        if self.has_comment(range.clone()) {
            return self.verbatim(range, indent);
        }
        self.rows.push(Row::new(table, indent, cells, tail));
    }

    fn item(&mut self, item: &'a Item, range: Range<u32>) {
        match item {
            Item::Include(include) => {
                let text = format!("include {}", self.sources.text(include.path.span));
                self.leaf(Table::None, 0, Vec::new(), vec![text], range);
            }
            Item::Set(set) => self.set(set, range),
            Item::Pool(pool) => self.pool(pool, range),
            Item::Protocol(protocol) => self.protocol(protocol, range),
            Item::Family(family) => {
                let members: Vec<String> = family.members.iter().map(Path::to_string).collect();
                let cells = vec![format!("family {}", family.name.text)];
                let tail = vec![format!("= {}", members.join(", "))];
                self.leaf(Table::Family, 0, cells, tail, range);
            }
            Item::Statement(statement) => self.statement(statement, range),
            Item::Default(default) => {
                let cells = vec!["default".to_owned(), default.verdict.text.clone()];
                self.leaf(Table::Statement, 0, cells, Vec::new(), range);
            }
            Item::Test(test) => self.test(test, range),
        }
    }

    fn test(&mut self, test: &'a Test, range: Range<u32>) {
        let units: Vec<_> = test.cases.iter().map(Unit::Case).collect();
        let first = test.cases.first().map(|c| c.span.start);
        let head = format!("test {}", self.sources.text(test.name.span));
        self.block_or_verbatim(Row::plain(0, head), units, first, range);
    }

    pub(super) fn block_or_verbatim(
        &mut self,
        head: Row,
        units: Vec<Unit<'a>>,
        first: Option<u32>,
        range: Range<u32>,
    ) {
        match self.braces(&range, first) {
            Some(braces) if !self.has_comment(range.start..braces.open.start) => {
                self.block(head, units, braces);
            }
            _ => self.verbatim(range, head.indent),
        }
    }

    fn case(&mut self, case: &'a TestCase, range: Range<u32>, indent: usize) {
        let mut packet = self.pieces();
        packet.packet(&case.packet);
        let mut cell = packet.joined();
        if let Some(times) = case.times {
            cell.push_str(&format!(" x{times}"));
        }
        let by = case.by.as_ref().map(|name| format!(" by {}", name.text));
        let leaves = case.leaves.as_ref().map(|leaves| {
            let mut packet = self.pieces();
            packet.packet(leaves);
            format!(" as {}", packet.joined())
        });
        let (by, leaves) = (by.unwrap_or_default(), leaves.unwrap_or_default());
        let verdict = format!("=> {}{by}{leaves}", case.verdict.text);
        self.leaf(Table::Case, indent, vec![cell], vec![verdict], range);
    }

    fn entry(&mut self, entry: &'a ProtocolEntry, range: Range<u32>, indent: usize) {
        let (table, cells, tail) = match entry {
            ProtocolEntry::Field(field) => return self.field(field, range, indent),
            ProtocolEntry::Options(options) => return self.options(options, range, indent),
            ProtocolEntry::Next(next) => return self.next(next, range, indent),
            ProtocolEntry::Over(over) => return self.over(over, range, indent),
            ProtocolEntry::Derived(name, expr) => {
                (Table::Derived, vec![name.text.clone()], self.after("=", expr))
            }
            ProtocolEntry::Any(name, names) => {
                let names: Vec<&str> = names.iter().map(|n| n.text.as_str()).collect();
                let cells = vec![format!("any {}", name.text)];
                (Table::Derived, cells, vec![format!("= {}", names.join(", "))])
            }
            ProtocolEntry::Length(expr) => (Table::None, Vec::new(), self.after("length", expr)),
            ProtocolEntry::Require(expr) => (Table::None, Vec::new(), self.after("require", expr)),
            ProtocolEntry::Carries(expr) => (Table::None, Vec::new(), self.after("carries when", expr)),
        };
        self.leaf(table, indent, cells, tail, range);
    }

    fn after(&self, word: &str, expr: &Expr) -> Vec<String> {
        let mut pieces = self.pieces();
        pieces.put(word);
        pieces.put(" ");
        pieces.expr(expr);
        pieces.finish()
    }

    fn over(&mut self, over: &'a Over, range: Range<u32>, indent: usize) {
        // The second place of an `over a 1, b 2` has no words of its own to keep.
        self.comments_before(range.end, indent);
        let inner = if over.inner { " inner" } else { "" };
        let number = self.sources.text(over.number.span);
        self.rows.push(Row::plain(indent, format!("over {} {number}{inner}", over.space)));
    }

    fn field(&mut self, field: &'a Field, range: Range<u32>, indent: usize) {
        let (cells, tail) = self.field_parts(field);
        if field.bits.is_empty() {
            return self.leaf(Table::Field, indent, cells, tail, range);
        }
        let head = Row::new(Table::Field, indent, cells, tail);
        self.fields_block(head, &field.bits, range);
    }

    fn field_parts(&self, field: &Field) -> (Vec<String>, Vec<String>) {
        let mut pieces = self.pieces();
        pieces.put(&format!(": {}", field.ty.path));
        for (word, expr) in [("at ", &field.at), ("when ", &field.when)] {
            if let Some(expr) = expr {
                pieces.soft();
                pieces.put(word);
                pieces.expr(expr);
            }
        }
        (vec![field.name.to_string()], pieces.finish())
    }

    /// Fields in braces, which stay on one line if they stood on one and it is short enough.
    fn fields_block(&mut self, mut head: Row, fields: &'a [Field], range: Range<u32>) {
        let first = fields.first().map(|f| f.span.start);
        let one_line = self.braces(&range, first).is_some_and(|b| self.is_one_line(b));
        if one_line && !self.has_comment(range.clone()) {
            let inline = self.inline_fields(fields);
            let all: Vec<String> = head.cells.iter().chain(&head.tail).cloned().collect();
            let all = [all, vec![inline.clone()]].concat();
            if fits(head.indent, &all) {
                head.tail.push(inline);
                head.tail = vec![head.tail.join(" ")];
                return self.rows.push(head);
            }
        }
        let units = fields.iter().map(Unit::Field).collect();
        self.block_or_verbatim(head, units, first, range);
    }

    fn inline_fields(&self, fields: &[Field]) -> String {
        let texts = fields.iter().map(|field| {
            let (cells, tail) = self.field_parts(field);
            let mut text = format!("{} {}", cells[0], tail.join(" "));
            if !field.bits.is_empty() {
                text = format!("{text} {}", self.inline_fields(&field.bits));
            }
            text
        });
        format!("{{ {} }}", texts.collect::<Vec<_>>().join(" "))
    }

    fn options(&mut self, options: &'a Options, range: Range<u32>, indent: usize) {
        let length = match options.length {
            OptionLength::Whole => "",
            OptionLength::Value => " length value",
        };
        let head = Row::plain(indent, format!("options from {}{length}", options.from));
        let units: Vec<_> = options.kinds.iter().map(Unit::OptionKind).collect();
        let first = options.kinds.first().map(|k| k.span.start);
        self.block_or_verbatim(head, units, first, range);
    }

    fn option_kind(&mut self, kind: &'a OptionKind, range: Range<u32>, indent: usize) {
        let number = self.sources.text(kind.number.span);
        let cells = vec![format!("{number} {}", kind.name.text)];
        if kind.fields.is_empty() {
            return self.leaf(Table::Option, indent, cells, Vec::new(), range);
        }
        let head = Row::new(Table::Option, indent, cells, Vec::new());
        self.fields_block(head, &kind.fields, range);
    }

    fn next(&mut self, next: &'a Next, range: Range<u32>, indent: usize) {
        let selector = match &next.selector {
            Selector::Field(path) => format!("next {path}"),
            Selector::Peek(bits, _) => format!("next peek u{bits}"),
            Selector::Always(_) => "next always".to_owned(),
        };
        let mut clauses = Vec::new();
        if next.inner {
            clauses.push("inner".to_owned());
        }
        if let Some(when) = &next.when {
            clauses.extend(self.after("when", when));
        }
        let (entries, list) = match &next.table {
            NextTable::Space(path) => {
                return self.next_row(&format!("{selector} in {path}"), clauses, range, indent);
            }
            NextTable::One(path) => {
                return self.next_row(&format!("{selector} = {path}"), clauses, range, indent);
            }
            NextTable::Entries(entries, list) => (entries, *list),
        };
        let texts =
            entries.iter().map(|(number, path)| format!("{} = {path}", self.sources.text(number.span)));
        let inline = format!("{selector} {{ {} }}", texts.collect::<Vec<_>>().join(", "));
        let comment_after_list = self.has_comment(list.end..range.end);
        let short = fits(indent, &[vec![inline.clone()], clauses.clone()].concat());
        if (short && !self.sources.text(list).contains('\n')) || comment_after_list {
            return self.next_row(&inline, clauses, range, indent);
        }
        let units = entries.iter().map(Unit::TableEntry).collect();
        let first = entries.first().map(|(number, _)| number.span.start);
        let before = self.rows.len();
        self.block_or_verbatim(Row::plain(indent, selector), units, first, range.start..list.end);
        if self.rows.len() > before + 1
            && let Some(row) = self.rows.last_mut()
        {
            row.tail.extend(clauses);
        }
    }

    fn next_row(&mut self, head: &str, clauses: Vec<String>, range: Range<u32>, indent: usize) {
        let tail = std::iter::once(head.to_owned()).chain(clauses).collect();
        self.leaf(Table::None, indent, Vec::new(), tail, range);
    }
}
