//! Definitions before uses, loops through their headers.

use super::{Errors, Location};
use crate::ir::analysis::{Def, Dominators, Graph};
use crate::ir::{Block, Program, Value};

/// Holds every back edge to a header that has a bound and that dominates the loop.
pub(super) fn check_loops(program: &Program, graph: &Graph, dominators: &Dominators, errors: &mut Errors) {
    for &block in &graph.order {
        for &next in graph.successors(block) {
            if !graph.goes_back(block, next) {
                continue;
            }
            let at = Location::End(block);
            errors.require(program[next].loop_bound.is_some(), at, || {
                format!("{next} closes a loop without a bound")
            });
            errors.require(dominators.dominates(next, block), at, || {
                format!("a loop goes around its header {next}")
            });
        }
    }
}

/// Holds definitions to come once, and before their uses.
pub(super) fn check_uses(program: &Program, graph: &Graph, dominators: &Dominators, errors: &mut Errors) {
    let defs = define(program, errors);
    for block in program.block_ids() {
        let check = |value: Value, at: Location, before: usize| match defs[value.index()] {
            None => Some(format!("{value} is not defined")),
            Some(Def::Inst(home, index)) if home == block && index as usize >= before => {
                Some(format!("{value} is used before its definition ({at})"))
            }
            Some(def) if !reaches(def.block(), block, graph, dominators) => {
                Some(format!("{value} is not defined on every way here"))
            }
            Some(_) => None,
        };
        let mut note = |value: Value, at: Location, before: usize| {
            if let Some(message) = check(value, at, before) {
                errors.add(at, message);
            }
        };
        for (index, inst) in program[block].insts.iter().enumerate() {
            inst.op.operands(|value| note(value, Location::Inst(block, index), index));
        }
        program[block].end.operands(|value| note(value, Location::End(block), usize::MAX));
    }
}

fn reaches(home: Block, block: Block, graph: &Graph, dominators: &Dominators) -> bool {
    home == block || !graph.is_reachable(block) || dominators.dominates(home, block)
}

fn define(program: &Program, errors: &mut Errors) -> Vec<Option<Def>> {
    let mut defs = vec![None; program.values.len()];
    let mut define = |value: Value, def: Def, at: Location| {
        if defs[value.index()].replace(def).is_some() {
            errors.add(at, format!("{value} is defined twice"));
        }
    };
    for block in program.block_ids() {
        for (index, param) in program[block].params.iter().enumerate() {
            define(*param, Def::Param(block, index as u32), Location::Block(block));
        }
        for (index, inst) in program[block].insts.iter().enumerate() {
            if let Some(result) = inst.result {
                define(result, Def::Inst(block, index as u32), Location::Inst(block, index));
            }
        }
    }
    defs
}
