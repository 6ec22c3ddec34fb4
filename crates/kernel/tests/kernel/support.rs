//! Guards and the question whether this test can run at all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use weir_kernel::netlink::{Interface, Netlink, VethEnd};
use weir_kernel::netns::OwnedNamespace;
use weir_kernel::pins::{self, PinDir};

/// Ends the test early, with a word, where the kernel cannot be asked.
macro_rules! require_kernel {
    () => {
        if !crate::support::privileged(std::thread::current().name().unwrap_or("?")) {
            return;
        }
    };
}
pub(crate) use require_kernel;

/// Figures for the reader. Not by `eprintln`, which the harness keeps to itself when a test passes.
macro_rules! say {
    ($($word:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($word)*);
    }};
}
pub(crate) use say;

pub(crate) fn privileged(test: &str) -> bool {
    // Capabilities can be had and still not count: the kernel's answer is the honest test.
    let Some(error) = weir_kernel::probe::why_not() else { return true };
    assert!(
        std::env::var("WEIR_REQUIRE_KERNEL").as_deref() != Ok("1"),
        "{test} must run here (WEIR_REQUIRE_KERNEL=1), but: {error}"
    );
    say!("skipped {test}: {error}");
    false
}

/// A name that no other test of any process has.
pub(crate) fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A directory of pins that goes with its value.
pub(crate) struct Pins(Option<PinDir>);

impl Pins {
    pub(crate) fn new() -> Self {
        let mount = pins::ensure_bpffs().expect("bpffs");
        Self(Some(PinDir::create(&mount.join(unique("weir-test-"))).expect("a directory of pins")))
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir().pin(name)
    }

    pub(crate) fn dir(&self) -> &PinDir {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            let _ = dir.remove();
        }
    }
}

/// Two namespaces with a veth pair between them: `left` and `right`, both up.
pub(crate) struct Wire {
    pub(crate) left: OwnedNamespace,
    pub(crate) right: OwnedNamespace,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let left = OwnedNamespace::create(&unique("weir-l")).expect("a namespace");
        let right = OwnedNamespace::create(&unique("weir-r")).expect("a namespace");
        let end = |name, namespace| VethEnd { name, namespace, mac: None, mtu: None, queues: None };
        let mut netlink = Netlink::open_in(&left).expect("netlink");
        netlink.create_veth(&end("left", None), &end("right", Some(&right))).expect("a veth pair");
        netlink.set_up("left").expect("left up");
        Netlink::open_in(&right).and_then(|mut netlink| netlink.set_up("right")).expect("right up");
        Self { left, right }
    }

    /// Runs `work` beside the left end.
    pub(crate) fn at_left<T: Send>(&self, work: impl FnOnce(Interface) -> T + Send) -> T {
        self.left.run(|| work(Interface::named("left").expect("left"))).expect("the namespace")
    }
}
