//! Checked conditions in words, as `explain` shows them.

use super::{HeaderRef, Policy, Pred, Protocols, Relation, Term, ValueType};
use crate::syntax::ast::ArithmeticOp;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A header as policies name it: `inner.vlan[1]`.
pub fn header_text(protocols: &Protocols, header: HeaderRef) -> String {
    let index = if header.index > 0 { format!("[{}]", header.index) } else { String::new() };
    format!("{}{}{index}", "inner.".repeat(usize::from(header.level)), protocols[header.protocol].name)
}

/// A term as policies write it.
pub fn term_text(protocols: &Protocols, term: &Term) -> String {
    match term {
        Term::Const(value) => value.to_string(),
        Term::FrameLen => "frame.len".into(),
        Term::Begin(header) => format!("where {} begins", header_text(protocols, *header)),
        Term::Field(f) => {
            let field = &protocols[f.header.protocol].fields[f.field as usize];
            format!("{}.{}", header_text(protocols, f.header), field.name)
        }
        Term::Slice(s) => {
            let of = if s.payload { ".payload" } else { "" };
            format!("{}{of}[{}:{}]", header_text(protocols, s.header), s.offset, s.length)
        }
        Term::Binary(op, a, b) => {
            let sign = match op {
                ArithmeticOp::Add => '+',
                ArithmeticOp::Sub => '-',
                ArithmeticOp::Mul => '*',
                ArithmeticOp::And => '&',
            };
            format!("({} {sign} {})", term_text(protocols, a), term_text(protocols, b))
        }
        Term::Truth(_) => "(…)".into(),
    }
}

/// A condition as a policy could write it; long lists are cut.
pub fn pred_text(policy: &Policy, pred: &Pred) -> String {
    let protocols = &policy.protocols;
    let list = |all: &[Pred], word: &str| {
        let parts: Vec<_> = all.iter().map(|p| nested(policy, p)).collect();
        parts.join(word)
    };
    match pred {
        Pred::Const(value) => value.to_string(),
        Pred::Not(inner) => format!("not {}", nested(policy, inner)),
        Pred::And(all) => list(all, " and "),
        Pred::Or(any) => list(any, " or "),
        Pred::Header(header) => header_text(protocols, *header),
        Pred::There(term) => term_text(protocols, term),
        Pred::Compare(c) => {
            let sign = match c.op {
                Relation::Eq => "==",
                Relation::Ne => "!=",
                Relation::Lt => "<",
                Relation::Le => "<=",
                Relation::Gt => ">",
                Relation::Ge => ">=",
            };
            let right = match &c.right {
                Term::Const(value) => value_text(type_of(protocols, &c.left), *value),
                other => term_text(protocols, other),
            };
            format!("{} {sign} {right}", term_text(protocols, &c.left))
        }
        Pred::In(term, ranges) => {
            let ty = type_of(protocols, term);
            let mut shown: Vec<_> = ranges.iter().take(4).map(|r| range_text(ty, *r)).collect();
            if ranges.len() > 4 {
                shown.push(format!("… {} more", ranges.len() - 4));
            }
            format!("{} in {{ {} }}", term_text(protocols, term), shown.join(", "))
        }
        Pred::InSet(terms, part) => {
            let parts: Vec<_> = terms.iter().map(|t| term_text(protocols, t)).collect();
            let key = if parts.len() == 1 { parts[0].clone() } else { format!("({})", parts.join(", ")) };
            format!("{key} in {}", policy.sets[part.set as usize].name)
        }
    }
}

fn nested(policy: &Policy, pred: &Pred) -> String {
    match pred {
        Pred::And(_) | Pred::Or(_) => format!("({})", pred_text(policy, pred)),
        _ => pred_text(policy, pred),
    }
}

fn type_of(protocols: &Protocols, term: &Term) -> ValueType {
    match term {
        Term::Field(f) => protocols[f.header.protocol].fields[f.field as usize].ty,
        Term::Slice(s) if s.length > 8 => ValueType::Bytes(s.length),
        _ => ValueType::Int(64),
    }
}

/// A value as policies write it.
pub fn value_text(ty: ValueType, value: u128) -> String {
    match ty {
        ValueType::Ip4 => Ipv4Addr::from(value as u32).to_string(),
        ValueType::Ip6 | ValueType::Ip => Ipv6Addr::from(value).to_string(),
        ValueType::Bool => (value != 0).to_string(),
        ValueType::Mac => {
            let bytes: Vec<_> = value.to_be_bytes()[10..].iter().map(|b| format!("{b:02x}")).collect();
            bytes.join(":")
        }
        ValueType::Bytes(_) => format!("{value:#x}"),
        ValueType::Int(_) => value.to_string(),
    }
}

/// A range of values as policies write it: a prefix where it is one.
pub fn range_text(ty: ValueType, (low, high): (u128, u128)) -> String {
    if low == high {
        return value_text(ty, low);
    }
    if matches!(ty, ValueType::Ip4 | ValueType::Ip6) {
        let prefixes = crate::plan::ranges_to_prefixes(ty.bits(), low, high);
        if let [(first, length)] = prefixes.as_slice() {
            return format!("{}/{length}", value_text(ty, *first));
        }
    }
    format!("{}..{}", value_text(ty, low), value_text(ty, high))
}
