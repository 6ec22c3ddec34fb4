//! One in how many is sampled now, and what came of it.

use super::meta::SampleMeta;
use crate::Error;
use crate::counters::{StatementCounters, word};
use crate::instance::Generation;
use serde::Serialize;
use weir_compiler::codegen::samples::{SAMPLING, SECTION, row, sampler};
use weir_compiler::sampling::Odds;
use weir_kernel::maps::Memory;

/// A statement that samples.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SampleStatus {
    /// The statement's name.
    pub name: String,
    /// It takes one in so many packets now.
    pub one_in: u32,
    /// As the policy says.
    pub declared: u32,
    /// How many samples there may be in a second before it takes fewer.
    pub budget: u64,
    /// How many bytes of a packet a sample holds at most.
    pub bytes: u16,
    /// Packets that came to it since it samples as it is declared: what its samples stand for.
    pub pool: u64,
    /// Samples that were taken, over all reloads.
    pub taken: u64,
    /// Of these, samples that were lost because nobody read them in time.
    pub lost: u64,
}

/// All statements of a running policy that sample.
pub(crate) fn all(running: &Generation, counters: &[StatementCounters]) -> Result<Vec<SampleStatus>, Error> {
    if running.meta.samples.is_empty() {
        return Ok(Vec::new());
    }
    let (rates, kept) = (Rates::open(running)?, running.map(SAMPLING)?);
    let kept = kept.lookup_per_cpu(&[0; 4])?.unwrap_or_default();
    let one = |(number, meta): (usize, &SampleMeta)| {
        let counted = counters.iter().find(|counted| counted.name == meta.name);
        let pool = kept.iter().map(|value| pool(value, number)).fold(0, u64::wrapping_add);
        SampleStatus {
            name: meta.name.clone(),
            one_in: rates.one_in(number),
            declared: meta.one_in,
            budget: meta.budget,
            bytes: meta.bytes,
            pool,
            taken: counted.map_or(0, |counted| counted.packets),
            lost: counted.and_then(|counted| counted.lost).unwrap_or_default(),
        }
    };
    Ok(running.meta.samples.iter().enumerate().map(one).collect())
}

/// [`weir_compiler::sampling::Sampler::pool`] of a statement on a CPU.
fn pool(value: &[u8], number: usize) -> u64 {
    let at = sampler::AT + number * sampler::BYTES;
    let Some(kept) = value.get(at..at + sampler::BYTES) else { return 0 };
    let comes = kept[sampler::ONE_IN..sampler::ONE_IN + 4].iter().any(|byte| *byte != 0);
    word(&kept[sampler::ASKED..]).wrapping_sub(word(&kept[sampler::LEFT..]) + u64::from(comes))
}

/// The odds of a running policy's samples.
pub(crate) struct Rates(Memory);

impl Rates {
    pub(crate) fn open(running: &Generation) -> Result<Self, Error> {
        Ok(Self(running.map(SECTION)?.memory()?))
    }

    /// One in how many a statement takes now.
    pub(crate) fn one_in(&self, number: usize) -> u32 {
        let odds = self.0.read(row::place(number, self.used(number)), 4);
        u32::from_ne_bytes([odds[0], odds[1], odds[2], odds[3]])
    }

    /// Changes it. A program that has begun to look at the odds sees them whole: others are written beside them. To be
    /// called under the instance's lock.
    pub(crate) fn set(&self, number: usize, one_in: u32) {
        let other = 1 - self.used(number);
        self.0.write(row::place(number, other), &Odds::of(one_in).bytes());
        self.0.store(number * row::BYTES + row::USED, other as u64);
    }

    fn used(&self, number: usize) -> usize {
        (self.0.load(number * row::BYTES + row::USED) & 1) as usize
    }
}
