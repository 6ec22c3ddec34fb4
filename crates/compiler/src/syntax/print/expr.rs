//! Expressions, paths, elements and packets as text.

use super::literal::quoted;
use crate::source::{Sources, Span};
use crate::syntax::ast::{
    ArithmeticOp, CompareOp, Element, Expr, ExprKind, Layer, Literal, LiteralValue, Packet, Path,
};
use std::fmt::{self, Write};

/// Text in pieces: a line that is too long is broken between two of them. On one line, a space
/// stands there.
pub(super) struct Pieces<'a> {
    /// Where constants stand as the user wrote them (`0x12`, `1M`).
    spelling: Option<&'a Sources>,
    pieces: Vec<String>,
}

impl Write for Pieces<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text);
        Ok(())
    }
}

impl<'a> Pieces<'a> {
    pub(super) fn new(spelling: Option<&'a Sources>) -> Self {
        Pieces { spelling, pieces: vec![String::new()] }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        self.pieces.retain(|p| !p.is_empty());
        self.pieces
    }

    pub(super) fn joined(self) -> String {
        self.finish().join(" ")
    }

    pub(super) fn put(&mut self, text: &str) {
        if let Some(last) = self.pieces.last_mut() {
            last.push_str(text);
        }
    }

    /// A space, or a line's end.
    pub(super) fn soft(&mut self) {
        self.pieces.push(String::new());
    }

    pub(super) fn literal(&mut self, literal: &Literal) {
        self.constant(&literal.value, literal.span);
    }

    fn constant(&mut self, value: &LiteralValue, span: Span) {
        match self.spelling {
            Some(sources) => self.put(sources.text(span)),
            None => self.put(&value.to_string()),
        }
    }

    pub(super) fn path(&mut self, path: &Path) {
        self.put(&path.to_string());
    }

    pub(super) fn expr(&mut self, expr: &Expr) {
        self.operand(expr, OR);
    }

    /// In parentheses if it binds looser than its place asks for.
    fn operand(&mut self, expr: &Expr, least: u8) {
        if level(&expr.kind) >= least {
            return self.bare(expr);
        }
        self.put("(");
        self.bare(expr);
        self.put(")");
    }

    fn bare(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Or(a, b) => self.joined_by("or", a, b, OR),
            ExprKind::And(a, b) => self.joined_by("and", a, b, AND),
            ExprKind::Not(a) => {
                self.put("not ");
                self.operand(a, NOT);
            }
            ExprKind::Compare(op, a, b) => {
                self.operand(a, SUM);
                self.put(compare_sign(*op));
                self.operand(b, SUM);
            }
            ExprKind::InElements(a, elements, _) => {
                self.operand(a, SUM);
                self.put(" in {");
                self.separated(elements);
                self.put("}");
            }
            ExprKind::InSet(a, name) => {
                self.operand(a, SUM);
                self.put(" in ");
                self.put(&name.text);
            }
            ExprKind::Arithmetic(op, a, b) => {
                let own = level(&expr.kind);
                self.operand(a, own);
                self.put(arithmetic_sign(*op));
                self.operand(b, own + 1);
            }
            ExprKind::Tuple(parts) => self.tuple(parts),
            ExprKind::Path(path) => self.path(path),
            ExprKind::Slice(path, range) => {
                self.path(path);
                self.put(&format!("[{}:{}]", range.offset, range.length));
            }
            ExprKind::Literal(value) => self.constant(value, expr.span),
            ExprKind::Error => self.put("<error>"),
        }
    }

    fn joined_by(&mut self, word: &str, a: &Expr, b: &Expr, own: u8) {
        self.operand(a, own);
        self.soft();
        self.put(word);
        self.put(" ");
        self.operand(b, own + 1);
    }

    fn tuple(&mut self, parts: &[Expr]) {
        for (i, part) in parts.iter().enumerate() {
            self.put(if i == 0 { "(" } else { ", " });
            self.operand(part, OR);
        }
        self.put(")");
    }

    /// `a, b, c`
    fn separated(&mut self, elements: &[Element]) {
        for (i, element) in elements.iter().enumerate() {
            if i > 0 {
                self.put(",");
                self.soft();
            }
            self.element(element);
        }
    }

    pub(super) fn element(&mut self, element: &Element) {
        match element {
            Element::One(value) => self.literal(value),
            Element::Range(low, high) => {
                self.literal(low);
                self.put("..");
                self.literal(high);
            }
            Element::Tuple(parts, _) => {
                for (i, part) in parts.iter().enumerate() {
                    self.put(if i == 0 { "(" } else { ", " });
                    self.element(part);
                }
                self.put(if parts.is_empty() { "()" } else { ")" });
            }
        }
    }

    pub(super) fn packet(&mut self, packet: &Packet) {
        for (i, layer) in packet.layers.iter().enumerate() {
            if i > 0 {
                self.put("/");
            }
            self.layer(layer);
        }
    }

    fn layer(&mut self, layer: &Layer) {
        self.path(&layer.name);
        if let Some(bytes) = &layer.bytes {
            self.put("(");
            self.layer_bytes(layer, bytes);
            self.put(")");
        }
        for (i, (path, value)) in layer.fields.iter().enumerate() {
            self.put(if i == 0 { "(" } else { ", " });
            self.path(path);
            self.put("=");
            self.literal(value);
        }
        if !layer.fields.is_empty() {
            self.put(")");
        }
    }

    fn layer_bytes(&mut self, layer: &Layer, bytes: &[u8]) {
        let name = &layer.name.segments[0].name.text;
        if name == "hex" {
            let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            self.put(&pairs.join(" "));
        } else {
            // Writing into a string cannot fail.
            let _ = quoted(self, bytes);
        }
    }
}

const OR: u8 = 0;
const AND: u8 = 1;
const NOT: u8 = 2;
const RELATION: u8 = 3;
const SUM: u8 = 4;
const PRODUCT: u8 = 5;
const BITS: u8 = 6;
const ATOM: u8 = 7;

fn level(kind: &ExprKind) -> u8 {
    match kind {
        ExprKind::Or(..) => OR,
        ExprKind::And(..) => AND,
        ExprKind::Not(_) => NOT,
        ExprKind::Compare(..) | ExprKind::InElements(..) | ExprKind::InSet(..) => RELATION,
        ExprKind::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub, ..) => SUM,
        ExprKind::Arithmetic(ArithmeticOp::Mul, ..) => PRODUCT,
        ExprKind::Arithmetic(ArithmeticOp::And, ..) => BITS,
        _ => ATOM,
    }
}

fn compare_sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => " == ",
        CompareOp::Ne => " != ",
        CompareOp::Lt => " < ",
        CompareOp::Le => " <= ",
        CompareOp::Gt => " > ",
        CompareOp::Ge => " >= ",
    }
}

fn arithmetic_sign(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => " + ",
        ArithmeticOp::Sub => " - ",
        ArithmeticOp::Mul => " * ",
        ArithmeticOp::And => " & ",
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&segment.name.text)?;
            if let Some((index, _)) = segment.index {
                write!(f, "[{index}]")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pieces = Pieces::new(None);
        pieces.expr(self);
        f.write_str(&pieces.joined())
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pieces = Pieces::new(None);
        pieces.element(self);
        f.write_str(&pieces.joined())
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pieces = Pieces::new(None);
        pieces.packet(self);
        f.write_str(&pieces.joined())
    }
}
