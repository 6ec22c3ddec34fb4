//! What becomes of pools in a reload.
//!
//! A pool that has the same shape goes on in its section, which both programs use; what the policy says of its backends is done to
//! it as commands would do it, behind the swap. One of another shape begins in a new section, which gets what the old one
//! knows before the swap: backends as they are and, if the ring has as many slots, slots and flows.

use super::meta::{NatMeta, PoolMeta};
use super::neighbours::Neighbours;
use super::section::Section;
use super::session::Session;
use crate::Error;
use crate::instance::Generation;
use std::collections::{BTreeMap, BTreeSet};
use weir_kernel::load::{Loaded, Reuse};
use weir_pool::slots::Track;

/// The running pool of the same name and shape.
fn same<'a>(pool: &PoolMeta, running: Option<&'a Generation>) -> Option<&'a PoolMeta> {
    let old = running?.meta.pools.iter().find(|old| old.name == pool.name && old.map == pool.map)?;
    (old.layout() == pool.layout()).then_some(old)
}

/// Lets the program use the sections that are there.
pub(crate) fn share(
    pools: &[PoolMeta],
    running: Option<&Generation>,
    reuse: &mut BTreeMap<String, Reuse>,
) -> Result<(), Error> {
    let Some(generation) = running else { return Ok(()) };
    for pool in pools.iter().filter(|pool| same(pool, running).is_some()) {
        for map in [&pool.map, &pool.counters] {
            reuse.insert(map.clone(), Reuse::Map(generation.map(map)?));
        }
    }
    // Backends keep their numbers, also in a new section, so flows that are translated go on.
    for nat in pools.iter().flat_map(|pool| known_flows(pool, generation)) {
        reuse.insert(nat.map.clone(), Reuse::Map(generation.map(&nat.map)?));
    }
    Ok(())
}

/// The tables of a pool's flows that are there already, as they are wanted.
fn known_flows<'a>(pool: &'a PoolMeta, running: &Generation) -> impl Iterator<Item = &'a NatMeta> {
    let old = running.meta.pools.iter().find(|old| old.name == pool.name);
    let old: Vec<NatMeta> = old.map(|old| old.nats.clone()).unwrap_or_default();
    pool.nats.iter().filter(move |nat| old.contains(nat))
}

/// Says which pools go on, and whose translated flows do.
pub(crate) fn report(
    pools: &[PoolMeta],
    running: Option<&Generation>,
    (kept, fresh, gone): (&mut Vec<String>, &mut Vec<String>, &mut Vec<String>),
) {
    let before: Vec<&PoolMeta> = running.iter().flat_map(|running| &running.meta.pools).collect();
    for pool in pools {
        let all = |pool: &PoolMeta| pool.track() == Track::All;
        match before.iter().find(|old| old.name == pool.name) {
            Some(old) if old.ring == pool.ring || all(old) && all(pool) => {
                kept.push(format!("pool {}", pool.name))
            }
            Some(_) => fresh.push(format!("pool {} (another ring)", pool.name)),
            None => fresh.push(format!("pool {}", pool.name)),
        }
        let known: Vec<&NatMeta> =
            running.map_or_else(Vec::new, |running| known_flows(pool, running).collect());
        for nat in &pool.nats {
            let list = if known.contains(&nat) { &mut *kept } else { &mut *fresh };
            list.push(format!("flows of {}", nat.name));
        }
    }
    let names: BTreeSet<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    gone.extend(
        before
            .iter()
            .filter(|old| !names.contains(old.name.as_str()))
            .map(|old| format!("pool {}", old.name)),
    );
}

/// Refuses a policy whose pools those that run could not become.
pub(crate) fn try_follow(pools: &[PoolMeta], running: &Generation) -> Result<(), Error> {
    for pool in pools {
        if let Some(old) = running.meta.pools.iter().find(|old| old.name == pool.name) {
            Session::open(running, old)?.try_follow(pool)?;
        }
    }
    Ok(())
}

/// Fills new sections of pools that were there before, and prepares those that go on for a program that remembers fewer flows.
pub(crate) fn fill(pools: &[PoolMeta], running: Option<&Generation>, loaded: &Loaded) -> Result<(), Error> {
    let Some(generation) = running else { return Ok(()) };
    for pool in pools {
        let Some(old) = generation.meta.pools.iter().find(|old| old.name == pool.name) else { continue };
        let known = || Session::open(generation, old);
        match same(pool, running) {
            Some(_) if [old.track(), pool.track()] == [Track::All, Track::Changes] => {
                known()?.stop_tracking_all();
            }
            Some(_) => {}
            None => {
                let Some(map) = loaded.map(&pool.map) else { continue };
                known()?.hand_over(&Section::open(map, pool.layout())?, pool);
            }
        }
    }
    Ok(())
}

/// Makes all pools of a generation what its policy declares. Under the lock.
pub(crate) fn follow(running: &Generation) -> Result<(), Error> {
    for pool in &running.meta.pools {
        Session::open(running, pool)?.follow()?;
    }
    Ok(())
}

/// Lets the kernel find out by which neighbours declared backends are reached that have no fixed next hop; in the calling thread's
/// network namespace.
pub(crate) fn ask_for_neighbours(pools: &[PoolMeta]) {
    let backends = pools.iter().flat_map(|pool| pool.declared.iter().map(move |backend| (pool, backend)));
    let routed = backends.filter(|(pool, backend)| pool.hop(backend.mac).is_none());
    Neighbours::here().ask(routed.map(|(_, backend)| backend.endpoint().address));
}
