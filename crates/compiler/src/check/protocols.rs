//! Protocol definitions: fields into places, `over` and `next` into one graph.
//!
//! Three rounds, since definitions may use each other in any order: names and fields first, then
//! what is computed from a header's own fields, then which protocol follows which.

use super::expr::all;
use super::names::dotted;
use super::{Checker, literal};
use crate::diagnostic::{Code, nearest};
use crate::policy::{
    Family, Field, Next, Options, Place, Pred, Protocol, ProtocolId, Selector, Term, ValueType,
};
use crate::source::Span;
use crate::syntax::ast::{self, ArithmeticOp, ProtocolEntry};
use std::collections::{BTreeSet, HashMap};

/// Longest header that is looked at, in bits: an IPv6 extension header (RFC 8200).
const LONGEST_BITS: u32 = 2056 * 8;

/// Numbers of a space and the protocols bound to them.
#[derive(Default)]
struct Space {
    rows: Vec<(u128, ProtocolId, bool)>,
}

impl Checker<'_> {
    pub(super) fn protocols(&mut self) {
        let definitions: Vec<&ast::Protocol> = self
            .items()
            .filter_map(|item| match item {
                ast::Item::Protocol(protocol) => Some(protocol),
                _ => None,
            })
            .collect();
        let mut declared = Vec::new();
        let mut groups = HashMap::new();
        for ast in definitions {
            if let Some(id) = self.declare(ast, &mut groups) {
                declared.push((id, ast));
            }
        }
        for &(id, ast) in &declared {
            self.own = Some(id);
            self.compute(id, ast);
            self.own = None;
        }
        let spaces = self.spaces(&declared);
        for &(id, ast) in &declared {
            self.connect(id, ast, &spaces);
        }
        self.families();
    }

    fn bad(&mut self, span: Span, message: impl Into<String>, label: &str) {
        self.diagnostics.report(Code::BadProtocol, span, message).label(label);
    }

    /// First round: the name, the fields in their places.
    fn declare(
        &mut self,
        ast: &ast::Protocol,
        groups: &mut HashMap<String, (u32, u32)>,
    ) -> Option<ProtocolId> {
        let name = dotted(&ast.name.segments);
        if let Some(first) = self.protocols_table().find(&name) {
            let span = self.protocols_table()[first].span;
            self.duplicate("protocols", &name, ast.name.span, span);
            return None;
        }
        if ["inner", "payload", "frame"].contains(&ast.name.segments[0].name.text.as_str()) {
            self.bad(
                ast.name.span,
                format!("`{}` has a meaning of its own", ast.name.segments[0].name.text),
                "choose another name",
            );
            return None;
        }
        let (group, depth) = self.stack(ast, &name, groups);
        let mut layout = Layout::default();
        for entry in &ast.entries {
            match entry {
                ProtocolEntry::Field(field) => self.lay_out(&mut layout, field),
                ProtocolEntry::Options(options) => self.options(&mut layout, options),
                _ => {}
            }
        }
        if layout.fixed_bits % 8 != 0 {
            self.bad(
                ast.name.span,
                format!("the fields of `{name}` end inside a byte"),
                "fill up with `_ : uN`",
            );
        }
        let protocol = Protocol {
            name,
            reference: ast
                .reference
                .as_ref()
                .map(|r| String::from_utf8_lossy(&r.value).into_owned())
                .unwrap_or_default(),
            span: ast.name.span,
            transport: ast.transport.is_some(),
            group,
            depth,
            fields: layout.fields,
            derived: Vec::new(),
            sides: Vec::new(),
            fixed: layout.fixed_bits.div_ceil(8) as u16,
            length: Term::Const(u128::from(layout.fixed_bits.div_ceil(8))),
            require: None,
            carries: None,
            next: Vec::new(),
            options: layout.options,
        };
        let id = self.policy.protocols.add(protocol);
        if let Some(span) = ast.root
            && self.policy.protocols.root.replace(id).is_some()
        {
            self.bad(span, "a frame begins with one protocol only", "a second root");
        }
        Some(id)
    }

    /// The group and depth of a protocol's stack.
    fn stack(
        &mut self,
        ast: &ast::Protocol,
        name: &str,
        groups: &mut HashMap<String, (u32, u32)>,
    ) -> (u32, u8) {
        let stack = ast.stack.as_ref();
        let depth = stack.map_or(1, |s| s.depth);
        if !(1..=8).contains(&depth) {
            self.bad(stack.map_or(ast.span, |s| s.span), "a stack is 1 to 8 deep", "this depth");
        }
        let group =
            stack.and_then(|s| s.group.as_ref()).map_or_else(|| format!("={name}"), |g| g.text.clone());
        let next = groups.len() as u32;
        let (number, first) = *groups.entry(group).or_insert((next, depth));
        if first != depth {
            self.bad(
                stack.map_or(ast.span, |s| s.span),
                format!("the others of this stack say {first}"),
                "another depth",
            );
        }
        (number, depth.clamp(1, 8) as u8)
    }

    fn field_type(&mut self, field: &ast::Field) -> Option<ValueType> {
        let ty = self.type_named(&field.ty)?;
        if ty == ValueType::Ip {
            self.bad(field.ty.path.span, "a field is of one family", "expected `ip4` or `ip6`");
            return None;
        }
        Some(ty)
    }

    fn lay_out(&mut self, layout: &mut Layout, field: &ast::Field) {
        let Some(ty) = self.field_type(field) else { return };
        let name = dotted(&field.name.segments);
        let width = u32::from(ty.bits());
        let optional = field.when.is_some() || field.at.is_some();
        if optional && width % 8 != 0 {
            self.bad(field.span, "a field that is not always there has whole bytes", "fill up to a byte");
        }
        let place = Place::Bit(layout.fixed_bits);
        self.add_field(layout, &name, ty, place, field.name.span);
        self.bits(layout, field, &name, width);
        if optional {
            layout.optional = true;
        } else if !layout.optional {
            layout.fixed_bits += width;
        } else {
            self.bad(
                field.span,
                "fields behind one with `when` or `at` need `when` or `at` too",
                "always there",
            );
        }
        if layout.fixed_bits > LONGEST_BITS {
            self.bad(field.span, "a header has at most 2056 bytes", "too long");
            layout.fixed_bits = 8;
        }
    }

    /// The named bits of a field.
    fn bits(&mut self, layout: &mut Layout, field: &ast::Field, name: &str, width: u32) {
        let start = layout.fixed_bits;
        let mut at = start;
        for bit in &field.bits {
            let Some(ty) = self.field_type(bit) else { continue };
            let bit_name = dotted(&bit.name.segments);
            if bit_name != "_" {
                self.add_field(layout, &format!("{name}.{bit_name}"), ty, Place::Bit(at), bit.name.span);
            }
            at += u32::from(ty.bits());
        }
        if !field.bits.is_empty() && at != start + width {
            self.bad(
                field.span,
                format!("`{name}` has {width} bits, its parts {}", at - start),
                "must be as many",
            );
        }
    }

    fn add_field(&mut self, layout: &mut Layout, name: &str, ty: ValueType, place: Place, span: Span) {
        if name == "_" {
            return;
        }
        if !layout.names.insert(name.to_owned()) {
            self.bad(span, format!("there are two fields named `{name}`"), "the second");
        }
        layout.fields.push(Field { name: name.to_owned(), ty, place, when: None });
    }

    fn options(&mut self, layout: &mut Layout, ast: &ast::Options) {
        if ast.from > LONGEST_BITS / 8 {
            self.bad(ast.span, "a header has at most 2056 bytes", "options begin behind it");
            return;
        }
        let mut options = Options {
            from: ast.from as u16,
            length_of_value: ast.length == ast::OptionLength::Value,
            end: None,
            nop: None,
            kinds: Vec::new(),
        };
        for kind in &ast.kinds {
            let Some(number) = literal::integer(&kind.number.value).filter(|n| *n < 256) else {
                self.bad(kind.number.span, "an option's kind is a byte", "0 to 255");
                continue;
            };
            match kind.name.text.as_str() {
                "end" => options.end = Some(number as u8),
                "nop" => options.nop = Some(number as u8),
                name => self.option_kind(layout, &mut options, kind, number as u8, name),
            }
        }
        if layout.options.replace(options).is_some() {
            self.bad(ast.span, "a header has options once", "the second");
        }
    }

    fn option_kind(
        &mut self,
        layout: &mut Layout,
        options: &mut Options,
        kind: &ast::OptionKind,
        number: u8,
        name: &str,
    ) {
        let index = options.kinds.len() as u32;
        options.kinds.push((number, name.to_owned()));
        let whole = format!("options.{name}");
        self.add_field(layout, &whole, ValueType::Bool, Place::OptionThere(index), kind.name.span);
        let mut at = 0;
        for field in &kind.fields {
            let Some(ty) = self.field_type(field) else { continue };
            let field_name = dotted(&field.name.segments);
            if field_name != "_" {
                let full = format!("{whole}.{field_name}");
                self.add_field(layout, &full, ty, Place::Option(index, at), field.name.span);
            }
            at += u32::from(ty.bits());
        }
    }

    /// Second round: everything that is computed from the header's own fields.
    fn compute(&mut self, id: ProtocolId, ast: &ast::Protocol) {
        self.sides_and_derived(id, ast);
        let fixed = self.protocols_table()[id].fixed;
        let mut size = Term::Const(u128::from(fixed));
        let mut explicit = None;
        for entry in &ast.entries {
            match entry {
                ProtocolEntry::Field(field) => self.optional_field(id, field, &mut size),
                ProtocolEntry::Length(expr) => explicit = self.own_term(expr),
                ProtocolEntry::Require(expr) => {
                    let pred = self.pred(expr);
                    let require = &mut self.policy.protocols[id].require;
                    *require = Some(all(require.take().into_iter().chain(pred).collect()));
                }
                ProtocolEntry::Carries(expr) => self.policy.protocols[id].carries = self.pred(expr),
                _ => {}
            }
        }
        self.policy.protocols[id].length = explicit.unwrap_or(size);
    }

    fn sides_and_derived(&mut self, id: ProtocolId, ast: &ast::Protocol) {
        for entry in &ast.entries {
            match entry {
                ProtocolEntry::Derived(name, expr) => {
                    if let Some(term) = self.own_term(expr) {
                        self.policy.protocols[id].derived.push((name.text.clone(), term));
                    }
                }
                ProtocolEntry::Any(name, sides) => {
                    let mut fields = Vec::new();
                    for side in sides {
                        match self.protocols_table()[id].field(&side.text) {
                            Some(field) => fields.push(field),
                            None => {
                                self.bad(side.span, format!("no field is called `{}`", side.text), "unknown")
                            }
                        }
                    }
                    self.policy.protocols[id].sides.push((name.text.clone(), fields));
                }
                _ => {}
            }
        }
    }

    /// A value computed from the header's own fields.
    fn own_term(&mut self, expr: &ast::Expr) -> Option<Term> {
        let meanings = self.operand(expr)?;
        Some(meanings.first()?.sides.first()?.term.clone())
    }

    /// Places a field that is not always there: behind the fixed bytes and the optional fields
    /// before it that are there, or where `at` says.
    fn optional_field(&mut self, id: ProtocolId, ast: &ast::Field, size: &mut Term) {
        if ast.when.is_none() && ast.at.is_none() {
            return;
        }
        let when = ast.when.as_ref().and_then(|expr| self.pred(expr));
        let name = dotted(&ast.name.segments);
        let place = match &ast.at {
            Some(expr) => self.own_term(expr),
            None => Some(size.clone()),
        };
        let Some(start) = place else { return };
        let Some(ty) = self.field_type(ast) else { return };
        let base = self.protocols_table()[id].fixed;
        for field in &mut self.policy.protocols[id].fields {
            let mine = field.name == name && name != "_" || field.name.starts_with(&format!("{name}."));
            if let (true, Place::Bit(bit)) = (mine, &field.place) {
                // Fixed fields that end within a byte have been told of; `base` is rounded up behind them.
                field.place = Place::Computed(start.clone(), bit.saturating_sub(u32::from(base) * 8));
                field.when = when.clone();
            }
        }
        if ast.at.is_none() {
            let there = Term::Truth(Box::new(when.unwrap_or(Pred::Const(true))));
            let bytes = Term::Const(u128::from(ty.bits() / 8));
            let mine = Term::Binary(ArithmeticOp::Mul, Box::new(there), Box::new(bytes));
            *size = Term::Binary(ArithmeticOp::Add, Box::new(size.clone()), Box::new(mine));
        }
    }

    /// All number spaces, filled by `over`.
    fn spaces(&mut self, declared: &[(ProtocolId, &ast::Protocol)]) -> HashMap<String, Space> {
        let mut spaces: HashMap<String, Space> = HashMap::new();
        for entry in declared.iter().flat_map(|(_, ast)| &ast.entries) {
            if let ProtocolEntry::Next(ast::Next { table: ast::Table::Space(path), .. }) = entry {
                spaces.entry(dotted(&path.segments)).or_default();
            }
        }
        for &(id, ast) in declared {
            for entry in &ast.entries {
                if let ProtocolEntry::Over(over) = entry {
                    self.bind(id, over, &mut spaces);
                }
            }
        }
        spaces
    }

    fn bind(&mut self, id: ProtocolId, over: &ast::Over, spaces: &mut HashMap<String, Space>) {
        let name = dotted(&over.space.segments);
        let Some(number) = literal::integer(&over.number.value) else {
            return self.bad(over.number.span, "protocols are bound to numbers", "expected a number");
        };
        let Some(space) = spaces.get_mut(&name) else {
            let near = nearest(&name, spaces.keys().map(String::as_str)).map(str::to_owned);
            let found = self.diagnostics.report(
                Code::BadProtocol,
                over.space.span,
                format!("no protocol selects by `{name}`"),
            );
            found.label("unknown");
            if let Some(near) = near {
                found.help(format!("there is `{near}`"));
            }
            return;
        };
        if let Some((_, other, _)) = space.rows.iter().find(|row| row.0 == number) {
            let other = &self.policy.protocols[*other];
            let (owner, span) = (other.name.clone(), other.span);
            self.diagnostics
                .report(Code::BadProtocol, over.span, format!("`{name}` {number} is `{owner}` already"))
                .label("bound twice")
                .also(span, "bound here first");
            return;
        }
        space.rows.push((number, id, over.inner));
    }

    /// Third round: what follows.
    fn connect(&mut self, id: ProtocolId, ast: &ast::Protocol, spaces: &HashMap<String, Space>) {
        for entry in &ast.entries {
            if let ProtocolEntry::Next(next) = entry {
                self.own = Some(id);
                let next = self.next(next, spaces);
                self.own = None;
                self.policy.protocols[id].next.extend(next);
            }
        }
    }

    fn next(&mut self, ast: &ast::Next, spaces: &HashMap<String, Space>) -> Option<Next> {
        let when = match &ast.when {
            Some(expr) => Some(self.pred(expr)?),
            None => None,
        };
        let selector = match &ast.selector {
            ast::Selector::Field(path) => Selector::Term(self.resolve_own(self.own?, path)?.term),
            ast::Selector::Peek(bits @ 1..=32, _) => Selector::Peek(*bits as u8),
            ast::Selector::Peek(_, span) => {
                self.bad(*span, "at most 32 bits are peeked at", "too many");
                return None;
            }
            ast::Selector::Always(_) => Selector::Always,
        };
        let mut table = match &ast.table {
            ast::Table::Space(path) => {
                spaces.get(&dotted(&path.segments)).map(|s| s.rows.clone()).unwrap_or_default()
            }
            ast::Table::Entries(entries, _) => entries
                .iter()
                .filter_map(|(number, path)| {
                    Some((literal::integer(&number.value)?, self.protocol_named(path)?, false))
                })
                .collect(),
            ast::Table::One(path) => vec![(0, self.protocol_named(path)?, false)],
        };
        for row in &mut table {
            row.2 |= ast.inner;
        }
        Some(Next { when, selector, table })
    }

    fn protocol_named(&mut self, path: &ast::Path) -> Option<ProtocolId> {
        let name = dotted(&path.segments);
        let found = self.protocols_table().find(&name);
        if found.is_none() {
            self.bad(path.span, format!("no protocol is called `{name}`"), "unknown");
        }
        found
    }

    fn families(&mut self) {
        for item in self.items() {
            let ast::Item::Family(family) = item else { continue };
            if self.protocols_table().find(&family.name.text).is_some() {
                self.bad(
                    family.name.span,
                    format!("`{}` is a protocol already", family.name.text),
                    "choose another name",
                );
                continue;
            }
            let members: Vec<_> = family.members.iter().filter_map(|m| self.protocol_named(m)).collect();
            self.policy.protocols.families.push(Family { name: family.name.text.clone(), members });
        }
    }
}

/// Fields laid out so far.
#[derive(Default)]
struct Layout {
    fields: Vec<Field>,
    names: BTreeSet<String>,
    fixed_bits: u32,
    /// A field that is not always there has been met.
    optional: bool,
    options: Option<Options>,
}
