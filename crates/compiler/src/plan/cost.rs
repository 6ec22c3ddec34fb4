//! The cost model: what structures cost a packet, in nanoseconds, and what conditions take of a program.
//!
//! [`COSTS`] stands on measurements (`docs/cost-model.md` says which, and what command does them again); all else here is
//! arithmetic on it. What is estimated is a packet that meets nothing, with values that no branch predictor knows,
//! and structures that the caches hold as far as they fit.

use super::sets::SetHome;
use crate::policy::{Part, Pred, Set, SetPart, Term};
use crate::table::{Shape, Table};
use std::collections::BTreeMap;

/// What programs are made of, in nanoseconds, unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Costs {
    /// A program that asks nothing: it counts the packet and returns.
    pub program: f64,
    /// A header: its bounds, its length, and what follows it.
    pub header: f64,
    /// A comparison in a chain that is as it mostly is, so that the branch is foreseen.
    pub comparison: f64,
    /// A level of a comparison tree: a branch that cannot be foreseen every time.
    pub branch: f64,
    /// A tree of a table without its levels.
    pub walk: f64,
    /// A level of such a tree, its node in the first cache.
    pub level: f64,
    /// A call of a function of the program, with what it is given in scratch memory.
    pub call: f64,
    /// A look-up in a hash map that the first cache holds, with its call.
    pub hash: f64,
    /// A look-up in an LPM trie of one prefix.
    pub lpm: f64,
    /// A level of a trie more, its node in the first cache.
    pub bit: f64,
    /// A counter that is not the program's last.
    pub counter: f64,
    /// A key's bucket, with the time; all buckets of the limit in the first cache.
    pub limit: f64,
    /// A place at random in what the second cache holds, over one in the first.
    pub second: f64,
    /// The same in what the third holds.
    pub third: f64,
    /// The same in what no cache holds.
    pub memory: f64,
}

/// Linux 6.18, rounded by hand between what `weir-benches cost` measures on the two kinds of machine that
/// `docs/cost-model.md` has the figures of.
pub const COSTS: Costs = Costs {
    program: 1.8,
    header: 3.5,
    comparison: 0.6,
    branch: 1.2,
    walk: 6.0,
    level: 2.0,
    call: 10.0,
    hash: 25.0,
    lpm: 24.0,
    bit: 6.5,
    counter: 0.8,
    limit: 66.0,
    second: 3.5,
    third: 35.0,
    memory: 210.0,
};

/// Bytes that each of the caches holds.
const CACHES: [f64; 3] = [48e3, 1e6, 32e6];

/// Bytes of a place in a hash map's table of buckets.
const BUCKET: f64 = 16.0;

/// Bytes of an element in an index, about.
const INDEX_ELEMENT: f64 = 36.0;

/// Bytes of a node of a trie, as the kernel allocates it.
const TRIE_NODE: f64 = 64.0;

impl Costs {
    /// A place at random in something of so many bytes, over one in the first cache. What a cache holds of it is
    /// found there.
    pub fn line(&self, bytes: f64) -> f64 {
        let costs = [0.0, self.second, self.third, self.memory];
        let (mut held, mut ns) = (0.0, 0.0);
        for (cost, size) in costs.into_iter().zip(CACHES.into_iter().chain([f64::INFINITY])) {
            let here = (size.min(bytes) / bytes.max(1.0)).min(1.0);
            ns += cost * (here - held).max(0.0);
            held = here.max(held);
        }
        ns
    }

    /// A comparison tree in the code of so many values.
    pub fn tree(&self, values: usize) -> f64 {
        match values {
            0 | 1 => self.comparison,
            _ => self.comparison + self.branch * (values as f64).log2(),
        }
    }

    /// From so many statements on a table costs a packet that meets none of them less than a chain: two trees, in each one
    /// node and one row, all of it in the first cache.
    pub const fn shortest_run(&self) -> usize {
        let tree = self.walk + self.level + 2.0 * self.comparison;
        (2.0 * tree / self.comparison) as usize
    }

    /// A table: each node and each list of rows is a place in the image.
    pub fn table(&self, shape: &Shape) -> f64 {
        let places = shape.levels + shape.lists;
        self.walk * shape.trees as f64
            + self.level * shape.levels
            + self.comparison * 2.0 * shape.rows
            + places * self.line(shape.bytes as f64)
    }

    /// A packet that no row of a run holds: a table, and a call that walks through those that count. `None` if they
    /// cannot be cut apart.
    pub fn run(&self, table: &Table) -> Option<f64> {
        let decides = if table.is_empty() { 0.0 } else { self.table(&table.shape()?) };
        let Some(counting) = table.counting() else { return Some(decides) };
        Some(decides + self.call + self.table(&counting.rows().shape()?))
    }

    /// A hash map that has room for so many elements. Who is not in it mostly finds an empty bucket.
    pub fn hash(&self, room: usize) -> f64 {
        self.hash + self.line(BUCKET * (room.max(1) as f64).log2().ceil().exp2())
    }

    /// An LPM trie of so many prefixes: half of the nodes that one level has lie further down.
    pub fn trie(&self, prefixes: usize) -> f64 {
        let levels = (prefixes.max(1) as f64).log2().ceil() as i32;
        let below = |level: i32| self.bit + self.line(TRIE_NODE * 2f64.powi(level + 1));
        self.lpm + (1..=levels).map(below).sum::<f64>()
    }

    /// An index of so many elements: a slot in the wide node at its top and one in a node of few slots, if there are any.
    pub fn index(&self, elements: usize) -> f64 {
        let bytes = INDEX_ELEMENT * elements as f64;
        let node = self.level + self.comparison + self.line(bytes);
        self.comparison + 2.0 * node * elements.min(1) as f64
    }

    /// A set in a structure; why it cannot be in it otherwise.
    pub fn set(
        &self,
        set: &Set,
        part: &Part,
        table: Option<&Table>,
        home: SetHome,
    ) -> Result<f64, &'static str> {
        let (count, single) = (part.elements.len(), part.widths.len() == 1);
        let values = || part.elements.are_single();
        let room = set.live.map_or(count, |live| live.max as usize);
        match home {
            SetHome::Tree | SetHome::Chain | SetHome::Table if set.live.is_some() => {
                Err("it changes while running")
            }
            SetHome::Tree if !single => Err("it holds tuples"),
            SetHome::Tree => Ok(self.tree(count)),
            SetHome::Chain => Ok(self.comparison * count as f64),
            SetHome::Table => match table.and_then(Table::shape) {
                Some(shape) => Ok(self.table(&shape)),
                None => Err("its elements cannot be cut apart"),
            },
            SetHome::Hash if !values() => Err("it holds ranges or prefixes"),
            SetHome::Hash => Ok(self.hash(room)),
            SetHome::Lpm if !single => Err("it holds tuples"),
            SetHome::Lpm => Ok(self.trie(room)),
            SetHome::Index if !single => Err("it holds tuples"),
            SetHome::Index => Ok(self.index(count)),
        }
    }

    /// A condition that is false at its first question, `sets` being what look-ups cost.
    pub fn condition(&self, pred: &Pred, sets: &BTreeMap<SetPart, f64>) -> f64 {
        match pred {
            Pred::Const(_) => 0.0,
            Pred::Not(inner) => self.condition(inner, sets),
            Pred::And(list) => list.first().map_or(0.0, |first| self.condition(first, sets)),
            Pred::Or(list) => list.iter().map(|pred| self.condition(pred, sets)).sum(),
            Pred::Header(_) | Pred::There(_) => self.comparison,
            Pred::Compare(compare) => {
                self.comparison * (1 + term_cost(&compare.left) + term_cost(&compare.right)) as f64
            }
            Pred::In(term, ranges) => self.tree(ranges.len()) + self.comparison * term_cost(term) as f64,
            Pred::InSet(_, set) => sets.get(set).copied().unwrap_or(self.hash),
        }
    }
}

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
