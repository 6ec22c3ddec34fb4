//! Whether this machine lets us make namespaces.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_kernel::netns;

static TURN: Mutex<()> = Mutex::new(());

/// One test at a time, as floods and measurements disturb each other. Nothing, with the reason
/// printed, where the machine does not let us; a failure where it must.
pub(crate) fn privileged(test: &str) -> Option<MutexGuard<'static, ()>> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("weir-{}-probe", std::process::id());
    let Err(error) = netns::OwnedNamespace::create(&name).map(drop) else {
        return Some(turn);
    };
    let must = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
    assert!(!must, "WEIR_REQUIRE_KERNEL is set, and {test} cannot run: {error}");
    println!("skipped {test}: {error}");
    None
}
