//! A command, and how it ends.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use weir_pool::health::Outcome;

use crate::error::Error;
use crate::fault::words;
use crate::over::Over;

/// A command with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: String,
    arguments: Vec<String>,
}

impl Program {
    pub(super) fn new(command: &[String], address: SocketAddr) -> Result<Program, Error> {
        let (path, arguments) = command.split_first().ok_or(Error::NoCommand)?;
        if path.is_empty() {
            return Err(Error::NoCommand);
        }
        let mut arguments = arguments.to_vec();
        arguments.extend([address.ip().to_string(), address.port().to_string()]);
        Ok(Program { path: path.clone(), arguments })
    }

    /// Runs the command until it ends or is over; then it is killed, and waited for, so that it keeps its slot as
    /// long as it is there.
    pub(super) async fn run(&self, over: Over) -> Outcome {
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) => return self.not_made(&error),
        };
        tokio::select! {
            biased;
            status = child.wait() => status.map_or_else(|error| self.not_made(&error), judge),
            () = over.wait() => {
                kill(&mut child);
                let _ = child.wait().await;
                Outcome::TimedOut
            }
        }
    }

    fn not_made(&self, error: &std::io::Error) -> Outcome {
        Outcome::NotMade(format!("`{}`: {}", self.path, words(error)))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own, so that what it has started can be killed with it.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// Kills a command and its process group. Its number is nobody else's as long as it was not waited for.
fn kill(child: &mut Child) {
    if let Some(number) = child.id().and_then(|number| i32::try_from(number).ok()) {
        // A group that is gone is what was wanted.
        let _ = killpg(Pid::from_raw(number), Signal::SIGKILL);
    }
    let _ = child.start_kill();
}

fn judge(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Ok,
        (Some(code), _) => Outcome::Failed(format!("exit status {code}")),
        (None, signal) => Outcome::Failed(format!("killed by signal {}", signal.unwrap_or_default())),
    }
}
