//! What the tests with foreign tools share. A tool or a privilege that is missing skips the test
//! by name, and fails it where `WEIR_REQUIRE_KERNEL=1` says that it has to be there.
#![allow(clippy::print_stderr, dead_code, reason = "tests talk; not every file uses all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of its own for one test, removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("weir-bpf-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("fs")).unwrap();
        Scratch(path)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Standard output, or standard error of a run that failed.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr) + &text(&output.stdout)),
    }
}

/// True if the test can go on.
pub(crate) fn needs(test: &str, missing: Option<String>) -> bool {
    let Some(missing) = missing else {
        return true;
    };
    let required = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
    assert!(!required, "{test} cannot run: {missing}");
    eprintln!("skipped {test}: {missing}");
    false
}

/// What stands in the way of loading programs with `bpftool`.
pub(crate) fn no_bpftool() -> Option<String> {
    if let Err(why) = run("bpftool", &["version"]) {
        return Some(why);
    }
    let private = "mount -t bpf bpf /mnt && bpftool prog list";
    match run("unshare", &["-m", "sh", "-c", private]) {
        Ok(_) => None,
        Err(why) => Some(format!("no private bpf file system: {}", why.trim())),
    }
}

/// What stands in the way of a tool.
pub(crate) fn no_tool(tool: &str) -> Option<String> {
    run(tool, &["--version"]).err()
}

/// Loads all programs of an object and runs `then` with `$FS`, the directory of their pins.
pub(crate) fn bpftool(scratch: &Scratch, elf: &[u8], then: &str) -> Result<String, String> {
    let object = scratch.file("object.o", elf);
    let fs = scratch.path().join("fs");
    let script = format!(
        "FS={fs}; mount -t bpf bpf $FS && bpftool prog loadall {object} $FS/p && {then}",
        fs = fs.display(),
        object = object.display(),
    );
    run("unshare", &["-m", "sh", "-c", &script])
}
