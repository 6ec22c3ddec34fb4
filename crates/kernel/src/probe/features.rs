//! The table of probes: one row a feature, each a tiny map or program that only a kernel with the feature takes.

use std::io;

use weir_bpf::asm::Assembler;
use weir_bpf::helpers;
use weir_bpf::insn::{AluOp, AtomicOp, Cond, Insn, MapId, Reg, Size, Width};
use weir_bpf::map::{MapDef, MapKind, flags};
use weir_bpf::object::Object;
use weir_bpf::program::LineInfo;
use weir_bpf::target::{Feature, Target};

use crate::KernelError;
use crate::load::{self, LoadError, Loaded, Options};
use crate::maps::{Map, MapSpec};
use crate::program::ProgramKind;
use crate::sys::{self, Command};

use Probe::{Code, Helper, Special, Table};

/// How a feature is tried.
enum Probe {
    /// Make a map: kind, bytes of key and value, entries, flags.
    Table(MapKind, u32, u32, u32, u32),
    /// Load a program.
    Code(fn(&mut Assembler)),
    /// Call a helper without arguments from XDP: the verifier says whether it knows it.
    Helper(u32),
    /// Anything else; nothing if it cannot be tried.
    Special(fn() -> Option<bool>),
}

/// Helpers that `weir_bpf` has no use for, by their numbers in `include/uapi/linux/bpf.h`.
const TIMER_INIT: u32 = 169;
const DYNPTR_FROM_MEM: u32 = 197;

const PROBES: &[(Feature, Probe)] = &[
    (Feature::PerfEventOutput, Helper(helpers::PERF_EVENT_OUTPUT)),
    (Feature::Xdp, Code(|_| {})),
    (Feature::LruHash, Table(MapKind::LruHash, 4, 4, 1, 0)),
    (Feature::AdjustHead, Helper(helpers::XDP_ADJUST_HEAD)),
    (Feature::LpmTrie, Table(MapKind::LpmTrie, 8, 4, 1, flags::NO_PREALLOC)),
    (Feature::MapInMap, Special(map_in_map)),
    (Feature::DevMap, Table(MapKind::DevMap, 4, 4, 1, 0)),
    (Feature::ShortJumps, Code(|asm| jump(asm, Width::W64, Cond::Lt))),
    (Feature::BpfToBpfCalls, Special(|| Some(loads(&finish(calls(None)))))),
    (Feature::AdjustTail, Helper(helpers::XDP_ADJUST_TAIL)),
    (Feature::FibLookup, Helper(helpers::FIB_LOOKUP)),
    (Feature::Btf, Special(|| Some(aya::features().btf().is_some()))),
    (Feature::BtfLineInfo, Special(line_info)),
    (Feature::Jmp32, Code(|asm| jump(asm, Width::W32, Cond::Eq))),
    (Feature::MillionInsns, Code(|asm| (0..5000).for_each(|_| asm.emit(Insn::mov(Reg::R1, 0))))),
    (Feature::GlobalData, Special(global_data)),
    (Feature::BoundedLoops, Code(bounded_loop)),
    (Feature::SynCookies, Helper(helpers::TCP_GEN_SYNCOOKIE)),
    (Feature::DevMapHash, Table(MapKind::DevMapHash, 4, 4, 1, 0)),
    (Feature::BatchOps, Special(batches)),
    (Feature::XdpLink, Special(|| super::interface::try_link(ProgramKind::Xdp))),
    (Feature::GlobalFunctions, Special(global_function)),
    (Feature::BootClock, Helper(helpers::KTIME_GET_BOOT_NS)),
    (Feature::RingBuf, Table(MapKind::RingBuf, 0, 0, 4096, 0)),
    (Feature::TailCallsInSubprograms, Special(tail_call_in_subprogram)),
    (Feature::CoarseClock, Helper(helpers::KTIME_GET_COARSE_NS)),
    (Feature::Atomics, Code(fetching_atomic)),
    (Feature::Timers, Helper(TIMER_INIT)),
    (Feature::BloomFilter, Table(MapKind::BloomFilter, 0, 4, 1, 0)),
    (Feature::Loop, Helper(helpers::LOOP)),
    (Feature::XdpFrags, Special(|| Some(load_code(&finish(empty()), sys::HAS_FRAGS, &mut []).is_ok()))),
    (Feature::DynPtr, Helper(DYNPTR_FROM_MEM)),
    (Feature::Tcx, Special(|| super::interface::try_link(ProgramKind::Tc))),
    (Feature::Gotol, Special(|| Some(loads(&raw(&[LONG_JUMP]))))),
    (Feature::Bswap, Code(|asm| asm.emit(Insn::Bswap { dst: Reg::R0, size: Size::H }))),
    (Feature::SignExtension, Code(sign_extension)),
    (Feature::SignedDivision, Code(|asm| asm.emit(Insn::alu(AluOp::Sdiv, Reg::R0, 2)))),
    (Feature::MayGoto, Special(|| Some(loads(&raw(&[MAY_GOTO]))))),
    (Feature::BpfToken, Special(token)),
];

/// `gotol +0` and `may_goto +0`, which no assembler needs to write otherwise.
const LONG_JUMP: [u8; 8] = [0x06, 0, 0, 0, 0, 0, 0, 0];
const MAY_GOTO: [u8; 8] = [0xe5, 0, 0, 0, 0, 0, 0, 0];

/// Whether the feature is there; nothing where that cannot be tried.
pub(super) fn try_feature(feature: Feature) -> Option<bool> {
    let (_, probe) = PROBES.iter().find(|row| row.0 == feature)?;
    match probe {
        Table(kind, key, value, entries, flags) => {
            Some(make(*kind, (*key, *value), *entries, *flags).is_ok())
        }
        Code(write) => {
            let mut asm = empty();
            write(&mut asm);
            Some(loads(&finish(asm)))
        }
        Helper(helper) => Some(knows_helper(*helper)),
        Special(probe) => probe(),
    }
}

/// Why nothing can be tried: no privileges, or a kernel without BPF; `None` if programs can be loaded.
pub fn why_not() -> Option<KernelError> {
    // A hash map of any size needs a privilege or `unprivileged_bpf_disabled` off, XDP needs CAP_NET_ADMIN in any case.
    let map = make(MapKind::Hash, (4, 4), 1, 0).err();
    map.or_else(|| match load_code(&finish(empty()), 0, &mut []) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Some(KernelError::new("load", "an XDP program", error))
        }
        _ => None,
    })
}

fn make(
    kind: MapKind,
    (key_size, value_size): (u32, u32),
    max_entries: u32,
    flags: u32,
) -> Result<Map, KernelError> {
    Map::create(&MapSpec { name: "probe".to_owned(), kind, key_size, value_size, max_entries, flags })
}

/// An XDP program that so far only has a number in `r0`.
fn empty() -> Assembler {
    let mut asm = Assembler::new("probe", "xdp");
    asm.emit(Insn::mov(Reg::R0, 2));
    asm
}

/// The probe decides, not the version: everything may be written.
fn finish(mut asm: Assembler) -> Vec<u8> {
    asm.emit(Insn::Exit);
    asm.finish(&Target::newest()).expect("probes are good programs").to_bytes()
}

fn raw(slots: &[[u8; 8]]) -> Vec<u8> {
    const ANSWER: [u8; 8] = [0xb7, 0, 0, 0, 2, 0, 0, 0];
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    [&[ANSWER], slots, &[EXIT]].concat().concat()
}

fn loads(code: &[u8]) -> bool {
    load_code(code, 0, &mut []).is_ok()
}

fn load_code(code: &[u8], flags: u32, log: &mut [u8]) -> io::Result<std::os::fd::OwnedFd> {
    let mut arguments = sys::ProgLoad {
        kind: ProgramKind::Xdp.number(),
        insn_count: (code.len() / 8) as u32,
        insns: code.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        flags,
        ..sys::ProgLoad::default()
    };
    // SAFETY: code, license and log live through the call and are as long as stated.
    unsafe { sys::bpf_fd_with_pointers(Command::ProgLoad, &mut arguments) }
}

/// The call is wrong in any case; the question is which mistake the verifier names.
fn knows_helper(helper: u32) -> bool {
    let mut asm = empty();
    asm.emit(Insn::Call(helper));
    let mut log = vec![0; 16 * 1024];
    if load_code(&finish(asm), 0, &mut log).is_ok() {
        return true;
    }
    let log = sys::name_text(&log);
    let unknown = ["unknown func ", "invalid func ", "program of this type cannot use helper"];
    !log.is_empty() && !unknown.iter().any(|words| log.contains(words))
}

fn jump(asm: &mut Assembler, width: Width, cond: Cond) {
    let out = asm.label();
    asm.branch(cond, width, Reg::R0, 1, out);
    asm.bind(out);
}

fn bounded_loop(asm: &mut Assembler) {
    let top = asm.here();
    asm.emit(Insn::alu(AluOp::Add, Reg::R0, 1));
    asm.branch(Cond::Lt, Width::W64, Reg::R0, 10, top);
}

fn fetching_atomic(asm: &mut Assembler) {
    asm.emit(Insn::store(Size::DW, Reg::R10, -8, 0));
    let (op, base, src) = (AtomicOp::Add, Reg::R10, Reg::R0);
    asm.emit(Insn::Atomic { op, fetch: true, size: Size::DW, base, off: -8, src });
}

fn sign_extension(asm: &mut Assembler) {
    asm.emit(Insn::MovSx { width: Width::W64, from: Size::B, dst: Reg::R0, src: Reg::R0 });
}

/// A function that another one calls, with a tail call in it if there is a table for that.
fn calls(slots: Option<MapId>) -> Assembler {
    let mut asm = Assembler::new("probe", "xdp");
    let function = asm.label();
    asm.call(function);
    asm.emit(Insn::Exit);
    asm.function("callee", 1, function);
    if let Some(map) = slots {
        asm.emit(Insn::LdMap { dst: Reg::R2, map });
        asm.emit(Insn::mov(Reg::R3, 0));
        asm.emit(Insn::Call(helpers::TAIL_CALL));
    }
    asm.emit(Insn::mov(Reg::R0, 2));
    asm
}

/// The kernel wants to see the types of functions that tail-call, so this takes a whole object.
fn tail_call_in_subprogram() -> Option<bool> {
    let mut asm = calls(Some(MapId(0)));
    asm.emit(Insn::Exit);
    Some(load_object(asm, vec![MapDef::programs("slots", 1)])?.is_ok())
}

/// Of such functions the kernel wants to see the types.
fn global_function() -> Option<bool> {
    let mut asm = Assembler::new("probe", "xdp");
    let function = asm.label();
    asm.call(function);
    asm.emit(Insn::Exit);
    asm.global_function("callee", 1, function);
    asm.emit(Insn::mov(Reg::R0, 2));
    asm.emit(Insn::Exit);
    Some(load_object(asm, Vec::new())?.is_ok())
}

fn map_in_map() -> Option<bool> {
    let inner = make(MapKind::Hash, (4, 4), 1, 0).ok()?;
    let (kind, name) = (MapKind::HashOfMaps, "probe".to_owned());
    let spec = MapSpec { name, kind, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };
    Some(Map::create_of_maps(&spec, &inner).is_ok())
}

fn global_data() -> Option<bool> {
    let section = make(MapKind::Array, (4, 8), 1, 0).ok()?;
    let mut asm = empty();
    asm.emit(Insn::LdMapValue { dst: Reg::R1, map: MapId(section.raw_fd() as u32), off: 0 });
    Some(loads(&finish(asm)))
}

/// An empty map answers ENOENT, a kernel without the command EINVAL.
fn batches() -> Option<bool> {
    let map = make(MapKind::Hash, (4, 4), 1, 0).ok()?;
    Some(map.has_batches())
}

fn line_info() -> Option<bool> {
    let mut asm = Assembler::new("probe", "xdp");
    let text = "probe".to_owned();
    let line = asm.add_line(LineInfo { file: text.clone(), line: 1, column: 1, text });
    asm.line(line);
    asm.emit(Insn::mov(Reg::R0, 2));
    asm.emit(Insn::Exit);
    let Ok(loaded) = load_object(asm, Vec::new())? else { return Some(false) };
    Some(loaded.program("probe")?.line_count().ok()? > 0)
}

/// Nothing where there is no object to load.
pub(super) fn load_object(asm: Assembler, maps: Vec<MapDef>) -> Option<Result<Loaded, LoadError>> {
    let program = asm.finish(&Target::newest()).ok()?;
    let object = Object { programs: vec![program], maps, license: "GPL".to_owned() };
    Some(load::load(&object.to_elf().ok()?, Options::default()))
}

/// The command with a descriptor that is none: EBADF if it is known, EINVAL if not.
fn token() -> Option<bool> {
    let mut arguments = sys::TokenCreate { flags: 0, bpffs_fd: u32::MAX };
    let error = sys::bpf(Command::TokenCreate, &mut arguments).err()?;
    Some(error.raw_os_error() == Some(libc::EBADF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_its_probe() {
        for row in weir_bpf::target::FEATURES {
            assert_eq!(PROBES.iter().filter(|probe| probe.0 == row.feature).count(), 1, "{}", row.name);
        }
    }
}
