//! Sets, counters, captures, limits: state on every engine.

use crate::engines::{code, entry, fill, listing, load, options, program, run_vm};
use weir_bpf::interp::Vm;
use weir_compiler::codegen::{Hook, Options, generate, limits, set_map_name};
use weir_compiler::ir::{LimitDecl, Program, SetRef, Verdict};
use weir_compiler::state::State;
use weir_kernel::run;

/// In the set: dropped.
fn membership(set: &str, key: &str, words: &str) -> String {
    format!(
        "set0 \"addresses\" {set} {words} max 1000\nset1 \"other\" hash [8] max 4\nb0:\n    v0: cursor = start\n    fits v0 + 16 ? b1 : b3\n\
         b1:\n    v1: u32 = load v0 + 0\n    v2: u8 = load v0 + 4\n    v3: u64 = load v0 + 8\n    v4: u16 = load v0 + 6\n\
         \x20   v5: u1 = in set0 [{key}]\n    branch v5 ? b2 : b3\nb2:\n    return drop\nb3:\n    return pass\n"
    )
}

struct Case {
    set: &'static str,
    key: &'static str,
    words: &'static str,
    /// Key, bits, expiry.
    elements: &'static [(&'static [u64], u32, u64)],
    /// Frame and whether it is dropped.
    frames: &'static [(&'static [u8; 16], bool)],
}

const FAR: u64 = u64::MAX / 2;

const CASES: &[Case] = &[
    Case {
        set: "hash",
        key: "v1",
        words: "[32]",
        elements: &[(&[0x01020304], 32, 0)],
        frames: &[(b"\x01\x02\x03\x04aaaaaaaaaaaa", true), (b"\x04\x03\x02\x01aaaaaaaaaaaa", false)],
    },
    Case {
        set: "hash",
        key: "v2, v3, v4",
        words: "[8, 64, 16]",
        elements: &[(&[5, 0x0102030405060708, 0x0a0b], 88, 0)],
        frames: &[
            (b"xxxx\x05x\x0a\x0b\x01\x02\x03\x04\x05\x06\x07\x08", true),
            (b"xxxx\x06x\x0a\x0b\x01\x02\x03\x04\x05\x06\x07\x08", false),
        ],
    },
    Case {
        set: "hash",
        key: "v1",
        words: "[32] expires",
        elements: &[(&[0x01020304], 32, FAR), (&[0x01020305], 32, 1), (&[0x01020306], 32, 0)],
        frames: &[
            (b"\x01\x02\x03\x04aaaaaaaaaaaa", true),
            (b"\x01\x02\x03\x05aaaaaaaaaaaa", false),
            (b"\x01\x02\x03\x06aaaaaaaaaaaa", true),
            (b"\x01\x02\x03\x07aaaaaaaaaaaa", false),
        ],
    },
    Case {
        set: "lpm",
        key: "v1",
        words: "[32]",
        elements: &[(&[0x0a000000], 8, 0), (&[0xc0000201], 32, 0)],
        frames: &[
            (b"\x0a\x02\x03\x04aaaaaaaaaaaa", true),
            (b"\x0b\x02\x03\x04aaaaaaaaaaaa", false),
            (b"\xc0\x00\x02\x01aaaaaaaaaaaa", true),
        ],
    },
    Case {
        set: "lpm",
        key: "v3, v3",
        words: "[64, 64] expires",
        elements: &[(&[0x2001_0db8_0000_0000, 0], 32, FAR), (&[0xfe80_0000_0000_0000, 0], 10, 1)],
        frames: &[
            (b"xxxxxxxx\x20\x01\x0d\xb8\x01\x02\x03\x04", true),
            (b"xxxxxxxx\x20\x01\x0d\xb9\x01\x02\x03\x04", false),
            (b"xxxxxxxx\xfe\x80\0\0\0\0\0\0", false),
        ],
    },
    Case {
        set: "index",
        key: "v1",
        words: "[32] expires",
        elements: &[
            (&[0x0a000000], 8, FAR),
            (&[0x01020304], 32, 1),
            (&[0x01000000], 8, 0),
            (&[0x02020202], 32, 0),
        ],
        frames: &[
            (b"\x0a\x02\x03\x04aaaaaaaaaaaa", true),
            (b"\x01\x02\x03\x04aaaaaaaaaaaa", true),
            (b"\x02\x02\x02\x02aaaaaaaaaaaa", true),
            (b"\x03\x02\x02\x02aaaaaaaaaaaa", false),
        ],
    },
    Case {
        set: "index",
        key: "v3, v3",
        words: "[64, 64]",
        elements: &[(&[0x2001_0db8_0000_0000, 0], 32, 0), (&[7, 7], 128, 0)],
        frames: &[
            (b"xxxxxxxx\x20\x01\x0d\xb8\x01\x02\x03\x04", true),
            (b"xxxxxxxx\0\0\0\0\0\0\0\x07", true),
            (b"xxxxxxxx\0\0\0\0\0\0\0\x08", false),
        ],
    },
];

#[test]
fn sets() {
    for case in CASES {
        let program = program(&membership(case.set, case.key, case.words));
        for hook in [Hook::Xdp, Hook::TcIngress] {
            let object = generate(&program, &options(hook)).unwrap();
            let mut vm = Vm::for_object(&object);
            vm.clock_ns = 1_000_000;
            let loaded = load("sets", &object);
            for (key, bits, expires) in case.elements {
                fill_vm(&mut vm, &program, key, *bits, *expires);
                if let Some(loaded) = &loaded {
                    fill(loaded, &program, SetRef(0), key, *bits, *expires);
                }
            }
            for (frame, dropped) in case.frames {
                let verdict = if *dropped { Verdict::Drop } else { Verdict::Pass };
                let what = format!("{} {} {frame:02x?}\n{}", case.set, case.words, listing(&object));
                assert_eq!(run_vm(&mut vm, hook, *frame), code(hook, verdict), "{what}");
                if let Some(loaded) = &loaded {
                    let got = run::once(loaded.program("weir").unwrap(), *frame).unwrap();
                    assert_eq!(got.code, code(hook, verdict), "kernel: {what}");
                }
            }
        }
    }
}

/// Whatever the section holds, and four times as many levels are not much more than four times as many steps.
#[test]
fn the_verifier_walks_an_index_once() {
    let steps = |key: &str, words: &str| {
        let object = generate(&program(&membership("index", key, words)), &options(Hook::Xdp)).unwrap();
        let loaded = load("an index", &object)?;
        Some(loaded.program("weir").unwrap().info().unwrap().verified_insns)
    };
    let Some((one, two)) = steps("v1", "[32] expires").zip(steps("v3, v3", "[64, 64] expires")) else {
        return;
    };
    assert!(one < 1_000 && two < 6 * one, "{one} steps for one word, {two} for two");
}

fn fill_vm(vm: &mut Vm, program: &weir_compiler::ir::Program, key: &[u64], bits: u32, expires: u64) {
    let map = vm.maps.by_name(&set_map_name(program, SetRef(0))).unwrap();
    let section = || vm.maps.lookup(map, &[0; 4]).unwrap().to_vec();
    let (key, value) = entry(&program.sets[0], (key, bits, expires), section);
    vm.maps.update(map, &key, &value).unwrap();
}

const COUNTS: &str = "\
counters 600
b0:
    v0: cursor = start
    count 3
    fits v0 + 20 ? b1 : b2
b1:
    count 3
    count 255
    v1: u8 = load v0 + 19
    v2: u1 = const 1
    v3: u1 = eq v1, v2
    branch v3 ? b2 : b3
b2:
    count 256
    return pass
b3:
    count 599
    return drop
";

#[test]
fn counters() {
    let frames: Vec<Vec<u8>> = vec![vec![1; 15], vec![1; 20], vec![0; 64]];
    for hook in [Hook::Xdp, Hook::TcIngress] {
        count_alike("counters", &program(COUNTS), &options(hook), &frames);
    }
}

/// All engines count the same.
fn count_alike(test: &str, program: &Program, options: &Options, frames: &[Vec<u8>]) {
    let object = generate(program, options).unwrap();
    let (mut vm, mut state) = (Vm::for_object(&object), State::new(program));
    crate::engines::agree_vm(&mut vm, options.hook, program, &mut state, frames);
    let map = vm.maps.by_name("counters").unwrap();
    check_counters(&state, |chunk| vm.maps.lookup(map, &chunk).unwrap().to_vec());
    let Some(loaded) = load(test, &object) else { return };
    let mut state = State::new(program);
    crate::engines::agree_loaded(&loaded, options.hook, program, &mut state, frames);
    let map = loaded.map("counters").unwrap();
    check_counters(&state, |chunk| {
        let cpus = map.lookup_per_cpu(&chunk).unwrap().unwrap();
        sum(&cpus)
    });
}

/// Rows that count before, between and behind those that decide; and a table of nothing else.
const COUNTING_ROWS: &str = "\
table0 [16, 8]
row [1..5, 0..255] count 1
row [3, 7] drop by s0 count 0
row [3..4, 7] count 2
row [4, 0..255] pass by s1 count 3
row [0..0xffff, 7] count 1
table1 [8]
row [0..7] count 4
row [7] count 5
row [0..255] count 6
counters 300
s0 \"first\"
s1 \"second\"
b0:
    v0: cursor = start
    fits v0 + 14 ? b1 : b3
b1:
    v1: u16 = load v0 + 0
    v2: u8 = load v0 + 2
    match table0 [v1, v2] else b2
b2:
    match table1 [v2] else b3
b3:
    count 299
    return pass
";

#[test]
fn rows_count() {
    use weir_bpf::target::Feature;
    let mut frames = Vec::new();
    for word in [0, 1, 3, 4, 5, 6, 0xffff] {
        for byte in [0, 6, 7, 8, 255] {
            let key = u32::from(word as u16) << 16 | byte << 8;
            frames.push([&key.to_be_bytes()[..], &[1; 20]].concat());
        }
    }
    for hook in [Hook::Xdp, Hook::TcIngress] {
        let program = program(COUNTING_ROWS);
        let known = options(hook);
        count_alike("rows that count", &program, &known, &frames);
        // Where functions are gone through once for each call.
        let target = known.target.clone().without(Feature::GlobalFunctions);
        count_alike("rows that count", &program, &Options { target, ..known }, &frames);
    }
}

fn sum(cpus: &[Vec<u8>]) -> Vec<u8> {
    let word = |cpu: &Vec<u8>, at: usize| u64::from_le_bytes(cpu[at..at + 8].try_into().unwrap());
    let words = (0..cpus[0].len()).step_by(8);
    words.flat_map(|at| cpus.iter().map(|cpu| word(cpu, at)).sum::<u64>().to_le_bytes()).collect()
}

fn check_counters(state: &State, chunk: impl Fn([u8; 4]) -> Vec<u8>) {
    for (nth, counter) in state.counters.iter().enumerate() {
        let value = chunk((nth as u32 / 256).to_le_bytes());
        let at = nth % 256 * 16;
        let word = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
        assert_eq!((word(at), word(at + 8)), (counter.packets, counter.bytes), "slot {nth}");
    }
}

const CAPTURE: &str = "\
s0 \"first\"
s1 \"second\"
b0:
    capture s1 drop
    v0: cursor = start
    fits v0 + 1 ? b1 : b1
b1:
    return drop by s1
";

#[test]
fn captures() {
    let program = program(CAPTURE);
    for hook in [Hook::Xdp, Hook::TcEgress] {
        for frags in [false, true] {
            let mut options = options(hook);
            options.frags = frags;
            let object = generate(&program, &options).unwrap();
            let mut vm = Vm::for_object(&object);
            vm.clock_ns = 77;
            let frame: Vec<u8> = (0..3000u32).map(|byte| byte as u8).collect();
            run_vm(&mut vm, hook, &frame);
            run_vm(&mut vm, hook, &frame[..60]);
            let outputs = vm.take_outputs();
            check_record(&outputs[0].bytes, 77, &frame);
            check_record(&outputs[1].bytes, 77, &frame[..60]);
            let Some(loaded) = load("captures", &object) else { continue };
            run::once(loaded.program("weir").unwrap(), &frame[..60]).unwrap();
            let mut ring = weir_kernel::rings::RingReader::open(loaded.map("capture").unwrap()).unwrap();
            let mut records = Vec::new();
            ring.drain(|bytes| records.push(bytes.to_vec()));
            let time = u64::from_le_bytes(records[0][..8].try_into().unwrap());
            check_record(&records[0], time, &frame[..60]);
        }
    }
}

fn check_record(record: &[u8], time: u64, frame: &[u8]) {
    let mut head = time.to_le_bytes().to_vec();
    let captured = frame.len().min(2048);
    for word in [frame.len() as u32, captured as u32, 1, 1] {
        head.extend(word.to_le_bytes());
    }
    assert_eq!(record[..24], head);
    assert_eq!(record[24..24 + captured], frame[..captured]);
}

/// One unit a packet; the key is the frame's first four bytes.
fn limited(key: bool, keys: u32, per_second: u64, burst: u64) -> String {
    let interval = (16_000_000_000u64 << 16) / per_second;
    let tolerance = burst * 16_000_000_000 / per_second;
    let (words, key) = if key { ("[32]", "v1") } else { ("[]", "") };
    format!(
        "limit0 \"rate\" interval {interval} tolerance {tolerance} {words} max {keys}\nb0:\n    v0: cursor = start\n    fits v0 + 4 ? b1 : b3\n\
         b1:\n    v1: u32 = load v0 + 0\n    v2: u1 = const 1\n    v3: u1 = take limit0 [{key}] cost v2\n    branch v3 ? b3 : b2\nb2:\n    return drop\nb3:\n    return pass\n"
    )
}

/// How many packets of each key pass when each key sends at `sent` a second for `seconds`.
fn passed(keys: u32, per_second: u64, sent: u64, seconds: u64) -> (Vec<u64>, u64) {
    let program = program(&limited(true, keys, per_second, 1));
    let object = generate(&program, &options(Hook::Xdp)).unwrap();
    let mut vm = Vm::for_object(&object);
    let mut passed = vec![0; keys as usize];
    let step = 1_000_000_000 / sent / u64::from(keys);
    vm.clock_ns = 1_000_000_000;
    for _ in 0..sent * seconds {
        for key in 0..keys {
            vm.clock_ns += step;
            let mut frame = key.wrapping_mul(0x01000193).to_be_bytes().to_vec();
            frame.resize(14, 0);
            passed[key as usize] += u64::from(run_vm(&mut vm, Hook::Xdp, &frame) == 2);
        }
    }
    let map = vm.maps.by_name("statistics").unwrap();
    let evictions = vm.maps.lookup(map, &1u32.to_le_bytes()).unwrap();
    (passed, u64::from_le_bytes(evictions[..8].try_into().unwrap()))
}

#[test]
fn ten_keys_get_their_rate() {
    let (passed, evictions) = passed(10, 100, 1000, 20);
    assert_eq!(evictions, 0);
    for count in passed {
        assert!((1960..=2040).contains(&count), "{count} of 2000");
    }
}

#[test]
fn a_hundred_thousand_keys_get_their_rate() {
    let (passed, evictions) = passed(100_000, 1, 4, 5);
    let sum: u64 = passed.iter().sum();
    assert!((490_000..=510_000).contains(&sum), "{sum} of 500,000");
    assert!(evictions < 100, "{evictions}");
}

#[test]
fn a_limit_without_a_key_is_one_bucket() {
    let program = program(&limited(false, 1, 1000, 10));
    let object = generate(&program, &options(Hook::Xdp)).unwrap();
    let mut vm = Vm::for_object(&object);
    vm.clock_ns = 5_000_000_000;
    let frame = [0; 14];
    let burst = (0..100).filter(|_| run_vm(&mut vm, Hook::Xdp, &frame) == 2).count();
    assert_eq!(burst, 10);
    vm.clock_ns += 3_000_000;
    let later = (0..100).filter(|_| run_vm(&mut vm, Hook::Xdp, &frame) == 2).count();
    assert_eq!(later, 3);
    load("a limit without a key", &object);
}

#[test]
fn limits_without_atomics() {
    use weir_bpf::target::Feature;
    let program = program(&limited(true, 1000, 1000, 10));
    let mut options = options(Hook::Xdp);
    options.target = options.target.without(Feature::Atomics);
    let object = generate(&program, &options).unwrap();
    let mut vm = Vm::for_object(&object);
    vm.clock_ns = 5_000_000_000;
    let burst = (0..100).filter(|_| run_vm(&mut vm, Hook::Xdp, &[0; 14]) == 2).count();
    assert_eq!(burst, 10);
    load("limits without atomics", &object);
}

/// The kernel takes keyed limits, and a burst is what it says.
#[test]
fn limits_in_the_kernel() {
    let program = program(&limited(true, 1000, 1, 10));
    let object = generate(&program, &options(Hook::Xdp)).unwrap();
    let Some(loaded) = load("limits in the kernel", &object) else { return };
    for key in 0..200u8 {
        let frame = [key; 14];
        let runs = (0..20).map(|_| run::once(loaded.program("weir").unwrap(), &frame).unwrap());
        let passed = runs.filter(|outcome| outcome.code == 2).count();
        assert_eq!(passed, 10, "key {key}");
    }
}

#[test]
fn tables_have_room() {
    let decl = |max, words: &[u8]| LimitDecl {
        name: "rate".into(),
        interval: 1,
        tolerance: 1,
        words: words.to_vec(),
        max,
    };
    assert_eq!(limits::lines(&decl(100_000, &[32])), 65536);
    assert_eq!(limits::lines(&decl(1, &[32])), 1);
    assert_eq!(limits::lines(&decl(1000, &[])), 1);
}
