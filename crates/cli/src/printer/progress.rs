//! Progress of what takes a while, on stderr, and only on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Before this nobody wants to know.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that shows itself after a second, and goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new(what: &str, total: Option<u64>) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "{msg} {bar:30} {human_pos}/{human_len} {eta}",
            None => "{msg} {spinner} {human_pos}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_message(what.to_owned());
        Progress { bar, start: Instant::now(), shown: false }
    }

    /// So far.
    pub(crate) fn at(&mut self, position: u64) {
        if !self.shown && self.start.elapsed() > PATIENCE {
            // indicatif draws nothing if stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            self.shown = true;
        }
        if self.shown {
            self.bar.set_position(position);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A sign of life that shows itself after a second, and goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Waiting {
    pub(super) fn new(what: &'static str) -> Waiting {
        let over = Arc::new(AtomicBool::new(false));
        let sign = Arc::clone(&over);
        // Without a thread there is no sign of life, and the work is done all the same.
        let thread = thread::Builder::new().spawn(move || show(what, &sign)).ok();
        Waiting { over, thread }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It can neither fail nor tell anybody.
            let _ = thread.join();
        }
    }
}

fn show(what: &'static str, over: &AtomicBool) {
    let wait = |time: Duration| {
        let end = Instant::now() + time;
        while !over.load(Ordering::Relaxed) && Instant::now() < end {
            thread::park_timeout(end.saturating_duration_since(Instant::now()));
        }
        over.load(Ordering::Relaxed)
    };
    if wait(PATIENCE) {
        return;
    }
    let bar = ProgressBar::new_spinner();
    bar.set_message(what);
    while !wait(Duration::from_millis(120)) {
        bar.tick();
    }
    bar.finish_and_clear();
}
