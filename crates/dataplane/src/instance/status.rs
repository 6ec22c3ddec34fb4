//! Looking at what runs. Nothing here takes the lock: a reload in between is seen as before or after.

use super::{Attached, Generation, Instance, Status, holders};
use crate::Error;
use crate::counters::{StatementCounters, Statistics, by_statement};
use crate::engines::{statistic_of, totals_of};
use crate::sets::{Index, SetStatus};
use weir_compiler::codegen::Statistic;
use weir_compiler::state::Counter;
use weir_kernel::KernelError;
use weir_kernel::program::Program;

impl Instance {
    /// What runs, with all counters.
    pub fn status(&self) -> Result<Status, Error> {
        let attachments = self.attachments()?;
        self.look(|running| {
            let meta = &running.meta;
            let counters = counters(running)?;
            Ok(Status {
                instance: self.name().to_owned(),
                generation: running.number,
                policy: meta.policy.clone(),
                files: meta.files.clone(),
                loaded_at: meta.loaded_at,
                hook: meta.setting.hook,
                frags: meta.setting.frags,
                attachments: attachments.clone(),
                program_id: running.program_id,
                capturing: meta.capture.as_ref().map_or_else(Vec::new, |capture| capture.statements.clone()),
                samples: crate::samples::rates::all(running, &counters)?,
                counters,
                sets: sets(running)?,
                pools: crate::pools::all(running)?,
                statistics: statistics(running)?,
            })
        })
    }

    /// Where it sits.
    pub fn attachments(&self) -> Result<Vec<Attached>, Error> {
        let running = self.running()?;
        let root = Program::open(&self.place.root())?.id()?;
        let setting = running.meta.setting;
        let one = |(index, name): &(u32, String)| {
            let seen = holders::look(&self.place.links(), *index, root)?;
            let (ifindex, active) = (seen.ifindex, seen.active);
            Ok(Attached { interface: name.clone(), ifindex, hook: setting.hook, active })
        };
        setting.interfaces.iter().map(one).collect()
    }

    /// By statement, `default` last.
    pub fn counters(&self) -> Result<Vec<StatementCounters>, Error> {
        self.look(|running| Ok(counters(running)?))
    }

    /// What else the program counts.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        self.look(|running| Ok(statistics(running)?))
    }

    /// The policy's sets.
    pub fn sets(&self) -> Result<Vec<SetStatus>, Error> {
        self.look(|running| Ok(sets(running)?))
    }

    /// Looks at the running generation, and again if a reload removed it meanwhile.
    pub(crate) fn look<T>(&self, look: impl Fn(&Generation) -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..100 {
            match look(&self.running()?) {
                Err(Error::Kernel(error)) if error.is_missing() => {}
                answer => return answer,
            }
        }
        Err(self.place.damaged("its maps are missing"))
    }
}

pub(crate) fn counters(running: &Generation) -> Result<Vec<StatementCounters>, KernelError> {
    let counting = &running.meta.counting;
    let mut maps = vec![(totals_of(&running.map("counters")?)?, &counting.slots)];
    for carried in &counting.carried {
        maps.push((totals_of(&running.map(&carried.map)?)?, &carried.slots));
    }
    let of = |name: &str| {
        let (packets, bytes) = counting.bases.get(name).copied().unwrap_or_default();
        let mut sum = Counter { packets, bytes };
        for (totals, slots) in &maps {
            let there =
                slots.get(name).and_then(|slot| totals.get(*slot as usize)).copied().unwrap_or_default();
            sum.packets = sum.packets.wrapping_add(there.packets);
            sum.bytes = sum.bytes.wrapping_add(there.bytes);
        }
        sum
    };
    Ok(by_statement(&running.meta.statements, of))
}

fn statistics(running: &Generation) -> Result<Statistics, KernelError> {
    let Some(map) = running.find_map("statistics")? else { return Ok(Statistics::default()) };
    Ok(Statistics {
        captures_lost: statistic_of(&map, Statistic::CapturesLost)?,
        evictions: statistic_of(&map, Statistic::Evictions)?,
    })
}

fn sets(running: &Generation) -> Result<Vec<SetStatus>, KernelError> {
    let one = |set: &crate::sets::meta::SetMeta| -> Result<SetStatus, KernelError> {
        let mut elements = 0;
        for part in &set.parts {
            elements += match part.key() {
                Some(_) => Index::count(running, part)?,
                None => running.map(&part.map)?.entries()?.len() as u64,
            };
        }
        Ok(SetStatus {
            name: set.name.clone(),
            types: set.types.join(", "),
            live: set.live.is_some(),
            elements,
            max: set.live.map(|live| u64::from(live.max)),
        })
    };
    let in_maps = running.meta.sets.iter().filter(|set| !set.parts.is_empty());
    in_maps.map(one).collect()
}
