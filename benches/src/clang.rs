//! The C programs, compiled when they are needed: nothing but the benchmarks knows clang.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use weir_kernel::load::{self, Loaded, Options};
use weir_kernel::maps::Entries;
use weir_kernel::program::Program;

use crate::Failure;
use crate::beside::Counts;

/// All of them, with the header that they share.
const SOURCES: &[(&str, &str)] = &[
    ("bench.h", include_str!("../c/bench.h")),
    ("sources.h", include_str!("../c/sources.h")),
    ("prefix.c", include_str!("../c/prefix.c")),
    ("ten.c", include_str!("../c/ten.c")),
    ("five.c", include_str!("../c/five.c")),
    ("extensions.c", include_str!("../c/extensions.c")),
    ("vxlan.c", include_str!("../c/vxlan.c")),
    ("address.c", include_str!("../c/address.c")),
    ("prefix6.c", include_str!("../c/prefix6.c")),
    ("rules.h", include_str!("../c/rules.h")),
    ("linear.c", include_str!("../c/linear.c")),
    ("chain.c", include_str!("../c/chain.c")),
    ("tuples.c", include_str!("../c/tuples.c")),
    ("vectors.c", include_str!("../c/vectors.c")),
    ("balance.c", include_str!("../c/balance.c")),
];

/// The function in each of them.
const PROGRAM: &str = "policy";

/// A C program beside a policy, and what its maps begin with.
pub(crate) struct Source {
    pub(crate) file: &'static str,
    pub(crate) defines: Vec<String>,
    /// Maps with their keys and values.
    pub(crate) fill: Vec<(&'static str, Entries)>,
    /// A file that it includes, and which is made for the case.
    pub(crate) header: Option<(&'static str, String)>,
}

impl Source {
    pub(crate) fn plain(file: &'static str) -> Self {
        Self { file, defines: Vec::new(), fill: Vec::new(), header: None }
    }
}

/// A loaded C program with its maps.
pub(crate) struct Compiled(Loaded);

impl Compiled {
    pub(crate) fn program(&self) -> &Program {
        self.0.program(PROGRAM).expect("every C file has it")
    }

    /// Instructions after the verifier's rewriting.
    pub(crate) fn instructions(&self) -> Result<u32, Failure> {
        Ok(self.program().info()?.translated_bytes / 8)
    }

    /// What each of its statements has counted on all CPUs.
    pub(crate) fn counts(&self) -> Result<Counts, Failure> {
        let map = self.0.map("counters").expect("every C file counts");
        let word = |value: &[u8], at| u64::from_ne_bytes(value[at..at + 8].try_into().expect("eight bytes"));
        let sum = |(_, values): (Vec<u8>, Vec<u8>)| {
            let values = map.split_per_cpu(&values);
            let of = |at| values.iter().map(|value| word(value, at)).sum();
            (of(0), of(8))
        };
        Ok(map.entries()?.into_iter().map(sum).collect())
    }
}

/// The compiler: `$CLANG`, or `clang`. Its first line, or nothing where there is none.
pub(crate) fn version() -> Option<String> {
    let output = Command::new(command()).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

/// Compiles, loads and fills.
pub(crate) fn compile(source: &Source) -> Result<Compiled, Failure> {
    let directory = tempfile::tempdir()?;
    let made = source.header.as_ref().map(|(name, text)| (*name, text.as_str()));
    for (name, text) in SOURCES.iter().copied().chain(made) {
        std::fs::write(directory.path().join(name), text)?;
    }
    let object = object(directory.path(), source)?;
    let loaded = load::load(&std::fs::read(object)?, Options::default())?;
    for (map, entries) in &source.fill {
        loaded.map(map).expect("a map of the C file").update_batch(entries)?;
    }
    Ok(Compiled(loaded))
}

fn object(directory: &Path, source: &Source) -> Result<PathBuf, Failure> {
    let object = directory.join("policy.o");
    // -g for the BTF of the maps; v3 is the newest instruction set that clang 14 knows, and the better one.
    let status = Command::new(command())
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c"])
        .args(source.defines.iter().map(|define| format!("-D{define}")))
        .arg(directory.join(source.file))
        .arg("-o")
        .arg(&object)
        .status()?;
    if status.success() { Ok(object) } else { Err(format!("clang refuses {}", source.file).into()) }
}

fn command() -> String {
    std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned())
}
