//! A generation: a loaded policy with its maps, as a directory of pins.

use super::live;
use super::meta::{Meta, Source};
use super::place::{self, Place};
use super::root;
use crate::Error;
use std::path::PathBuf;
use weir_compiler::codegen::rooms::SECTION;
use weir_kernel::KernelError;
use weir_kernel::maps::Map;
use weir_kernel::program::Program;

/// A generation that is pinned.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) program_id: u32,
    pub(crate) meta: Meta,
    path: PathBuf,
}

impl Generation {
    /// Of an instance, by its number; nothing if it is not complete.
    pub(crate) fn open(place: &Place, number: u64) -> Result<Option<Self>, Error> {
        let path = place.generation(number);
        let Some(program_id) = program_id(place, number)? else { return Ok(None) };
        let Some(meta) = Meta::read(&path.join("meta"))? else {
            return Err(place.damaged("it was loaded by another version of Weir"));
        };
        Ok(Some(Self { number, program_id, meta, path }))
    }

    /// The one that runs. Looks again if a reload took it away between two looks.
    pub(crate) fn running(place: &Place) -> Result<Self, Error> {
        for _ in 0..100 {
            if !place.is_running() {
                return Err(place.missing());
            }
            match Self::find_running(place) {
                Ok(Some(generation)) => return Ok(generation),
                Err(Error::Kernel(error)) if !error.is_missing() => return Err(error.into()),
                Err(error @ Error::Damaged { .. }) => return Err(error),
                // A directory went while it was read.
                _ => std::thread::sleep(std::time::Duration::from_micros(200)),
            }
        }
        Err(place.damaged("no generation holds the running program"))
    }

    fn find_running(place: &Place) -> Result<Option<Self>, Error> {
        let Some(running) = Map::open(&place.slots())?.program_id(root::POLICY)? else { return Ok(None) };
        for number in place.generations()?.into_iter().rev() {
            if program_id(place, number)? == Some(running) {
                return Self::open(place, number);
            }
        }
        Ok(None)
    }

    /// One of its maps.
    pub(crate) fn map(&self, name: &str) -> Result<Map, KernelError> {
        Map::open(&self.path.join(pin_name(name)))
    }

    /// One of its maps, where it has it.
    pub(crate) fn find_map(&self, name: &str) -> Result<Option<Map>, KernelError> {
        match self.map(name) {
            Ok(map) => Ok(Some(map)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its policy, as it was read.
    pub(crate) fn source(&self, place: &Place) -> Result<Source, Error> {
        let source = Source::read(&self.path.join("source"))?;
        source.ok_or_else(|| place.damaged("the policy's text cannot be read"))
    }

    /// Its program.
    pub(crate) fn program(&self) -> Result<Program, KernelError> {
        Program::open(&self.path.join("program"))
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// The name of a map's pin: bpffs takes none with dots, which data sections have.
pub(crate) fn pin_name(map: &str) -> String {
    match map.strip_prefix('.') {
        _ if map == SECTION => live::PIN.to_owned(),
        Some(section) => section.replace('.', "-"),
        None => map.to_owned(),
    }
}

/// The program is pinned last, so a directory with one is complete.
fn program_id(place: &Place, number: u64) -> Result<Option<u32>, KernelError> {
    match Program::open(&place.generation(number).join("program")) {
        Ok(program) => Ok(Some(program.id()?)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Brings an instance into order, under its lock: whatever a killed process left half-made goes, and the running
/// generation stays.
pub(crate) fn settle(place: &Place) -> Result<Generation, Error> {
    if !place.is_running() {
        // A load that did not come to its end, or an unload.
        let missing = place.missing();
        place.remove()?;
        return Err(missing);
    }
    let mut running = Generation::running(place)?;
    let mut kept = vec![running.number];
    if let Some(capture) = running.meta.capture.clone() {
        match place::try_lock_dir(running.path())? {
            Some(_) => {
                running = swap_back(place, capture.of)?;
                kept = vec![running.number];
            }
            None => kept.push(capture.of),
        }
    }
    for number in place.generations()? {
        if !kept.contains(&number) {
            place::remove_dir(&place.generation(number))?;
        }
    }
    live::take_up(&running, running.meta.space)?;
    crate::sets::mend(&running)?;
    Ok(running)
}

/// Makes a generation that is complete the running one.
pub(crate) fn swap_back(place: &Place, number: u64) -> Result<Generation, Error> {
    let plain = Generation::open(place, number)?;
    let plain = plain.ok_or_else(|| place.damaged("a capture ended and the plain policy is gone"))?;
    Map::open(&place.slots())?.set_program(root::POLICY, &plain.program()?)?;
    Ok(plain)
}
