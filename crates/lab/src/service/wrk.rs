//! wrk, which asks for one page as often as it can.

use std::time::Duration;

use crate::program::{Program, Scratch};
use crate::{Host, LabError};

/// Its own figures in one line, in the order of [`WrkReport`].
const SCRIPT: &str = r#"done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format("\nfigures %d %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
        latency:percentile(99), errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
"#;

/// How long an answer may take until it counts as missing.
const TIMEOUT: &str = "5s";

/// A load of wrk's: connections that are kept, each with one request under way at a time.
#[derive(Debug, Clone)]
pub struct WrkLoad {
    /// The page, `http://…`.
    pub url: String,
    /// How many connections.
    pub connections: u32,
    /// How long, in whole seconds.
    pub seconds: u32,
    /// Another connection for each request.
    pub close: bool,
}

/// What wrk counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrkReport {
    /// Answers.
    pub requests: u64,
    /// How long it asked.
    pub duration: Duration,
    /// 99 of 100 answers came within.
    pub slow: Duration,
    /// Errors of sockets: to connect, read, write, and answers that were missing.
    pub socket_errors: [u64; 4],
    /// Answers of another status than 2xx and 3xx.
    pub refused: u64,
}

impl WrkLoad {
    /// Runs it on a host, in one thread.
    ///
    /// # Errors
    /// When it cannot be run, or says something else than its figures.
    pub fn run(&self, host: &Host) -> Result<WrkReport, LabError> {
        let scratch = Scratch::create()?;
        let script = scratch.write("figures.lua", SCRIPT)?;
        let (connections, duration) = (self.connections.to_string(), format!("{}s", self.seconds));
        let mut command = vec!["wrk", "-t", "1", "-c", &connections, "-d", &duration, "--timeout", TIMEOUT];
        command.extend(["-s", &script]);
        if self.close {
            command.extend(["-H", "Connection: close"]);
        }
        command.push(&self.url);
        let within = Duration::from_secs(u64::from(self.seconds) + 20);
        let said = Program::run(host, &command, within)?;
        let report = WrkReport::read(&said);
        report.ok_or_else(|| LabError::Program { what: command.join(" "), status: None, said })
    }
}

impl WrkReport {
    fn read(said: &str) -> Option<WrkReport> {
        let figures = said.lines().find_map(|line| line.strip_prefix("figures "))?;
        let figures: Vec<u64> = figures.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let &[requests, duration, slow, connect, read, write, timeout, refused] = &figures[..] else {
            return None;
        };
        Some(WrkReport {
            requests,
            duration: Duration::from_micros(duration),
            slow: Duration::from_micros(slow),
            socket_errors: [connect, read, write, timeout],
            refused,
        })
    }

    /// Whether every request was answered as it should be.
    pub fn is_clean(&self) -> bool {
        self.socket_errors == [0; 4] && self.refused == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let said = "Running 1s test\n\nfigures 100 1000000 250 0 1 0 2 3\n";
        let report = WrkReport::read(said).expect("figures");
        assert_eq!((report.requests, report.slow.as_micros(), report.refused), (100, 250, 3));
        assert_eq!(report.socket_errors, [0, 1, 0, 2]);
        assert!(!report.is_clean());
        assert_eq!(WrkReport::read("figures 1 2\n"), None);
    }
}
