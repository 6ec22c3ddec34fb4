//! Panics of the code under test, as text: the seed that they belong to is told with them.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// How many [`caught`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static TOLD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does the work; a panic is kept to ourselves and given back. Elsewhere panics stay loud.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match DEPTH.get() {
            0 => loud(info),
            _ => TOLD.set(info.to_string()),
        }));
    });
    DEPTH.set(DEPTH.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    done.map_err(|_| TOLD.take())
}
