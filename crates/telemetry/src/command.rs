//! A command that is run for a message.

use crate::hooks::{Deliver, Message};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often is looked whether it ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long a killed one is waited for: the kernel may be busy for it.
const BURIAL: Duration = Duration::from_secs(1);

/// What a shell runs.
#[derive(Clone, Debug)]
pub(crate) struct Command(String);

impl Command {
    pub(crate) fn new(line: &str) -> Command {
        Command(line.to_owned())
    }

    fn start(&self, message: &Message) -> io::Result<Child> {
        let mut command = std::process::Command::new("/bin/sh");
        command.arg("-c").arg(&self.0).envs(message.variables.iter().cloned());
        command.stdin(input(&message.json)?).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that what it has started can be killed with it.
        command.process_group(0).spawn()
    }
}

impl Deliver for Command {
    fn deliver(&mut self, message: &Message, over: &AtomicBool) -> Result<(), String> {
        let mut child = self.start(message).map_err(|error| error.to_string().to_lowercase())?;
        let start = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return judge(status),
                Ok(None) if start.elapsed() < TIMEOUT && !over.load(Relaxed) => std::thread::sleep(LOOK),
                Ok(None) => {
                    kill(&mut child);
                    return Err(format!("it did not end within {} s, and was killed", TIMEOUT.as_secs()));
                }
                Err(error) => return Err(error.to_string().to_lowercase()),
            }
        }
    }
}

/// A file in memory and no pipe: whoever does not read it holds up nobody.
fn input(json: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("weir-event", MFdFlags::MFD_CLOEXEC)?);
    writeln!(file, "{json}")?;
    file.rewind()?;
    Ok(file)
}

/// Kills the command and its process group, whose number is nobody else's as long as it was not waited for.
fn kill(child: &mut Child) {
    if let Ok(number) = i32::try_from(child.id()) {
        // A group that is gone is what was wanted.
        let _ = killpg(Pid::from_raw(number), Signal::SIGKILL);
    }
    let start = Instant::now();
    while start.elapsed() < BURIAL && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK);
    }
}

fn judge(status: ExitStatus) -> Result<(), String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("exit status {code}")),
        (None, signal) => Err(format!("killed by signal {}", signal.unwrap_or_default())),
    }
}
