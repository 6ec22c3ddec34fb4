//! Programs that others wrote, on hosts.
//!
//! Each is ended with its value, and by the kernel with the thread that started it (`prctl(PR_SET_PDEATHSIG)`,
//! by util-linux's `setpriv`): so a kill leaves none behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::io;
use crate::{Host, LabError, sweep};

/// How often it is looked whether a program is over.
const LOOK: Duration = Duration::from_millis(5);

/// A program at work on a host.
#[derive(Debug)]
pub struct Program {
    what: String,
    child: Child,
}

impl Program {
    /// Starts a command in a host's network namespace, and in no other one of its own.
    ///
    /// It must stay in the foreground, and without children that outlive it.
    ///
    /// # Errors
    /// When it cannot be started. One that is not there ends at once with 127.
    pub fn start(host: &Host, command: &[&str]) -> Result<Program, LabError> {
        Program::spawn(host, command, Stdio::null())
    }

    /// Runs a command to its end, and gives what it has written to standard output.
    ///
    /// # Errors
    /// When it cannot be started, fails, or is not over in time; the error has what it said.
    pub fn run(host: &Host, command: &[&str], within: Duration) -> Result<String, LabError> {
        // A file takes any amount without somebody who reads it meanwhile.
        let scratch = Scratch::create()?;
        let path = scratch.path().join("said");
        let what = || format!("keep what `{}` says", command.join(" "));
        let file = fs::File::create(&path).map_err(io(what()))?;
        let errors = file.try_clone().map_err(io(what()))?;
        let mut program = Program::spawn_with(host, command, file.into(), errors.into())?;
        let status = program.wait(within)?;
        let said = fs::read(&path).map_err(io(what()))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        match status {
            Some(status) if status.success() => Ok(said),
            status => Err(LabError::Program { what: program.what.clone(), status, said }),
        }
    }

    fn spawn(host: &Host, command: &[&str], out: Stdio) -> Result<Program, LabError> {
        Program::spawn_with(host, command, out, Stdio::null())
    }

    /// `ip netns exec` would take bpffs out of sight, and a thread inside would end before what it started.
    fn spawn_with(host: &Host, command: &[&str], out: Stdio, errors: Stdio) -> Result<Program, LabError> {
        let what = format!("`{}` on host `{}`", command.join(" "), host.name());
        let namespace = format!("--net=/run/netns/{}", host.namespace().label());
        let mut shell = Command::new("nsenter");
        shell.args([&namespace, "--", "setpriv", "--pdeathsig", "KILL", "--"]).args(command);
        let child = shell.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        Ok(Program { child: child.map_err(io(format!("start {what}")))?, what })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When nobody can tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child.try_wait().map_err(io(format!("wait for {}", self.what)))
    }

    fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>, LabError> {
        let start = Instant::now();
        loop {
            let ended = self.ended()?;
            if ended.is_some() || start.elapsed() >= within {
                return Ok(ended);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that is over already is no matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory for what programs need and leave. What a killed process left is swept with its namespaces.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create() -> Result<Scratch, LabError> {
        sweep::scratch().map(Scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it; gives its path as text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<String, LabError> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(io(format!("write `{}`", path.display())))?;
        Ok(path.display().to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
