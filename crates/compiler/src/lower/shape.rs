//! Which values travel along, and how.
//!
//! A block of the parser or of a class gets as parameters: words of presence bits, and the values
//! of the static headers that were found. Values of other headers, which most ways do not have, and
//! values beyond what registers and stack can hold go through the program's scratch memory: there
//! they cost something only where they are found and where they are asked for.

use crate::ir::build::Builder;
use crate::ir::{BinaryOp, Type, Value};
use crate::plan::{Plan, Step, Steps, is_optional, width};
use crate::policy::{HeaderRef, Place, Policy, Protocols, Term};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// With more presence bits than this they live in scratch memory: there the kernel's verifier does
/// not know them, and so does not go through the program once for every combination.
const KNOWN_BITS: usize = 4;

/// Presence bits in a word: a test of one is then a single instruction with a 32-bit constant.
const WORD: u32 = 32;

/// More scalars than this are not carried along: ten registers and a 512-byte stack that also
/// holds keys leave room for about fifty.
const CARRIED: usize = 40;

/// The function that counts for rows of a table stands on the same stack, with what it calls: 96 bytes more than what
/// others call.
const CARRIED_TO_ROWS: usize = CARRIED - 12;

/// Something that is known at run time only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Bit {
    /// A header that the class does not know to be there or not.
    Header(HeaderRef),
    /// A value of a header that is there which may be missing: an optional field, an option, a slice.
    Term(Term),
}

/// One scalar that travels along.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Slot {
    /// A word of presence bits.
    Bits(u32),
    /// A value, or the high half of a wide one.
    Value(Term, Half),
}

/// Half of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum Half {
    High,
    Low,
}

/// A value in the program: the high half where it is wider than 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalars {
    pub(super) high: Option<Value>,
    pub(super) low: Value,
}

/// The values at hand.
#[derive(Clone, Default, Debug)]
pub(super) struct Env {
    pub(super) slots: HashMap<Slot, Value>,
}

/// The layout of what travels along.
pub(super) struct Shape {
    bits: BTreeMap<Bit, u32>,
    /// Values that are carried, by header.
    carried: BTreeMap<HeaderRef, Vec<(Slot, Type)>>,
    /// First scratch slot of values that are not.
    stashed: HashMap<Slot, u32>,
    /// How many scratch slots are used.
    pub(super) scratch: u32,
}

impl Shape {
    pub(super) fn new(policy: &Policy, plan: &Plan, steps: &Steps) -> Self {
        let mut shape =
            Self { bits: BTreeMap::new(), carried: BTreeMap::new(), stashed: HashMap::new(), scratch: 0 };
        for header in plan.demand.headers.iter().filter(|h| !plan.static_headers.contains(h)) {
            shape.add_bit(Bit::Header(*header));
        }
        let counts = |step: &Step| matches!(step, Step::Run(run) if run.table.counting().is_some());
        let mut room = if steps.values().flatten().any(counts) { CARRIED_TO_ROWS } else { CARRIED };
        for (header, terms) in &plan.demand.values {
            for term in terms {
                if is_optional(&policy.protocols, term) {
                    shape.add_bit(Bit::Term(term.clone()));
                }
                for (slot, ty) in slots(&policy.protocols, term) {
                    if room == 0 || !plan.static_headers.contains(header) {
                        shape.stashed.insert(slot, shape.scratch);
                        shape.scratch += 1;
                        continue;
                    }
                    room -= 1;
                    shape.carried.entry(*header).or_default().push((slot, ty));
                }
            }
        }
        shape.stash_words();
        shape
    }

    fn add_bit(&mut self, bit: Bit) {
        let next = self.bits.len() as u32;
        self.bits.entry(bit).or_insert(next);
    }

    fn words(&self) -> u32 {
        (self.bits.len() as u32).div_ceil(WORD)
    }

    /// Gives the words of presence bits their scratch slots where there are many, or where some are
    /// of headers.
    fn stash_words(&mut self) {
        let of_header = |bit: &Bit| matches!(bit, Bit::Header(_));
        if self.bits.len() > KNOWN_BITS || self.bits.keys().any(of_header) {
            for word in 0..self.words() {
                self.stashed.insert(Slot::Bits(word), self.scratch);
                self.scratch += 1;
            }
        }
    }

    fn read_word(&self, b: &mut Builder, env: &Env, word: u32) -> Value {
        match self.stashed.get(&Slot::Bits(word)) {
            Some(&scratch) => b.unstash(scratch, Type::Int(WORD as u8)),
            None => env.slots[&Slot::Bits(word)],
        }
    }

    fn write_word(&self, b: &mut Builder, env: &mut Env, word: u32, value: Value) {
        match self.stashed.get(&Slot::Bits(word)) {
            Some(&scratch) => b.stash(scratch, value),
            None => {
                env.slots.insert(Slot::Bits(word), value);
            }
        }
    }

    /// At the frame's start: no presence bit is set.
    pub(super) fn begin(&self, b: &mut Builder, env: &mut Env) {
        for word in 0..self.words() {
            let zero = b.constant(0);
            self.write_word(b, env, word, zero);
        }
    }

    /// What a block gets that runs after these static headers were found.
    pub(super) fn slots(&self, found: &BTreeSet<HeaderRef>) -> Vec<(Slot, Type)> {
        let words = (0..self.words()).map(|word| (Slot::Bits(word), Type::Int(WORD as u8)));
        let words = words.filter(|(slot, _)| !self.stashed.contains_key(slot));
        let values = self
            .carried
            .iter()
            .filter(|(h, _)| found.contains(h))
            .flat_map(|(_, slots)| slots.iter().cloned());
        words.chain(values).collect()
    }

    /// The values at hand as arguments for a block that gets `slots`.
    pub(super) fn args(&self, b: &mut Builder, env: &Env, found: &BTreeSet<HeaderRef>) -> Vec<Value> {
        let value =
            |b: &mut Builder, slot: &Slot| env.slots.get(slot).copied().unwrap_or_else(|| b.constant(0));
        self.slots(found).iter().map(|(slot, _)| value(b, slot)).collect()
    }

    /// Sets a presence bit: to `there` (a `u1`), or for good.
    pub(super) fn set_bit(&self, b: &mut Builder, env: &mut Env, bit: &Bit, there: Option<Value>) {
        let Some(&index) = self.bits.get(bit) else { return };
        let shift = u64::from(index % WORD);
        let mask = match there {
            Some(there) => b.binary_const(BinaryOp::Shl, there, shift),
            None => b.constant(1 << shift),
        };
        let before = self.read_word(b, env, index / WORD);
        let after = b.binary_as(BinaryOp::Or, before, mask, Type::Int(WORD as u8));
        self.write_word(b, env, index / WORD, after);
    }

    /// A presence bit as a value that is not zero if it is set; `None` if it is not kept.
    pub(super) fn bit(&self, b: &mut Builder, env: &Env, bit: &Bit) -> Option<Value> {
        let index = *self.bits.get(bit)?;
        let word = self.read_word(b, env, index / WORD);
        Some(b.binary_const(BinaryOp::And, word, 1 << (index % WORD)))
    }

    /// Puts a value where its users will find it.
    pub(super) fn put(&self, b: &mut Builder, env: &mut Env, term: &Term, scalars: Scalars) {
        let halves = [(Half::High, scalars.high), (Half::Low, Some(scalars.low))];
        for (half, value) in halves {
            let Some(value) = value else { continue };
            let slot = Slot::Value(term.clone(), half);
            match self.stashed.get(&slot) {
                Some(&scratch) => b.stash(scratch, value),
                None => {
                    env.slots.insert(slot, value);
                }
            }
        }
    }

    /// Takes a value from where it was put.
    pub(super) fn value(&self, b: &mut Builder, env: &Env, protocols: &Protocols, term: &Term) -> Scalars {
        let mut found = slots(protocols, term).into_iter().map(|(slot, ty)| match self.stashed.get(&slot) {
            Some(&scratch) => b.unstash(scratch, ty),
            None => env.slots.get(&slot).copied().unwrap_or_else(|| b.constant(0)),
        });
        let first = found.next().expect("a term has a value");
        match found.next() {
            Some(low) => Scalars { high: Some(first), low },
            None => Scalars { high: None, low: first },
        }
    }
}

/// The scalars of a field or slice.
fn slots(protocols: &Protocols, term: &Term) -> Vec<(Slot, Type)> {
    let slot = |half| Slot::Value(term.clone(), half);
    match width(protocols, term) {
        bits @ 0..=64 => vec![(slot(Half::Low), Type::Int(bits))],
        bits => vec![(slot(Half::High), Type::Int(bits - 64)), (slot(Half::Low), Type::Int(64))],
    }
}

/// Of an option's kind, the fields that are asked for: term, and bits from the value's start.
pub(super) fn option_fields(
    protocols: &Protocols,
    terms: &BTreeSet<Term>,
) -> BTreeMap<u32, Vec<(Term, Option<u32>)>> {
    let mut kinds: BTreeMap<u32, Vec<(Term, Option<u32>)>> = BTreeMap::new();
    for term in terms {
        let Term::Field(f) = term else { continue };
        match protocols[f.header.protocol].fields[f.field as usize].place {
            Place::Option(kind, bit) => kinds.entry(kind).or_default().push((term.clone(), Some(bit))),
            Place::OptionThere(kind) => kinds.entry(kind).or_default().push((term.clone(), None)),
            _ => {}
        }
    }
    kinds
}
