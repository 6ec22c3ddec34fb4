//! A process of `weir`, its answer, and what tests feed it.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use weir_packet::build::{Packet, TcpFlags};
use weir_packet::capture::{Frame, LinkType, PcapWriter, Resolution};

/// A policy with a statement of each kind.
pub(crate) const POLICY: &str = r#"set friends : ip = { 192.0.2.0/24 }
set blocked : ip timeout 10m max 1k

drop          blocked when ip.src in blocked
pass          friends when ip.src in friends
drop          big     when udp.srcport == 53 and frame.len > 400
shadow drop   small   when udp.srcport == 53
limit         syns    when tcp.flags.syn to 1/h burst 2 per ip.src
count         udps    when udp
default pass

test "answers" {
    udp(ip.src=198.51.100.7, udp.srcport=53, frame.len=1000) => drop by big
    udp(ip.src=198.51.100.7, udp.srcport=53, frame.len=100)  => pass by default
}
"#;

/// What a process said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Ended with this code, whatever it said.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Said so on stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in:\n{}", self.err);
        self
    }

    /// Answered so on stdout.
    #[track_caller]
    pub(crate) fn answers(self, text: &str) -> Self {
        assert!(self.out.contains(text), "`{text}` is not in:\n{}", self.out);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

/// Runs `weir` in a directory.
pub(crate) fn weir_in(directory: &Path, args: &[&str], input: &[u8]) -> Answer {
    answer(&mut command(directory, args), input)
}

pub(crate) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(args).current_dir(directory).env_remove("NO_COLOR");
    command
}

pub(crate) fn answer(command: &mut Command, input: &[u8]) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    // A process that never reads its input closes the pipe: that is its right.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("its output");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory with a policy `p.weir` and a capture `c.pcap`.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        let place = Place(TempDir::new().expect("a directory"));
        place.file("p.weir", POLICY.as_bytes());
        capture(&place.path("c.pcap"), &frames());
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    pub(crate) fn weir(&self, args: &[&str]) -> Answer {
        weir_in(self.0.path(), args, b"")
    }

    pub(crate) fn weir_reads(&self, args: &[&str], input: &[u8]) -> Answer {
        weir_in(self.0.path(), args, input)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        command(self.0.path(), args)
    }
}

/// One for each way through the policy, in its order; three SYNs, of which two are within the limit.
pub(crate) fn frames() -> Vec<Vec<u8>> {
    let (victim, other) = ("203.0.113.1:4000", "198.51.100.7:53");
    let udp = |from: &str, len: usize| {
        Packet::udp(from.parse().unwrap(), victim.parse().unwrap()).padded_to(len).build()
    };
    let syn =
        Packet::tcp("198.51.100.9:999".parse().unwrap(), victim.parse().unwrap(), TcpFlags::SYN).build();
    vec![udp("192.0.2.7:53", 1000), udp(other, 1000), udp(other, 100), syn.clone(), syn.clone(), syn]
}

/// Frames a second apart.
pub(crate) fn capture(path: &Path, frames: &[Vec<u8>]) {
    let mut writer = PcapWriter::create(path, LinkType::Ethernet, Resolution::Nano).expect("a capture");
    for (index, frame) in frames.iter().enumerate() {
        let time = (1_700_000_000 + index as u64) * 1_000_000_000;
        writer.frame(&Frame::ethernet(time, frame.clone())).expect("a frame");
    }
    writer.finish().expect("a capture");
}

/// Whether the kernel takes programs from us; a skip is said by name, or fails where it must not be.
pub(crate) fn privileged(test: &str) -> bool {
    let Some(why) = weir_kernel::probe::probe().guessed else { return true };
    let required = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
    assert!(!required, "`{test}` needs the kernel: {why}");
    skip(test, &why);
    false
}

#[allow(clippy::print_stderr, reason = "a skip that nobody sees would look like a test that passed")]
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("skipped `{test}`: {why}");
}

/// Drops every capability, for commands that must say what they miss.
pub(crate) fn without_privileges(directory: &Path, args: &[&str]) -> Option<Command> {
    let tool = Command::new("setpriv").arg("--version").output().is_ok();
    if !tool {
        return None;
    }
    let plain = command(directory, args);
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(plain.get_program());
    command.args(args).current_dir(directory);
    // Who has no privileges cannot give them up; and need not.
    let root = answer(Command::new("id").arg("-u"), b"").out.trim() == "0";
    Some(if root { command } else { plain })
}
