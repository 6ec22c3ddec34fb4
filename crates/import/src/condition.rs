//! Conditions of a policy, as trees that can be joined, negated and printed.

use std::fmt;

/// What must hold for a statement to apply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// Every packet meets it.
    Always,
    /// No packet meets it.
    Never,
    /// All of them.
    All(Vec<Condition>),
    /// One of them.
    Any(Vec<Condition>),
    /// Not it; true as well where the field is absent.
    Not(Box<Condition>),
    /// A field, or a tuple of fields, has one of the values.
    Is(String, Vec<String>),
    /// A field, or a tuple of fields, is in the named set.
    InSet(String, String),
    /// Any other relation, as the language writes it.
    Test(String),
}

use Condition::{All, Always, Any, InSet, Is, Never, Not, Test};

impl Condition {
    /// A field has one value.
    pub(crate) fn is(field: impl Into<String>, value: impl ToString) -> Condition {
        Is(field.into(), vec![value.to_string()])
    }

    /// A relation in the language's words.
    pub(crate) fn test(text: impl Into<String>) -> Condition {
        Test(text.into())
    }

    /// The field is there and has none of the values. `header` is what has the field.
    pub(crate) fn differs(header: &str, field: &str, values: Vec<String>) -> Condition {
        match values.as_slice() {
            [one] if is_single(one) => Test(format!("{field} != {one}")),
            _ => Condition::all([Condition::test(header), Is(field.to_owned(), values).not()]),
        }
    }

    /// All of them hold; what is said twice is said once.
    pub(crate) fn all(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut kept: Vec<Condition> = Vec::new();
        for part in parts {
            match part {
                Always => {}
                Never => return Never,
                All(inner) => inner.into_iter().for_each(|one| add(&mut kept, one)),
                other => add(&mut kept, other),
            }
        }
        match kept.len() {
            0 => Always,
            1 => kept.remove(0),
            _ => All(kept),
        }
    }

    /// One of them holds.
    pub(crate) fn any(parts: impl IntoIterator<Item = Condition>) -> Condition {
        let mut kept: Vec<Condition> = Vec::new();
        for part in parts {
            match part {
                Never => {}
                Always => return Always,
                Any(inner) => inner.into_iter().for_each(|one| add(&mut kept, one)),
                other => add(&mut kept, other),
            }
        }
        match kept.len() {
            0 => Never,
            1 => kept.remove(0),
            _ => Any(kept),
        }
    }

    /// The opposite, for every packet.
    pub(crate) fn not(self) -> Condition {
        match self {
            Always => Never,
            Never => Always,
            Not(inner) => *inner,
            other => Not(Box::new(other)),
        }
    }

    /// Holds for what the other holds for as well, if the two differ in the values of one comparison alone:
    /// `a and x in {1}` or `a and x in {2}` is `a and x in {1, 2}`.
    pub(crate) fn widen(&mut self, other: &Condition) -> bool {
        let (own, other) = match (self, other) {
            (All(own), All(other)) => (own.as_mut_slice(), other.as_slice()),
            (own, other) => (std::slice::from_mut(own), std::slice::from_ref(other)),
        };
        if own.len() != other.len() {
            return false;
        }
        let mut differ = (0..own.len()).filter(|&i| own[i] != other[i]);
        let (Some(at), None) = (differ.next(), differ.next()) else { return false };
        match (&mut own[at], &other[at]) {
            (Is(field, values), Is(same, more)) if field == same => {
                values.extend(more.iter().cloned());
                true
            }
            _ => false,
        }
    }

    /// How many comparisons and values it is made of.
    pub(crate) fn weight(&self) -> usize {
        match self {
            All(parts) | Any(parts) => parts.iter().map(Condition::weight).sum(),
            Not(inner) => inner.weight(),
            Is(_, values) => values.len(),
            _ => 1,
        }
    }

    /// Every list of values in it, with what is compared.
    pub(crate) fn lists(&mut self, change: &mut impl FnMut(&mut Condition)) {
        match self {
            All(parts) | Any(parts) => parts.iter_mut().for_each(|part| part.lists(change)),
            Not(inner) => inner.lists(change),
            Is(..) => change(self),
            _ => {}
        }
    }

    fn level(&self) -> u8 {
        match self {
            Any(_) => 0,
            All(_) => 1,
            Not(_) => 2,
            _ => 3,
        }
    }

    fn at_least(&self, level: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.level() >= level { write!(f, "{self}") } else { write!(f, "({self})") }
    }
}

fn add(kept: &mut Vec<Condition>, part: Condition) {
    if !kept.contains(&part) {
        kept.push(part);
    }
}

/// Whether `==` and `!=` take it: a value or a prefix, not a range and not a tuple.
fn is_single(value: &str) -> bool {
    !value.contains("..") && !value.starts_with('(')
}

fn joined(parts: &[Condition], word: &str, level: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            write!(f, " {word} ")?;
        }
        part.at_least(level, f)?;
    }
    Ok(())
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Every frame has an Ethernet header; a shorter one reaches no edge.
            Always => f.write_str("eth"),
            Never => f.write_str("not eth"),
            All(parts) => joined(parts, "and", 2, f),
            Any(parts) => joined(parts, "or", 1, f),
            Not(inner) => {
                f.write_str("not ")?;
                inner.at_least(3, f)
            }
            Is(field, values) => match values.as_slice() {
                [one] if is_single(one) => write!(f, "{field} == {one}"),
                many => write!(f, "{field} in {{{}}}", many.join(", ")),
            },
            InSet(field, name) => write!(f, "{field} in {name}"),
            Test(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_binds_looser_stands_in_parentheses() {
        let a = || Condition::is("a", 1);
        let b = || Condition::test("b");
        let either = || Condition::any([a(), b()]);
        assert_eq!(Condition::all([either(), b()]).to_string(), "(a == 1 or b) and b");
        assert_eq!(Condition::any([Condition::all([a(), b()]), b()]).to_string(), "a == 1 and b or b");
        assert_eq!(either().not().to_string(), "not (a == 1 or b)");
        assert_eq!(either().not().not(), either());
        assert_eq!(Condition::all([a(), Always, a()]), a());
        assert_eq!(Condition::all([a(), Never]), Never);
        assert_eq!(Condition::any([]), Never);
        let mut one = Condition::all([a(), b()]);
        assert!(one.widen(&Condition::all([Condition::is("a", 2), b()])));
        assert_eq!(one.to_string(), "a in {1, 2} and b");
        assert!(!one.widen(&b()) && !one.widen(&Condition::all([a(), Condition::test("c")])));
    }

    #[test]
    fn differing_asks_for_the_header() {
        let differs = |values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            Condition::differs("tcp", "tcp.dstport", values).to_string()
        };
        assert_eq!(differs(&["80"]), "tcp.dstport != 80");
        assert_eq!(differs(&["80..90"]), "tcp and not tcp.dstport in {80..90}");
        assert_eq!(differs(&["1", "2"]), "tcp and not tcp.dstport in {1, 2}");
    }
}
