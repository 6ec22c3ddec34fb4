//! Tables of flows that are translated, as user space sees them: it only reads. Their layout is [`weir_compiler::codegen::nat`]'.

use super::NatStatus;
use super::meta::NatMeta;
use crate::Error;
use crate::instance::Generation;
use std::time::Duration;
use weir_compiler::codegen::nat::{BUSY, Layout, WAY};
use weir_compiler::nat::Word;
use weir_kernel::maps::Memory;

/// A statement's table.
#[derive(Debug)]
pub(super) struct Flows {
    memory: Memory,
    name: String,
    /// Where ways of a family begin, and how many there are.
    ways: Vec<(u32, u32)>,
}

impl Flows {
    pub(super) fn open(running: &Generation, meta: &NatMeta) -> Result<Flows, Error> {
        let (banks, memory) = (meta.banks(), running.map(&meta.map)?.memory()?);
        let layout = Layout::of(banks);
        let families = banks.into_iter().zip([false, true]);
        let ways = families.filter_map(|(bank, six)| Some((layout.ways(six), bank?.ways()))).collect();
        Ok(Flows { memory, name: meta.name.clone(), ways })
    }

    /// The numbers of the backends of all flows whose time is not over.
    pub(super) fn living(&self, now: Duration) -> Vec<u16> {
        let now = now.as_nanos() as u64;
        let half = |way: &[u8], at: usize| u64::from_ne_bytes(way[at..at + 8].try_into().unwrap_or_default());
        let mut living = Vec::new();
        for (first, count) in &self.ways {
            let bytes = self.memory.read(*first as usize, (count * WAY) as usize);
            for way in bytes.chunks_exact(WAY as usize).filter(|way| half(way, 0) > BUSY) {
                let word = Word(half(way, 8));
                living.extend((!word.is_over(now)).then_some(word.backend()));
            }
        }
        living
    }

    pub(super) fn status(&self, now: Duration) -> NatStatus {
        let max_flows = self.ways.iter().map(|(_, count)| u64::from(*count)).sum();
        NatStatus { statement: self.name.clone(), flows: self.living(now).len(), max_flows }
    }
}
