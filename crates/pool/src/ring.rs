//! Maglev rings: which backend has which slot.
//!
//! After Eisenbud et al., *Maglev: A Fast and Reliable Software Network Load Balancer* (NSDI 2016), section 3.4: each backend
//! has an order of its own of all slots, and they take turns in taking the first one of it that is free. When the backends
//! change, most slots keep theirs. A ring is a function of the *set* of its members, of nothing that happened before and
//! of no order, so edges that never met agree. What the paper leaves open is decided here, bit for bit:
//!
//! * The *hash* of an identity is [`flow::hash_bytes`] with a seed. Seed 1 gives the *rank*, seed 2 the *offset*, seed 3 the *skip*.
//! * Members stand in the order of their ranks, of equal ranks the one with the smaller identity first.
//! * How many slots a member has is the apportionment of all slots by weight, with largest remainders, of equal remainders the
//!   member that stands first; whose quota is below one has one, if there are slots for all.
//! * A member of `share` slots takes the one number `turn` (from 0) at the time `((2 turn + 1) << 38) / share`, rounded down;
//!   at the same time the member that stands first does. So all begin and end together, whatever they weigh.
//! * A member tries the slots `offset % size`, and from there on steps of `skip % (size - 1) + 1` modulo `size`, which meet
//!   every slot, since `size` is prime.

use std::fmt;

use crate::flow;
use crate::shares::shares;

/// In a slot of a ring: there are no backends. Their numbers begin with 1.
pub const NOBODY: u16 = 0;

/// The largest number of a backend; [`slots`](crate::slots) has another meaning for the one that is left.
pub const LAST_NUMBER: u16 = u16::MAX - 1;

/// Whether a backend can have this number.
pub fn is_number(number: u16) -> bool {
    (1..=LAST_NUMBER).contains(&number)
}

/// Slots of a ring, where nothing else is asked for: 100 for each of 655 backends.
pub const SIZE: u32 = 65_537;

/// More slots than this are not a ring: times of turns, and memory, have an end.
pub const LARGEST: u32 = 1 << 24;

/// Who has slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// What it is to all edges, by which the slots are chosen.
    pub identity: &'a [u8],
    /// Its part of the slots; none for 0.
    pub weight: u32,
    /// What it is in this ring: 1 to [`LAST_NUMBER`], without influence on the slots.
    pub number: u16,
}

/// The number of the backend of each slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    slots: Vec<u16>,
}

impl Ring {
    /// From the set of members. Without weights above zero all slots are [`NOBODY`]'s.
    pub fn build(members: &[Member<'_>], size: u32) -> Result<Ring, RingError> {
        check_size(size)?;
        let ranked = rank(members)?;
        let weights: Vec<u32> = ranked.iter().map(|member| member.weight).collect();
        let shares = shares(&weights, size);
        let mut slots = vec![NOBODY; size as usize];
        let mut orders: Vec<Order> = ranked.iter().map(|member| Order::new(member.identity, size)).collect();
        for nth in turns(&shares) {
            let slot = orders[nth].find(|slot| slots[*slot as usize] == NOBODY);
            // Shares add up to all slots and an order meets each, so one is free.
            slots[slot.expect("a free slot") as usize] = ranked[nth].number;
        }
        Ok(Ring { slots })
    }

    /// The number of each slot's backend.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

/// Whether there are rings of so many slots.
pub fn check_size(size: u32) -> Result<(), RingError> {
    match size {
        0..=LARGEST if is_prime(size) => Ok(()),
        0..=LARGEST => Err(RingError::NotPrime { size }),
        _ => Err(RingError::TooLarge { size }),
    }
}

fn is_prime(number: u32) -> bool {
    number > 1
        && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

/// The seeds of the hashes of an identity.
const RANK: u64 = 1;
const OFFSET: u64 = 2;
const SKIP: u64 = 3;

/// The members in the order in which they have the first choice.
fn rank<'a>(members: &[Member<'a>]) -> Result<Vec<Member<'a>>, RingError> {
    let mut ranked = members.to_vec();
    ranked.sort_by_cached_key(|member| (flow::hash_bytes(RANK, member.identity), member.identity));
    if let Some(pair) = ranked.windows(2).find(|pair| pair[0].identity == pair[1].identity) {
        return Err(RingError::Twice { numbers: [pair[0].number, pair[1].number] });
    }
    let bad = |member: &&Member<'_>| !is_number(member.number);
    match ranked.iter().find(bad) {
        Some(member) => Err(RingError::Number { number: member.number }),
        None => Ok(ranked),
    }
}

/// Whose turn it is, one for each slot of all shares.
fn turns(shares: &[u32]) -> impl Iterator<Item = usize> {
    let mut turns = Vec::new();
    for (nth, share) in shares.iter().enumerate() {
        let time = |turn: u32| ((2 * u64::from(turn) + 1) << 38) / u64::from(*share);
        turns.extend((0..*share).map(|turn| (time(turn), nth)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, nth)| nth)
}

/// The slots in the order in which one member wants them, each once.
struct Order {
    next: u32,
    skip: u32,
    size: u32,
}

impl Order {
    fn new(identity: &[u8], size: u32) -> Order {
        let reduced = |seed, modulus: u32| (flow::hash_bytes(seed, identity) % u64::from(modulus)) as u32;
        Order { next: reduced(OFFSET, size), skip: reduced(SKIP, size - 1) + 1, size }
    }
}

impl Iterator for Order {
    type Item = u32;

    /// Without an end: behind the last slot comes the first.
    fn next(&mut self) -> Option<u32> {
        let slot = self.next;
        let after = slot + self.skip;
        self.next = if after < self.size { after } else { after - self.size };
        Some(slot)
    }
}

/// Why there is no ring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RingError {
    /// Steps would not meet every slot.
    NotPrime {
        /// What was asked for.
        size: u32,
    },
    /// More than [`LARGEST`].
    TooLarge {
        /// What was asked for.
        size: u32,
    },
    /// Two members are the same.
    Twice {
        /// Their numbers.
        numbers: [u16; 2],
    },
    /// A member's number is not one of a backend.
    Number {
        /// Its number.
        number: u16,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPrime { size } => {
                let larger = (*size..).find(|larger| is_prime(*larger)).unwrap_or(SIZE);
                write!(f, "a ring cannot have {size} slots: use a prime number, such as {larger}")
            }
            Self::TooLarge { size } => {
                write!(
                    f,
                    "a ring cannot have {size} slots: use a prime number below {LARGEST}, such as {SIZE}"
                )
            }
            Self::Twice { numbers: [one, other] } => {
                write!(f, "backends {one} and {other} of a ring are the same: give one of them both weights")
            }
            Self::Number { number } => {
                write!(f, "a backend cannot have the number {number}: use 1 to {LAST_NUMBER}")
            }
        }
    }
}

impl std::error::Error for RingError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// In parts of the whole time: 1/2; 1/6, 3/6, 5/6; 1/4, 3/4.
    #[test]
    fn turns_are_spread_by_share() {
        let turns: Vec<usize> = turns(&[1, 3, 0, 2]).collect();
        assert_eq!(turns, [1, 3, 0, 1, 3, 1]);
    }

    #[test]
    fn an_order_has_each_slot_once() {
        for size in [2, 3, 251] {
            let mut order: Vec<u32> = Order::new(b"backend", size).take(size as usize).collect();
            order.sort_unstable();
            assert_eq!(order, (0..size).collect::<Vec<_>>());
        }
    }
}
