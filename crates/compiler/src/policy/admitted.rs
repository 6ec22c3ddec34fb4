//! Which values a field can have where a condition holds.

use super::{Compare, FAMILIES, FieldRef, HeaderRef, Policy, Pred, ProtocolId, Relation, SetPart, Term};

/// Where values begin and end.
pub(crate) type Range = (u128, u128);

/// A field of a policy's packets, to ask conditions about.
pub(crate) struct Admitted<'p> {
    policy: &'p Policy,
    field: Term,
    /// Where one of these is there, the field is not.
    others: Vec<ProtocolId>,
}

/// All destinations, of IPv4 and of IPv6, for which a condition can hold; `None` for a family of which it can be any.
pub(crate) fn destinations(policy: &Policy, when: &Pred) -> Option<[Option<Vec<Range>>; 2]> {
    let of = |family: usize| {
        let [own, other] = [family, 1 - family].map(|family| FAMILIES[family][0]);
        Some(Admitted::of(policy, own, "dst", &[other])?.by(when))
    };
    Some([of(0)?, of(1)?])
}

impl<'p> Admitted<'p> {
    /// A field of the first header of a protocol; it is not there where the first header of another one of `others` is.
    pub(crate) fn of(policy: &'p Policy, protocol: &str, name: &str, others: &[&str]) -> Option<Self> {
        let protocols = &policy.protocols;
        let protocol = protocols.find(protocol)?;
        let field = protocols[protocol].field(name)?;
        let field = Term::Field(FieldRef { header: HeaderRef { level: 0, protocol, index: 0 }, field });
        let others = others.iter().filter_map(|other| protocols.find(other)).collect();
        Some(Admitted { policy, field, others })
    }

    /// All its values for which a condition can hold, rising and apart; `None` if it can be any.
    pub(crate) fn by(&self, when: &Pred) -> Option<Vec<Range>> {
        match when {
            Pred::Const(false) => Some(Vec::new()),
            Pred::And(list) => {
                let all = list.iter().filter_map(|one| self.by(one)).reduce(|a, b| both(&a, &b))?;
                Some(list.iter().map(|one| self.denied(one)).fold(all, |all, denied| without(&all, &denied)))
            }
            Pred::Or(list) => {
                Some(joined(list.iter().map(|one| self.by(one)).collect::<Option<Vec<_>>>()?.concat()))
            }
            Pred::Const(true) | Pred::Not(_) => None,
            question => self.asked(question).or_else(|| {
                let without =
                    |header: &HeaderRef| header.level == 0 && self.others.contains(&header.protocol);
                crate::plan::headers_asked(question).iter().any(without).then(Vec::new)
            }),
        }
    }

    /// What a question that asks for the field admits.
    fn asked(&self, question: &Pred) -> Option<Vec<Range>> {
        match question {
            Pred::Compare(Compare { op: Relation::Eq, left, right: Term::Const(value) })
                if *left == self.field =>
            {
                Some(vec![(*value, *value)])
            }
            Pred::In(term, ranges) if *term == self.field => Some(ranges.clone()),
            Pred::InSet(terms, part) => {
                let place = terms.iter().position(|term| *term == self.field)?;
                self.elements(*part, place)
            }
            _ => None,
        }
    }

    /// The values at a place of a set's elements; those of a set that changes are not known.
    fn elements(&self, SetPart { set, part }: SetPart, place: usize) -> Option<Vec<Range>> {
        let set = self.policy.sets.get(set as usize).filter(|set| set.live.is_none())?;
        let elements = &set.parts.get(part as usize)?.elements;
        Some(joined(elements.iter().filter_map(|element| element.get(place).copied()).collect()))
    }

    /// Values with which a condition never holds, as it says so outright.
    fn denied(&self, pred: &Pred) -> Vec<Range> {
        match pred {
            Pred::Not(inner) => self.sufficient(inner),
            Pred::Compare(Compare { op: Relation::Ne, left, right: Term::Const(value) })
                if *left == self.field =>
            {
                vec![(*value, *value)]
            }
            _ => Vec::new(),
        }
    }

    /// Values with which a condition holds, whatever else the packet has.
    fn sufficient(&self, pred: &Pred) -> Vec<Range> {
        match pred {
            Pred::Or(list) => joined(list.iter().flat_map(|one| self.sufficient(one)).collect()),
            Pred::InSet(terms, _) if terms.len() > 1 => Vec::new(),
            question => self.asked(question).unwrap_or_default(),
        }
    }
}

/// Sorts ranges and joins those that touch.
pub(crate) fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
}

/// What is in both; each of them rises, without overlap.
fn both(one: &[Range], other: &[Range]) -> Vec<Range> {
    let (mut a, mut b, mut common) = (0, 0, Vec::new());
    while let (Some(left), Some(right)) = (one.get(a), other.get(b)) {
        let (low, high) = (left.0.max(right.0), left.1.min(right.1));
        if low <= high {
            common.push((low, high));
        }
        match left.1 < right.1 {
            true => a += 1,
            false => b += 1,
        }
    }
    common
}

/// What is in the first and not in the second.
fn without(all: &[Range], gone: &[Range]) -> Vec<Range> {
    let (mut gaps, mut next) = (Vec::with_capacity(gone.len() + 1), Some(0));
    for (low, high) in gone {
        gaps.extend(next.zip(low.checked_sub(1)).filter(|(from, to)| from <= to));
        next = high.checked_add(1);
    }
    gaps.extend(next.map(|from| (from, u128::MAX)));
    both(all, &gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_met_and_taken_away() {
        let all = [(1, 4), (7, 9), (20, u128::MAX)];
        assert_eq!(both(&all, &[(0, 1), (3, 7), (9, 30)]), [(1, 1), (3, 4), (7, 7), (9, 9), (20, 30)]);
        assert_eq!(without(&all, &[(0, 2), (8, 8), (30, u128::MAX)]), [(3, 4), (7, 7), (9, 9), (20, 29)]);
        assert_eq!(without(&all, &[]), all);
        assert_eq!(without(&[(0, 0)], &[(0, 0)]), []);
    }
}
