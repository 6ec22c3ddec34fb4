//! Conditions and values, by precedence climbing: one recursion a level of parentheses.

use super::{Parsed, Parser, Refusal, Reported, words};
use crate::diagnostic::Code;
use crate::source::Span;
use crate::syntax::ast::{ArithmeticOp, CompareOp, Expr, ExprKind, SliceRange};
use crate::syntax::token::Kind;

/// How deep a tree may be; later stages recurse over it. A chain is as deep as it is long.
const MAX_DEPTH: u32 = 500;

/// Operators, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Relation,
    Sum,
    Product,
    Bits,
    Atom,
}

impl Level {
    fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Not,
            Level::Not => Level::Relation,
            Level::Relation => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product => Level::Bits,
            Level::Bits | Level::Atom => Level::Atom,
        }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Compare(CompareOp),
    In,
    Arithmetic(ArithmeticOp),
}

impl Operator {
    fn level(self) -> Level {
        match self {
            Operator::Or => Level::Or,
            Operator::And => Level::And,
            Operator::Compare(_) | Operator::In => Level::Relation,
            Operator::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub) => Level::Sum,
            Operator::Arithmetic(ArithmeticOp::Mul) => Level::Product,
            Operator::Arithmetic(ArithmeticOp::And) => Level::Bits,
        }
    }
}

/// An expression, how deep its tree is, and its span with the parentheses around it.
struct Tree {
    expr: Expr,
    depth: u32,
    outer: Span,
}

impl Tree {
    fn leaf(kind: ExprKind, span: Span) -> Tree {
        let (depth, outer) = (1, span);
        Tree { expr: Expr { kind, span }, depth, outer }
    }
}

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        let tree = self.operators(Level::Or)?;
        if matches!(tree.expr.kind, ExprKind::Tuple(_)) {
            return Err(self.lonely_tuple(tree.expr.span));
        }
        Ok(tree.expr)
    }

    fn operators(&mut self, least: Level) -> Parsed<Tree> {
        let mut left = self.prefix(least)?;
        let mut related = false;
        while let Some(operator) = self.operator() {
            let level = operator.level();
            if level < least {
                break;
            }
            if level == Level::Relation && std::mem::replace(&mut related, true) {
                return Err(self.chained());
            }
            self.foreign_operator(operator);
            self.bump();
            left = self.right_side(left, operator)?;
        }
        Ok(left)
    }

    fn prefix(&mut self, least: Level) -> Parsed<Tree> {
        let first = self.at;
        if self.peek() == Kind::Bang {
            let span = self.here();
            self.report(Code::Expected, span, "a negation is written `not`, not `!`")
                .help("write `not` instead");
        } else if !self.is_word("not") {
            return self.atom();
        }
        if least > Level::Not {
            return Err(self.expected("a value").help("put the negation in parentheses").done());
        }
        self.bump();
        let inner = self.nested(|p| p.operators(Level::Not))?;
        let span = self.since(first);
        let inner = self.value(inner)?;
        let depth = inner.depth + 1;
        let kind = ExprKind::Not(Box::new(inner.expr));
        self.limited(kind, depth, span)
    }

    /// The operator at hand, under its own or another tool's spelling.
    fn operator(&self) -> Option<Operator> {
        Some(match self.peek() {
            Kind::OrOr => Operator::Or,
            Kind::AndAnd => Operator::And,
            Kind::Equal | Kind::Assign => Operator::Compare(CompareOp::Eq),
            Kind::NotEqual => Operator::Compare(CompareOp::Ne),
            Kind::Less => Operator::Compare(CompareOp::Lt),
            Kind::LessEqual => Operator::Compare(CompareOp::Le),
            Kind::Greater => Operator::Compare(CompareOp::Gt),
            Kind::GreaterEqual => Operator::Compare(CompareOp::Ge),
            Kind::Plus => Operator::Arithmetic(ArithmeticOp::Add),
            Kind::Minus => Operator::Arithmetic(ArithmeticOp::Sub),
            Kind::Star => Operator::Arithmetic(ArithmeticOp::Mul),
            Kind::Ampersand => Operator::Arithmetic(ArithmeticOp::And),
            Kind::Word => self.word_operator()?,
            _ => return None,
        })
    }

    fn word_operator(&self) -> Option<Operator> {
        // A field of a protocol definition may have any name; its `:` or `=` tells it.
        if matches!(self.nth(1), Kind::Colon | Kind::Assign) {
            return None;
        }
        let word = self.word()?;
        Some(match word {
            "or" => Operator::Or,
            "and" => Operator::And,
            "in" => Operator::In,
            _ => match words::relation_for(word)? {
                "==" => Operator::Compare(CompareOp::Eq),
                "!=" => Operator::Compare(CompareOp::Ne),
                "<" => Operator::Compare(CompareOp::Lt),
                "<=" => Operator::Compare(CompareOp::Le),
                ">" => Operator::Compare(CompareOp::Gt),
                _ => Operator::Compare(CompareOp::Ge),
            },
        })
    }

    /// Reports another tool's spelling of an operator; its meaning is plain, so parsing goes on.
    fn foreign_operator(&mut self, operator: Operator) {
        let span = self.here();
        let written = self.text_of(self.raw());
        let ours = match (self.peek(), operator) {
            (Kind::OrOr, _) => "or",
            (Kind::AndAnd, _) => "and",
            (Kind::Assign, _) => "==",
            (Kind::Word, Operator::Compare(_)) => match words::relation_for(written) {
                Some(ours) => ours,
                None => return,
            },
            _ => return,
        };
        let message = format!("this is written `{ours}`, not `{written}`");
        self.report(Code::Expected, span, message).help(format!("write `{ours}` instead"));
    }

    fn right_side(&mut self, left: Tree, operator: Operator) -> Parsed<Tree> {
        if let Operator::In = operator {
            return self.membership(left);
        }
        let right = self.operators(operator.level().tighter())?;
        let (left, right) = (self.value(left)?, self.value(right)?);
        let span = left.outer.to(right.outer);
        let depth = left.depth.max(right.depth) + 1;
        let (left, right) = (Box::new(left.expr), Box::new(right.expr));
        let kind = match operator {
            Operator::Or => ExprKind::Or(left, right),
            Operator::And | Operator::In => ExprKind::And(left, right),
            Operator::Compare(op) => ExprKind::Compare(op, left, right),
            Operator::Arithmetic(op) => ExprKind::Arithmetic(op, left, right),
        };
        self.limited(kind, depth, span)
    }

    fn membership(&mut self, left: Tree) -> Parsed<Tree> {
        let first = self.at;
        let (outer, depth, left) = (left.outer, left.depth + 1, Box::new(left.expr));
        let kind = match self.peek() {
            Kind::OpenBrace => {
                let elements = self.elements()?;
                ExprKind::InElements(left, elements, self.since(first))
            }
            Kind::Word if !matches!(self.word(), Some("true" | "false")) => {
                ExprKind::InSet(left, self.name("a set's name")?)
            }
            Kind::Constant => {
                let help = format!("write `in {{{}}}`", self.bare_element());
                return Err(self.expected("`{` or a set's name").help(help).done());
            }
            _ => return Err(self.unexpected("`{` or a set's name")),
        };
        let span = outer.to(self.since(first));
        self.limited(kind, depth, span)
    }

    /// The text of the value or range at hand.
    fn bare_element(&self) -> &str {
        let last = match (self.nth(1), self.nth(2)) {
            (Kind::Range, Kind::Constant) => self.at + 2,
            _ => self.at,
        };
        &self.text[self.raw().start as usize..self.tokens[last].end as usize]
    }

    fn atom(&mut self) -> Parsed<Tree> {
        let first = self.at;
        match self.peek() {
            Kind::OpenParen => self.nested(|p| p.parentheses()),
            Kind::Constant | Kind::Text => self.constant(),
            Kind::Word => match self.word() {
                Some("true" | "false") => self.constant(),
                Some(word) if words::is_reserved(word) && !self.is_field() => {
                    Err(self.unexpected("a condition or a value"))
                }
                _ => self.field(first),
            },
            Kind::OpenBrace => {
                Err(self.expected("a condition or a value").help("a list of values stands after `in`").done())
            }
            _ => Err(self.unexpected("a condition or a value")),
        }
    }

    /// A protocol definition may call a field `max`; where it is used, no statement is about.
    fn is_field(&self) -> bool {
        self.nth(1) == Kind::Dot
    }

    fn constant(&mut self) -> Parsed<Tree> {
        let literal = self.literal("a constant")?;
        Ok(Tree::leaf(ExprKind::Literal(literal.value), literal.span))
    }

    fn field(&mut self, first: usize) -> Parsed<Tree> {
        let path = self.path("a field")?;
        if self.peek() != Kind::OpenBracket {
            let span = path.span;
            return Ok(Tree::leaf(ExprKind::Path(path), span));
        }
        let range = self.slice_range()?;
        let kind = ExprKind::Slice(path, range);
        Ok(Tree::leaf(kind, self.since(first)))
    }

    fn slice_range(&mut self) -> Parsed<SliceRange> {
        let first = self.at;
        self.bump();
        let offset = self.small_number("the slice's first byte, a number")?;
        if self.peek() != Kind::Colon {
            return Err(self.expected("`:`").help("a slice is written `[offset:length]`, in bytes").done());
        }
        self.bump();
        let length = self.small_number("the slice's length in bytes, a number")?;
        self.expect(Kind::CloseBracket, "`]`")?;
        Ok(SliceRange { offset, length, span: self.since(first) })
    }

    fn parentheses(&mut self) -> Parsed<Tree> {
        let first = self.at;
        self.bump();
        let inner = self.operators(Level::Or)?;
        if self.peek() == Kind::Comma {
            return self.tuple(first, inner);
        }
        self.close_paren(first)?;
        let outer = self.since(first);
        Ok(Tree { outer, ..inner })
    }

    fn tuple(&mut self, first: usize, head: Tree) -> Parsed<Tree> {
        let mut depth = head.depth;
        let mut parts = vec![self.value(head)?.expr];
        while self.take(Kind::Comma) {
            let part = self.operators(Level::Or)?;
            depth = depth.max(part.depth);
            parts.push(self.value(part)?.expr);
        }
        self.close_paren(first)?;
        let span = self.since(first);
        if !self.is_word("in") {
            return Err(self.lonely_tuple(span));
        }
        self.limited(ExprKind::Tuple(parts), depth + 1, span)
    }

    pub(super) fn close_paren(&mut self, first: usize) -> Parsed<()> {
        if self.take(Kind::CloseParen) {
            return Ok(());
        }
        let opening = self.token_span(self.tokens[first]);
        let ended = self.peek() == Kind::End;
        let refusal = self.expected("`)`");
        if ended {
            return Err(refusal.done());
        }
        Err(refusal.also(opening, "this is still open").done())
    }

    fn limited(&mut self, kind: ExprKind, depth: u32, span: Span) -> Parsed<Tree> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(Tree { expr: Expr { kind, span }, depth, outer: span })
    }

    /// Refuses a tuple where one value is needed.
    fn value(&mut self, tree: Tree) -> Parsed<Tree> {
        match tree.expr.kind {
            ExprKind::Tuple(_) => Err(self.lonely_tuple(tree.expr.span)),
            _ => Ok(tree),
        }
    }

    fn lonely_tuple(&mut self, span: Span) -> Reported {
        self.report(Code::Expected, span, "several values in parentheses stand before `in` only").done()
    }

    fn chained(&mut self) -> Reported {
        let sign = self.here();
        self.report(Code::Expected, sign, "relations do not chain").help("join two of them with `and`").done()
    }

    /// What stands where a condition should have ended, with the fix where it is plain.
    pub(super) fn after_condition(&mut self, expected: &str) -> Refusal<'_> {
        match self.word() {
            Some(word @ ("contains" | "matches")) => {
                let span = self.here();
                let message = format!("this version does not have `{word}`");
                self.report(Code::Planned, span, message).help("compare a slice: `payload[0:4] == \"GET \"`")
            }
            Some("not") => self
                .expected(expected)
                .help("`not` stands before the whole relation: `not ip.src in friends`"),
            Some("xor") => self.expected(expected).help("write it with `and`, `or` and `not`"),
            _ => match self.peek() {
                Kind::Range => self.expected(expected).help("a range stands in braces: `in {1..5}`"),
                Kind::Bang => self.expected(expected).help("a negation is written `not`"),
                _ => self.expected(expected),
            },
        }
    }
}
