//! Machine IR: eBPF instructions over virtual registers, in the form that the register allocator reads.
//!
//! Operands stand in the order that each [`Kind`] names. Two-address instructions define a register
//! that reuses their second operand. An instruction that calls loses `r0`–`r5`, so what must outlive
//! it is put into `r6`–`r9` or onto the stack by the allocator.

use super::capture::CaptureSite;
use super::cookies::CookieSite;
use super::counters::Lookup;
use super::indexes::IndexSite;
use super::limits::TakeSite;
use super::nat::NatSite;
use super::pools::FlowSite;
use super::sets::SetSite;
use super::tables::{SpaceSite, WalkSite};
use crate::ir::{BlockData, Line, TableRef};
use regalloc2::{Allocation, Block, Inst, InstRange, Operand, PReg, PRegSet, RegClass, VReg};
use weir_bpf::insn::{AluOp, Cond, MapId, Reg, Size, Width};

/// The registers that a call leaves alone come last: each costs the JIT a push and a pop.
pub(super) const LOST_IN_CALLS: [Reg; 6] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
pub(super) const KEPT_IN_CALLS: [Reg; 4] = [Reg::R6, Reg::R7, Reg::R8, Reg::R9];

/// Where a function keeps the scratch memory's address, if it keeps it in a register of its own.
pub(super) const SET_ASIDE: Reg = Reg::R7;

/// What an instruction is. Comments give the operands.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Kind {
    /// The program's argument. `def r1`
    Context,
    /// `def, use`
    Copy,
    /// `def`
    Const(u64),
    /// `def, use` in the same register, then `use`.
    Alu(Width, AluOp),
    /// `def, use` in the same register.
    AluImm(Width, AluOp, i32),
    /// From the network's order. `def, use` in the same register.
    BigEndian(Size),
    /// `def, base`
    Load(Size, i16),
    /// `base, value`
    Store(Size, i16),
    /// At `r10 + offset`. `value`
    StoreStack(Size, i16),
    /// No operands.
    StoreStackImm(Size, i16, i32),
    /// A relation as 0 or 1. `def` apart from the uses, `left`, and `right` without immediate.
    Compare(Cond, Width, Option<i32>),
    /// Tells the verifier that a value is at most this. `def, use` in the same register.
    Bound(u32),
    /// A helper: `result` in r0, then arguments in r1 and on.
    Call(u32),
    /// A look-up that cannot fail, by a constant index: the value's address. `def r0`
    Lookup(Lookup),
    /// A look-up by the index on the stack ([`super::counters::INDEX`]): the value's address. `def r0`
    LookupAt(MapId),
    /// Where the space of tables in use begins. `def`
    Space(SpaceSite),
    /// The result of a table for the key on the stack. `def r0`, and the space where there are two.
    Walk(WalkSite),
    /// Whether a set holds the key on the stack. `def r0`
    InSet(SetSite),
    /// Whether a set's index holds the key on the stack. `def r0`
    InIndex(IndexSite),
    /// Takes from a bucket by the words on the stack. `def r0`
    Take(TakeSite),
    /// Finds a flow, or writes it down. `def r0, hash in r1, the slot's word in r2, whether it begins in r3`
    Flow(FlowSite),
    /// Finds a flow that is translated, or does something with it. `def r0`, then arguments in r1 and on.
    Nat(NatSite),
    /// Asks the host's TCP about a segment. `def r0, context in r1, where the packet begins in r2`
    Cookie(CookieSite),
    /// Remembers a word. `key in r1, word in r2`
    Note,
    /// A word that was remembered. `def r0, key in r1`
    Recall,
    /// The address of a byte of a data section. `def`
    Section(MapId, u32),
    /// At `r10 + offset`. `def`
    LoadStack(Size, i16),
    /// `r10 + offset`. `def`
    StackAddress(i16),
    /// Copies the frame into the ring. `context`, kept
    Capture(CaptureSite),
    /// `goto`.
    Jump,
    /// `if left cond right goto first successor, else second`. `left`, and `right` without immediate.
    Branch(Cond, Width, Option<i32>),
    /// A comparison tree, see [`super::switch`]. `value`, and a temporary where constants are wide.
    Switch(Box<super::switch::Tree>),
    /// Asks chance whether a sample takes the packet. `context in r1, number in r2`
    Draw,
    /// Hands on a packet that was drawn. `context in r1, who decided in r2, verdict in r3`
    Tell,
    /// Counts by `count`. `context in r1, slot in r2`
    CallCount,
    /// Counts for the rows of a table that count. `def r0, context in r1, what was found in r2`, and the space in r3
    /// where there are two.
    CountRows(TableRef),
    /// Calls another function: what it returns. `def r0, context in r1`
    CallPart(u32),
    /// `return`.
    Return(i32),
    /// Returns what is in `r0`.
    ReturnValue,
}

impl Kind {
    fn calls(&self) -> bool {
        matches!(
            self,
            Kind::Call(_)
                | Kind::Lookup(_)
                | Kind::LookupAt(_)
                | Kind::Walk(_)
                | Kind::InSet(_)
                | Kind::InIndex(_)
                | Kind::Take(_)
                | Kind::Flow(_)
                | Kind::Nat(_)
                | Kind::Cookie(_)
                | Kind::Note
                | Kind::Recall
                | Kind::Draw
                | Kind::Tell
                | Kind::Capture(_)
                | Kind::CallPart(_)
                | Kind::CallCount
                | Kind::CountRows(_)
        )
    }

    pub(super) fn ends_block(&self) -> bool {
        matches!(self, Kind::Jump | Kind::Branch(..) | Kind::Switch(_) | Kind::Return(_) | Kind::ReturnValue)
    }
}

/// One instruction.
#[derive(Clone, Debug)]
pub(super) struct MachineInst {
    pub(super) kind: Kind,
    pub(super) line: Line,
    operands: (u32, u32),
}

/// One block.
#[derive(Clone, Debug, Default)]
pub(super) struct MachineBlock {
    pub(super) insts: Vec<MachineInst>,
    pub(super) params: Vec<VReg>,
    pub(super) successors: Vec<Block>,
    /// Values of the successor's parameters; only blocks with one successor have any.
    pub(super) args: Vec<VReg>,
    pub(super) cold: bool,
    pub(super) likely: bool,
}

/// A function under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Builder {
    pub(super) blocks: Vec<MachineBlock>,
    /// The order in which blocks go to the allocator.
    order: Vec<Block>,
    operands: Vec<Operand>,
    vregs: usize,
    /// Bytes at the top of the stack that stages use for keys.
    pub(super) buffer: u32,
    /// Whether [`SET_ASIDE`] is not the allocator's.
    pub(super) set_aside: bool,
}

impl Builder {
    pub(super) fn vreg(&mut self) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs - 1, RegClass::Int)
    }

    pub(super) fn block(&mut self, cold: bool) -> Block {
        self.blocks.push(MachineBlock { cold, ..MachineBlock::default() });
        Block::new(self.blocks.len() - 1)
    }

    /// A block that is expected to run as often as one of the IR.
    pub(super) fn block_like(&mut self, data: &BlockData) -> Block {
        self.blocks.push(MachineBlock { cold: data.cold, likely: data.likely, ..MachineBlock::default() });
        Block::new(self.blocks.len() - 1)
    }

    /// The block comes next in the allocator's order.
    pub(super) fn place(&mut self, block: Block) {
        self.order.push(block);
    }

    pub(super) fn push(&mut self, block: Block, kind: Kind, line: Line, operands: &[Operand]) {
        let start = self.operands.len() as u32;
        self.operands.extend_from_slice(operands);
        let operands = (start, self.operands.len() as u32);
        self.blocks[block.index()].insts.push(MachineInst { kind, line, operands });
    }

    /// Reserves the top of the stack for a key; returns the offset of its first byte from `r10`.
    pub(super) fn reserve(&mut self, bytes: u32) -> i16 {
        let bytes = bytes.next_multiple_of(8);
        self.buffer = self.buffer.max(bytes);
        -(bytes as i16)
    }

    /// Numbers blocks and instructions in their order.
    pub(super) fn finish(mut self) -> Function {
        let mut number = vec![Block::invalid(); self.blocks.len()];
        for (nth, block) in self.order.iter().enumerate() {
            number[block.index()] = Block::new(nth);
        }
        let mut function = Function {
            operands: self.operands,
            vregs: self.vregs,
            buffer: self.buffer,
            set_aside: self.set_aside,
            ..Function::default()
        };
        for block in &self.order {
            let mut data = std::mem::take(&mut self.blocks[block.index()]);
            for successor in &mut data.successors {
                *successor = number[successor.index()];
            }
            let from = Inst::new(function.insts.len());
            function.insts.append(&mut data.insts);
            let to = Inst::new(function.insts.len());
            function.ranges.push(InstRange::new(from, to));
            function.blocks.push(data);
        }
        function.predecessors = predecessors(&function.blocks);
        function
    }
}

/// The blocks that lead to each block, the last ones first: the allocator's dominators (Cooper, Harvey,
/// Kennedy) take the square of a long chain of tests that all lead to one block, but not if they meet
/// the deepest first.
fn predecessors(blocks: &[MachineBlock]) -> Vec<Vec<Block>> {
    let mut predecessors = vec![Vec::new(); blocks.len()];
    for (nth, block) in blocks.iter().enumerate().rev() {
        for successor in &block.successors {
            predecessors[successor.index()].push(Block::new(nth));
        }
    }
    predecessors
}

/// A finished function.
#[derive(Clone, Debug, Default)]
pub(super) struct Function {
    /// Their instructions have moved to `insts`.
    pub(super) blocks: Vec<MachineBlock>,
    pub(super) insts: Vec<MachineInst>,
    pub(super) buffer: u32,
    pub(super) set_aside: bool,
    ranges: Vec<InstRange>,
    predecessors: Vec<Vec<Block>>,
    operands: Vec<Operand>,
    vregs: usize,
}

/// An eBPF register as the allocator names it.
pub(super) fn physical(reg: Reg) -> PReg {
    PReg::new(usize::from(reg.number()), RegClass::Int)
}

/// The register that an operand got.
pub(super) fn register(allocation: Allocation) -> Reg {
    let number = allocation.as_reg().map_or(0, |preg| preg.hw_enc() as u8);
    Reg::new(number).unwrap_or(Reg::R0)
}

pub(super) fn set_of(regs: &[Reg]) -> PRegSet {
    regs.iter().fold(PRegSet::empty(), |set, reg| set.with(physical(*reg)))
}

impl regalloc2::Function for Function {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        self.ranges[block.index()]
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].successors
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.predecessors[block.index()]
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.blocks[block.index()].params
    }

    fn is_ret(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Return(_) | Kind::ReturnValue)
    }

    fn is_branch(&self, inst: Inst) -> bool {
        let kind = &self.insts[inst.index()].kind;
        kind.ends_block() && !matches!(kind, Kind::Return(_) | Kind::ReturnValue)
    }

    fn branch_blockparams(&self, block: Block, _: Inst, _: usize) -> &[VReg] {
        &self.blocks[block.index()].args
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        let (from, to) = self.insts[inst.index()].operands;
        &self.operands[from as usize..to as usize]
    }

    fn inst_clobbers(&self, inst: Inst) -> PRegSet {
        if !self.insts[inst.index()].kind.calls() {
            return PRegSet::empty();
        }
        let defines_r0 =
            self.inst_operands(inst).iter().any(|operand| operand.kind() == regalloc2::OperandKind::Def);
        set_of(&LOST_IN_CALLS[usize::from(defines_r0)..])
    }

    fn num_vregs(&self) -> usize {
        self.vregs
    }

    fn spillslot_size(&self, _: RegClass) -> usize {
        1
    }
}
