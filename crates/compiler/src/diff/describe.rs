//! A frame in the one-line notation of packets, where that can say it.

use crate::diagnostic::Diagnostics;
use crate::notation;
use crate::policy::{
    Action, FieldRef, HeaderRef, Place, Policy, Pred, Protocols, Term, ValueType, value_text,
};
use crate::source::Sources;
use crate::symbolic::{Reader, Region, asked_terms, spot};
use crate::syntax::{self, ast};
use std::collections::BTreeSet;
use std::fmt::Write;

/// More bytes than this behind the headers are shown as hex with the rest of the frame.
const MOST_PAYLOAD: usize = 48;

/// The text of a packet like `frame` for which `accept` holds, and its frame; hex if there is none.
/// Only what the policies ask for is said, if that is enough.
pub(super) fn describe(
    policies: [&Policy; 2],
    frame: Vec<u8>,
    accept: impl Fn(&[u8]) -> bool,
) -> (String, Vec<u8>) {
    for policy in policies.iter().rev() {
        let asked: BTreeSet<Term> = policies.iter().flat_map(|policy| asked(policy)).collect();
        let shown = Shown { policy, frame: &frame, reader: Reader::new(&policy.protocols, &frame) };
        for text in [shown.asked(&asked), shown.all()].into_iter().flatten() {
            match built(policy, &text) {
                Some(built) if accept(&built) => return (text, built),
                _ => {}
            }
        }
    }
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    (format!("hex({hex})"), frame)
}

/// The frame of a packet's text.
pub(super) fn built(policy: &Policy, text: &str) -> Option<Vec<u8>> {
    let mut sources = Sources::default();
    let source = sources.add("witness", format!("test \"\" {{ {text} => pass }}"));
    let mut diagnostics = Diagnostics::default();
    let file = syntax::parse(&sources, source, &mut diagnostics);
    let ast::Item::Test(test) = file.items.into_iter().next()? else { return None };
    let case = test.cases.into_iter().next().filter(|_| !diagnostics.has_errors())?;
    notation::frame(policy, &case.packet).ok()
}

/// The fields and slices that a policy's statements look at.
fn asked(policy: &Policy) -> Vec<Term> {
    let mut terms = Vec::new();
    for statement in &policy.statements {
        terms.extend(asked_terms(&statement.when));
        if let Action::Limit(limit) = &statement.action {
            let parts = limit.keys.iter().flatten().map(|part| Pred::There(part.term.clone()));
            terms.extend(parts.flat_map(|part| asked_terms(&part)));
        }
    }
    terms
}

struct Shown<'a> {
    policy: &'a Policy,
    frame: &'a [u8],
    reader: Reader<'a>,
}

impl Shown<'_> {
    /// With the fields that are asked for and are not as in a plain packet.
    fn asked(&self, asked: &BTreeSet<Term>) -> Option<String> {
        let protocols = &self.policy.protocols;
        let exactly =
            |header: HeaderRef, field: u32| asked.contains(&Term::Field(FieldRef { header, field }));
        let spots: Vec<_> = asked.iter().filter_map(|term| spot_if_known(protocols, term)).collect();
        let shares = |header: HeaderRef, field: u32| {
            let own = spot_if_known(protocols, &Term::Field(FieldRef { header, field }));
            own.is_some_and(|own| {
                spots.iter().any(|other| {
                    (other.header, &other.region) == (own.header, &own.region)
                        && other.first < own.first + own.width
                        && own.first < other.first + other.width
                })
            })
        };
        let names =
            |header, field| usize::from(exactly(header, field)) * 2 + usize::from(shares(header, field));
        self.text(&names)
    }

    /// With every field that is not as in a plain packet.
    fn all(&self) -> Option<String> {
        self.text(&|_, _| 1)
    }

    /// `worth` says how much a field should be said: not at all, if it must, or first.
    fn text(&self, worth: &dyn Fn(HeaderRef, u32) -> usize) -> Option<String> {
        let protocols = &self.policy.protocols;
        let names: Vec<HeaderRef> = self.reader.headers().iter().map(|header| header.name).collect();
        if names.is_empty() {
            return None;
        }
        let layer = |name: &HeaderRef| protocols[name.protocol].name.clone();
        let bare = names.iter().map(layer).collect::<Vec<_>>().join(" / ");
        let plain = built(self.policy, &bare)?;
        let plain = Reader::new(protocols, &plain);
        let mut layers: Vec<(String, Vec<String>)> = Vec::new();
        for name in &names {
            layers.push((layer(name), self.fields(*name, &plain, worth)));
        }
        let end = self.reader.end_of(names.len())?;
        let payload = self.frame.get(end..)?;
        let said = payload.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if said > MOST_PAYLOAD {
            return None;
        }
        if payload.len() > said {
            layers.last_mut()?.1.push(format!("frame.len={}", self.frame.len()));
        }
        let mut text = joined(&self.shortened(layers));
        if said > 0 {
            let bytes: String = payload[..said].iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let _ = write!(text, " / payload(\"{bytes}\")");
        }
        Some(text)
    }

    /// Leaves out layers of which nothing is said and that come by themselves.
    fn shortened(&self, layers: Vec<(String, Vec<String>)>) -> Vec<(String, Vec<String>)> {
        let whole = built(self.policy, &joined(&layers));
        let mut short = layers;
        let mut at = 0;
        while at + 1 < short.len() {
            if short[at].1.is_empty() {
                let mut fewer = short.clone();
                fewer.remove(at);
                if whole.is_some() && built(self.policy, &joined(&fewer)) == whole {
                    short = fewer;
                    continue;
                }
            }
            at += 1;
        }
        short
    }

    /// `field=value` for the fields that make a header what it is.
    fn fields(
        &self,
        name: HeaderRef,
        plain: &Reader,
        worth: &dyn Fn(HeaderRef, u32) -> usize,
    ) -> Vec<String> {
        let definition = &self.policy.protocols[name.protocol];
        let value = |reader: &Reader, field: u32| reader.term(&Term::Field(FieldRef { header: name, field }));
        let differs = |field: &u32| {
            value(&self.reader, *field).is_some() && value(&self.reader, *field) != value(plain, *field)
        };
        let mut fields: Vec<u32> = (0..definition.fields.len() as u32).filter(differs).collect();
        fields.retain(|&field| {
            worth(name, field) > 0 && !definition.fields[field as usize].name.ends_with('_')
        });
        fields.sort_by_key(|&field| std::cmp::Reverse(worth(name, field)));
        let mut said: Vec<(u32, u32)> = Vec::new();
        let mut texts = Vec::new();
        for field in fields {
            let definition = &definition.fields[field as usize];
            if let Place::Bit(first) = definition.place {
                let own = (first, first + u32::from(definition.ty.bits()));
                if said.iter().any(|other| other.0 < own.1 && own.0 < other.1) {
                    continue;
                }
                said.push(own);
            }
            if let Some(value) = value(&self.reader, field) {
                texts.push(format!("{}={}", definition.name, literal(definition.ty, value)));
            }
        }
        texts
    }
}

fn spot_if_known(protocols: &Protocols, term: &Term) -> Option<crate::symbolic::Spot> {
    let header = match term {
        Term::Field(field) => field.header,
        Term::Slice(slice) => slice.header,
        _ => return None,
    };
    // Terms of the other policy may name protocols that this one does not have.
    protocols.list.get(header.protocol.0 as usize)?;
    if let Term::Field(field) = term {
        protocols[header.protocol].fields.get(field.field as usize)?;
    }
    spot(protocols, term).filter(|spot| spot.region != Region::Payload)
}

fn joined(layers: &[(String, Vec<String>)]) -> String {
    let layer = |(name, fields): &(String, Vec<String>)| match fields.as_slice() {
        [] => name.clone(),
        fields => format!("{name}({})", fields.join(", ")),
    };
    layers.iter().map(layer).collect::<Vec<_>>().join(" / ")
}

fn literal(ty: ValueType, value: u128) -> String {
    match ty {
        ValueType::Bool => u8::from(value != 0).to_string(),
        ValueType::Bytes(count) => {
            let bytes = &value.to_be_bytes()[16 - usize::from(count)..];
            format!("\"{}\"", bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>())
        }
        _ => value_text(ty, value),
    }
}
