//! Looking for a difference with packets that are made for the statements, one after the other.

use super::dice::Dice;
use super::forge::{Forge, Forged, Taste};
use super::path::Paths;
use crate::symbolic::{Node, Space};

/// So many statements are aimed at.
const MOST_AIMS: usize = 2_000;

/// Packets of a class for which a statement's condition holds.
pub(super) struct Aim {
    class: usize,
    packets: Node,
}

/// What to aim at: those of the statements at `wanted`, then all others.
pub(super) fn aims(space: &mut Space, wanted: &[usize]) -> Vec<Aim> {
    let others = (0..space.policy.statements.len()).filter(|at| !wanted.contains(at));
    let all: Vec<usize> = wanted.iter().copied().chain(others).take(MOST_AIMS).collect();
    let mut aims = Vec::new();
    for class in 0..space.classes.len() {
        space.enter(class);
        let packets = space.classes[class].packets;
        aims.push(Aim { class, packets });
        for &at in &all {
            let here = space.statement(at).and_then(|holds| space.diagrams.and(packets, holds));
            aims.extend(here.ok().filter(|here| *here != Node::FALSE).map(|packets| Aim { class, packets }));
        }
    }
    aims.retain(|aim| aim.packets != Node::FALSE);
    aims
}

/// Makes packets until `found` says that it is enough; how many were made.
pub(super) fn search(space: &Space, aims: &[Aim], tries: u64, mut found: impl FnMut(Forged) -> bool) -> u64 {
    let mut dice = Dice::new(1);
    let mut forge = Forge::new(space);
    let mut paths = Paths::to(&space.diagrams, Node::TRUE);
    let mut made = 0;
    for turn in 0..tries {
        // Every aim has its turn before chance decides.
        let aim = match aims.get(turn as usize) {
            Some(aim) => aim,
            None => match dice.pick(aims) {
                Some(aim) => aim,
                None => break,
            },
        };
        let Some(path) = paths.pick(aim.packets, &mut |_| None, &mut dice) else { continue };
        if let Some(forged) = forge.make(aim.class, &path, Taste::Any, &mut dice) {
            made += 1;
            if found(forged) {
                break;
            }
        }
    }
    made
}
