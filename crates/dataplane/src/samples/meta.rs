//! What user space must know of the statements that sample, and what goes on with a reload.

use crate::Error;
use crate::counters::counted;
use crate::instance::Generation;
use serde::{Deserialize, Serialize};
use weir_compiler::codegen::samples::{RING, SAMPLING, SECTION};
use weir_compiler::policy::Policy;
use weir_kernel::load::Reuse;

/// A statement that samples; its place in the list is its number in the program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SampleMeta {
    pub(crate) name: String,
    pub(crate) one_in: u32,
    pub(crate) bytes: u16,
    pub(crate) budget: u64,
    /// Of the statement's condition, see [`crate::counters::Counted`].
    meaning: u64,
}

impl SampleMeta {
    /// Whether what one keeps is the other's: samples of the same packets, as often.
    fn goes_on(&self, old: &SampleMeta) -> bool {
        (self.one_in, self.bytes, self.meaning) == (old.one_in, old.bytes, old.meaning)
    }
}

/// The statements of a policy that sample.
pub(crate) fn describe(policy: &Policy) -> Vec<SampleMeta> {
    let counted = counted(policy);
    let one = |(index, sample): (usize, &weir_compiler::policy::Sample)| SampleMeta {
        name: counted[index].name.clone(),
        one_in: sample.one_in,
        bytes: sample.bytes,
        budget: sample.budget,
        meaning: counted[index].meaning,
    };
    policy.samples().map(one).collect()
}

/// The ring goes on, so that nothing in it is lost. What is kept beside it goes on if all statements that sample are the
/// same; else each begins with the N that the policy says, which is not told by what was before.
pub(crate) fn share(
    samples: &[SampleMeta],
    running: Option<&Generation>,
    mut reuse: impl FnMut(&str, Reuse),
) -> Result<(), Error> {
    let Some(running) = running.filter(|_| !samples.is_empty()) else { return Ok(()) };
    let old = &running.meta.samples;
    let same = old.len() == samples.len() && samples.iter().zip(old).all(|(new, old)| new.goes_on(old));
    for name in [RING, SAMPLING, SECTION] {
        if (same || name == RING)
            && let Some(map) = running.find_map(name)?
        {
            reuse(name, Reuse::Map(map));
        }
    }
    Ok(())
}
