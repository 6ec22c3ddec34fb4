//! Expressions → conditions.
//!
//! An operand may stand for several values: a family's field for one in each member, an either-side
//! field for two. A comparison becomes the `or` over the members that do not exclude each other, and
//! over the sides (for `!=` the `and`: no side is equal).

use super::literal::{Misfit, Range, describe_literal, family, integer};
use super::names::{Choice, Member, Resolved, byte_place, combine, dotted};
use super::{Checker, Typed, describe};
use crate::diagnostic::Code;
use crate::policy::{
    Compare, Family46, FieldRef, HeaderRef, Pred, Relation, SetPart, SliceRef, Term, ValueType,
};
use crate::source::Span;
use crate::syntax::ast::{self, ArithmeticOp, CompareOp, Expr, ExprKind};

/// One meaning of an operand: the choices of family members that it rests on, and its sides.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) choices: Vec<Choice>,
    pub(super) sides: Vec<Typed>,
}

impl Meaning {
    fn conflicts(&self, other: &Meaning) -> bool {
        self.choices.iter().any(|a| other.choices.iter().any(|b| a.conflicts(*b)))
    }
}

impl Checker<'_> {
    /// A condition; `None` if an error was told.
    pub(super) fn pred(&mut self, expr: &Expr) -> Option<Pred> {
        match &expr.kind {
            ExprKind::Or(a, b) => self.joined(a, b, Pred::Or),
            ExprKind::And(a, b) => self.joined(a, b, Pred::And),
            ExprKind::Not(inner) => Some(Pred::Not(Box::new(self.pred(inner)?))),
            ExprKind::Compare(op, a, b) => self.compare(expr.span, *op, a, b),
            ExprKind::InElements(value, elements, _) => self.in_elements(value, elements),
            ExprKind::InSet(value, name) => self.in_set(value, name),
            ExprKind::Path(path) => self.presence(path),
            ExprKind::Slice(path, range) => {
                let meanings = self.slice(path, range)?;
                Some(any(meanings.into_iter().flat_map(|m| m.sides).map(|t| Pred::There(t.term))))
            }
            ExprKind::Arithmetic(ArithmeticOp::And, ..) => {
                let meanings = self.operand(expr)?;
                Some(any(meanings
                    .into_iter()
                    .flat_map(|m| m.sides)
                    .map(|t| relation(Relation::Ne, t.term, Term::Const(0)))))
            }
            ExprKind::Literal(ast::LiteralValue::Bool(value)) => Some(Pred::Const(*value)),
            ExprKind::Literal(value) => self.not_a_condition(expr.span, &describe_literal(value)),
            ExprKind::Arithmetic(..) => self.not_a_condition(expr.span, "a number"),
            ExprKind::Tuple(_) => self.not_a_condition(expr.span, "a tuple"),
            ExprKind::Error => None,
        }
    }

    fn joined(&mut self, a: &Expr, b: &Expr, join: fn(Vec<Pred>) -> Pred) -> Option<Pred> {
        let (a, b) = (self.pred(a), self.pred(b));
        let mut parts = Vec::new();
        let is_or = matches!(join(Vec::new()), Pred::Or(_));
        for part in [a?, b?] {
            match part {
                Pred::Or(more) if is_or => parts.extend(more),
                Pred::And(more) if !is_or => parts.extend(more),
                other => parts.push(other),
            }
        }
        Some(join(parts))
    }

    fn not_a_condition<T>(&mut self, span: Span, what: &str) -> Option<T> {
        self.diagnostics
            .report(
                Code::NotACondition,
                span,
                format!("`{}` is {what}, not a condition", self.input.sources.text(span)),
            )
            .label("expected something that is true or false")
            .help("compare it with something: `==`, `!=`, `<`, `in { … }`");
        None
    }

    /// A name alone: whether the header is there, a flag's value, whether the field is there.
    fn presence(&mut self, path: &ast::Path) -> Option<Pred> {
        if self.own.is_none() {
            match self.resolve(path)? {
                Resolved::Headers(members) => {
                    return Some(any(members.into_iter().map(|m| Pred::Header(m.header))));
                }
                Resolved::Payload(members) => {
                    return Some(any(members.into_iter().map(|m| Pred::Header(m.header))));
                }
                Resolved::Values(values) => {
                    return Some(any(values.into_iter().flat_map(|(_, sides)| sides).map(truth)));
                }
            }
        }
        let meanings = self.path_operand(path)?;
        Some(any(meanings.into_iter().flat_map(|m| m.sides).map(truth)))
    }

    /// The meanings of a value.
    pub(super) fn operand(&mut self, expr: &Expr) -> Option<Vec<Meaning>> {
        match &expr.kind {
            ExprKind::Path(path) => self.path_operand(path),
            ExprKind::Slice(path, range) => self.slice(path, range),
            ExprKind::Arithmetic(op, a, b) => self.arithmetic(expr.span, *op, a, b),
            ExprKind::Literal(value) => match integer(value) {
                Some(number) => Some(vec![constant(number)]),
                None => {
                    let what = describe_literal(value);
                    self.mismatch(
                        expr.span,
                        format!("{what} cannot be calculated with"),
                        "expected a number",
                    );
                    None
                }
            },
            ExprKind::Error => None,
            _ => {
                self.mismatch(
                    expr.span,
                    "a condition is not a value".into(),
                    "expected a field, a slice or a constant",
                );
                None
            }
        }
    }

    fn path_operand(&mut self, path: &ast::Path) -> Option<Vec<Meaning>> {
        if let Some(protocol) = self.own {
            let typed = self.resolve_own(protocol, path)?;
            return Some(vec![Meaning { choices: Vec::new(), sides: vec![typed] }]);
        }
        match self.resolve(path)? {
            Resolved::Values(values) => Some(
                values
                    .into_iter()
                    .map(|(member, sides)| Meaning { choices: member.choice.into_iter().collect(), sides })
                    .collect(),
            ),
            Resolved::Headers(_) => {
                let name = dotted(&path.segments);
                self.diagnostics
                    .report(Code::TypeMismatch, path.span, format!("`{name}` is a protocol, not a value"))
                    .label("expected a field")
                    .help(format!("name one of its fields, or ask for the header alone: `when {name}`"));
                None
            }
            Resolved::Payload(_) => {
                let name = dotted(&path.segments);
                self.diagnostics
                    .report(Code::TypeMismatch, path.span, format!("`{name}` has no fixed length"))
                    .label("expected bytes of it")
                    .help(format!("name the bytes: `{name}[0:4]` are the first four"));
                None
            }
        }
    }

    fn slice(&mut self, path: &ast::Path, range: &ast::SliceRange) -> Option<Vec<Meaning>> {
        if range.length == 0 || range.length > 16 || range.offset > 2000 {
            self.diagnostics
                .report(Code::BadSlice, range.span, "a slice has 1 to 16 bytes, from byte 0 to 2000 on")
                .label(format!("offset {}, length {}", range.offset, range.length));
            return None;
        }
        if self.own.is_some() {
            self.diagnostics.report(
                Code::BadSlice,
                range.span,
                "a definition can use its fields only, no slices",
            );
            return None;
        }
        match self.resolve(path)? {
            Resolved::Headers(members) => Some(members.iter().map(|m| slice_of(m, false, range)).collect()),
            Resolved::Payload(members) => Some(members.iter().map(|m| slice_of(m, true, range)).collect()),
            Resolved::Values(values) => {
                let cut = |(member, sides): (Member, Vec<Typed>)| {
                    let sides = sides
                        .iter()
                        .map(|side| self.slice_of_field(side, range))
                        .collect::<Option<Vec<_>>>()?;
                    Some(Meaning { choices: member.choice.into_iter().collect(), sides })
                };
                let cut: Option<Vec<_>> = values.into_iter().map(cut).collect();
                if cut.is_none() {
                    self.diagnostics
                        .report(Code::BadSlice, range.span, "the slice does not lie inside the field, or the field does not begin with a byte")
                        .label(format!("offset {}, length {}", range.offset, range.length));
                }
                cut
            }
        }
    }

    fn slice_of_field(&self, side: &Typed, range: &ast::SliceRange) -> Option<Typed> {
        let Term::Field(FieldRef { header, field }) = side.term else { return None };
        let definition = &self.protocols_table()[header.protocol].fields[field as usize];
        let first = byte_place(&definition.place)?;
        if definition.when.is_some() || (range.offset + range.length) * 8 > u32::from(definition.ty.bits()) {
            return None;
        }
        Some(typed_slice(header, false, first + range.offset, range.length))
    }

    fn arithmetic(&mut self, span: Span, op: ArithmeticOp, a: &Expr, b: &Expr) -> Option<Vec<Meaning>> {
        let (left, right) = (self.number(a, op), self.number(b, op));
        let mut meanings = Vec::new();
        for (l, r) in pairs(&left?, &right?) {
            let choices = l.choices.iter().chain(&r.choices).copied().collect();
            let ([x], [y]) = (l.sides.as_slice(), r.sides.as_slice()) else {
                self.diagnostics
                    .report(Code::Ambiguous, span, "a field that means either side cannot be calculated with")
                    .label("name the side: `srcport` or `dstport`, `src` or `dst`");
                return None;
            };
            let (min, max) = combine(op, (x.min, x.max), (y.min, y.max));
            if min < i128::from(i64::MIN) || max > i128::from(i64::MAX) && op != ArithmeticOp::And {
                self.diagnostics
                    .report(Code::OutOfRange, span, "this can leave 64 bits")
                    .label(format!("between {min} and {max}"));
                return None;
            }
            let term = Term::Binary(op, Box::new(x.term.clone()), Box::new(y.term.clone()));
            let typed = Typed { term, ty: ValueType::Int(64), min, max, slice: false };
            meanings.push(Meaning { choices, sides: vec![typed] });
        }
        Some(meanings)
    }

    /// An operand that is a number of at most 64 bits.
    fn number(&mut self, expr: &Expr, op: ArithmeticOp) -> Option<Vec<Meaning>> {
        let meanings = self.operand(expr)?;
        let odd = meanings
            .iter()
            .flat_map(|m| &m.sides)
            .find(|t| !matches!(t.ty, ValueType::Int(_) | ValueType::Bool));
        if let Some(odd) = odd {
            let what = describe(odd.ty);
            let found = self.diagnostics.report(
                Code::TypeMismatch,
                expr.span,
                format!("`{}` is {what} and cannot be calculated with", self.input.sources.text(expr.span)),
            );
            found.label("expected a number of at most 64 bits");
            if matches!(odd.ty, ValueType::Ip4 | ValueType::Ip6) && op == ArithmeticOp::And {
                found.help("compare with a prefix instead: `ip.src in { 10.0.0.0/8 }`");
            }
            return None;
        }
        Some(meanings)
    }

    fn compare(&mut self, span: Span, op: CompareOp, a: &Expr, b: &Expr) -> Option<Pred> {
        match (&a.kind, &b.kind) {
            (ExprKind::Literal(x), ExprKind::Literal(_)) => {
                let what = describe_literal(x);
                self.mismatch(
                    span,
                    format!("two constants are compared ({what} first)"),
                    "nothing of the packet is asked",
                );
                None
            }
            (_, ExprKind::Literal(value)) => {
                self.compare_literal(a, op, &ast::Literal { value: value.clone(), span: b.span })
            }
            (ExprKind::Literal(value), _) => {
                self.compare_literal(b, flipped(op), &ast::Literal { value: value.clone(), span: a.span })
            }
            _ => self.compare_values(span, op, a, b),
        }
    }

    fn compare_literal(&mut self, value: &Expr, op: CompareOp, literal: &ast::Literal) -> Option<Pred> {
        let meanings = self.operand(value)?;
        let mut preds = Vec::new();
        let mut fits_some = false;
        for meaning in &meanings {
            let mut sides = Vec::new();
            for typed in &meaning.sides {
                match self.side_and_literal(value, typed, op, literal) {
                    Ok(pred) => sides.push(pred),
                    Err(Misfit::OtherFamily) if meanings.len() > 1 => {}
                    Err(misfit) => {
                        self.misfit(value, typed, literal, misfit);
                        return None;
                    }
                }
            }
            fits_some |= !sides.is_empty();
            preds.push(if op == CompareOp::Ne { all(sides) } else { any(sides) });
        }
        if !fits_some {
            self.misfit(value, &meanings[0].sides[0].clone(), literal, Misfit::OtherFamily);
            return None;
        }
        Some(any(preds.into_iter().filter(|p| *p != Pred::Const(true))))
    }

    fn side_and_literal(
        &mut self,
        value: &Expr,
        typed: &Typed,
        op: CompareOp,
        literal: &ast::Literal,
    ) -> Result<Pred, Misfit> {
        let computed =
            matches!(typed.term, Term::Binary(..)) || typed.ty == ValueType::Int(64) && typed.max < 1 << 62;
        let (low, high) = match integer(&literal.value) {
            Some(number) if computed => {
                if number > i64::MAX as u128 {
                    return Err(Misfit::TooLarge(i64::MAX as u128));
                }
                (number, number)
            }
            _ => typed.literal(literal)?,
        };
        let term = typed.term.clone();
        let ordered = !matches!(op, CompareOp::Eq | CompareOp::Ne);
        if ordered && !matches!(typed.ty, ValueType::Int(_)) {
            let what = describe(typed.ty);
            let whole = self.input.sources.text(value.span);
            self.mismatch(
                literal.span,
                format!("`{whole}` is {what}, which has no order"),
                "use `==`, `!=` or `in { a..b }`",
            );
            return Ok(Pred::Const(false));
        }
        Ok(match op {
            CompareOp::Eq if low != high => Pred::In(term, vec![(low, high)]),
            CompareOp::Ne if low != high => Pred::And(vec![
                Pred::There(term.clone()),
                Pred::Not(Box::new(Pred::In(term, vec![(low, high)]))),
            ]),
            _ => relation(relation_of(op), term, Term::Const(low)),
        })
    }

    fn compare_values(&mut self, span: Span, op: CompareOp, a: &Expr, b: &Expr) -> Option<Pred> {
        let (left, right) = (self.operand(a), self.operand(b));
        let (left, right) = (left?, right?);
        let mut preds = Vec::new();
        let mut odd = None;
        let paired = pairs(&left, &right);
        for (l, r) in &paired {
            let mut sides = Vec::new();
            for x in &l.sides {
                for y in &r.sides {
                    if comparable(x, y) {
                        sides.push(relation(relation_of(op), x.term.clone(), y.term.clone()));
                    } else {
                        odd = Some((x.ty, y.ty));
                    }
                }
            }
            if !sides.is_empty() {
                preds.push(if op == CompareOp::Ne { all(sides) } else { any(sides) });
            }
        }
        let ordered = !matches!(op, CompareOp::Eq | CompareOp::Ne);
        let wide = left
            .iter()
            .chain(&right)
            .flat_map(|m| &m.sides)
            .any(|t| !matches!(t.ty, ValueType::Int(_) | ValueType::Bool));
        if let (true, Some((x, y))) = (preds.is_empty(), odd) {
            let message = format!("{} cannot be compared with {}", describe(x), describe(y));
            self.mismatch(span, message, "values of different kinds");
            return None;
        }
        if ordered && wide {
            self.mismatch(span, "only numbers have an order".into(), "use `==` or `!=`");
            return None;
        }
        Some(any(preds))
    }

    fn in_elements(&mut self, value: &Expr, elements: &[ast::Element]) -> Option<Pred> {
        if let ExprKind::Tuple(parts) = &value.kind {
            return self.tuple_in_elements(value.span, parts, elements);
        }
        let meanings = self.operand(value)?;
        let mut preds = Vec::new();
        for meaning in &meanings {
            for typed in &meaning.sides {
                let ranges = self.ranges(value, typed, elements, meanings.len() > 1)?;
                if !ranges.is_empty() {
                    preds.push(Pred::In(typed.term.clone(), ranges));
                }
            }
        }
        Some(any(preds))
    }

    /// The ranges that elements mean beside a value.
    fn ranges(
        &mut self,
        value: &Expr,
        typed: &Typed,
        elements: &[ast::Element],
        either: bool,
    ) -> Option<Vec<Range>> {
        let mut ranges = Vec::new();
        let mut fine = true;
        for element in elements {
            match self.element_range(typed, element) {
                Ok(range) => ranges.push(range),
                Err((_, Misfit::OtherFamily)) if either => {}
                Err((literal, misfit)) => {
                    self.misfit(value, typed, &literal, misfit);
                    fine = false;
                }
            }
        }
        fine.then(|| crate::policy::joined(ranges))
    }

    fn element_range(&self, typed: &Typed, element: &ast::Element) -> Result<Range, (ast::Literal, Misfit)> {
        match element {
            ast::Element::One(literal) => typed.literal(literal).map_err(|m| (literal.clone(), m)),
            ast::Element::Range(low, high) => {
                let first = typed.literal(low).map_err(|m| (low.clone(), m))?;
                let last = typed.literal(high).map_err(|m| (high.clone(), m))?;
                if first.0 > last.1 {
                    return Err((high.clone(), Misfit::Kind("below the range's beginning".into())));
                }
                Ok((first.0, last.1))
            }
            ast::Element::Tuple(_, span) => {
                let literal = ast::Literal { value: ast::LiteralValue::Int(0), span: *span };
                Err((literal, Misfit::Kind("a tuple".into())))
            }
        }
    }

    fn tuple_in_elements(&mut self, span: Span, parts: &[Expr], elements: &[ast::Element]) -> Option<Pred> {
        let mut preds = Vec::new();
        for element in elements {
            let ast::Element::Tuple(items, _) = element else {
                self.mismatch(
                    span,
                    "a tuple is looked for among single values".into(),
                    "expected elements such as `(a, b)`",
                );
                return None;
            };
            if items.len() != parts.len() {
                self.mismatch(
                    span,
                    format!("{} values are looked for among {}", parts.len(), items.len()),
                    "of different length",
                );
                return None;
            }
            let row: Vec<_> =
                parts.iter().zip(items).map(|(p, i)| self.in_elements(p, std::slice::from_ref(i))).collect();
            preds.push(all(row.into_iter().collect::<Option<Vec<_>>>()?));
        }
        Some(any(preds))
    }

    fn in_set(&mut self, value: &Expr, name: &ast::Name) -> Option<Pred> {
        let parts: Vec<&Expr> = match &value.kind {
            ExprKind::Tuple(parts) => parts.iter().collect(),
            _ => vec![value],
        };
        let operands: Vec<_> = parts.iter().map(|part| self.operand(part)).collect();
        let operands = operands.into_iter().collect::<Option<Vec<_>>>()?;
        let set = self.set_index(name)?;
        let declared = self.policy.sets[set as usize].types.clone();
        if declared.len() != operands.len() {
            let message =
                format!("`{}` holds {} values an element, not {}", name.text, declared.len(), operands.len());
            let span = self.policy.sets[set as usize].span;
            self.diagnostics
                .report(Code::TypeMismatch, value.span, message)
                .label("of different length")
                .also(span, "declared here");
            return None;
        }
        let families: Vec<Option<Family46>> =
            self.policy.sets[set as usize].parts.iter().map(|p| p.family).collect();
        let mut preds = Vec::new();
        for (part, family) in families.into_iter().enumerate() {
            for row in rows(&operands) {
                if row.iter().zip(&declared).all(|(typed, ty)| goes_with(typed, *ty, family)) {
                    let terms = row.into_iter().map(|t| t.term).collect();
                    preds.push(Pred::InSet(terms, SetPart { set, part: part as u32 }));
                }
            }
        }
        if preds.is_empty() {
            let found: Vec<_> = operands.iter().map(|m| describe(m[0].sides[0].ty)).collect();
            let wanted: Vec<_> = declared.iter().map(|ty| describe(*ty)).collect();
            let message =
                format!("`{}` holds {}, this is {}", name.text, wanted.join(" and "), found.join(" and "));
            let span = self.policy.sets[set as usize].span;
            self.diagnostics
                .report(Code::TypeMismatch, value.span, message)
                .label("another type")
                .also(span, "declared here");
            return None;
        }
        Some(any(preds))
    }

    pub(super) fn mismatch(&mut self, span: Span, message: String, label: &str) {
        self.diagnostics.report(Code::TypeMismatch, span, message).label(label);
    }

    /// Tells why a constant does not go with a value.
    fn misfit(&mut self, value: &Expr, typed: &Typed, literal: &ast::Literal, misfit: Misfit) {
        let whole = self.input.sources.text(value.span);
        let what = describe(typed.ty);
        match misfit {
            Misfit::OtherFamily => {
                let other = match family(&literal.value) {
                    Some(Family46::V4) => "an IPv4 address",
                    _ => "an IPv6 address",
                };
                self.diagnostics
                    .report(Code::TypeMismatch, literal.span, format!("`{whole}` is {what}, this is {other}"))
                    .label("of the other family")
                    .help("`ip.src` and `ip.dst` meet either family, each its own");
            }
            Misfit::Kind(kind) => {
                let literal_text = self.input.sources.text(literal.span);
                self.diagnostics
                    .report(
                        Code::TypeMismatch,
                        literal.span,
                        format!("`{whole}` is {what}, `{literal_text}` is {kind}"),
                    )
                    .label(format!("expected {what}"))
                    .also(value.span, what);
            }
            Misfit::TooLarge(max) => {
                self.diagnostics
                    .report(Code::OutOfRange, literal.span, format!("`{whole}` holds at most {max}"))
                    .label("too large");
            }
            Misfit::HostBits(network) => {
                self.host_bits(literal.span, &network);
            }
        }
    }

    pub(super) fn host_bits(&mut self, span: Span, network: &str) {
        let written = self.input.sources.text(span).to_owned();
        self.diagnostics
            .report(Code::BadPrefix, span, format!("`{written}` has bits below its prefix length"))
            .label("an address inside the network, not the network")
            .help(format!("the network is `{network}`"));
    }
}

/// A name alone: a flag's value, or whether the field is there.
fn truth(typed: Typed) -> Pred {
    match typed.ty {
        ValueType::Bool => relation(Relation::Ne, typed.term, Term::Const(0)),
        _ => Pred::There(typed.term),
    }
}

fn constant(value: u128) -> Meaning {
    let exact = i128::try_from(value).unwrap_or(i128::MAX);
    let typed =
        Typed { term: Term::Const(value), ty: ValueType::Int(64), min: exact, max: exact, slice: false };
    Meaning { choices: Vec::new(), sides: vec![typed] }
}

fn slice_of(member: &Member, payload: bool, range: &ast::SliceRange) -> Meaning {
    let typed = typed_slice(member.header, payload, range.offset, range.length);
    Meaning { choices: member.choice.into_iter().collect(), sides: vec![typed] }
}

fn typed_slice(header: HeaderRef, payload: bool, offset: u32, length: u32) -> Typed {
    let term = Term::Slice(SliceRef { header, payload, offset: offset as u16, length: length as u8 });
    let ty = if length <= 8 { ValueType::Int(length as u8 * 8) } else { ValueType::Bytes(length as u8) };
    Typed { slice: true, ..Typed::new(term, ty) }
}

/// All pairs of meanings that do not exclude each other.
fn pairs<'m>(left: &'m [Meaning], right: &'m [Meaning]) -> Vec<(&'m Meaning, &'m Meaning)> {
    let all = left.iter().flat_map(|l| right.iter().map(move |r| (l, r)));
    all.filter(|(l, r)| !l.conflicts(r)).collect()
}

/// All combinations of one value from each operand whose choices do not exclude each other.
fn rows(operands: &[Vec<Meaning>]) -> Vec<Vec<Typed>> {
    let mut rows: Vec<(Meaning, Vec<Typed>)> =
        vec![(Meaning { choices: Vec::new(), sides: Vec::new() }, Vec::new())];
    for operand in operands {
        let mut longer = Vec::new();
        for (so_far, row) in &rows {
            for meaning in operand.iter().filter(|m| !so_far.conflicts(m)) {
                for side in &meaning.sides {
                    let choices = so_far.choices.iter().chain(&meaning.choices).copied().collect();
                    let row = row.iter().cloned().chain([side.clone()]).collect();
                    longer.push((Meaning { choices, sides: Vec::new() }, row));
                }
            }
        }
        rows = longer;
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn goes_with(typed: &Typed, ty: ValueType, family: Option<Family46>) -> bool {
    match (ty, family) {
        (ValueType::Ip, Some(Family46::V4)) => typed.ty == ValueType::Ip4,
        (ValueType::Ip, Some(Family46::V6)) => typed.ty == ValueType::Ip6,
        (ValueType::Int(wide), _) => {
            matches!(typed.ty, ValueType::Int(bits) if bits <= wide && typed.min >= 0)
        }
        _ => typed.ty == ty || typed.slice && typed.ty.bits() == ty.bits(),
    }
}

fn comparable(x: &Typed, y: &Typed) -> bool {
    let number = |t: &Typed| matches!(t.ty, ValueType::Int(_) | ValueType::Bool);
    x.ty == y.ty || number(x) && number(y) || (x.slice || y.slice) && x.ty.bits() == y.ty.bits()
}

fn relation(op: Relation, left: Term, right: Term) -> Pred {
    Pred::Compare(Compare { op, left, right })
}

fn relation_of(op: CompareOp) -> Relation {
    match op {
        CompareOp::Eq => Relation::Eq,
        CompareOp::Ne => Relation::Ne,
        CompareOp::Lt => Relation::Lt,
        CompareOp::Le => Relation::Le,
        CompareOp::Gt => Relation::Gt,
        CompareOp::Ge => Relation::Ge,
    }
}

/// The relation with its sides exchanged.
fn flipped(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        same => same,
    }
}

/// The `or` of conditions, without needless nesting.
pub(super) fn any(preds: impl IntoIterator<Item = Pred>) -> Pred {
    let mut preds: Vec<Pred> = preds.into_iter().filter(|p| *p != Pred::Const(false)).collect();
    match preds.len() {
        0 => Pred::Const(false),
        1 => preds.remove(0),
        _ => Pred::Or(preds),
    }
}

/// The `and` of conditions, without needless nesting.
pub(super) fn all(mut preds: Vec<Pred>) -> Pred {
    match preds.len() {
        0 => Pred::Const(true),
        1 => preds.remove(0),
        _ => Pred::And(preds),
    }
}
