//! The parser's states as blocks.

use super::Lower;
use super::field::{Found, Own};
use super::shape::{Bit, Env};
use crate::ir::{Block, Relation, Target, Type, Value};
use crate::plan::{ClassId, Edge, Goto, Site, State, StateId, base_terms, ends};
use crate::policy::{MAX_HEADER, Next, Place, Pred, Protocol, Selector, Term};
use std::collections::BTreeSet;

/// Parsers of up to so many states let the main way to each state keep its exact cursor.
const EXACT_STATES: usize = 200;

/// No header is looked for farther into a frame: several headers of [`MAX_HEADER`] bytes, and far
/// enough from the 64 KiB up to which the verifier follows packet pointers for one more of them.
const FARTHEST: u16 = 0x7fff;

/// What follows a header whose definition asks one of its own fields, whatever tables it looks the
/// value up in. Headers with the same answers can share the code that asks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Crossing {
    /// By entry of `next`.
    rows: Vec<Vec<(u128, Goto)>>,
    last: ClassId,
    selector: Term,
}

/// A way through the parser, up to behind a header.
struct Way {
    /// The first statement that is not decided yet.
    first: usize,
    /// The values at hand.
    env: Env,
}

/// How what follows a header is asked, if it is by one field that is always there.
pub(super) fn crossing(state: &State, protocol: &Protocol) -> Option<Crossing> {
    let mut selectors = protocol.next.iter().map(|next| match &next.selector {
        Selector::Term(term @ Term::Field(field)) if next.when.is_none() => {
            let field = &protocol.fields[field.field as usize];
            let always = field.when.is_none() && matches!(field.place, Place::Bit(0));
            always.then(|| term.clone())
        }
        _ => None,
    });
    let first = selectors.next()??;
    if !selectors.all(|other| other.as_ref() == Some(&first)) {
        return None;
    }
    let rows = state.next.iter().map(|edge| edge.rows.clone()).collect();
    Some(Crossing { rows, last: state.last, selector: first })
}

impl Lower<'_> {
    /// Where to jump for a way of the parser, with the values at hand and the statements before `first` decided.
    pub(super) fn goto(&mut self, goto: Goto, first: usize, cursor: Value, env: &Env) -> Target {
        match goto {
            Goto::Class(class) => self.goto_class(class, first, env),
            Goto::State(id) => {
                let found = self.found_before(id);
                let block = self.state_block(id, first);
                let cursor = if self.meets_others(id) { self.b.detour(cursor, FARTHEST) } else { cursor };
                let mut args = vec![cursor];
                args.extend(self.shape.args(&mut self.b, env, &found));
                Target { block, args }
            }
        }
    }

    /// Whether other ways lead to a state than the one that is being made, which is not its main one.
    ///
    /// The kernel's verifier goes through everything behind a meeting point once for every way whose
    /// cursor it knows something else of. Ways that bring a cursor of which it knows nothing are the
    /// same to it; the main way keeps its exact cursor, unless there are too many to afford that. To the outer
    /// headers it always does: what tunnels carry is behind a detour again.
    fn meets_others(&self, id: StateId) -> bool {
        let State { header, main_way, .. } = self.plan.graph.states[id.0 as usize];
        let exact_main_way = header.level == 0 || self.plan.graph.states.len() <= EXACT_STATES;
        !self.detoured && main_way.is_some_and(|main| !exact_main_way || self.current_state != Some(main))
    }

    fn goto_class(&mut self, class: ClassId, first: usize, env: &Env) -> Target {
        let found = self.plan.graph.classes[class.0 as usize].clone();
        let block = self.class_block(class, first);
        let args = self.shape.args(&mut self.b, env, &found);
        Target { block, args }
    }

    fn found_before(&self, id: StateId) -> BTreeSet<crate::policy::HeaderRef> {
        let absent = self.plan.graph.states[id.0 as usize].absent;
        self.plan.graph.classes[absent.0 as usize].clone()
    }

    fn state_block(&mut self, id: StateId, first: usize) -> Block {
        if let Some(&block) = self.state_blocks.get(&(id, first)) {
            return block;
        }
        let mut types = vec![Type::Cursor];
        types.extend(self.shape.slots(&self.found_before(id)).into_iter().map(|(_, ty)| ty));
        let header = self.plan.graph.states[id.0 as usize].header;
        // Most packets have no tags, no labels and no extension headers.
        let block = match self.policy.protocols[header.protocol].depth {
            0 | 1 => self.b.block(&types),
            _ => self.b.cold_block(&types),
        };
        self.state_blocks.insert((id, first), block);
        self.states_to_do.push((id, first));
        block
    }

    /// A block that is reached when the current one goes on.
    pub(super) fn fresh(&mut self) -> Block {
        self.b.block(&[])
    }

    /// One state: is the header there, what of it is asked for, what does that decide, what follows.
    pub(super) fn state(&mut self, id: StateId, first: usize) {
        let state = self.plan.graph.states[id.0 as usize].clone();
        self.current_state = Some(id);
        let block = self.state_blocks[&(id, first)];
        let slots = self.shape.slots(&self.found_before(id));
        let mut env = Env::default();
        for (index, (slot, _)) in slots.into_iter().enumerate() {
            env.slots.insert(slot, self.b.param(block, index + 1));
        }
        let policy = self.policy;
        let protocol = &policy.protocols[state.header.protocol];
        self.b.switch_to(block);
        self.at(protocol.span);
        let cursor = self.b.param(block, 0);
        let absent = self.goto_class(state.absent, first, &env);
        let found = self.header(protocol, cursor, absent);
        let own = self.own_values(protocol, &found);
        self.take_in(&state, protocol, &found, &own, &mut env);
        let Some(chain) = self.plan.early.get(&(id, first)) else {
            return self.follow(&state, protocol, &found, &own, &Way { first, env });
        };
        let headers = &self.plan.graph.classes[state.last.0 as usize];
        self.statements(Site::Behind(id, first), headers, &env);
        if ends(policy, chain) {
            return self.default();
        }
        self.at(protocol.span);
        self.follow(&state, protocol, &found, &own, &Way { first: chain.end(), env });
    }

    /// Notes that a header is there and loads what is asked of it. A header whose presence is a bit
    /// may have been met before (a second IPv6 option header): then the first one counts.
    fn take_in(&mut self, state: &State, protocol: &Protocol, found: &Found, own: &Own, env: &mut Env) {
        if !self.plan.demand.headers.contains(&state.header) {
            return;
        }
        let bit = Bit::Header(state.header);
        let met = if protocol.depth > 1 { self.shape.bit(&mut self.b, env, &bit) } else { None };
        let Some(met) = met else {
            self.shape.set_bit(&mut self.b, env, &bit, None);
            return self.values(state.header, protocol, found, own, env);
        };
        // All that this leaves behind lies in scratch memory, so nothing needs to be merged.
        let (first, after) = (self.fresh(), self.fresh());
        let again = self.b.compare_const(Relation::Ne, met, 0);
        self.b.branch(again, after, first);
        self.b.switch_to(first);
        let mut inside = env.clone();
        self.shape.set_bit(&mut self.b, &mut inside, &bit, None);
        self.values(state.header, protocol, found, own, &mut inside);
        self.b.jump(after);
        self.b.switch_to(after);
    }

    /// Goes on only if the header is there; gives its place.
    fn header(&mut self, protocol: &Protocol, cursor: Value, absent: Target) -> Found {
        let there = self.fresh();
        self.b.fits(cursor, protocol.fixed, there, absent.clone());
        self.b.switch_to(there);
        let mut own = Own::default();
        if let Some(require) = &protocol.require {
            self.own_fixed(protocol, cursor, &base_terms(require), &mut own);
            let fine = self.fresh();
            self.own_cond(require, &own, fine.into(), absent.clone());
            self.b.switch_to(fine);
        }
        if protocol.length == Term::Const(u128::from(protocol.fixed)) {
            let length = self.b.constant(u64::from(protocol.fixed));
            return Found { cursor, length, fixed: Some(protocol.fixed), own };
        }
        let terms = base_terms(&Pred::There(protocol.length.clone()));
        self.own_fixed(protocol, cursor, &terms, &mut own);
        let length = self.own_value(&protocol.length, &own);
        self.bound(length, protocol, absent.clone());
        let end = self.b.advance(cursor, length, MAX_HEADER);
        let inside = self.fresh();
        self.b.fits(end, 0, inside, absent);
        self.b.switch_to(inside);
        Found { cursor, length, fixed: None, own }
    }

    /// Goes on only if the length is one that a header can have.
    fn bound(&mut self, length: Value, protocol: &Protocol, absent: Target) {
        let bounds = [(Relation::Sge, u64::from(protocol.fixed)), (Relation::Le, u64::from(MAX_HEADER))];
        for (relation, bound) in bounds {
            let ok = self.b.compare_const(relation, length, bound);
            let next = self.fresh();
            self.b.branch(ok, next, absent.clone());
            self.b.switch_to(next);
        }
    }

    /// Chooses what follows.
    fn follow(&mut self, state: &State, protocol: &Protocol, found: &Found, own: &Own, way: &Way) {
        let leads_on = |edge: &Edge| edge.rows.iter().any(|(_, goto)| matches!(goto, Goto::State(_)));
        if !state.next.iter().any(leads_on) {
            let last = self.goto_class(state.last, way.first, &way.env);
            return self.b.jump(last);
        }
        if let Some(carries) = &protocol.carries {
            let (go, last) = (self.fresh(), self.goto_class(state.last, way.first, &way.env));
            self.own_cond(carries, own, go.into(), last);
            self.b.switch_to(go);
        }
        let end = self.end_of(found);
        if let Some(key) =
            crossing(state, protocol).filter(|key| self.crossings.get(key).is_some_and(|ways| *ways > 1))
        {
            return self.cross(key, state, end, own, way);
        }
        let useful = state.next.iter().rposition(leads_on).expect("one leads on");
        for (index, (next, edge)) in protocol.next.iter().zip(&state.next).enumerate().take(useful + 1) {
            let otherwise = self.fresh();
            self.ask(
                next,
                edge,
                end,
                own,
                way,
                otherwise,
                index == useful && !matches!(next.selector, Selector::Always),
            );
            self.b.switch_to(otherwise);
        }
        let last = self.goto_class(state.last, way.first, &way.env);
        self.b.jump(last);
    }

    /// Goes to the block where all headers meet that are followed by the same.
    fn cross(&mut self, key: Crossing, state: &State, end: Value, own: &Own, way: &Way) {
        let found = self.plan.graph.classes[state.last.0 as usize].clone();
        let block = match self.crossing_blocks.get(&(key.clone(), way.first)) {
            Some(&block) => block,
            None => {
                let mut types = vec![Type::Cursor, Type::Int(64)];
                types.extend(self.shape.slots(&found).into_iter().map(|(_, ty)| ty));
                let block = self.b.block(&types);
                self.crossing_blocks.insert((key.clone(), way.first), block);
                self.crossings_to_do.push(((key.clone(), way.first), block));
                block
            }
        };
        let selector = self.own_value(&key.selector, own);
        let mut args = vec![self.b.detour(end, FARTHEST), selector];
        args.extend(self.shape.args(&mut self.b, &way.env, &found));
        self.b.jump(Target { block, args });
    }

    /// A block where several headers meet that are followed by the same.
    pub(super) fn crossing(&mut self, key: &Crossing, first: usize, block: Block) {
        let found = self.plan.graph.classes[key.last.0 as usize].clone();
        let mut env = Env::default();
        for (index, (slot, _)) in self.shape.slots(&found).into_iter().enumerate() {
            env.slots.insert(slot, self.b.param(block, index + 2));
        }
        self.b.switch_to(block);
        self.current_state = None;
        self.detoured = true;
        let (end, value) = (self.b.param(block, 0), self.b.param(block, 1));
        let known: std::collections::BTreeMap<u64, Goto> =
            key.rows.iter().rev().flatten().map(|&(asked, goto)| (asked as u64, goto)).collect();
        let last = Goto::Class(key.last);
        let cases = known.into_iter().filter(|(_, goto)| *goto != last);
        let cases: Vec<_> =
            cases.map(|(asked, goto)| (asked, asked, self.goto(goto, first, end, &env))).collect();
        let last = self.goto(last, first, end, &env);
        self.b.switch(value, cases, last);
        self.detoured = false;
    }

    /// The cursor behind a header.
    pub(super) fn end_of(&mut self, found: &Found) -> Value {
        match found.fixed {
            Some(length) => self.b.skip(found.cursor, length),
            None => self.b.advance(found.cursor, found.length, MAX_HEADER),
        }
    }

    /// One entry of `next`; what it does not decide goes to `otherwise`. For the last entry, values
    /// that lead nowhere need not be told from values that are not in the table.
    #[allow(clippy::too_many_arguments)]
    fn ask(
        &mut self,
        next: &Next,
        edge: &Edge,
        end: Value,
        own: &Own,
        way: &Way,
        otherwise: Block,
        last: bool,
    ) {
        if let Some(when) = &next.when {
            let go = self.fresh();
            self.own_cond(when, own, go.into(), otherwise.into());
            self.b.switch_to(go);
        }
        let value = match &next.selector {
            Selector::Always => {
                let target = self.goto(edge.rows[0].1, way.first, end, &way.env);
                return self.b.jump(target);
            }
            Selector::Term(term) => {
                let there = self.fresh();
                self.own_cond(&Pred::There(term.clone()), own, there.into(), otherwise.into());
                self.b.switch_to(there);
                self.own_value(term, own)
            }
            Selector::Peek(bits) => {
                let bytes = u16::from(bits.div_ceil(8));
                let there = self.fresh();
                self.b.fits(end, bytes, there, otherwise);
                self.b.switch_to(there);
                self.load_bits(end, 0, *bits, bytes).low
            }
        };
        let rows = edge.rows.iter().filter(|(_, goto)| !last || matches!(goto, Goto::State(_)));
        let rows: Vec<(u128, Goto)> = rows.copied().collect();
        let cases = rows
            .into_iter()
            .map(|(asked, goto)| (asked as u64, asked as u64, self.goto(goto, way.first, end, &way.env)))
            .collect();
        self.b.switch(value, cases, otherwise);
    }
}
