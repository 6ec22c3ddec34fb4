//! Sets: declarations, elements, files of elements.

use super::literal::{Misfit, Range, describe_literal, family, range};
use super::{Checker, SetUse, describe};
use crate::diagnostic::{Code, Diagnostics, nearest};
use crate::policy::{Elements, Family46, Live, Part, Set, ValueType};
use crate::source::SourceId;
use crate::syntax;
use crate::syntax::ast::{self, LiteralValue};
use std::slice;

/// A set that says `timeout` but not `max` holds this many elements.
const DEFAULT_MAX: u32 = 65_536;

impl Checker<'_> {
    pub(super) fn sets(&mut self) {
        for item in self.items() {
            if let ast::Item::Set(set) = item {
                self.set(set);
            }
        }
    }

    fn set(&mut self, ast: &ast::Set) {
        if let Some(first) = self.set_names.get(&ast.name.text) {
            let span = first.span;
            return self.duplicate("sets", &ast.name.text, ast.name.span, span);
        }
        let types: Vec<_> = ast.types.iter().map(|ty| self.type_named(ty)).collect();
        let index = self.policy.sets.len() as u32;
        self.set_names
            .insert(ast.name.text.clone(), SetUse { index, span: ast.name.span, used: false, broken: false });
        let known = types.iter().all(Option::is_some);
        self.set_names.get_mut(&ast.name.text).expect("just put in").broken = !known;
        // A set whose type is unknown is still declared, so that its uses are not told again.
        let types: Vec<ValueType> = types.into_iter().map(|ty| ty.unwrap_or(ValueType::Ip)).collect();
        let live = self.live(ast);
        let mut set =
            Set { name: ast.name.text.clone(), span: ast.name.span, parts: parts(&types), types, live };
        if known {
            ast.elements.iter().flatten().for_each(|element| self.add_element(&mut set, element));
            match ast.from.as_ref().and_then(|from| self.input.set_files.get(&from.span)) {
                Some(file) => self.add_file(&mut set, *file),
                None => self.finish(&mut set),
            }
        }
        self.policy.sets.push(set);
    }

    /// The last elements of a set.
    fn add_file(&mut self, set: &mut Set, file: SourceId) {
        let sources = self.input.sources;
        let text = sources[file].text.as_str();
        let is_all = set.live.is_none() && set.parts.iter().all(|part| part.elements.is_empty());
        let known = self.input.known.filter(|_| is_all);
        if let Some(parts) = known.and_then(|known| known.parts(text, &set.types)) {
            set.parts = parts;
            return;
        }
        let before = self.diagnostics.iter().len();
        let mut told = Diagnostics::default();
        let each = |element: &ast::Element| self.add_element(set, element);
        syntax::parse_elements_file(sources, file, &mut told, each);
        self.diagnostics.append(told);
        self.finish(set);
        if let Some(known) = known.filter(|_| self.diagnostics.iter().len() == before) {
            known.keep(text, &set.types, &set.parts);
        }
    }

    fn live(&mut self, ast: &ast::Set) -> Option<Live> {
        let timeout = ast.timeout.as_ref().and_then(|literal| match literal.value {
            LiteralValue::Duration(0) | LiteralValue::Int(_) => {
                self.bad_set(literal.span, "a timeout is a duration above zero", "such as `10m`");
                None
            }
            LiteralValue::Duration(ns) => Some(ns),
            _ => None,
        });
        let max = ast.max.as_ref().and_then(|literal| match literal.value {
            LiteralValue::Int(max @ 1..=100_000_000) => Some(max as u32),
            _ => {
                self.bad_set(literal.span, "a set holds between 1 and 100M elements", "such as `max 64k`");
                None
            }
        });
        (ast.timeout.is_some() || ast.max.is_some())
            .then(|| Live { timeout, max: max.unwrap_or(DEFAULT_MAX) })
    }

    fn bad_set(&mut self, span: crate::source::Span, message: &str, label: &str) {
        self.diagnostics.report(Code::BadSet, span, message).label(label);
    }

    fn add_element(&mut self, set: &mut Set, element: &ast::Element) {
        let items = match element {
            ast::Element::Tuple(items, _) => items,
            single => slice::from_ref(single),
        };
        if items.len() != set.types.len() {
            let message = format!(
                "an element of `{}` has {} values, this has {}",
                set.name,
                set.types.len(),
                items.len()
            );
            self.diagnostics
                .report(Code::TypeMismatch, element_span(element), message)
                .label("of different length")
                .also(set.span, "declared here");
            return;
        }
        let mut element_family = None;
        let mut ranges = Vec::with_capacity(items.len());
        for (item, ty) in items.iter().zip(&set.types) {
            let Some((range, family)) = self.item_range(item, *ty) else { return };
            if *ty == ValueType::Ip {
                if element_family.is_some_and(|seen| Some(seen) != family) {
                    self.mismatch(
                        element_span(element),
                        "an element is of one address family".into(),
                        "both are in it",
                    );
                    return;
                }
                element_family = family;
            }
            ranges.push(range);
        }
        let part = set.parts.iter_mut().find(|p| p.family == element_family).expect("a part for each family");
        part.elements.push(&ranges);
    }

    fn item_range(&mut self, item: &ast::Element, ty: ValueType) -> Option<(Range, Option<Family46>)> {
        let (low, high) = match item {
            ast::Element::One(literal) => (literal, literal),
            ast::Element::Range(low, high) => (low, high),
            ast::Element::Tuple(_, span) => {
                self.mismatch(*span, "a tuple inside a tuple".into(), "expected a value");
                return None;
            }
        };
        if family(&low.value) != family(&high.value) {
            self.mismatch(high.span, "a range is of one address family".into(), "of the other family");
            return None;
        }
        let first = self.literal_range(low, ty)?;
        let last = self.literal_range(high, ty)?;
        if first.0 > last.1 {
            self.mismatch(high.span, "the range ends before it begins".into(), "smaller than the first");
            return None;
        }
        Some(((first.0, last.1), family(&low.value)))
    }

    fn literal_range(&mut self, literal: &ast::Literal, ty: ValueType) -> Option<Range> {
        // Port sets are also written for `bytesN` types with numbers, so slices' rules apply.
        let slice = matches!(ty, ValueType::Bytes(_));
        match range(literal, ty, slice) {
            Ok(range) => Some(range),
            Err(Misfit::HostBits(network)) => {
                self.host_bits(literal.span, &network);
                None
            }
            Err(Misfit::TooLarge(max)) => {
                self.diagnostics
                    .report(Code::OutOfRange, literal.span, format!("this set's values are at most {max}"))
                    .label("too large");
                None
            }
            Err(_) => {
                let message = format!("{} in a set of {}", describe_literal(&literal.value), plural(ty));
                self.mismatch(literal.span, message, &format!("expected {}", describe(ty)));
                None
            }
        }
    }

    /// Sorts and joins what can be joined, and holds live sets to what their maps can keep.
    fn finish(&mut self, set: &mut Set) {
        let is_address = matches!(set.types.as_slice(), [ValueType::Ip | ValueType::Ip4 | ValueType::Ip6]);
        for part in &mut set.parts {
            // What is not an address lives in a hash map, which holds single values: neighbours stay apart.
            let apart = set.live.is_some() && !is_address;
            if part.widths.len() == 1 && !apart {
                part.elements.join();
            } else {
                part.elements.sort();
            }
        }
        let Some(live) = set.live else { return };
        let largest = set.parts.iter().map(|p| p.elements.len()).max().unwrap_or(0);
        if largest > live.max as usize {
            let message =
                format!("`{}` begins with {largest} elements and holds at most {}", set.name, live.max);
            self.diagnostics.report(Code::BadSet, set.span, message).help("raise `max`");
        }
        let wide = set.parts.iter().any(|part| !part.elements.are_single());
        if wide && !is_address {
            let message =
                format!("`{}` changes while running, so its elements must be single values", set.name);
            self.diagnostics
                .report(Code::BadSet, set.span, message)
                .label("has ranges or prefixes")
                .help("sets of addresses alone can hold prefixes; leave out `timeout` and `max` for a set that does not change");
        }
    }

    /// The set that a policy's name means; the name counts as used.
    pub(super) fn set_index(&mut self, name: &ast::Name) -> Option<u32> {
        if let Some(set) = self.set_names.get_mut(&name.text) {
            set.used = true;
            return (!set.broken).then_some(set.index);
        }
        let near = nearest(&name.text, self.set_names.keys().map(String::as_str)).map(str::to_owned);
        if let Some(meant) = near.as_ref().and_then(|near| self.set_names.get_mut(near)) {
            // It was most likely meant, so that it is unused is no news.
            meant.used = true;
        }
        let found = self.diagnostics.report(
            Code::UnknownName,
            name.span,
            format!("no set is called `{}`", name.text),
        );
        found.label("unknown");
        match near {
            Some(near) => found.help(format!("there is `{near}`")),
            None => found.help(format!("declare it: `set {} : ip = {{ … }}`", name.text)),
        };
        None
    }

    pub(super) fn warn_unused_sets(&mut self) {
        let mut unused: Vec<_> =
            self.set_names.iter().filter(|(_, set)| !set.used).map(|(n, s)| (s.span, n.clone())).collect();
        unused.sort_unstable();
        for (span, name) in unused {
            self.diagnostics.report(
                Code::Unused,
                span,
                format!("nothing asks whether a field is in `{name}`"),
            );
        }
    }
}

fn parts(types: &[ValueType]) -> Vec<Part> {
    let part = |family: Option<Family46>| {
        let width = |ty: &ValueType| match (ty, family) {
            (ValueType::Ip, Some(Family46::V4)) => 32,
            (ty, _) => ty.bits(),
        };
        Part { family, widths: types.iter().map(width).collect(), elements: Elements::new(types.len()) }
    };
    match types.contains(&ValueType::Ip) {
        true => vec![part(Some(Family46::V4)), part(Some(Family46::V6))],
        false => vec![part(None)],
    }
}

fn plural(ty: ValueType) -> String {
    match ty {
        ValueType::Int(bits) => format!("numbers of {bits} bits"),
        ValueType::Bool => "truth values".into(),
        ValueType::Ip4 => "IPv4 addresses".into(),
        ValueType::Ip6 => "IPv6 addresses".into(),
        ValueType::Ip => "IP addresses".into(),
        ValueType::Mac => "MAC addresses".into(),
        ValueType::Bytes(n) => format!("{n}-byte values"),
    }
}

fn element_span(element: &ast::Element) -> crate::source::Span {
    match element {
        ast::Element::One(literal) => literal.span,
        ast::Element::Range(low, high) => low.span.to(high.span),
        ast::Element::Tuple(_, span) => *span,
    }
}
