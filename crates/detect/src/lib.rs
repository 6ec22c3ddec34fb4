//! Attacks, found in samples of traffic: samples and time come in as arguments, decisions go out.
//!
//! * [`sample`] is what everything here looks at: the first bytes of a frame, and what became of it.
//! * [`sflow`] reads and writes the datagrams by which agents tell of samples and counters.
//! * [`traffic`] counts by destination, knows what is usual there, and gives alerts.
//! * [`life`] decides when what was found is tried, enforced and over.
//! * [`mine`] finds what an attack's packets have in common and good ones have not, as statements of the policy language.
//! * [`defence`] puts all of it together: samples and counters in, the statements that should stand out.
//!
//! All times are those of one clock that never goes back, since any moment before the first one.

pub mod defence;
pub mod life;
pub mod mine;
pub mod sample;
pub mod sflow;
pub mod traffic;
