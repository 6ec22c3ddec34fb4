//! Takes out what nobody needs: results that nothing uses, parameters that nothing uses or that
//! are the same on every edge.
//!
//! Earns: instructions, and the registers that the arguments would move through.

use super::edit::{Substitution, remove_unreachable};
use crate::ir::analysis::{Def, Graph, constants, definitions};
use crate::ir::{Block, Inst, Op, Program, Target, Terminator, Value};

/// The pass.
pub(super) fn dead(program: &mut Program) -> bool {
    let unreachable = remove_unreachable(program);
    let same = replace_same(program);
    let unused = remove_unused(program);
    unreachable || same || unused
}

/// Lets the one value that all edges hand over stand for the parameter.
fn replace_same(program: &mut Program) -> bool {
    let graph = Graph::new(program);
    let constants = constants(program);
    let mut substitution = Substitution::new(program);
    for &block in &graph.order {
        for index in 0..program[block].params.len() {
            match common_argument(program, &graph, &constants, &substitution, block, index) {
                Some(Common::Value(value)) => substitution.replace(program[block].params[index], value),
                Some(Common::Number(number)) => {
                    let constant = program.new_value(program.type_of(program[block].params[index]));
                    program[block].insts.insert(0, Inst::new(Some(constant), Op::Const(number)));
                    substitution.replace(program[block].params[index], constant);
                }
                None => {}
            }
        }
    }
    substitution.apply(program)
}

enum Common {
    Value(Value),
    Number(u64),
}

fn common_argument(
    program: &Program,
    graph: &Graph,
    constants: &[Option<u64>],
    substitution: &Substitution,
    block: Block,
    index: usize,
) -> Option<Common> {
    let param = program[block].params[index];
    // A parameter that was replaced in an earlier step is on its way out.
    if substitution.resolve(param) != param {
        return None;
    }
    let mut args = Vec::new();
    let mut before = None;
    for &from in graph.predecessors(block) {
        // A block that leads here twice stands twice in a row.
        if before != Some(from) {
            program[from].end.targets(|target| {
                if target.block == block {
                    args.push(substitution.resolve(target.args[index]));
                }
            });
        }
        before = Some(from);
        // Most parameters differ soon.
        if args.len() > 2 && args[0] != args[1] && number(constants, args[0]) != number(constants, args[1]) {
            return None;
        }
    }
    args.retain(|&arg| arg != param);
    let &first = args.first()?;
    if args.iter().all(|&arg| arg == first) {
        return Some(Common::Value(first));
    }
    let same = number(constants, first)?;
    args.iter().all(|&arg| number(constants, arg) == Some(same)).then_some(Common::Number(same))
}

fn number(constants: &[Option<u64>], value: Value) -> Option<u64> {
    constants.get(value.index()).copied().flatten()
}

/// Marks what effects and decisions need, then removes the rest.
fn remove_unused(program: &mut Program) -> bool {
    let live = mark(program);
    let mut changed = false;
    for index in 0..program.blocks.len() {
        let data = &mut program.blocks[index];
        let before = data.insts.len();
        data.insts
            .retain(|inst| inst.op.has_effect() || inst.result.is_none_or(|result| live[result.index()]));
        changed |= data.insts.len() < before;
    }
    let kept: Vec<Option<Vec<bool>>> =
        program.blocks.iter().map(|block| kept_params(&block.params, &live)).collect();
    for data in &mut program.blocks {
        data.params.retain(|param| live[param.index()]);
        data.end.targets_mut(|target| keep_args(target, &kept));
    }
    changed || kept.iter().any(Option::is_some)
}

/// Which parameters stay, if not all do.
fn kept_params(params: &[Value], live: &[bool]) -> Option<Vec<bool>> {
    let kept: Vec<bool> = params.iter().map(|param| live[param.index()]).collect();
    kept.contains(&false).then_some(kept)
}

fn keep_args(target: &mut Target, kept: &[Option<Vec<bool>>]) {
    if let Some(kept) = &kept[target.block.index()] {
        let mut kept = kept.iter();
        target.args.retain(|_| *kept.next().unwrap_or(&true));
    }
}

fn mark(program: &Program) -> Vec<bool> {
    let defs = definitions(program);
    let edges = incoming(program);
    let mut live = vec![false; program.values.len()];
    let mut left = Vec::new();
    for block in &program.blocks {
        let effects = block.insts.iter().filter(|inst| inst.op.has_effect());
        effects.for_each(|inst| inst.op.operands(|value| left.push(value)));
        block.end.deciding(|value| left.push(value));
    }
    while let Some(value) = left.pop() {
        if std::mem::replace(&mut live[value.index()], true) {
            continue;
        }
        match defs[value.index()] {
            Some(Def::Inst(block, index)) => {
                program[block].insts[index as usize].op.operands(|value| left.push(value))
            }
            Some(Def::Param(block, index)) => {
                left.extend(edges[block.index()].iter().map(|target| target.args[index as usize]));
            }
            None => {}
        }
    }
    live
}

/// The targets that lead to each block that has parameters.
fn incoming(program: &Program) -> Vec<Vec<&Target>> {
    let mut edges = vec![Vec::new(); program.blocks.len()];
    let ends: Vec<&Terminator> = program.blocks.iter().map(|block| &block.end).collect();
    for end in ends {
        end.targets(|target| {
            if !target.args.is_empty() {
                edges[target.block.index()].push(target);
            }
        });
    }
    edges
}
