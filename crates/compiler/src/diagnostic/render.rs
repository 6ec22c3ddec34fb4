//! Messages as people and programs read them.

use super::{Diagnostic, Diagnostics, Severity};
use crate::source::{SourceId, Sources, Span};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// Whether the text has colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// For files and pipes.
    Plain,
    /// With ANSI escapes.
    Coloured,
}

/// All messages with their underlined places, a blank line between two; the summary is not in it.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let shown = diagnostics.iter().map(|d| renderer.render(&[group(d, sources)]) + "\n");
    shown.collect::<Vec<_>>().join("\n")
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.text());
    let snippets = named_sources(diagnostic).into_iter().map(|source| snippet(diagnostic, source, sources));
    let group = title.elements(snippets);
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// The texts that a message points into, its own first.
fn named_sources(diagnostic: &Diagnostic) -> Vec<SourceId> {
    let mut named = vec![diagnostic.primary.0.source];
    for (span, _) in &diagnostic.secondary {
        if !named.contains(&span.source) {
            named.push(span.source);
        }
    }
    named
}

fn snippet<'a>(
    diagnostic: &'a Diagnostic,
    id: SourceId,
    sources: &'a Sources,
) -> Snippet<'a, Annotation<'a>> {
    let primary = (AnnotationKind::Primary, &diagnostic.primary);
    let secondary = diagnostic.secondary.iter();
    let places: Vec<_> = std::iter::once(primary)
        .chain(secondary.map(|place| (AnnotationKind::Context, place)))
        .filter(|(_, (span, _))| span.source == id)
        .collect();
    let window = Window::around(places.iter().map(|(_, (span, _))| *span), id, sources);
    let annotations = places.into_iter().map(|(kind, (span, label))| {
        let annotation = kind.span(window.place(*span));
        match label.as_str() {
            "" => annotation,
            label => annotation.label(label),
        }
    });
    Snippet::source(window.text)
        .line_start(window.first_line as usize)
        .path(sources[id].name.as_str())
        .annotations(annotations)
}

/// The lines around a message's places: the library reads the text that it is given from its start,
/// which for thousands of messages about a long text would take long.
struct Window<'a> {
    text: &'a str,
    start: usize,
    first_line: u32,
}

impl<'a> Window<'a> {
    fn around(spans: impl Iterator<Item = Span>, id: SourceId, sources: &'a Sources) -> Self {
        let source = &sources[id];
        let (first, last) =
            spans.fold((u32::MAX, 0), |(first, last), span| (first.min(span.start), last.max(span.end)));
        let length = source.text.len() as u32;
        let (first_line, column) = source.line_column(first.min(length));
        let start = (first.min(length) + 1 - column) as usize;
        let last = last.min(length) as usize;
        let end = source.text[last..].find('\n').map_or(source.text.len(), |n| last + n);
        Window { text: &source.text[start..end], start, first_line }
    }

    fn place(&self, span: Span) -> std::ops::Range<usize> {
        let within = |offset: u32| (offset as usize - self.start).min(self.text.len());
        within(span.start)..within(span.end)
    }
}

/// A message for programs. Lines and columns count from 1, columns in bytes; the end is one past
/// the last byte.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Record {
    /// The stable code.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// The text's name.
    pub file: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
    /// The fix, where one is plain.
    pub help: Option<String>,
    /// What is said under the place itself, and other places.
    pub labels: Vec<Label>,
}

/// One labelled place of a [`Record`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Label {
    /// What is said there.
    pub text: String,
    /// The text's name.
    pub file: String,
    /// First line.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Last line.
    pub end_line: u32,
    /// One past the last column.
    pub end_column: u32,
}

/// All messages for programs.
pub fn records(diagnostics: &Diagnostics, sources: &Sources) -> Vec<Record> {
    diagnostics.iter().map(|d| record(d, sources)).collect()
}

fn record(diagnostic: &Diagnostic, sources: &Sources) -> Record {
    let (span, own_label) = &diagnostic.primary;
    let own = label(*span, own_label, sources);
    let own_labels = Some(own.clone()).filter(|l| !l.text.is_empty());
    let others = diagnostic.secondary.iter();
    Record {
        code: diagnostic.code.text(),
        severity: match diagnostic.code.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: diagnostic.message.clone(),
        file: own.file,
        line: own.line,
        column: own.column,
        end_line: own.end_line,
        end_column: own.end_column,
        help: diagnostic.help.clone(),
        labels: own_labels
            .into_iter()
            .chain(others.map(|(span, text)| label(*span, text, sources)))
            .collect(),
    }
}

fn label(span: Span, text: &str, sources: &Sources) -> Label {
    let source = &sources[span.source];
    let (line, column) = source.line_column(span.start);
    let (end_line, end_column) = source.line_column(span.end);
    Label { text: text.to_owned(), file: source.name.clone(), line, column, end_line, end_column }
}
