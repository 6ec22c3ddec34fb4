//! Constants, elements and lists of them.

use super::{Parsed, Parser, Reported};
use crate::diagnostic::Code;
use crate::syntax::ast::{Element, Literal, LiteralValue};
use crate::syntax::literal;
use crate::syntax::token::Kind;

impl Parser<'_> {
    pub(super) fn literal(&mut self, what: &str) -> Parsed<Literal> {
        let token = self.raw();
        let value = match self.peek() {
            Kind::Constant => literal::read(self.text_of(token)).map_err(|e| self.unreadable(token, e))?,
            Kind::Text => LiteralValue::Bytes(self.bytes(token)?),
            Kind::Word => match self.text_of(token) {
                "true" => LiteralValue::Bool(true),
                "false" => LiteralValue::Bool(false),
                _ => return Err(self.unexpected(what)),
            },
            _ => return Err(self.unexpected(what)),
        };
        self.bump();
        Ok(Literal { value, span: self.token_span(token) })
    }

    /// A number that counts something of the language itself: an index, a length, a depth.
    pub(super) fn small_number(&mut self, what: &str) -> Parsed<u32> {
        if self.peek() != Kind::Constant {
            return Err(self.unexpected(what));
        }
        let literal = self.literal(what)?;
        match literal.value {
            LiteralValue::Int(value) if value <= u128::from(u32::MAX) => Ok(value as u32),
            _ => Err(self.report(Code::BadLiteral, literal.span, format!("expected {what}")).done()),
        }
    }

    pub(super) fn element(&mut self) -> Parsed<Element> {
        if self.peek() == Kind::OpenParen {
            let first = self.at;
            let parts = self.nested(|p| p.elements())?;
            return Ok(Element::Tuple(parts, self.since(first)));
        }
        let low = self.literal("a constant")?;
        match self.peek() {
            Kind::Range => {
                self.bump();
                let high = self.literal("the range's last value")?;
                Ok(Element::Range(low, high))
            }
            Kind::Minus => Err(self.dashed_range(&low)),
            _ => Ok(Element::One(low)),
        }
    }

    fn dashed_range(&mut self, low: &Literal) -> Reported {
        let dash = self.here();
        self.bump();
        let high = self.text_of(self.raw());
        let help = format!("write `{}..{high}`", self.sources.text(low.span));
        self.report(Code::Expected, dash, "a range is written with `..`").help(help).done()
    }

    /// `{ a, b … }` or `( a, b … )`; a bad element costs itself.
    pub(super) fn elements(&mut self) -> Parsed<Vec<Element>> {
        let Some(close) = self.peek().closing() else {
            return Err(self.unexpected("`{`"));
        };
        self.bump();
        let depth = self.open.len();
        let mut elements = Vec::new();
        while !self.take(close) {
            // Another bracket's end is not this list's to skip.
            if matches!(self.peek(), Kind::End | Kind::CloseBrace | Kind::CloseParen | Kind::CloseBracket) {
                return Err(self.unexpected("another element"));
            }
            match self.separated_element(close) {
                Ok(element) => elements.push(element),
                Err(Reported) => self.skip_element(depth),
            }
            if self.open.len() < depth {
                break;
            }
        }
        Ok(elements)
    }

    fn separated_element(&mut self, close: Kind) -> Parsed<Element> {
        let element = self.element()?;
        let next = self.peek();
        if self.take(Kind::Comma) || next == close || next == Kind::End || self.raw().fresh {
            return Ok(element);
        }
        if next == Kind::Slash {
            let refusal = self.expected("`,`");
            return Err(refusal.help("an address before `/` is written in full: `10.0.0.0/8`").done());
        }
        let sign = if close == Kind::CloseBrace { "`}`" } else { "`)`" };
        Err(self.unexpected(&format!("`,` or {sign}")))
    }

    /// Skips to the next element of the list of this depth, or to its end.
    fn skip_element(&mut self, depth: usize) {
        while self.peek() != Kind::End && self.open.len() >= depth {
            let token = self.raw();
            let here = self.open.len() == depth;
            if here && matches!(token.kind, Kind::CloseBrace | Kind::CloseParen) {
                return;
            }
            self.bump();
            if here && (token.kind == Kind::Comma || self.raw().fresh) {
                return;
            }
        }
    }

    /// A set's file.
    pub(super) fn element_lines(&mut self, mut each: impl FnMut(&Element)) {
        while self.raw().kind != Kind::End {
            self.open.clear();
            self.item_start = self.at;
            match self.element_line() {
                Ok(element) => each(&element),
                Err(Reported) => self.skip_item(),
            }
        }
    }

    fn element_line(&mut self) -> Parsed<Element> {
        let first = self.at;
        let element = self.element()?;
        if self.peek() == Kind::End {
            return Ok(element);
        }
        let mut parts = vec![element];
        while self.take(Kind::Comma) {
            parts.push(self.element()?);
        }
        if self.peek() != Kind::End {
            return Err(self.expected("the line's end").help("a set's file has one element a line").done());
        }
        Ok(Element::Tuple(parts, self.since(first)))
    }
}
