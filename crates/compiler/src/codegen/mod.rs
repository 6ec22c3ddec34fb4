//! Code generation: typed IR → eBPF.
//!
//! ```text
//! ir::Program ─analysis, parts─▶ facts ─isel─▶ machine IR ─regalloc2─▶ registers ─layout, emit─▶ assembler ─▶ Object
//! ```
//!
//! # Conventions
//!
//! * `r0` result, `r1`–`r5` arguments, all six lost in calls; `r6`–`r9` kept; `r10` the frame. All of
//!   `r0`–`r9` are the allocator's, but for `r7` in functions that read scratch memory often ([`scratch`]);
//!   `r6`–`r9` are its second choice.
//! * The stack, from `r10` down: the key buffer (the largest key of any stage; a stage fills it right
//!   before it uses it), then spill slots of 8 bytes.
//! * Scalars are zero-extended to 64 bits. Values that are only compared with constants may be in
//!   the packet's byte order.
//! * The machine is little endian.
//!
//! # Stages
//!
//! Each operation that has a map is one file, with the layout of its map at the top: [`counters`],
//! [`sets`], [`indexes`], [`limits`], [`pools`], `notes`, [`capture`], [`samples`], and `scratch`. Its first half selects instructions, its second
//! half emits those that call.

mod analysis;
mod branch;
pub mod capture;
mod cookies;
pub mod counters;
mod counting;
mod decap;
mod emit;
mod error;
pub mod indexes;
mod isel;
mod layout;
pub mod limits;
mod link;
mod machine;
mod maps;
pub mod nat;
mod notes;
mod packet;
mod parts;
pub mod pools;
pub mod rooms;
pub mod samples;
mod scratch;
mod send;
pub mod sets;
mod slots;
mod switch;
mod tables;

pub use error::CodegenError;
pub use maps::{Statistic, limit_map_name, nat_map_name, pool_counters_name, pool_map_name, set_map_name};
pub use notes::SECTION as NOTES;

use crate::ir::Program;
use regalloc2::{MachineEnv, Output, PRegSet, RegallocOptions};
use std::collections::BTreeMap;
use weir_bpf::object::Object;
use weir_bpf::target::Target;

/// Where the program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hook {
    /// Before the kernel makes an `sk_buff`.
    Xdp,
    /// Traffic control, packets that come in.
    TcIngress,
    /// Traffic control, packets that go out.
    TcEgress,
}

/// What to generate for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// What the kernel can do.
    pub target: Target,
    /// Where the program is attached.
    pub hook: Hook,
    /// The program's name, a C identifier.
    pub name: String,
    /// Whether XDP frames may have more than one buffer, where the target allows them. Their length
    /// then takes a call (8 ns).
    pub frags: bool,
    /// Of the hash of limits' keys: random, so that nobody can aim at one line of a table.
    pub seed: u64,
    /// Rooms of the tables of a running program, which this one's are put into if all of them fit.
    pub rooms: Vec<rooms::Room>,
    /// Bytes of the indexes of sets, by the sets' names: [`indexes::START_BYTES`] where nothing is said.
    pub indexes: BTreeMap<String, u32>,
    /// By pool: what its section begins with ([`pools::image`]), or zeros.
    pub pools: Vec<Vec<u8>>,
    /// Cuts the program into parts of so many branches, whether the kernel's verifier needs that or not: for tests.
    pub part: Option<u32>,
}

impl Options {
    /// XDP on a target, frames of one buffer.
    pub fn new(target: Target, hook: Hook) -> Options {
        let (name, seed) = ("weir".to_string(), 0x9e37_79b9_7f4a_7c15);
        let (rooms, indexes, pools) = (Vec::new(), BTreeMap::new(), Vec::new());
        Options { target, hook, name, frags: false, seed, rooms, indexes, pools, part: None }
    }
}

/// Generates the object of a verified program.
pub fn generate(program: &Program, options: &Options) -> Result<Object, CodegenError> {
    let analysis = analysis::Analysis::of(program);
    let parts = parts::Parts::of(program, &analysis.graph, &analysis.dominators, options)?;
    let maps = maps::Maps::of(program, options, parts.scratch)?;
    let mut functions = Vec::new();
    for nth in 0..=parts.list.len() as u32 {
        let isel::Selected { builder, below } =
            isel::select(program, options, &analysis, &maps, &parts, nth)?;
        let function = builder.finish();
        let output = allocate(&function)?;
        functions.push(emit::Allocated { function, output, below });
    }
    let code = emit::emit(program, options, &maps, &functions)?;
    Ok(Object { programs: vec![code], maps: maps.defs, license: "Dual MIT/GPL".to_string() })
}

fn allocate(function: &machine::Function) -> Result<Output, CodegenError> {
    let kept = machine::KEPT_IN_CALLS.into_iter();
    let kept: Vec<_> = kept.filter(|reg| !function.set_aside || *reg != machine::SET_ASIDE).collect();
    let env = MachineEnv {
        preferred_regs_by_class: [
            machine::set_of(&machine::LOST_IN_CALLS),
            PRegSet::empty(),
            PRegSet::empty(),
        ],
        non_preferred_regs_by_class: [machine::set_of(&kept), PRegSet::empty(), PRegSet::empty()],
        scratch_by_class: [None, None, None],
        fixed_stack_slots: Vec::new(),
    };
    let options = RegallocOptions {
        // The check walks the dominators' tree for each use: too slow for the largest programs.
        validate_ssa: cfg!(debug_assertions) && function.insts.len() < 10_000,
        ..RegallocOptions::default()
    };
    let output = regalloc2::run(function, &env, &options);
    let mut output = output.map_err(|error| CodegenError::Registers(error.to_string()))?;
    slots::share(function, &mut output);
    Ok(output)
}
