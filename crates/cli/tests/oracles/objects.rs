//! Objects of `weir build` in other hands: libbpf's (by bpftool), aya's, LLVM's and binutils'.

use crate::common::{Corpus, has, run, weir};
use aya::Ebpf;
use aya::programs::{TestRun, TestRunOptions, Xdp};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use weir_compiler::ir::Verdict;

const SMALL: &str = "drop it when ip4.ttl < 8\n";

const STATE: &str = "
set blocked : ip timeout 10m max 1k
set admins : ip = { 192.0.2.0/28, 2001:db8::/64 }
drop blocked when ip.src in blocked
limit few when tcp to 1/h burst 2 per ip.src
drop small_mss when tcp.options.mss.val < 600
pass admins when ip.src in admins and not ip.ttl == 1
drop inner when inner.ip.ttl == 64
default drop
";

fn thousand() -> String {
    let mut text = String::new();
    for i in 0..1000 {
        let (from, to) = (i * 3 + 1, i * 9 + 300);
        let (a, b) = (i % 200, i / 200);
        let network = if i % 3 == 0 { "192.0.2.0/24".to_owned() } else { format!("10.{a}.{b}.0/24") };
        let _ = writeln!(text, "drop r{i} when ip4.src == {network} and udp.dstport in {{ {from}..{to} }}");
    }
    text
}

/// Long enough for jumps beyond the 32,767 instructions that a short one reaches.
fn far() -> String {
    let mut text = String::new();
    for i in 0..FAR {
        let (offset, mask, value) = (i % 7, i * 7919 % 65521 + 1, i * 31 % 997);
        let (more, factor) = (i * 13, i % 9 + 2);
        let _ = writeln!(
            text,
            "drop r{i} when payload[{offset}:4] & {mask} == {value} and tcp.seq - tcp.ack > {more} \
             or udp.length * {factor} < frame.len - {i}"
        );
    }
    text
}

/// Some 42,000 instructions; at about 1,060 statements the kernel finds 8,193 pending jumps too complex.
const FAR: u32 = 850;

/// Opcodes that LLVM 14 cannot show: stores of constants, tests of bits, and far jumps.
const NEWER: [&str; 9] = ["06", "45", "46", "4d", "4e", "62", "6a", "72", "7a"];

struct Object {
    folder: TempDir,
    name: &'static str,
}

impl Object {
    fn build(name: &'static str, policy: &str) -> Object {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("policy.weir"), policy).expect("a policy");
        let object = Object { folder, name };
        let bytes = |path: PathBuf| {
            let (policy, path) = (object.policy(), path.display().to_string());
            weir(["build", &policy.display().to_string(), "-o", &path]);
            std::fs::read(path).expect("an object")
        };
        assert_eq!(bytes(object.path()), bytes(object.folder.path().join("again.o")), "{name}: same input");
        object
    }

    fn policy(&self) -> PathBuf {
        self.folder.path().join("policy.weir")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("weir.o")
    }

    /// The tools that only read.
    fn is_read(&self, test: &str) {
        let path = self.path().display().to_string();
        if has("readelf", test) {
            let sections = run("readelf", ["-SW", &path]);
            for section in ["xdp", ".maps", "license", ".BTF", ".BTF.ext", ".relxdp", ".symtab"] {
                assert!(sections.contains(&format!("] {section} ")), "{}: {section}:\n{sections}", self.name);
            }
        }
        if has("llvm-objdump", test) {
            let text = run("llvm-objdump", ["-d", &path]);
            assert!(text.contains("exit"), "{}", self.name);
            for line in text.lines().filter(|line| line.contains("<unknown>")) {
                let opcode = line.split_whitespace().nth(1).expect("an opcode");
                assert!(NEWER.contains(&opcode), "{}: {line}", self.name);
            }
        }
        let types = run("bpftool", ["btf", "dump", "file", &path]);
        assert!(types.contains("FUNC 'weir'"), "{}:\n{types}", self.name);
    }

    /// libbpf loads it, the kernel shows the policy's lines, and the verdicts are those of replay.
    fn runs_by_libbpf(&self, corpus: &Corpus, verdicts: &[Verdict]) {
        let pin = Pin::load(&self.path(), self.name);
        let program = pin.0.display().to_string();
        let text = run("bpftool", ["prog", "dump", "xlated", "pinned", &program, "linum"]);
        assert!(text.contains("policy.weir line_num:"), "{}", self.name);
        let frame = self.folder.path().join("frame");
        for ((number, bytes), verdict) in (1..).zip(&corpus.frames).zip(verdicts) {
            std::fs::write(&frame, bytes).expect("a frame");
            let input = frame.display().to_string();
            let answer = run("bpftool", ["-j", "prog", "run", "pinned", &program, "data_in", &input]);
            let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer["retval"].as_u64(), Some(action(*verdict)), "{}: frame {number}", self.name);
        }
    }

    /// The same by a loader that shares no code with libbpf.
    fn runs_by_aya(&self, corpus: &Corpus, verdicts: &[Verdict]) {
        let mut object = Ebpf::load_file(self.path()).unwrap_or_else(|e| panic!("{}: {e:?}", self.name));
        let program: &mut Xdp = object.program_mut("weir").expect("weir").try_into().expect("XDP");
        // aya does not try again when a signal (another test's child that ended) interrupts the verifier.
        let loaded = (0..10).any(|_| program.load().is_ok());
        assert!(loaded, "{}: {:?}", self.name, program.load());
        for ((number, bytes), verdict) in (1..).zip(&corpus.frames).zip(verdicts) {
            let options = TestRunOptions { data_in: Some(bytes), ..TestRunOptions::new() };
            let result = program.test_run(options).expect("a run");
            assert_eq!(u64::from(result.return_value), action(*verdict), "{}: frame {number}", self.name);
        }
    }
}

/// `XDP_DROP` and `XDP_PASS`.
fn action(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Drop => 1,
        Verdict::Pass => 2,
        Verdict::Send => 3,
    }
}

/// A program in the BPF file system; it goes with this.
struct Pin(PathBuf);

impl Pin {
    fn load(object: &Path, name: &str) -> Pin {
        let pin = Pin(format!("/sys/fs/bpf/weir-oracle-{}-{name}", std::process::id()).into());
        run("bpftool", ["prog".as_ref(), "load".as_ref(), object.as_os_str(), pin.0.as_os_str()]);
        pin
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether this user may load programs.
fn may_load(test: &str) -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    let root = id.stdout.starts_with(b"0\n") && Path::new("/sys/fs/bpf").is_dir();
    if !root {
        let required = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
        assert!(!required, "{test}: not root, or no BPF file system");
        println!("skipped {test}: not root, or no BPF file system");
    }
    root
}

fn judged_alike(name: &'static str, policy: &str) {
    if !has("bpftool", name) {
        return;
    }
    let object = Object::build(name, policy);
    object.is_read(name);
    if !may_load(name) {
        return;
    }
    let corpus = Corpus::built();
    let verdicts = corpus.replay(&object.policy());
    for verdict in [Verdict::Drop, Verdict::Pass] {
        assert!(verdicts.contains(&verdict), "{name}: no frame of verdict {verdict:?}");
    }
    object.runs_by_aya(&corpus, &verdicts);
    object.runs_by_libbpf(&corpus, &verdicts);
    println!("{name}: {} frames judged alike by libbpf's load, aya's and replay", corpus.frames.len());
}

#[test]
fn a_small_policy() {
    judged_alike("small", SMALL);
}

#[test]
fn sets_limits_and_options() {
    judged_alike("state", STATE);
}

#[test]
fn a_thousand_rules() {
    judged_alike("thousand", &thousand());
}

#[test]
fn far_jumps() {
    judged_alike("far", &far());
}
