//! Syntax tree → checked policy: names, types, ranges. All errors are told at once.

mod balance;
mod expr;
mod keys;
mod limit;
mod literal;
mod names;
mod pool;
mod probe;
mod protocols;
mod quoted;
mod sample;
mod sets;
mod statements;
mod through;

pub(crate) use names::dotted;
pub use names::{interval_of, names_protocol};

use crate::Known;
use crate::diagnostic::{Code, Diagnostics};
use crate::nat::Bank;
use crate::policy::{Policy, Pred, ProtocolId, Protocols, Term, ValueType};
use crate::source::{Source, SourceId, Sources, Span};
use crate::syntax::ast;
use std::collections::HashMap;

/// What the checker reads beside the syntax tree.
pub struct Input<'a> {
    /// The texts, for places and names.
    pub sources: &'a Sources,
    /// The policy itself, among the texts.
    pub main: SourceId,
    /// Items of the built-in protocols, the policy and what it includes, in order.
    pub items: &'a [ast::Item],
    /// The texts of sets' files, by the span of their `from` string.
    pub set_files: &'a HashMap<Span, SourceId>,
    /// What was made of them before.
    pub known: Option<&'a Known>,
}

/// Checks a policy. What could not be understood is left out and told in `diagnostics`.
pub fn check(input: &Input, diagnostics: &mut Diagnostics) -> Policy {
    let mut checker = Checker {
        input,
        diagnostics,
        policy: Policy::default(),
        set_names: HashMap::new(),
        pool_names: HashMap::new(),
        banks: Vec::new(),
        services: HashMap::new(),
        own: None,
    };
    checker.protocols();
    checker.sets();
    checker.pools();
    checker.statements();
    checker.tests();
    checker.policy
}

struct Checker<'a> {
    input: &'a Input<'a>,
    diagnostics: &'a mut Diagnostics,
    policy: Policy,
    set_names: HashMap<String, SetUse>,
    pool_names: HashMap<String, PoolUse>,
    /// From where statements send translated packets.
    banks: Vec<(Bank, Span)>,
    /// By name of a `balance`: its condition, as it is written.
    services: HashMap<String, Pred>,
    /// The protocol whose definition is being checked: names mean its fields.
    own: Option<ProtocolId>,
}

struct SetUse {
    index: u32,
    span: Span,
    used: bool,
    /// Its type is unknown, which was told where it is declared.
    broken: bool,
}

struct PoolUse {
    index: u32,
    span: Span,
    used: bool,
    /// How the first statement sends packets to it, and where it says so.
    via: Option<(&'static str, Span)>,
    /// A statement sends to its backends' ports, or a check asks there.
    ports: bool,
}

/// A term with what is known of it.
#[derive(Clone, Debug)]
struct Typed {
    term: Term,
    ty: ValueType,
    /// Smallest and largest value, for integers.
    min: i128,
    max: i128,
    /// Bytes cut out by position: they are compared with whatever has their length.
    slice: bool,
}

impl Typed {
    fn new(term: Term, ty: ValueType) -> Self {
        let max = if ty.bits() >= 127 { i128::MAX } else { (1 << ty.bits()) - 1 };
        Self { term, ty, min: 0, max, slice: false }
    }
}

impl<'a> Checker<'a> {
    fn items(&self) -> impl Iterator<Item = &'a ast::Item> + use<'a> {
        self.input.items.iter()
    }

    fn source(&self, id: SourceId) -> &'a Source {
        &self.input.sources[id]
    }

    fn text(&self, span: Span) -> &'a str {
        self.input.sources.text(span)
    }

    fn duplicate(&mut self, what: &str, name: &str, span: Span, first: Span) {
        self.diagnostics
            .report(Code::Duplicate, span, format!("there are two {what} named `{name}`"))
            .label("the second")
            .also(first, "the first");
    }

    fn tests(&mut self) {
        for item in self.items() {
            if let ast::Item::Test(test) = item {
                self.policy.tests.push(test.clone());
            }
        }
    }

    fn protocols_table(&self) -> &Protocols {
        &self.policy.protocols
    }
}

/// A type's name for people.
fn describe(ty: ValueType) -> String {
    match ty {
        ValueType::Int(bits) => format!("a number of {bits} bits"),
        ValueType::Bool => "a truth value".into(),
        ValueType::Ip4 => "an IPv4 address".into(),
        ValueType::Ip6 => "an IPv6 address".into(),
        ValueType::Ip => "an IP address".into(),
        ValueType::Mac => "a MAC address".into(),
        ValueType::Bytes(1) => "1 byte".into(),
        ValueType::Bytes(n) => format!("{n} bytes"),
    }
}

/// The values that a literal means for a field, or why it means none.
pub fn literal_range(literal: &ast::Literal, ty: ValueType) -> Result<(u128, u128), String> {
    use literal::Misfit;
    literal::range(literal, ty, true).map_err(|misfit| match misfit {
        Misfit::HostBits(network) => {
            format!("this has bits below its prefix length; the network is `{network}`")
        }
        Misfit::TooLarge(max) => format!("too large, at most {max}"),
        Misfit::OtherFamily | Misfit::Kind(_) => {
            format!("expected {}, this is {}", describe(ty), literal::describe_literal(&literal.value))
        }
    })
}
