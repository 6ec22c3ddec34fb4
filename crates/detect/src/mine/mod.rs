//! What an attack's packets have in common and good ones have not, as statements of the policy language.
//!
//! [`mine`] is the table of contents. Samples become columns of features (`table`, `feature`); each attack sample
//! is of a known kind (`cause`); kind by kind, the heaviest first, the shortest description that spares good traffic
//! is searched (`search`) among conditions that many samples share (`candidates`), on two thirds of the samples;
//! the last third takes away what it does not confirm (`polish`). What cannot be parted gets another [`Answer`].
//!
//! What holds of every statement:
//! * it names the victim as destination (all addresses of a service), so it is never wider than that;
//! * it matches nothing from protected sources, and there is none for a protected victim;
//! * a sample that does not show a field counts against it: as missed of an attack, as harmed of good traffic;
//! * the same request gives the same statements.

mod answer;
mod candidates;
mod cause;
mod condition;
mod covering;
mod destinations;
mod estimate;
mod evidence;
mod feature;
mod findings;
mod polish;
mod prefix;
mod search;
mod table;
mod walk;

pub use answer::{Answer, Rate};
pub use destinations::Destinations;
pub use estimate::Estimate;
pub use findings::{Findings, Left, Proof, Statement};
pub use prefix::{Prefix, Protected};

use crate::sample::Sample;
use covering::Covering;
use evidence::Evidence;

/// What a statement may cost, and how much it must be worth.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Budget {
    /// All statements together match at most this share of good traffic, as far as samples show it.
    pub max_collateral: f64,
    /// How many statements there are at most.
    pub max_statements: usize,
    /// A statement covers at least this share of the attack.
    pub min_share: f64,
}

/// One packet in 2,000, eight statements, a fiftieth of the attack each.
impl Default for Budget {
    fn default() -> Budget {
        Budget { max_collateral: 0.0005, max_statements: 8, min_share: 0.02 }
    }
}

/// What there is to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whom the attack is for. Attack and good samples to others are not looked at.
    pub victim: &'a Destinations,
    /// Samples since it began; good traffic among them is expected.
    pub attack: &'a [Sample<'a>],
    /// Samples of the victim's traffic before. There may be few, or none.
    pub good: &'a [Sample<'a>],
    /// Samples of good traffic to others, in case those are few.
    pub network: &'a [Sample<'a>],
    /// What must not be matched.
    pub protected: &'a Protected,
    /// What statements may cost.
    pub budget: Budget,
}

/// Finds the few statements that match the attack and little else.
///
/// Takes 3 to 12 ms for 2,000 attack samples and as many good ones; time grows with their number.
pub fn mine(request: &Request) -> Findings {
    if request.protected.victims.iter().any(|prefix| request.victim.meets_prefix(prefix)) {
        return Findings::refused();
    }
    let evidence = Evidence::of(request);
    let covering = Covering::of(&evidence, request);
    Findings::of(&covering, &evidence, request)
}
