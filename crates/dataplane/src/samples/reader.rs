//! Who reads the ring: one at a time.

use super::Record;
use crate::Error;
use crate::instance::{Instance, Lock, try_lock_dir};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use weir_compiler::codegen::samples::RING;
use weir_compiler::ir::Verdict;
use weir_detect::sample::Fate;
use weir_kernel::rings::RingReader;

/// How often the ring is looked at while it is empty: nobody is woken up, so that a sample costs packets nothing more. At
/// a million samples a second the ring would be full in as long.
const LOOK: Duration = Duration::from_millis(10);
/// How often is looked whether another policy runs.
const FOLLOW: Duration = Duration::from_millis(200);

/// One packet out of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample<'a> {
    /// What its record says.
    pub record: Record<'a>,
    /// The statement that took it.
    pub statement: &'a str,
    /// The statement that decided, or `default`.
    pub decider: &'a str,
}

impl<'a> Sample<'a> {
    /// As detection takes samples.
    pub fn detected(&self) -> weir_detect::sample::Sample<'a> {
        weir_detect::sample::Sample {
            time: Duration::from_nanos(self.record.time),
            header: self.record.bytes,
            frame_len: self.record.length,
            one_in: self.record.one_in,
            fate: match self.record.verdict {
                Verdict::Drop => Fate::Dropped,
                Verdict::Pass | Verdict::Send => Fate::Passed,
            },
            statement: Some(self.decider),
        }
    }
}

/// Reads the samples of an instance, over reloads. Dropping it changes nothing but that the ring fills up.
pub struct Samples {
    instance: Instance,
    ring: Option<(u32, RingReader)>,
    generation: u64,
    /// By counter.
    names: HashMap<u32, String>,
    followed: Instant,
    /// Whose end lets others read.
    _reading: Lock,
}

impl Samples {
    pub(crate) fn open(instance: Instance) -> Result<Self, Error> {
        // `links` stays as long as the instance runs.
        let reading = try_lock_dir(&instance.place().links())?;
        let reading = reading.ok_or_else(|| Error::ReadingSamples { name: instance.name().to_owned() })?;
        let (names, followed) = (HashMap::new(), Instant::now());
        let mut samples = Self { instance, ring: None, generation: 0, names, followed, _reading: reading };
        samples.follow()?;
        match samples.ring {
            Some(_) => Ok(samples),
            None => Err(Error::NoSamples { name: samples.instance.name().to_owned() }),
        }
    }

    /// Waits up to `timeout` for samples and hands over those that are there; answers how many. A policy that samples
    /// nothing any more gives none.
    pub fn read(&mut self, timeout: Duration, take: &mut dyn FnMut(&Sample<'_>)) -> Result<usize, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.followed.elapsed() >= FOLLOW {
                self.follow()?;
            }
            let count = self.drain(take)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if count > 0 || left.is_zero() {
                return Ok(count);
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn drain(&mut self, take: &mut dyn FnMut(&Sample<'_>)) -> Result<usize, Error> {
        let Some((_, ring)) = &mut self.ring else { return Ok(0) };
        let names = &self.names;
        // Those of a policy that came since the last look at what runs.
        let mut unknown: Vec<Vec<u8>> = Vec::new();
        let mut count = ring.drain(|bytes| match sample(bytes, names) {
            Some(sample) => take(&sample),
            None => unknown.push(bytes.to_vec()),
        });
        if !unknown.is_empty() {
            self.follow()?;
            count -= unknown.len();
            for bytes in &unknown {
                // A statement that has gone meanwhile has no name any more.
                if let Some(sample) = sample(bytes, &self.names) {
                    take(&sample);
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Looks what runs. Names that were known before stay known: their samples may still be in the ring.
    fn follow(&mut self) -> Result<(), Error> {
        self.followed = Instant::now();
        let (generation, slots, ring) = self.instance.look(|running| {
            Ok((running.number, running.meta.counting.slots.clone(), running.find_map(RING)?))
        })?;
        if generation == self.generation {
            return Ok(());
        }
        self.generation = generation;
        for (name, counter) in slots {
            self.names.insert(counter, name);
        }
        match ring {
            Some(map) if self.ring.as_ref().is_none_or(|(id, _)| *id != map.info().id) => {
                self.ring = Some((map.info().id, RingReader::open(&map)?));
            }
            _ => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Samples").field("instance", &self.instance).finish_non_exhaustive()
    }
}

fn sample<'a>(bytes: &'a [u8], names: &'a HashMap<u32, String>) -> Option<Sample<'a>> {
    let record = Record::read(bytes)?;
    let named = |counter: u32| names.get(&counter).map(String::as_str);
    Some(Sample { statement: named(record.statement)?, decider: named(record.decider)?, record })
}
