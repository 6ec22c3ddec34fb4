//! A packet class: the statements one after the other.

use super::Lower;
use super::pred::Values;
use super::shape::{Bit, Env};
use crate::ir::{BinaryOp, Block, Relation, Rule, TableDecl, TableRef, Terminator, Type, Value, Verdict};
use crate::plan::{ClassId, Presence, Run, Site, Step, Word, base_terms, simplify};
use crate::policy::{Action, HeaderRef, KeyPart, Limit, LimitUnit, Pred, Statement};
use crate::table::Table;
use std::collections::{BTreeSet, HashMap};

impl Lower<'_> {
    /// The block of a class for packets of which the statements before `first` are decided.
    pub(super) fn class_block(&mut self, id: ClassId, first: usize) -> Block {
        if let Some(&block) = self.class_blocks.get(&(id, first)) {
            return block;
        }
        let headers = &self.plan.classes[id.0 as usize].headers;
        let types: Vec<_> = self.shape.slots(headers).into_iter().map(|(_, ty)| ty).collect();
        let block = self.b.block(&types);
        self.class_blocks.insert((id, first), block);
        self.classes_to_do.push((id, first));
        block
    }

    pub(super) fn class(&mut self, id: ClassId, first: usize) {
        let plan = self.plan;
        let class = &plan.classes[id.0 as usize];
        let block = self.class_blocks[&(id, first)];
        let mut env = Env::default();
        for (index, (slot, _)) in self.shape.slots(&class.headers).into_iter().enumerate() {
            env.slots.insert(slot, self.b.param(block, index));
        }
        self.b.switch_to(block);
        self.statements(Site::Class(id, first), &class.headers, &env);
        self.default();
    }

    /// The statements of a site.
    pub(super) fn statements(&mut self, site: Site, found: &BTreeSet<HeaderRef>, env: &Env) {
        let (policy, steps) = (self.policy, self.steps);
        let (first, conditions) = self.plan.conditions(site);
        for step in &steps[&site] {
            for index in self.hot(step) {
                let next = self.fresh();
                let condition = &conditions[index - first];
                self.statement(index, &policy.statements[index], condition, found, env, next);
                self.b.switch_to(next);
            }
            let next = self.fresh();
            match step {
                Step::One(index) => {
                    let condition = &conditions[index - first];
                    self.statement(*index, &policy.statements[*index], condition, found, env, next);
                }
                Step::Run(run) => self.run(run, env, next),
            }
            self.b.switch_to(next);
        }
    }

    /// Statements that are matched as one.
    fn run(&mut self, run: &Run, env: &Env, next: Block) {
        let first = run.table.entries().next().map_or(0, |entry| entry.row().result as usize - 1);
        self.at(self.policy.statements[first].span);
        let key = run.words.iter().map(|word| self.word(word, env)).collect();
        let table = self.table(&run.table);
        self.b.end(Terminator::Match { table, key, otherwise: next.into() });
    }

    /// A word of a table's key.
    fn word(&mut self, word: &Word, env: &Env) -> Value {
        let values = Values::Env(env);
        let bit = match word {
            Word::Low(term) => return self.value(term, &values).low,
            Word::High(term) => {
                return self.value(term, &values).high.unwrap_or_else(|| self.b.constant(0));
            }
            Word::Header(header) => self.shape.bit(&mut self.b, env, &Bit::Header(*header)),
            Word::There(term) => self.presence(term, &values),
        };
        match bit {
            Some(bit) => self.b.compare_const(Relation::Ne, bit, 0),
            None => self.b.constant(1),
        }
    }

    /// A table whose results are statements; classes with the same one share it.
    fn table(&mut self, table: &Table) -> TableRef {
        let (mut rules, mut numbers) = (Vec::new(), HashMap::new());
        let table = table.map_results(|statement| {
            *numbers.entry(statement).or_insert_with(|| {
                rules.push(self.rule(statement as usize - 1));
                rules.len() as u32
            })
        });
        let counter = |statement: u32| self.slots[&self.policy.statements[statement as usize - 1].name] + 1;
        let table = table.map_counting(counter);
        let decl = TableDecl { table, rules };
        self.shared_table(decl).expect("the planner makes runs of what can be cut apart")
    }

    /// A table, which may be there already; `None` if its rows cannot be cut apart.
    pub(super) fn shared_table(&mut self, decl: TableDecl) -> Option<TableRef> {
        let known = self.b.program().tables.iter().position(|known| *known == decl);
        match known {
            Some(index) => Some(TableRef(index as u32)),
            None => decl.table.parts().then(|| self.b.table(decl)),
        }
    }

    fn rule(&self, index: usize) -> Rule {
        let statement = &self.policy.statements[index];
        let verdict = statement.decides().expect("a run is of statements that decide");
        Rule { verdict, by: self.statement_ids[index], counter: self.slots[&statement.name] }
    }

    /// No statement decided.
    pub(super) fn default(&mut self) {
        self.b.at_line(crate::ir::Line(0));
        self.count("default");
        self.b.ret(self.policy.default_verdict(), None);
    }

    fn statement(
        &mut self,
        index: usize,
        statement: &Statement,
        condition: &Pred,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
        next: Block,
    ) {
        self.at(statement.span);
        if let (Action::Balance(balance), false) = (&statement.action, statement.shadow) {
            return self.balance(index, balance, condition, (headers, env), next);
        }
        if let Action::Answer(balance) = &statement.action {
            return self.answer(index, balance, condition, (headers, env), next);
        }
        let applies = self.fresh();
        self.cond(condition, &Values::Env(env), applies.into(), next.into());
        self.b.switch_to(applies);
        match &statement.action {
            Action::Limit(limit) => self.limit(index, statement, limit, headers, env, next),
            Action::Count => {
                self.count(&statement.name);
                self.capture(index, statement, None);
                self.b.jump(next);
            }
            Action::Verdict(verdict) => {
                self.count(&statement.name);
                self.decide(index, statement, *verdict, next);
            }
            Action::Sample(_) => {
                self.b.draw(self.sample_refs[&index]);
                self.capture(index, statement, None);
                self.b.jump(next);
            }
            Action::Syncookie if !statement.shadow => self.syncookie(index, statement, (headers, env), next),
            // What is done depends on what pools and sockets are like: a shadow only counts.
            Action::Balance(_) | Action::Answer(_) | Action::Syncookie => {
                self.count(&statement.name);
                self.capture(index, statement, None);
                self.b.jump(next);
            }
            Action::Echo => {
                self.count(&statement.name);
                match statement.shadow {
                    true => self.decide(index, statement, Verdict::Send, next),
                    false => self.echo(index, statement, headers, env),
                }
            }
            Action::Decap => {
                self.count(&statement.name);
                match statement.shadow {
                    true => self.decide(index, statement, Verdict::Pass, next),
                    false => self.decap(index, statement, headers, env),
                }
            }
        }
    }

    /// Ends the packet's way, unless it is only a shadow.
    fn decide(&mut self, index: usize, statement: &Statement, verdict: Verdict, next: Block) {
        self.capture(index, statement, Some(verdict));
        match statement.shadow {
            true => self.b.jump(next),
            false => self.b.ret(verdict, Some(self.statement_ids[index])),
        }
    }

    pub(super) fn count(&mut self, name: &str) {
        let slot = self.slots[name];
        self.b.count(slot);
    }

    /// What the static headers that were found say of one, where nothing that is asked for can still come.
    pub(super) fn presence_of(&self, header: HeaderRef, found: &BTreeSet<HeaderRef>) -> Presence {
        match self.plan.static_headers.contains(&header) {
            true if found.contains(&header) => Presence::Yes,
            true => Presence::No,
            false => Presence::Unknown,
        }
    }

    pub(super) fn capture(&mut self, index: usize, statement: &Statement, verdict: Option<Verdict>) {
        if self.options.capture.contains(&statement.name) {
            let verdict = if statement.shadow { None } else { verdict };
            self.b.capture(self.statement_ids[index], verdict.unwrap_or(Verdict::Pass));
        }
    }

    fn limit(
        &mut self,
        index: usize,
        statement: &Statement,
        limit: &Limit,
        headers: &BTreeSet<HeaderRef>,
        env: &Env,
        next: Block,
    ) {
        if limit.keys.is_empty() {
            return self.take(index, statement, limit, &[], next);
        }
        for key in &limit.keys {
            let there = key.iter().map(|part| Pred::There(part.term.clone())).collect();
            let there = simplify(&Pred::And(there), &|header| self.presence_of(header, headers));
            if there == Pred::Const(false) {
                continue;
            }
            let (has_key, otherwise) = (self.fresh(), self.fresh());
            self.cond(&all_terms_there(&there), &Values::Env(env), has_key.into(), otherwise.into());
            self.b.switch_to(has_key);
            let scalars: Vec<Value> = key.iter().flat_map(|part| self.key_scalars(part, env)).collect();
            self.take(index, statement, limit, &scalars, next);
            self.b.switch_to(otherwise);
        }
        // A packet without a key is not limited, and not counted.
        self.b.jump(next);
    }

    fn take(&mut self, index: usize, statement: &Statement, limit: &Limit, key: &[Value], next: Block) {
        self.count(&statement.name);
        let cost = match limit.unit {
            LimitUnit::Packets => self.b.constant(1),
            LimitUnit::Bytes => self.b.frame_len(),
        };
        let within = self.b.take(self.limit_refs[&index], key, cost);
        let over = self.fresh();
        self.b.branch(within, next, over);
        self.b.switch_to(over);
        self.count(&format!("{}/over", statement.name));
        self.decide(index, statement, Verdict::Drop, next);
    }

    /// A value as a key's scalar of so many bits: what was computed fits, but arithmetic is done in 64.
    pub(super) fn narrowed(&mut self, value: Value, width: u8) -> Value {
        let wider = self.b.program().type_of(value).bits().is_some_and(|bits| bits > width);
        if !wider {
            return value;
        }
        let mask = self.b.constant(u64::MAX >> (64 - width));
        self.b.binary_as(BinaryOp::And, value, mask, Type::Int(width))
    }

    /// The scalars of a key's part, as [`KeyPart::scalars`] makes them of a number.
    pub(super) fn key_scalars(&mut self, part: &KeyPart, env: &Env) -> Vec<Value> {
        let value = self.value(&part.term, &Values::Env(env));
        let low_bits = part.width - part.prefix;
        let masked = |lower: &mut Self, value: Value, width: u8, low_bits: u8| match low_bits {
            0 => value,
            bits if bits >= width => lower.b.constant(0),
            bits => {
                let ones = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                lower.b.binary_const(BinaryOp::And, value, ones >> bits << bits)
            }
        };
        if part.width > 64 {
            let high = value.high.unwrap_or_else(|| self.b.constant(0));
            let high = masked(self, high, part.width - 64, low_bits.saturating_sub(64));
            return vec![high, masked(self, value.low, 64, low_bits.min(64))];
        }
        let low = masked(self, value.low, part.width, low_bits);
        if !part.mapped {
            return vec![self.narrowed(low, part.words()[0])];
        }
        let tag = self.b.constant(0xffff << 32);
        vec![self.b.constant(0), self.b.binary(BinaryOp::Or, low, tag)]
    }
}

/// The same question asked of the fields alone, as guards ask it.
pub(super) fn all_terms_there(pred: &Pred) -> Pred {
    match base_terms(pred) {
        terms if terms.is_empty() => Pred::Const(true),
        terms => Pred::And(terms.into_iter().map(Pred::There).collect()),
    }
}
