//! Progress of what takes a while, on stderr, and only on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
