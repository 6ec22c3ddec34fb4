//! Arithmetic as sums: `2 * a - b + 3`.

use crate::policy::Term;
use crate::syntax::ast::ArithmeticOp;
use std::collections::BTreeMap;

/// Values that may be negative; both ends are in a range.
pub(super) type Ranges = Vec<(i128, i128)>;

/// A sum of multiples of terms that are no sums themselves.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Sum {
    /// How often each term counts; never 0 times.
    pub parts: BTreeMap<Term, i128>,
    /// What is added.
    pub constant: i128,
}

impl Sum {
    /// What a term comes to.
    pub fn of(term: &Term) -> Sum {
        match term {
            Term::Const(value) => Sum { parts: BTreeMap::new(), constant: *value as i128 },
            Term::Binary(ArithmeticOp::Add, a, b) => Sum::of(a).plus(&Sum::of(b), 1),
            Term::Binary(ArithmeticOp::Sub, a, b) => Sum::of(a).plus(&Sum::of(b), -1),
            Term::Binary(ArithmeticOp::Mul, a, b) => {
                let (a, b) = (Sum::of(a), Sum::of(b));
                match (a.parts.is_empty(), b.parts.is_empty()) {
                    (_, true) => Sum::default().plus(&a, b.constant),
                    (true, false) => Sum::default().plus(&b, a.constant),
                    (false, false) => Sum::once(term),
                }
            }
            other => Sum::once(other),
        }
    }

    fn once(term: &Term) -> Sum {
        Sum { parts: BTreeMap::from([(term.clone(), 1)]), constant: 0 }
    }

    /// This and `times` the other. Values of definitions and policies stay far below 2^127: the
    /// checker sees to it; 128-bit values are only compared, which holds modulo 2^128 too.
    pub fn plus(mut self, other: &Sum, times: i128) -> Sum {
        for (term, count) in &other.parts {
            let sum = self.parts.entry(term.clone()).or_insert(0);
            *sum = sum.wrapping_add(count.wrapping_mul(times));
        }
        self.parts.retain(|_, count| *count != 0);
        self.constant = self.constant.wrapping_add(other.constant.wrapping_mul(times));
        self
    }

    /// The same question with the first term counted positively and nothing added.
    pub fn normal(self, ranges: &[(i128, i128)]) -> (Sum, Ranges) {
        let shifted = ranges.iter().map(|&(low, high)| (less(low, self.constant), less(high, self.constant)));
        let parts = self.parts;
        if parts.values().next().is_none_or(|first| *first > 0) {
            return (Sum { parts, constant: 0 }, shifted.collect());
        }
        let parts = parts.into_iter().map(|(term, count)| (term, -count)).collect();
        let mirrored: Vec<_> = shifted.map(|(low, high)| (negative(high), negative(low))).collect();
        (Sum { parts, constant: 0 }, mirrored.into_iter().rev().collect())
    }
}

/// The ends of all numbers stay where they are.
fn less(bound: i128, by: i128) -> i128 {
    if matches!(bound, i128::MIN | i128::MAX) { bound } else { bound.saturating_sub(by) }
}

fn negative(bound: i128) -> i128 {
    match bound {
        i128::MIN => i128::MAX,
        i128::MAX => i128::MIN,
        bound => -bound,
    }
}

/// The values of `x` for which `times * x` is in the ranges; `times` is positive.
pub(super) fn divided(ranges: &[(i128, i128)], times: i128) -> Vec<(u128, u128)> {
    let up = |value: i128| value.div_euclid(times) + i128::from(value.rem_euclid(times) != 0);
    let whole = ranges.iter().map(|&(low, high)| (up(low.max(0)), high.div_euclid(times)));
    whole.filter(|(low, high)| low <= high).map(|(low, high)| (low as u128, high as u128)).collect()
}
