//! The loop: fetch, decode by `match`, execute.

use std::sync::Arc;

use super::context::Context;
use super::fault::{Fault, FaultKind, Place, Region};
use super::memory::{MAX_FRAMES, STACK, plain, read, write};
use super::value::{Tag, Value, alu, compare, negate, sign_extend, swap, truncate};
use super::{Loaded, ProgramId, Vm};
use crate::insn::{AluOp, AtomicOp, Insn, MapId, Operand, Order, Reg, Size, Width};

/// What a call came from, to go back to.
pub(super) struct Return {
    program: Arc<Loaded>,
    pc: usize,
    /// `r6`–`r9`.
    kept: [Value; 4],
    /// The state of a `loop` whose callback this is.
    pub(super) turns: Option<Turns>,
}

/// A `loop` in progress.
pub(super) struct Turns {
    pub(super) function: usize,
    pub(super) argument: Value,
    pub(super) turn: u64,
    pub(super) count: u64,
}

/// A reserved ring buffer record.
pub(super) struct Record {
    pub(super) map: MapId,
    pub(super) bytes: Vec<u8>,
    pub(super) open: bool,
}

/// A socket that was looked up, as programs see it (`struct bpf_sock`).
pub(super) struct Socket {
    bytes: [u8; SOCKET],
    pub(super) open: bool,
}

/// Bytes of a socket, and where its state is.
const SOCKET: usize = 80;
const STATE: usize = 72;

impl Socket {
    pub(super) fn new(state: u32) -> Socket {
        let mut bytes = [0; SOCKET];
        bytes[STATE..STATE + 4].copy_from_slice(&state.to_le_bytes());
        Socket { bytes, open: true }
    }

    pub(super) fn state(&self) -> u32 {
        read(&self.bytes[STATE..], Size::W) as u32
    }
}

/// One run.
pub(super) struct Machine<'a> {
    pub(super) vm: &'a mut Vm,
    pub(super) context: Context,
    pub(super) regs: [Value; 11],
    pub(super) calls: Vec<Return>,
    pub(super) records: Vec<Record>,
    pub(super) opened: Vec<Socket>,
    pub(super) tail_calls: u32,
    pub(super) program: Arc<Loaded>,
    /// The slot that is next.
    pub(super) pc: usize,
}

pub(super) fn run(vm: &mut Vm, program: ProgramId, context: Context) -> Result<(u32, Context), Fault> {
    let Some(program) = vm.programs.get(program.0 as usize).cloned() else {
        let place = Place { program: format!("#{}", program.0), insn: 0, text: String::new(), line: None };
        return Err(Fault { kind: FaultKind::OutsideCode, place: Box::new(place) });
    };
    let mut machine = Machine {
        vm,
        context,
        regs: [Value::UNINIT; 11],
        calls: Vec::new(),
        records: Vec::new(),
        opened: Vec::new(),
        tail_calls: 0,
        program,
        pc: 0,
    };
    machine.enter();
    machine.regs[1] = Value::pointer(Tag::Context, 0);
    let mut at = 0;
    match machine.steps(&mut at) {
        Ok(action) => Ok((action, machine.context)),
        Err(kind) => Err(machine.fault(at, kind)),
    }
}

impl Machine<'_> {
    /// Opens the stack frame of the function that is entered.
    pub(super) fn enter(&mut self) {
        let depth = self.calls.len();
        self.vm.stack.open(depth);
        self.regs[10] = Value::pointer(Tag::Stack(depth as u32), STACK as u64);
    }

    #[cold]
    fn fault(&self, slot: usize, kind: FaultKind) -> Fault {
        let program = &self.program.program;
        let starts = program.slot_starts();
        let insn = starts.partition_point(|start| *start as usize <= slot);
        let insn = insn.saturating_sub(1).min(program.insns.len().saturating_sub(1));
        let text = program.insns.get(insn).map(Insn::to_string);
        let place = Place {
            program: program.name.clone(),
            insn,
            text: text.unwrap_or_default(),
            line: program.line_of(insn).cloned(),
        };
        Fault { kind, place: Box::new(place) }
    }

    /// Runs to the end; `at` follows the slot that is executed.
    fn steps(&mut self, at: &mut usize) -> Result<u32, FaultKind> {
        self.vm.executed = 0;
        let budget = self.vm.budget;
        let mut left = budget;
        loop {
            if left == 0 {
                self.vm.executed = budget;
                return Err(FaultKind::Budget);
            }
            left -= 1;
            *at = self.pc;
            let Some(&insn) = self.program.code.get(self.pc) else {
                return Err(FaultKind::OutsideCode);
            };
            self.pc += 1;
            if let Some(action) = self.step(insn)? {
                self.vm.executed = budget - left;
                return Ok(action);
            }
        }
    }

    #[inline(always)]
    fn reg(&self, reg: Reg) -> Result<Value, FaultKind> {
        let value = self.regs[reg.number() as usize];
        match value.tag {
            Tag::Uninit => Err(FaultKind::UninitRegister(reg)),
            _ => Ok(value),
        }
    }

    #[inline(always)]
    fn set(&mut self, reg: Reg, value: Value) {
        self.regs[reg.number() as usize] = value;
    }

    #[inline(always)]
    fn operand(&self, operand: Operand) -> Result<Value, FaultKind> {
        match operand {
            Operand::Reg(reg) => self.reg(reg),
            Operand::Imm(imm) => Ok(Value::number(i64::from(imm) as u64)),
        }
    }

    #[inline(always)]
    fn go(&mut self, off: i64) {
        // A jump before the start becomes huge and is found at the next fetch.
        self.pc = self.pc.wrapping_add(off as usize);
    }

    /// One instruction; the action at the end of the run.
    #[inline(always)]
    fn step(&mut self, insn: Insn) -> Result<Option<u32>, FaultKind> {
        match insn {
            Insn::Alu { width, op, dst, src } => {
                let b = self.operand(src)?;
                let a = match op {
                    AluOp::Mov => b,
                    _ => self.reg(dst)?,
                };
                let value = alu(width, op, a, b)?;
                self.set(dst, value);
            }
            Insn::Load { size, dst, base, off } => {
                let value = self.load(self.reg(base)?, off, size)?;
                self.set(dst, value);
            }
            Insn::Jump { cond, width, dst, src, off } => {
                let (a, b) = (self.reg(dst)?, self.operand(src)?);
                if compare(width, cond, a, b)? {
                    self.go(i64::from(off));
                }
            }
            Insn::Ja { off } => self.go(i64::from(off)),
            Insn::JaLong { off } => self.go(i64::from(off)),
            Insn::Store { size, base, off, src } => {
                let value = self.operand(src)?;
                self.store(self.reg(base)?, off, size, value)?;
            }
            Insn::Exit => return self.exit(),
            _ => self.rare(insn)?,
        }
        Ok(None)
    }

    fn rare(&mut self, insn: Insn) -> Result<(), FaultKind> {
        match insn {
            Insn::Neg { width, dst } => self.unary(dst, |value| negate(width, value))?,
            Insn::MovSx { width, from, dst, src } => {
                let value = self.reg(src)?.as_number()?;
                self.set(dst, Value::number(sign_extend(width, from, value)));
            }
            Insn::Endian { dst, to, size } => self.unary(dst, |value| match to {
                Order::Be => swap(size, value),
                Order::Le => truncate(size, value),
            })?,
            Insn::Bswap { dst, size } => self.unary(dst, |value| swap(size, value))?,
            Insn::LoadSx { size, dst, base, off } => {
                let value = self.load(self.reg(base)?, off, size)?.as_number()?;
                self.set(dst, Value::number(sign_extend(Width::W64, size, value)));
            }
            Insn::Atomic { .. } => self.atomic(insn)?,
            Insn::LdImm64 { dst, value } => {
                self.set(dst, Value::number(value));
                self.pc += 1;
            }
            Insn::LdMap { dst, map } => {
                self.set(dst, Value::pointer(Tag::Map(map.0), 0));
                self.pc += 1;
            }
            Insn::LdMapValue { dst, map, off } => {
                let tag = Tag::map_value(map, 0)?;
                self.set(dst, Value::pointer(tag, u64::from(off)));
                self.pc += 1;
            }
            Insn::LdFunc { dst, off } => {
                let slot = (self.pc as i64 + i64::from(off)) as u64;
                self.set(dst, Value::pointer(Tag::Function, slot));
                self.pc += 1;
            }
            Insn::Call(id) => self.helper(id)?,
            Insn::CallLocal { off } => {
                let to = self.pc.wrapping_add(off as isize as usize);
                self.call(to, None)?;
            }
            _ => return Err(FaultKind::Unsupported),
        }
        Ok(())
    }

    fn unary(&mut self, dst: Reg, of: impl Fn(u64) -> u64) -> Result<(), FaultKind> {
        let value = self.reg(dst)?.as_number()?;
        self.set(dst, Value::number(of(value)));
        Ok(())
    }

    /// Enters a function with the arguments in `r1`–`r5`.
    pub(super) fn call(&mut self, to: usize, turns: Option<Turns>) -> Result<(), FaultKind> {
        if self.calls.len() + 1 >= MAX_FRAMES {
            return Err(FaultKind::CallDepth);
        }
        let kept = [self.regs[6], self.regs[7], self.regs[8], self.regs[9]];
        self.calls.push(Return { program: self.program.clone(), pc: self.pc, kept, turns });
        self.enter();
        self.regs[6..10].fill(Value::UNINIT);
        self.pc = to;
        Ok(())
    }

    fn exit(&mut self) -> Result<Option<u32>, FaultKind> {
        let result = self.reg(Reg::R0)?.as_number()?;
        let Some(mut back) = self.calls.pop() else {
            if self.records.iter().any(|record| record.open) {
                return Err(FaultKind::UnreleasedRecord);
            }
            return match self.opened.iter().any(|socket| socket.open) {
                true => Err(FaultKind::UnreleasedSocket),
                false => Ok(Some(result as u32)),
            };
        };
        if let Some(turns) = &mut back.turns {
            turns.turn += 1;
            if result == 0 && turns.turn < turns.count {
                let turns = back.turns.take();
                self.restore(back);
                return self.turn(turns).map(|()| None);
            }
            self.regs[0] = Value::number(turns.turn);
        }
        self.restore(back);
        self.regs[1..6].fill(Value::UNINIT);
        Ok(None)
    }

    fn restore(&mut self, back: Return) {
        self.program = back.program;
        self.pc = back.pc;
        self.regs[6..10].copy_from_slice(&back.kept);
        let depth = self.calls.len() as u32;
        self.regs[10] = Value::pointer(Tag::Stack(depth), STACK as u64);
    }

    /// Calls a loop's function for its next turn.
    pub(super) fn turn(&mut self, turns: Option<Turns>) -> Result<(), FaultKind> {
        let Some(turns) = turns else {
            return Ok(());
        };
        self.regs[1..6].fill(Value::UNINIT);
        self.regs[1] = Value::number(turns.turn);
        self.regs[2] = turns.argument;
        self.call(turns.function, Some(turns))
    }

    #[inline(always)]
    fn load(&mut self, base: Value, off: i16, size: Size) -> Result<Value, FaultKind> {
        let at = base.bits.wrapping_add(i64::from(off) as u64);
        match base.tag {
            Tag::Packet(generation) => self.vm.packet.load(generation, at, size),
            Tag::Stack(frame) => self.vm.stack.load(frame, at, size),
            Tag::Context => self.context.load(&self.vm.packet, at, size),
            tag => {
                let bytes = self.plain(tag, at, size.bytes())?;
                Ok(Value::number(read(bytes, size)))
            }
        }
    }

    fn store(&mut self, base: Value, off: i16, size: Size, value: Value) -> Result<(), FaultKind> {
        let at = base.bits.wrapping_add(i64::from(off) as u64);
        match base.tag {
            Tag::Stack(frame) => return self.vm.stack.store(frame, at, size, value),
            Tag::Context => return self.context.store(at, size, value),
            _ => {}
        }
        if !value.is_number() {
            return Err(FaultKind::PointerLeak);
        }
        let bytes = match base.tag {
            Tag::Packet(generation) => self.vm.packet.slice(generation, at, size.bytes())?,
            Tag::MapValue(map, _) if self.read_only(map) => return Err(FaultKind::ReadOnly),
            Tag::Socket(_) => return Err(FaultKind::ReadOnly),
            tag => self.plain(tag, at, size.bytes())?,
        };
        write(bytes, size, value.bits);
        Ok(())
    }

    fn read_only(&self, map: u16) -> bool {
        let store = self.vm.maps.stores.get(usize::from(map));
        store.is_some_and(|s| s.def().flags & crate::map::flags::RDONLY_PROG != 0)
    }

    /// Bytes of a map's value, of a record or of a socket.
    pub(super) fn plain(&mut self, tag: Tag, off: u64, len: usize) -> Result<&mut [u8], FaultKind> {
        match tag {
            Tag::MapValue(map, slot) => {
                let store = self.vm.maps.stores.get_mut(usize::from(map));
                let store = store.ok_or(FaultKind::UnknownMap(u32::from(map)))?;
                plain(Region::MapValue, store.value_mut(slot), off, len)
            }
            Tag::Record(nth) => match self.records.get_mut(nth as usize) {
                Some(record) if record.open => plain(Region::Record, &mut record.bytes, off, len),
                _ => Err(FaultKind::StalePointer),
            },
            Tag::Socket(nth) => match self.opened.get_mut(nth as usize) {
                Some(socket) if socket.open => plain(Region::Socket, &mut socket.bytes, off, len),
                _ => Err(FaultKind::StalePointer),
            },
            _ => Err(FaultKind::NotAPointer),
        }
    }

    /// RFC 9669, section 5.3.
    fn atomic(&mut self, insn: Insn) -> Result<(), FaultKind> {
        let Insn::Atomic { op, fetch, size, base, off, src } = insn else {
            return Err(FaultKind::Unsupported);
        };
        let (place, operand) = (self.reg(base)?, self.reg(src)?.as_number()?);
        if matches!(place.tag, Tag::Context | Tag::Packet(_)) {
            return Err(FaultKind::NotAPointer);
        }
        let old = self.load(place, off, size)?.as_number()?;
        let new = match op {
            AtomicOp::Add => old.wrapping_add(operand),
            AtomicOp::Or => old | operand,
            AtomicOp::And => old & operand,
            AtomicOp::Xor => old ^ operand,
            AtomicOp::Xchg => operand,
            AtomicOp::CmpXchg => {
                let expected = self.reg(Reg::R0)?.as_number()?;
                match truncate(size, expected) == old {
                    true => operand,
                    false => old,
                }
            }
        };
        self.store(place, off, size, Value::number(new))?;
        if fetch {
            let to = if op == AtomicOp::CmpXchg { Reg::R0 } else { src };
            self.set(to, Value::number(old));
        }
        Ok(())
    }
}
