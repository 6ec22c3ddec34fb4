//! Emission: machine IR with registers → the assembler.

use super::cookies::CookieSite;
use super::layout::{self, Layout};
use super::machine::{Function, Kind, MachineInst, register};
use super::maps::{Maps, Statistic};
use super::nat::NatSite;
use super::pools::FlowSite;
use super::{CodegenError, Hook, Options};
use crate::ir::{self, PoolRef, TableRef};
use regalloc2::{Allocation, Block, Edit, Function as _, InstOrEdit, Output};
use std::collections::{BTreeMap, HashMap};
use weir_bpf::asm::{Assembler, Label};
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, Cond, Insn, MapId, Operand, Order, Reg, Size, Width};
use weir_bpf::program::{LineId, LineInfo, Program};
use weir_bpf::target::{Feature, Target};

/// `.BTF.ext` has 10 bits for a column and 22 for a line.
const COLUMN_MAX: u32 = 1023;
const LINE_MAX: u32 = (1 << 22) - 1;
/// A callee's frame takes at least this much of the stack, and each frame is rounded up to it
/// (`check_max_stack_depth`, kernel/bpf/verifier.c).
pub(super) const FRAME: u32 = 32;

/// The state of emission. Helpers that call lose `r0`–`r5`.
pub(super) struct Emitter<'a> {
    pub(super) asm: Assembler,
    pub(super) target: &'a Target,
    pub(super) hook: Hook,
    pub(super) frags: bool,
    pub(super) maps: &'a Maps,
    function: &'a Function,
    output: &'a Output,
    layout: Layout,
    labels: Vec<Label>,
    abort: Option<Label>,
    take: Option<Label>,
    count: Option<Label>,
    /// By table: what counts for its rows.
    count_rows: BTreeMap<TableRef, Label>,
    /// By pool: what finds its flows.
    flows: BTreeMap<PoolRef, (FlowSite, Label)>,
    /// What is called of tables of translated flows.
    nats: Vec<(NatSite, Label)>,
    cookies: BTreeMap<CookieSite, Label>,
    note: Option<Label>,
    recall: Option<Label>,
    draw: Option<Label>,
    tell: Option<Label>,
    samples: &'a [ir::SampleDecl],
    /// Of the functions, by number.
    functions: &'a [Label],
    source: &'a [ir::LineInfo],
    lines: HashMap<u32, LineId>,
}

/// A function whose values have their registers.
pub(super) struct Allocated {
    pub(super) function: Function,
    pub(super) output: Output,
    /// Bytes of stack that the functions take which it calls and all parts share.
    pub(super) below: u32,
}

/// Emits a whole program; the first function is the main one.
pub(super) fn emit(
    program: &ir::Program,
    options: &Options,
    maps: &Maps,
    functions: &[Allocated],
) -> Result<Program, CodegenError> {
    check_stack(options, functions)?;
    let mut asm = Assembler::new(&options.name, options.section());
    let starts: Vec<Label> = functions.iter().map(|_| asm.label()).collect();
    let (mut take, mut count, mut count_rows, mut flows) = (None, None, BTreeMap::new(), BTreeMap::new());
    let (mut nats, mut note, mut recall, mut lines) = (Vec::new(), None, None, HashMap::new());
    let (mut draw, mut tell, mut cookies) = (None, None, BTreeMap::new());
    for (nth, Allocated { function, output, .. }) in functions.iter().enumerate() {
        if nth > 0 {
            asm.global_function(&format!("part_{nth}"), 1, starts[nth]);
        }
        let labels = (0..function.num_blocks()).map(|_| asm.label()).collect();
        let mut emitter = Emitter {
            asm,
            target: &options.target,
            hook: options.hook,
            frags: options.multi_buffer(),
            maps,
            function,
            output,
            layout: Layout::of(function, output),
            labels,
            abort: None,
            take,
            count,
            count_rows,
            flows,
            nats,
            cookies,
            note,
            recall,
            draw,
            tell,
            samples: &program.samples,
            functions: &starts,
            source: &program.lines,
            lines,
        };
        emitter.blocks();
        emitter.end_function();
        if nth + 1 == functions.len() {
            emitter.end_program();
        }
        Emitter { asm, take, count, count_rows, flows, nats, cookies, note, recall, draw, tell, lines, .. } =
            emitter;
    }
    asm.finish(&options.target).map_err(CodegenError::Assembler)
}

/// The main function, a part that it calls, and what that calls stand on one stack.
fn check_stack(options: &Options, functions: &[Allocated]) -> Result<(), CodegenError> {
    let own = |f: &Allocated| f.function.buffer + 8 * f.output.num_spillslots as u32;
    let round = |bytes: u32| bytes.next_multiple_of(FRAME).max(FRAME);
    let (main, parts) = functions.split_first().map_or((0, functions), |(main, parts)| (own(main), parts));
    let deepest = parts.iter().map(|part| round(own(part)) + part.below).max().unwrap_or(0);
    let called = functions.first().map_or(0, |main| main.below).max(deepest);
    let bytes = if called == 0 { main } else { round(main) + called };
    if bytes > options.target.stack {
        return Err(CodegenError::StackTooLarge { bytes, max: options.target.stack });
    }
    Ok(())
}

impl Emitter<'_> {
    fn blocks(&mut self) {
        let order = std::mem::take(&mut self.layout.order);
        for (nth, block) in order.iter().enumerate() {
            self.asm.bind(self.labels[block.index()]);
            self.block(*block, order.get(nth + 1).copied());
        }
    }

    fn block(&mut self, block: Block, next: Option<Block>) {
        let (function, output) = (self.function, self.output);
        for work in output.block_insts_and_edits(function, block) {
            match work {
                InstOrEdit::Edit(Edit::Move { from, to }) => self.copy(*from, *to),
                InstOrEdit::Inst(inst) => {
                    let data = &function.insts[inst.index()];
                    self.line(data.line);
                    let places = output.inst_allocs(inst);
                    if data.kind.ends_block() {
                        self.end(block, &data.kind, places, next);
                    } else {
                        self.inst(data, places);
                    }
                }
            }
        }
    }

    fn line(&mut self, line: ir::Line) {
        let Some(source) = self.source.get(line.index()).filter(|_| line.0 > 0) else {
            return;
        };
        let asm = &mut self.asm;
        let id = *self.lines.entry(line.0).or_insert_with(|| {
            asm.add_line(LineInfo {
                file: source.file.clone(),
                line: source.line.min(LINE_MAX),
                column: source.column.min(COLUMN_MAX) as u16,
                text: source.text.clone(),
            })
        });
        self.asm.line(id);
    }

    /// A move between registers, or between a register and a spill slot.
    fn copy(&mut self, from: Allocation, to: Allocation) {
        let insn = match (from.as_reg(), to.as_reg()) {
            (Some(_), Some(_)) => Insn::mov(register(to), register(from)),
            (Some(_), None) => Insn::store(Size::DW, Reg::R10, self.slot(to), register(from)),
            _ => Insn::load(Size::DW, register(to), Reg::R10, self.slot(from)),
        };
        self.asm.emit(insn);
    }

    /// Spill slots lie below the key buffer, on multiples of 8: the verifier keeps track of
    /// pointers and bounds only in such slots.
    fn slot(&self, place: Allocation) -> i16 {
        let index = place.as_stack().map_or(0, |slot| slot.index()) as i16;
        -(self.function.buffer as i16) - 8 * (index + 1)
    }

    fn inst(&mut self, inst: &MachineInst, places: &[Allocation]) {
        let reg = |nth: usize| places.get(nth).map_or(Reg::R0, |place| register(*place));
        let insn = match &inst.kind {
            Kind::Context => return,
            Kind::Copy => Insn::mov(reg(0), reg(1)),
            Kind::Const(value) => Insn::load_constant(reg(0), *value),
            Kind::Alu(width, op) => alu(*width, *op, reg(0), reg(2)),
            Kind::AluImm(width, op, imm) => alu(*width, *op, reg(0), *imm),
            Kind::BigEndian(size) => {
                let (dst, to, size) = (reg(0), Order::Be, *size);
                Insn::Endian { dst, to, size }
            }
            Kind::Load(size, offset) => Insn::load(*size, reg(0), reg(1), *offset),
            Kind::Store(size, offset) => Insn::store(*size, reg(0), *offset, reg(1)),
            Kind::StoreStack(size, offset) => Insn::store(*size, Reg::R10, *offset, reg(0)),
            Kind::StoreStackImm(size, offset, imm) => Insn::store(*size, Reg::R10, *offset, *imm),
            Kind::Call(helper) => Insn::Call(*helper),
            Kind::Bound(max) => {
                let abort = self.abort();
                return self.asm.branch(Cond::Gt, Width::W64, reg(0), *max as i32, abort);
            }
            Kind::Compare(cond, width, imm) => {
                let right = imm.map_or(Operand::Reg(reg(2)), Operand::Imm);
                return self.compare(*cond, *width, reg(0), reg(1), right);
            }
            Kind::Lookup(lookup) => {
                self.lookup_index(lookup.map, -8, lookup.index);
                let abort = self.abort();
                return self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, abort);
            }
            Kind::LookupAt(map) => {
                self.lookup(*map, super::counters::INDEX);
                let abort = self.abort();
                return self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, abort);
            }
            Kind::Space(site) => return self.space(*site, reg(0)),
            Kind::Walk(site) => {
                let mut places = places[1..].iter().map(|place| register(*place));
                let best = (site.trees() > 1).then(|| places.next()).flatten();
                return self.find_row(site, best, places.next());
            }
            Kind::InSet(site) => return self.in_set(site),
            Kind::InIndex(site) => return self.in_index(site),
            Kind::Take(site) => {
                let take = self.take_label();
                return self.take(*site, take);
            }
            Kind::Flow(site) => {
                let flow = self.flow_label(site);
                return self.asm.call(flow);
            }
            Kind::Nat(site) => {
                let call = self.nat_label(site);
                return self.asm.call(call);
            }
            Kind::Cookie(site) => {
                let ask = *self.cookies.entry(*site).or_insert_with(|| self.asm.label());
                return self.asm.call(ask);
            }
            Kind::Note => {
                let note = *self.note.get_or_insert_with(|| self.asm.label());
                return self.asm.call(note);
            }
            Kind::Recall => {
                let recall = *self.recall.get_or_insert_with(|| self.asm.label());
                return self.asm.call(recall);
            }
            Kind::Section(map, off) => Insn::LdMapValue { dst: reg(0), map: *map, off: *off },
            Kind::LoadStack(size, offset) => Insn::load(*size, reg(0), Reg::R10, *offset),
            Kind::StackAddress(offset) => return self.stack_address(reg(0), *offset),
            Kind::Capture(site) => return self.capture(*site, reg(0)),
            Kind::Draw => {
                let draw = *self.draw.get_or_insert_with(|| self.asm.label());
                return self.asm.call(draw);
            }
            Kind::Tell => {
                let tell = *self.tell.get_or_insert_with(|| self.asm.label());
                return self.asm.call(tell);
            }
            Kind::CallCount => {
                let count = self.count_label();
                return self.asm.call(count);
            }
            Kind::CountRows(table) => {
                let count_rows = self.count_rows_label(*table);
                return self.asm.call(count_rows);
            }
            Kind::CallPart(nth) => return self.asm.call(self.functions[*nth as usize]),
            Kind::Jump | Kind::Branch(..) | Kind::Switch(_) | Kind::Return(_) | Kind::ReturnValue => return,
        };
        self.asm.emit(insn);
    }

    fn compare(&mut self, cond: Cond, width: Width, dst: Reg, left: Reg, right: Operand) {
        let done = self.asm.label();
        self.asm.emit(Insn::mov(dst, 1));
        self.asm.branch(cond, width, left, right, done);
        self.asm.emit(Insn::mov(dst, 0));
        self.asm.bind(done);
    }

    fn end(&mut self, block: Block, kind: &Kind, places: &[Allocation], next: Option<Block>) {
        let reg = |nth: usize| places.get(nth).map_or(Reg::R0, |place| register(*place));
        let successors = self.function.block_succs(block);
        let real: Vec<Block> = successors.iter().map(|b| self.layout.real(*b)).collect();
        match kind {
            Kind::Return(code) => self.leave(*code),
            Kind::ReturnValue => self.asm.emit(Insn::Exit),
            Kind::Jump => self.go(real[0], next),
            Kind::Branch(cond, width, imm) => {
                let right = imm.map_or(Operand::Reg(reg(1)), Operand::Imm);
                self.branch(*cond, *width, (reg(0), right), &real, next);
            }
            Kind::Switch(tree) => {
                let edges: Vec<Label> = real.iter().map(|b| self.labels[b.index()]).collect();
                let next = next.and_then(|next| real.iter().position(|b| *b == next));
                let temporary = places.get(1).map(|place| register(*place));
                self.switch(tree, reg(0), temporary, &edges, next.map(|nth| nth as u32));
            }
            _ => {}
        }
    }

    fn leave(&mut self, code: i32) {
        self.asm.emit(Insn::mov(Reg::R0, code));
        self.asm.emit(Insn::Exit);
    }

    fn go(&mut self, to: Block, next: Option<Block>) {
        match layout::only_returns(self.function, to) {
            Some(code) if next != Some(to) => self.leave(code),
            _ if next == Some(to) => {}
            _ => self.asm.jump(self.labels[to.index()]),
        }
    }

    fn branch(
        &mut self,
        cond: Cond,
        width: Width,
        (left, right): (Reg, Operand),
        real: &[Block],
        next: Option<Block>,
    ) {
        let (then, other) = (real[0], real[1]);
        match cond.inverse() {
            _ if then == other => {}
            Some(inverse) if next == Some(then) => {
                let label = self.labels[other.index()];
                return self.asm.branch(inverse, width, left, right, label);
            }
            _ => {
                let label = self.labels[then.index()];
                self.asm.branch(cond, width, left, right, label);
            }
        }
        if next != Some(other) {
            self.asm.jump(self.labels[other.index()]);
        }
    }

    /// Code behind the blocks.
    fn end_function(&mut self) {
        if let Some(abort) = self.take_abort() {
            self.asm.bind(abort);
            // `XDP_ABORTED`, which is traced; for tc nothing says more than letting it go.
            self.leave(match self.hook {
                Hook::Xdp => 0,
                Hook::TcIngress | Hook::TcEgress => -1,
            });
        }
    }

    /// What all functions share.
    fn end_program(&mut self) {
        if let Some(take) = self.take {
            self.take_function(take);
        }
        for (table, start) in std::mem::take(&mut self.count_rows) {
            self.count_rows_function(table, start);
        }
        for (site, start) in std::mem::take(&mut self.flows).into_values() {
            self.flow_function(&site, start);
        }
        for (site, start) in std::mem::take(&mut self.nats) {
            self.nat_function(&site, start);
        }
        for (site, start) in std::mem::take(&mut self.cookies) {
            self.cookie_function(site, start);
        }
        if let (Some(map), Some(note)) = (self.maps.notes, self.note) {
            self.note_function(map, note);
        }
        if let (Some(map), Some(recall)) = (self.maps.notes, self.recall) {
            self.recall_function(map, recall);
        }
        if let (Some(maps), Some(draw)) = (self.maps.samples, self.draw) {
            self.draw_function(&maps, self.samples.len(), draw);
        }
        if let (Some(maps), Some(tell)) = (self.maps.samples, self.tell) {
            self.tell_function(&maps, self.samples, tell);
        }
        if let Some(count) = self.count {
            self.count_function(count);
        }
    }

    /// Where the impossible goes: what the verifier cannot know never to happen.
    pub(super) fn abort(&mut self) -> Label {
        *self.abort.get_or_insert_with(|| self.asm.label())
    }

    /// That label, if anything went there in this function; the next one has another.
    pub(super) fn take_abort(&mut self) -> Option<Label> {
        self.abort.take()
    }

    pub(super) fn count_label(&mut self) -> Label {
        *self.count.get_or_insert_with(|| self.asm.label())
    }

    fn count_rows_label(&mut self, table: TableRef) -> Label {
        *self.count_rows.entry(table).or_insert_with(|| self.asm.label())
    }

    fn flow_label(&mut self, site: &FlowSite) -> Label {
        self.flows.entry(site.pool).or_insert_with(|| (*site, self.asm.label())).1
    }

    fn nat_label(&mut self, site: &NatSite) -> Label {
        if let Some((_, label)) = self.nats.iter().find(|(known, _)| known == site) {
            return *label;
        }
        let label = self.asm.label();
        self.nats.push((*site, label));
        label
    }

    fn take_label(&mut self) -> Label {
        *self.take.get_or_insert_with(|| self.asm.label())
    }

    /// `r0` = the value of the key at `r10 + key`, or 0. Loses `r1`–`r5`.
    pub(super) fn lookup(&mut self, map: MapId, key: i16) {
        self.asm.emit(Insn::LdMap { dst: Reg::R1, map });
        self.stack_address(Reg::R2, key);
        self.asm.emit(Insn::Call(helpers::MAP_LOOKUP_ELEM));
    }

    /// As [`Emitter::lookup`], for an array: puts the index at `r10 + key`.
    pub(super) fn lookup_index(&mut self, map: MapId, key: i16, index: u32) {
        self.asm.emit(Insn::store(Size::W, Reg::R10, key, index as i32));
        self.lookup(map, key);
    }

    pub(super) fn stack_address(&mut self, dst: Reg, offset: i16) {
        self.asm.emit(Insn::mov(dst, Reg::R10));
        self.asm.emit(Insn::alu(AluOp::Add, dst, i32::from(offset)));
    }

    /// Adds 1 to an entry of `statistics`. Loses `r0`–`r5`.
    pub(super) fn count_statistic(&mut self, map: MapId, statistic: Statistic, key: i16) {
        let none = self.asm.label();
        self.lookup_index(map, key, statistic as u32);
        self.asm.branch(Cond::Eq, Width::W64, Reg::R0, 0, none);
        self.asm.emit(Insn::load(Size::DW, Reg::R1, Reg::R0, 0));
        self.asm.emit(Insn::alu(AluOp::Add, Reg::R1, 1));
        self.asm.emit(Insn::store(Size::DW, Reg::R0, 0, Reg::R1));
        self.asm.bind(none);
    }
}

fn alu(width: Width, op: AluOp, dst: Reg, src: impl Into<Operand>) -> Insn {
    match width {
        Width::W32 => Insn::alu32(op, dst, src),
        Width::W64 => Insn::alu(op, dst, src),
    }
}

impl Options {
    /// Whether frames can have more than one buffer.
    pub(super) fn multi_buffer(&self) -> bool {
        self.hook == Hook::Xdp && self.frags && self.target.has(Feature::XdpFrags)
    }

    /// The ELF section, which tells loaders where the program attaches.
    pub(super) fn section(&self) -> &'static str {
        let tcx = self.target.has(Feature::Tcx);
        match self.hook {
            Hook::Xdp if self.multi_buffer() => "xdp.frags",
            Hook::Xdp => "xdp",
            Hook::TcIngress if tcx => "tcx/ingress",
            Hook::TcEgress if tcx => "tcx/egress",
            Hook::TcIngress | Hook::TcEgress => "classifier",
        }
    }
}
