//! An etcd of our own, on the loopback.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_fleet::etcd::{Options, Store};

/// Says why a test does nothing, or fails if it must not be skipped.
pub(crate) fn is_missing(test: &str) -> bool {
    let missing = Command::new("etcd").arg("--version").stdout(Stdio::null()).status().is_err();
    if missing {
        assert!(std::env::var_os("WEIR_REQUIRE_KERNEL").is_none(), "etcd is missing");
        skip(test);
    }
    missing
}

#[allow(clippy::print_stderr, reason = "a skip that nobody sees would look like a test that passed")]
fn skip(test: &str) {
    eprintln!("skipped `{test}`: etcd is not installed");
}

/// Ends it, and its data, when it is dropped.
pub(crate) struct Etcd {
    directory: TempDir,
    pub(crate) url: String,
    peer: String,
    more: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    pub(crate) fn start() -> Etcd {
        Etcd::with("http", &[])
    }

    pub(crate) fn with(scheme: &str, more: &[String]) -> Etcd {
        let (url, peer) =
            (format!("{scheme}://127.0.0.1:{}", port()), format!("http://127.0.0.1:{}", port()));
        let directory = TempDir::new().unwrap();
        let mut etcd = Etcd { directory, url, peer, more: more.to_vec(), child: None };
        etcd.begin();
        etcd
    }

    /// Starts it with the data that it had.
    pub(crate) fn begin(&mut self) {
        let data = self.directory.path().join("data");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "etcd", "--log-level", "error", "--data-dir"]).arg(data);
        command.args(["--listen-client-urls", &self.url, "--advertise-client-urls", &self.url]);
        command.args(["--listen-peer-urls", &self.peer, "--initial-advertise-peer-urls", &self.peer]);
        command.args(["--initial-cluster", &format!("default={}", self.peer), "--unsafe-no-fsync"]);
        command.args(&self.more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it hang, or go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(id.cast_signed()), signal).unwrap();
    }

    pub(crate) fn options(&self) -> Options {
        Options { endpoints: vec![self.url.clone()], lease: Duration::from_secs(2), ..Options::default() }
    }

    /// A copy that is there.
    pub(crate) fn store(&self) -> Store {
        let store = Store::open(self.options()).unwrap();
        store.reached(Duration::from_secs(10)).unwrap();
        store
    }

    /// As a person would.
    pub(crate) fn ctl(&self, args: &[&str]) -> String {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until it holds.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not after 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
