//! What conditions cost, in comparisons.

use crate::policy::{Pred, Term};

/// How many comparisons a condition compiles to (its size, not what one packet pays).
pub fn pred_cost(pred: &Pred) -> u64 {
    match pred {
        Pred::Const(_) => 0,
        Pred::Not(inner) => pred_cost(inner),
        Pred::And(list) | Pred::Or(list) => list.iter().map(pred_cost).sum(),
        Pred::Header(_) | Pred::There(_) => 1,
        Pred::Compare(compare) => 1 + term_cost(&compare.left) + term_cost(&compare.right),
        Pred::In(term, ranges) => 2 * ranges.len() as u64 + term_cost(term),
        Pred::InSet(terms, _) => 8 + terms.iter().map(term_cost).sum::<u64>(),
    }
}

fn term_cost(term: &Term) -> u64 {
    match term {
        Term::Binary(_, a, b) => 1 + term_cost(a) + term_cost(b),
        _ => 0,
    }
}
