//! A wire with an instance at its end, and the question whether a test can run at all.
#![allow(clippy::print_stderr, reason = "a skipped test says why, and measurements are told")]

use std::sync::atomic::{AtomicU32, Ordering};
use weir_dataplane::{Error, Hook, Instance, Policy, Report, Request};
use weir_lab::traffic::{Route, Steady, Traffic};
use weir_lab::wire::{Flow, Pace, SendOptions, Sent, send};
use weir_lab::{End, Host, HostSpec, Lab, Link, Prefix, Topology};

/// Ends the test early, with a word, where the kernel cannot be asked.
macro_rules! require_kernel {
    () => {
        if !crate::support::privileged(std::thread::current().name().unwrap_or("?")) {
            return;
        }
    };
}
pub(crate) use require_kernel;

pub(crate) fn privileged(test: &str) -> bool {
    let Some(error) = weir_kernel::probe::why_not() else { return true };
    assert!(
        std::env::var("WEIR_REQUIRE_KERNEL").as_deref() != Ok("1"),
        "{test} must run here (WEIR_REQUIRE_KERNEL=1), but: {error}"
    );
    eprintln!("skipped {test}: {error}");
    false
}

/// Ends the test early, with a word, where programs that others wrote are not installed.
macro_rules! require_tools {
    ($($tool:literal),+) => {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        if !crate::support::installed(&test, &[$($tool),+]) {
            return;
        }
    };
}
pub(crate) use require_tools;

pub(crate) fn installed(test: &str, tools: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&paths).any(|path| path.join(tool).is_file());
    let missing: Vec<&str> = tools.iter().copied().filter(|tool| !there(tool)).collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    assert!(
        std::env::var("WEIR_REQUIRE_KERNEL").as_deref() != Ok("1"),
        "{test} must run here (WEIR_REQUIRE_KERNEL=1), but these are not installed: {missing}"
    );
    eprintln!("skipped {test}: not installed: {missing}");
    false
}

/// Tells what was measured.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// A client and an edge with two interfaces; the instance sits on `in0` unless the test says otherwise.
pub(crate) struct Edge {
    pub(crate) lab: Lab,
    pub(crate) instance: String,
}

impl Edge {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let end =
            |host: &str, name: &str, address: [u8; 4]| End::new(host, name).address(Prefix::new(address, 24));
        let lab = Topology::new()
            .host(HostSpec::new("client"))
            .host(HostSpec::new("edge"))
            .link(Link::new(end("client", "eth0", [10, 1, 0, 2]), end("edge", "in0", [10, 1, 0, 1])))
            .link(Link::new(end("client", "eth1", [10, 2, 0, 2]), end("edge", "in1", [10, 2, 0, 1])))
            .build()
            .expect("a lab");
        let instance = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { lab, instance }
    }

    pub(crate) fn host(&self) -> &Host {
        self.lab.host("edge").expect("there")
    }

    /// Loads a policy on `in0`.
    pub(crate) fn load(&self, text: &str) -> (Instance, Report) {
        self.try_load(text, &["in0"], Hook::XdpNative).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_load(
        &self,
        text: &str,
        interfaces: &[&str],
        hook: Hook,
    ) -> Result<(Instance, Report), Error> {
        let load = || {
            let request = Request::new(Policy::new("test.weir", text), interfaces);
            Instance::load(&Request { instance: &self.instance, hook, ..request })
        };
        self.host().run(load).expect("the namespace")
    }

    /// Sends so many UDP frames of 100 bytes to a port of the edge.
    pub(crate) fn send(&self, port: u16, frames: u64) -> Sent {
        let client = self.lab.host("client").expect("there");
        let mut traffic = self.steady(4000, port, 1);
        let options =
            SendOptions::new(Pace::PerSecond(100_000), std::time::Duration::from_secs(60)).frames(frames);
        let sent = send(client, "eth0", &mut traffic, &options).expect("sending");
        // What is in the ring of the veth comes within a few ticks.
        std::thread::sleep(std::time::Duration::from_millis(30));
        sent
    }

    pub(crate) fn steady(&self, srcport: u16, dstport: u16, flow: u32) -> Steady {
        Steady::new(self.route(), srcport, dstport, 100, Flow(flow))
    }

    pub(crate) fn route(&self) -> Route {
        let client = self.lab.host("client").expect("there");
        Route::from(client.interface("eth0").expect("there"), std::net::Ipv4Addr::new(10, 1, 0, 1))
            .expect("a route")
    }

    /// The directories of generations.
    pub(crate) fn generations(&self) -> Vec<String> {
        let mut all: Vec<String> =
            leftovers(&self.instance).into_iter().filter(|name| name.starts_with("gen-")).collect();
        all.sort();
        all
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = weir_dataplane::unload(&self.instance);
    }
}

/// Whatever is in an instance's directory.
pub(crate) fn leftovers(instance: &str) -> Vec<String> {
    let path = weir_kernel::pins::ensure_bpffs().expect("bpffs").join("weir").join(instance);
    match std::fs::read_dir(path) {
        Ok(entries) => {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Two streams in turn.
pub(crate) struct Both<A, B>(pub(crate) A, pub(crate) B, pub(crate) bool);

impl<A: Traffic, B: Traffic> Traffic for Both<A, B> {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        self.2 = !self.2;
        if self.2 { self.0.next(frame) } else { self.1.next(frame) }
    }
}

/// The packets of a statement.
pub(crate) fn packets(instance: &Instance, statement: &str) -> u64 {
    let counters = instance.counters().unwrap_or_else(|error| panic!("{error}"));
    let found = counters.into_iter().find(|counter| counter.name == statement);
    found.unwrap_or_else(|| panic!("no statement {statement}")).packets
}
