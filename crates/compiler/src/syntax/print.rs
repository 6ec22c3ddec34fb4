//! Syntax tree → text: the canonical layout, and single expressions for messages.
//!
//! The layout is a function of the tree, except for what the writer decided: comments, blank lines
//! (one at most) and whether a list stands on one line or on several stay as they are.

mod expr;
mod item;
mod layout;
mod literal;

use super::lex::{Comments, lex};
use super::parse;
use crate::diagnostic::Diagnostics;
use crate::source::{SourceId, Sources};

/// Formats a text that parses; else says why it does not.
pub fn format(sources: &Sources, id: SourceId) -> Result<String, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let file = parse::parse(sources, id, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let tokens = lex(&sources[id].text, id, Comments::Hash, &mut diagnostics).tokens;
    let rows = item::rows(sources, id, &tokens, &file);
    Ok(layout::text(&rows))
}
