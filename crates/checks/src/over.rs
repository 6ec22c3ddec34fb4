//! Until when a probe has time.

use tokio::sync::oneshot::Receiver;
use tokio::time::{Instant, sleep_until};

/// Comes when the deadline passes, or when the engine drops the other end.
#[derive(Debug)]
pub(crate) struct Over {
    /// Nothing for a time that the clock will not reach.
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: Receiver<()>,
}

impl Over {
    pub(crate) async fn wait(self) {
        let Over { deadline, cancelled } = self;
        match deadline {
            Some(deadline) => tokio::select! {
                () = sleep_until(deadline) => {}
                _ = cancelled => {}
            },
            None => {
                let _ = cancelled.await;
            }
        }
    }
}
