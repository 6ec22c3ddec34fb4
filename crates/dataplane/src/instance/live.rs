//! Tables that change while their program runs.
//!
//! A section holds all tables of a program twice ([`weir_compiler::codegen::rooms`]). A reload that needs no other
//! program writes its tables into the space that is not in use; the new generation, which is complete as soon as its
//! program is pinned, says where they are; then one store makes packets look there. Should the process be killed
//! before that, the next command does it ([`take_up`]).

use super::build::Built;
use super::generation::Generation;
use crate::Error;
use std::time::{SystemTime, UNIX_EPOCH};
use weir_compiler::codegen::rooms::{Head, Room, SECTION};
use weir_kernel::maps::{Memory, wait_for_programs};

/// The section's pin.
pub(super) const PIN: &str = "tables";

/// Where in the section it stands which space is in use.
const NOW: usize = 0;

/// Packets that were judged by a space when another came into use have left it after so many seconds.
const SURELY_LEFT: u64 = 2;

/// The rooms of the running tables; none where they cannot change.
pub(super) fn rooms(running: &Generation) -> Result<Vec<Room>, Error> {
    Ok(open(running)?.map_or_else(Vec::new, |(_, head)| head.rooms))
}

/// Writes the tables beside those in use, unless they are the same; where they are. Nothing if there is no place.
pub(super) fn write(built: &Built, running: &Generation) -> Result<Option<u64>, Error> {
    let Some(section) = built.object.maps.iter().find(|map| map.name == SECTION) else { return Ok(Some(0)) };
    let (Some((memory, head)), Some(new)) = (open(running)?, Head::read(&section.initial)) else {
        return Ok(None);
    };
    if head.rooms != new.rooms {
        return Ok(None);
    }
    let (first, bytes) = (head.first(), head.space as usize);
    let images = &section.initial[first..first + bytes];
    if memory.read(first + running.meta.space as usize, bytes) == images {
        return Ok(Some(running.meta.space));
    }
    if head.spaces < 2 {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    if now < running.meta.loaded_at + SURELY_LEFT && wait_for_programs().is_err() {
        return Ok(None);
    }
    let other = if running.meta.space == 0 { head.space } else { 0 };
    memory.write(first + other as usize, images);
    Ok(Some(other))
}

/// Makes packets look at the tables that were written there.
pub(super) fn take_up(generation: &Generation, space: u64) -> Result<(), Error> {
    if let Some((memory, _)) = open(generation)?
        && memory.load(NOW) != space
    {
        memory.store(NOW, space);
    }
    Ok(())
}

/// The section and what its head says, if it can be written from here.
fn open(generation: &Generation) -> Result<Option<(Memory, Head)>, Error> {
    let Some(map) = generation.find_map(PIN)? else { return Ok(None) };
    // Before Linux 5.5 data sections are no memory of ours.
    let Ok(memory) = map.memory() else { return Ok(None) };
    let head = Head::read(&memory.read(0, memory.len().min(HEAD)));
    Ok(head.map(|head| (memory, head)))
}

/// Enough for the head of a section of 254 images; with more of them nothing is exchanged.
const HEAD: usize = 4096;
