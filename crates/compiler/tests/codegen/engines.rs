//! One program on every engine that is at hand.

use weir_bpf::interp::{ProgramId, Vm};
use weir_bpf::object::Object;
use weir_bpf::target::Target;
use weir_bpf::text::disassemble;
use weir_compiler::codegen::sets::{key_bytes, lpm_key_bytes};
use weir_compiler::codegen::{Hook, Options, generate, set_map_name};
use weir_compiler::index;
use weir_compiler::ir::interp::Interpreter;
use weir_compiler::ir::parse::parse;
use weir_compiler::ir::verify::verify;
use weir_compiler::ir::{Program, SetDecl, SetKind, SetRef, Verdict};
use weir_compiler::state::State;
use weir_kernel::load::{self, LoadError, Loaded};
use weir_kernel::maps::Update;
use weir_kernel::run;

pub(crate) fn options(hook: Hook) -> Options {
    let target = Target::newest();
    Options::new(target, hook)
}

pub(crate) fn program(text: &str) -> Program {
    let program = parse(text).unwrap();
    assert_eq!(verify(&program), Ok(()), "{program}");
    program
}

/// Loads an object. `None`, with a word on standard error, where there are no privileges.
pub(crate) fn load(test: &str, object: &Object) -> Option<Loaded> {
    let elf = object.to_elf().unwrap();
    match load::load(&elf, load::Options::default()) {
        Ok(loaded) => Some(loaded),
        Err(error @ LoadError::Permission { .. }) => {
            let required = std::env::var("WEIR_REQUIRE_KERNEL").as_deref() == Ok("1");
            assert!(!required, "{test} must run here (WEIR_REQUIRE_KERNEL=1), but: {error}");
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "skipped {test}: {error}");
            None
        }
        Err(LoadError::Rejected { log, .. }) => {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            panic!("{test}: {}\n{}", tail.join("\n"), listing(object))
        }
        Err(error) => panic!("{test}: {error}\n{}", listing(object)),
    }
}

/// The code for readers.
pub(crate) fn listing(object: &Object) -> String {
    let names: Vec<&str> = object.maps.iter().map(|map| map.name.as_str()).collect();
    disassemble(&object.programs[0], &names)
}

/// Puts the elements of the sets into the kernel's maps, as far as they are `keys`.
pub(crate) fn fill(loaded: &Loaded, program: &Program, set: SetRef, key: &[u64], bits: u32, expires: u64) {
    let decl = &program.sets[set.index()];
    let map = loaded.map(&set_map_name(program, set)).unwrap();
    let section = || map.lookup(&[0; 4]).unwrap().unwrap();
    let (key, value) = entry(decl, (key, bits, expires), section);
    map.update(&key, &value, Update::Any).unwrap();
}

/// The entry of a set's map that adds an element; `section` tells what is in it, if it is an index.
pub(crate) fn entry(
    decl: &SetDecl,
    (key, bits, expires): (&[u64], u32, u64),
    section: impl FnOnce() -> Vec<u8>,
) -> (Vec<u8>, Vec<u8>) {
    let value = expires.to_le_bytes().to_vec();
    match decl.kind {
        SetKind::Hash => (key_bytes(decl, key), value),
        SetKind::Lpm => (lpm_key_bytes(decl, key, bits), value),
        SetKind::Index => {
            let of = index::Key::of(&decl.words).unwrap();
            let words = section();
            let words = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
            let mut words: Vec<u64> = words.collect();
            index::edit::raise(&mut words, of, of.prefix(key, bits), index::tick(expires)).unwrap();
            (vec![0; 4], words.iter().flat_map(|word| word.to_le_bytes()).collect())
        }
    }
}

/// What the kernel returns for a verdict.
pub(crate) fn code(hook: Hook, verdict: Verdict) -> u32 {
    match (hook, verdict) {
        (Hook::Xdp, Verdict::Pass) => 2,
        (Hook::Xdp, Verdict::Drop) => 1,
        (_, Verdict::Pass) => u32::MAX,
        (Hook::Xdp, Verdict::Send) => 3,
        (_, Verdict::Drop | Verdict::Send) => 2,
    }
}

/// Runs frames through the interpreter and the kernel, on every hook, without state.
pub(crate) fn agree(test: &str, program: &Program, frames: &[Vec<u8>]) {
    for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
        let object = generate(program, &options(hook)).unwrap();
        agree_vm(&mut Vm::for_object(&object), hook, program, &mut State::new(program), frames);
        let Some(loaded) = load(test, &object) else {
            return;
        };
        agree_loaded(&loaded, hook, program, &mut State::new(program), frames);
    }
}

pub(crate) fn agree_loaded(
    loaded: &Loaded,
    hook: Hook,
    program: &Program,
    state: &mut State,
    frames: &[Vec<u8>],
) {
    let mut interpreter = Interpreter::new(program);
    for frame in frames.iter().filter(|frame| frame.len() >= run::MIN_FRAME) {
        let expected = interpreter.run(state, frame).unwrap();
        let got = match run::once(loaded.program("weir").unwrap(), frame) {
            // The kernel makes no `sk_buff` of frames that say they are IP and are too short for it.
            Err(error) if hook != Hook::Xdp && error.errno() == 22 => continue,
            got => got.unwrap(),
        };
        let wanted = code(hook, expected.verdict);
        assert_eq!(got.code, wanted, "{hook:?} {frame:02x?}\n{program}");
        if hook == Hook::Xdp {
            let leaves = expected.frame.as_ref().unwrap_or(frame);
            assert_eq!(got.frame, *leaves, "{frame:02x?}\n{program}");
        }
    }
}

/// As [`agree_loaded`], on the bytecode interpreter.
pub(crate) fn agree_vm(vm: &mut Vm, hook: Hook, program: &Program, state: &mut State, frames: &[Vec<u8>]) {
    let mut interpreter = Interpreter::new(program);
    for frame in frames {
        let expected = interpreter.run(state, frame).unwrap();
        let mut left = frame.clone();
        let got = change_in_vm(vm, hook, &mut left);
        let wanted = code(hook, expected.verdict);
        assert_eq!(got, wanted, "{hook:?} {frame:02x?}\n{program}");
        assert_eq!(left, expected.frame.unwrap_or(frame.clone()), "{hook:?} {frame:02x?}\n{program}");
    }
}

pub(crate) fn run_vm(vm: &mut Vm, hook: Hook, frame: &[u8]) -> u32 {
    change_in_vm(vm, hook, &mut frame.to_vec())
}

/// What a program returns; the frame becomes what it makes of it.
fn change_in_vm(vm: &mut Vm, hook: Hook, frame: &mut Vec<u8>) -> u32 {
    let got = match hook {
        Hook::Xdp => vm.run_xdp(ProgramId(0), frame),
        Hook::TcIngress | Hook::TcEgress => vm.run_tc(ProgramId(0), frame),
    };
    got.unwrap_or_else(|fault| panic!("{fault}"))
}
