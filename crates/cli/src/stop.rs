//! Ctrl-C and its kin: a flag that long commands look at, so that all of them clean up.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Set by the first signal; the second one ends the process where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Stop(pub(crate) Arc<AtomicBool>);

/// How often sleepers look at the flag.
const LOOK: Duration = Duration::from_millis(20);

impl Stop {
    /// Takes over the signals.
    pub(crate) fn on_signals() -> Result<Stop, Failure> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // The order matters: the first signal finds the flag unset, and sets it.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Stop(flag))
    }

    /// One of our own, that no signal sets.
    pub(crate) fn never_asked() -> Stop {
        Stop(Arc::new(AtomicBool::new(false)))
    }

    /// Whether it is time to go.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// As if a signal had come.
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Sleeps, unless it is time to go.
    pub(crate) fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.asked() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}
