//! Whether this machine lets us make namespaces.

use weir_kernel::netns;

/// False, with the reason printed, where it does not; a failure where it must.
pub(crate) fn privileged(test: &str) -> bool {
    let name = format!("weir-{}-probe-{test}", std::process::id());
    let Err(error) = netns::OwnedNamespace::create(&name).map(drop) else {
        return true;
    };
    let must = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
    assert!(
        !must,
        "WEIR_REQUIRE_KERNEL is set, and {test} cannot run: {error}"
    );
    println!("skipped {test}: {error}");
    false
}
