//! Samples as columns: one a feature, so that a condition is asked of all samples at once.

use super::condition::{Rule, Test};
use super::feature::Feature;
use super::walk::{Cell, Row};

/// A set of rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn none(rows: usize) -> Bits {
        Bits(vec![0; rows.div_ceil(64)])
    }

    pub(super) fn of(rows: usize, holds: impl Fn(usize) -> bool) -> Bits {
        let mut bits = Bits::none(rows);
        (0..rows).filter(|&row| holds(row)).for_each(|row| bits.insert(row));
        bits
    }

    pub(super) fn insert(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    pub(super) fn and(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(super) fn or(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    pub(super) fn without(&self, other: &Bits) -> Bits {
        Bits(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Its rows in order.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

/// What a condition is on a sample that does not show the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doubt {
    /// It does not hold: so for an attack, whose coverage must not be said too high.
    Misses,
    /// It holds: so for good traffic, whose harm must not be said too low.
    Hits,
}

struct Column {
    /// 0 where there is none.
    values: Vec<u64>,
    there: Bits,
    unknown: Bits,
}

/// Samples of one kind.
pub(super) struct Table {
    columns: Vec<Column>,
    doubt: Doubt,
    /// What each stands for.
    weights: Vec<f64>,
    /// The weight of all, if they have the same one.
    alike: Option<f64>,
}

impl Table {
    pub(super) fn new(rows: &[Row], weights: Vec<f64>, doubt: Doubt) -> Table {
        let column = |feature: &Feature| {
            let cell = |row: usize| rows[row].cells[feature.index()];
            Column {
                values: (0..rows.len())
                    .map(|row| if let Cell::Value(v) = cell(row) { v } else { 0 })
                    .collect(),
                there: Bits::of(rows.len(), |row| matches!(cell(row), Cell::Value(_))),
                unknown: Bits::of(rows.len(), |row| cell(row) == Cell::Unknown),
            }
        };
        let first = weights.first().copied();
        let alike = first.filter(|first| weights.iter().all(|weight| weight == first));
        Table { columns: Feature::ALL.iter().map(column).collect(), doubt, weights, alike }
    }

    pub(super) fn rows(&self) -> usize {
        self.weights.len()
    }

    pub(super) fn all(&self) -> Bits {
        Bits::of(self.rows(), |_| true)
    }

    /// Frames that rows stand for.
    pub(super) fn weight(&self, rows: &Bits) -> f64 {
        match self.alike {
            Some(weight) => rows.count() as f64 * weight,
            None => rows.rows().fold(0.0, |sum, row| sum + self.weights[row]),
        }
    }

    /// How many rows of one weight say as much as these: (Σw)² / Σw² (Kish, Survey Sampling, 1965).
    pub(super) fn effective(&self, rows: &Bits) -> f64 {
        let (sum, squares) = rows.rows().fold((0.0, 0.0), |(sum, squares), row| {
            let weight = self.weights[row];
            (sum + weight, squares + weight * weight)
        });
        if squares == 0.0 { 0.0 } else { sum * sum / squares }
    }

    /// Which of `rows` a test holds for.
    pub(super) fn test(&self, rows: &Bits, feature: Feature, test: &Test) -> Bits {
        let column = &self.columns[feature.index()];
        let mut found = Bits::none(self.rows());
        for row in rows.and(&column.there).rows().filter(|&row| test.holds(column.values[row])) {
            found.insert(row);
        }
        match self.doubt {
            Doubt::Misses => found,
            Doubt::Hits => found.or(&rows.and(&column.unknown)),
        }
    }

    /// Which of `rows` a rule holds for.
    pub(super) fn rule(&self, rows: &Bits, rule: &Rule) -> Bits {
        let tests = rule.tests.iter();
        tests.fold(rows.clone(), |rows, (&feature, test)| self.test(&rows, feature, test))
    }

    /// The values of a feature in `rows`, rising, with their weights.
    pub(super) fn values(&self, rows: &Bits, feature: Feature) -> Vec<(u64, f64)> {
        let column = &self.columns[feature.index()];
        let there = rows.and(&column.there);
        let mut all: Vec<_> = there.rows().map(|row| (column.values[row], self.weights[row])).collect();
        all.sort_unstable_by_key(|value| value.0);
        let mut values: Vec<(u64, f64)> = Vec::new();
        for (value, weight) in all {
            match values.last_mut().filter(|last| last.0 == value) {
                Some(last) => last.1 += weight,
                None => values.push((value, weight)),
            }
        }
        values
    }
}
