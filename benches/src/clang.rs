//! The C programs, compiled when they are needed: nothing but the benchmarks knows clang.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use weir_kernel::load::{self, Loaded, Options};
use weir_kernel::maps::{Entries, Map, Update};
use weir_kernel::program::Program;

use crate::Failure;

/// All of them, with the header that they share.
const SOURCES: &[(&str, &str)] = &[
    ("bench.h", include_str!("../c/bench.h")),
    ("prefix.c", include_str!("../c/prefix.c")),
    ("ten.c", include_str!("../c/ten.c")),
    ("five.c", include_str!("../c/five.c")),
    ("extensions.c", include_str!("../c/extensions.c")),
    ("vxlan.c", include_str!("../c/vxlan.c")),
];

/// The function in each of them.
const PROGRAM: &str = "policy";

/// A C program beside a policy, and what its maps begin with.
pub(crate) struct Source {
    pub(crate) file: &'static str,
    pub(crate) defines: Vec<String>,
    /// Map, keys and values.
    pub(crate) fill: Option<(&'static str, Entries)>,
}

impl Source {
    pub(crate) fn plain(file: &'static str) -> Self {
        Self { file, defines: Vec::new(), fill: None }
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
    for (name, text) in SOURCES {
        std::fs::write(directory.path().join(name), text)?;
    }
    let object = object(directory.path(), source)?;
    let loaded = load::load(&std::fs::read(object)?, Options::default())?;
    if let Some((map, entries)) = &source.fill {
        fill(loaded.map(map).expect("a map of the C file"), entries)?;
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

fn fill(map: &Map, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), Failure> {
    for (key, value) in entries {
        map.update(key, value, Update::Any)?;
    }
    Ok(())
}

fn command() -> String {
    std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned())
}
