//! Where probes run.

use std::io::Write;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use weir_pool::probe::Probe;

use crate::support::{Server, failed, judge};

/// In a namespace without an interface that is up there is no way even to this machine.
#[test]
fn probes_run_in_the_namespace_of_the_thread_that_starts_the_checker() {
    let server = Server::silent();
    let address = server.address;
    let inside = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok::<_, nix::Error>(judge(address, Probe::Tcp))
    });
    match inside.join().expect("the thread") {
        Ok(judged) => assert_eq!(judged, failed("no route")),
        Err(error) => {
            let must = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
            assert!(!must, "WEIR_REQUIRE_KERNEL is set, and there is no namespace: {error}");
            let test = "probes_run_in_the_namespace_of_the_thread_that_starts_the_checker";
            let _ = writeln!(std::io::stderr(), "skipped {test}: {error}");
            return;
        }
    }
    assert_eq!(judge(address, Probe::Tcp), Some(Ok(())), "outside all is well");
}
