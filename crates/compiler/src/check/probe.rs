//! Checks of health: what they ask, where, and how often.

use super::Checker;
use crate::diagnostic::Code;
use crate::policy::Backend;
use crate::source::Span;
use crate::syntax::ast::{self, Literal, LiteralValue, Str};
use std::time::Duration;
use weir_pool::health::{Rhythm, RhythmError};
use weir_pool::probe::{Check, Probe};

const EVERY: Duration = Duration::from_secs(2);

/// The shortest period: whoever keeps pools reads results every 50 ms, so that more probes than some of each time only load
/// backends, and a backend is down after three of them at once.
const LEAST: Duration = Duration::from_millis(10);

/// The longest timeout that is not asked for.
const TIMEOUT: Duration = Duration::from_secs(1);

const FALL: u32 = 3;
const RISE: u32 = 2;

/// What fits into every IPv6 packet behind its own header and that of UDP (RFC 8200), so that nothing is fragmented.
const LARGEST_DATAGRAM: usize = 1232;

impl Checker<'_> {
    pub(super) fn check(&mut self, ast: &ast::Check, backends: &[Backend]) -> Option<Check> {
        let probe = self.probe(&ast.probe);
        let port = ast.port.as_ref().map(|port| self.port(port));
        let rhythm = self.rhythm(ast);
        let probe = probe?;
        if let (Some(through), Probe::Exec { .. }) = (&ast.through, &probe) {
            return self.bad_pool(
                through.span,
                "a command asks in its own way, which is not that of a `balance`",
                "leave `through` out, or use another probe",
            );
        }
        let portless = backends.iter().find(|backend| backend.endpoint.port == 0);
        let asks_there = ast.through.is_none() && ast.port.is_none();
        if let (true, None, Some(backend)) = (asks_there, probe.usual_port(), portless) {
            let message = format!("`check {}` has no port to ask `{}` at", probe.word(), backend.endpoint);
            let found = self.diagnostics.report(Code::BadPool, ast.span, message);
            found.label("asks every backend").also(backend.span, "has no port of its own");
            found.help("say `port N`, or give each backend a port");
            return None;
        }
        let port = if let Some(port) = port { Some(port?) } else { None };
        Some(Check { probe, port, rhythm: rhythm? })
    }

    fn rhythm(&mut self, ast: &ast::Check) -> Option<Rhythm> {
        let every = self.period(&ast.every, EVERY);
        if let (Some(said), Some(_)) = (&ast.every, every.filter(|every| *every < LEAST)) {
            let message = format!("a check is made every {LEAST:?} at most");
            return self.bad_pool(
                said.span,
                message,
                "would ask each backend more often than results are read",
            );
        }
        let timeout = match every {
            Some(every) => self.period(&ast.timeout, (every / 2).min(TIMEOUT)),
            None => None,
        };
        let (fall, rise) = (self.results(&ast.fall, FALL), self.results(&ast.rise, RISE));
        let error = match Rhythm::new(every?, timeout?, fall?, rise?) {
            Ok(rhythm) => return Some(rhythm),
            Err(error) => error,
        };
        let said = match error {
            RhythmError::Timeout { .. } => ast.timeout.as_ref().or(ast.every.as_ref()),
            RhythmError::Zero { what: "fall" } => ast.fall.as_ref(),
            RhythmError::Zero { .. } => ast.rise.as_ref(),
        };
        let span = said.map_or(ast.span, |literal| literal.span);
        self.bad_pool(span, error.to_string(), "cannot be kept")
    }

    fn period(&mut self, said: &Option<Literal>, default: Duration) -> Option<Duration> {
        match said {
            Some(literal) => self.duration(literal).map(Duration::from_nanos),
            None => Some(default),
        }
    }

    /// How many results one after the other decide.
    fn results(&mut self, said: &Option<Literal>, default: u32) -> Option<u32> {
        let Some(literal) = said else { return Some(default) };
        match literal.value {
            LiteralValue::Int(count) if count <= u128::from(u32::MAX) => Some(count as u32),
            _ => self.bad_pool(literal.span, "expected a number of results", "such as `fall 3` or `rise 2`"),
        }
    }

    fn probe(&mut self, ast: &ast::Probe) -> Option<Probe> {
        Some(match ast {
            ast::Probe::Tcp => Probe::Tcp,
            ast::Probe::Http { tls, path, host } => {
                let path = self.path(path);
                let host = host.as_ref().map(|host| self.visible(host, "a host's name"));
                let host = if let Some(host) = host { Some(host?) } else { None };
                Probe::Http { path: path?, host, tls: *tls }
            }
            ast::Probe::Dns(name) => Probe::Dns { name: self.domain(name)? },
            ast::Probe::Udp { send, expect } => {
                Probe::Udp { send: self.datagram(send)?, expect: self.datagram(expect)? }
            }
            ast::Probe::Exec(command) => Probe::Exec { command: self.command(command)? },
        })
    }

    fn path(&mut self, path: &Str) -> Option<String> {
        let text = self.visible(path, "a path")?;
        match text.starts_with('/') {
            true => Some(text),
            false => self.bad_pool(path.span, "a path begins with `/`", "such as `\"/healthz\"`"),
        }
    }

    /// Text that stands in a line of a request as it is.
    fn visible(&mut self, text: &Str, what: &str) -> Option<String> {
        let printable = !text.value.is_empty() && text.value.iter().all(u8::is_ascii_graphic);
        match printable {
            true => Some(String::from_utf8_lossy(&text.value).into_owned()),
            false => {
                let message = format!("{what} is of visible ASCII characters, without spaces");
                self.bad_pool(text.span, message, "write others as `%20`, or as punycode in a host's name")
            }
        }
    }

    /// A domain name, of labels of 1 to 63 bytes, in all 253 at most (RFC 1035).
    fn domain(&mut self, name: &Str) -> Option<String> {
        let text = self.visible(name, "a domain name")?;
        let labels = text.strip_suffix('.').unwrap_or(&text);
        let fits = labels.len() <= 253 && labels.split('.').all(|label| (1..=63).contains(&label.len()));
        match fits {
            true => Some(text),
            false => self.bad_pool(
                name.span,
                "a domain name has labels of 1 to 63 characters, 253 in all",
                "such as `\"example.net\"`",
            ),
        }
    }

    fn datagram(&mut self, bytes: &Str) -> Option<Vec<u8>> {
        match bytes.value.len() {
            0..=LARGEST_DATAGRAM => Some(bytes.value.clone()),
            length => {
                let message =
                    format!("a check's datagram has at most {LARGEST_DATAGRAM} bytes, not {length}");
                self.bad_pool(bytes.span, message, "too long")
            }
        }
    }

    /// A program and its arguments, parted by spaces. Where programs are looked for is no business of a policy.
    fn command(&mut self, command: &Str) -> Option<Vec<String>> {
        let Ok(text) = std::str::from_utf8(&command.value) else {
            return self.bad_command(command.span, "a command is text");
        };
        if text.contains('\0') {
            return self.bad_command(command.span, "a command has no zero bytes");
        }
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        match words.first() {
            Some(program) if program.starts_with('/') => Some(words),
            _ => self.bad_command(command.span, "a command begins with the whole path of its program"),
        }
    }

    fn bad_command<T>(&mut self, span: Span, message: &str) -> Option<T> {
        self.bad_pool(span, message, "such as `\"/usr/bin/prog arg\"`")
    }
}
