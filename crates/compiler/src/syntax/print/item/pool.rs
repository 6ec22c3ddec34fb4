//! Pools, their backends and clauses in columns; and where a `balance` sends packets.

use super::Rows;
use super::statement::keys;
use super::unit::Unit;
use crate::syntax::ast::{Backend, Balance, Check, Literal, LiteralValue, Pool, PoolEntry, Probe, Via};
use crate::syntax::print::expr::Pieces;
use crate::syntax::print::layout::{Row, Table};
use std::ops::Range;

impl<'a> Rows<'a> {
    pub(super) fn pool(&mut self, pool: &'a Pool, range: Range<u32>) {
        let units: Vec<_> = pool.entries.iter().map(Unit::PoolEntry).collect();
        let first = pool.entries.first().map(|entry| entry.span().start);
        let head = Row::plain(0, format!("pool {}", pool.name.text));
        self.block_or_verbatim(head, units, first, range);
    }

    pub(super) fn pool_entry(&mut self, entry: &'a PoolEntry, range: Range<u32>, indent: usize) {
        let mut pieces = self.pieces();
        let (table, cell) = match entry {
            PoolEntry::Backend(backend) => {
                said(&mut pieces, "weight", &backend.weight);
                if backend.drained {
                    pieces.put("drained");
                    pieces.soft();
                }
                said(&mut pieces, "mac", &backend.mac);
                (Table::Backend, self.endpoint(backend))
            }
            PoolEntry::Check(check) => {
                self.check(&mut pieces, check);
                (Table::Clause, "check".to_owned())
            }
            PoolEntry::Down(down) => {
                pieces.put(&down.what.text);
                (Table::Clause, "down".to_owned())
            }
            PoolEntry::Track(track) => {
                pieces.put(&track.what.text);
                (Table::Clause, "track".to_owned())
            }
            PoolEntry::Setting(setting) => {
                pieces.literal(&setting.value);
                (Table::Clause, setting.kind.word().to_owned())
            }
        };
        self.leaf(table, indent, vec![cell], pieces.finish(), range);
    }

    fn endpoint(&self, backend: &Backend) -> String {
        let text = |literal: &Literal| self.sources.text(literal.span);
        let address = text(&backend.address);
        match (&backend.port, &backend.address.value) {
            (None, _) => address.to_owned(),
            (Some(port), LiteralValue::Ip6(_)) => format!("[{address}]:{}", text(port)),
            (Some(port), _) => format!("{address}:{}", text(port)),
        }
    }

    fn check(&self, pieces: &mut Pieces<'_>, check: &Check) {
        let (word, texts) = match &check.probe {
            Probe::Tcp => ("tcp", vec![]),
            Probe::Http { tls, path, host } => {
                let host = host.as_ref().map(|host| ("host", host));
                let texts = [("", path)].into_iter().chain(host).collect();
                (if *tls { "https" } else { "http" }, texts)
            }
            Probe::Dns(name) => ("dns", vec![("", name)]),
            Probe::Udp { send, expect } => ("udp", vec![("", send), ("expect", expect)]),
            Probe::Exec(command) => ("exec", vec![("", command)]),
        };
        pieces.put(word);
        for (word, text) in texts {
            match word {
                "" => pieces.put(" "),
                word => {
                    pieces.soft();
                    pieces.put(&format!("{word} "));
                }
            }
            pieces.put(self.sources.text(text.span));
        }
        pieces.soft();
        if let Some(through) = &check.through {
            pieces.put(&format!("through {}", through.text));
            pieces.soft();
        }
        said(pieces, "port", &check.port);
        said(pieces, "every", &check.every);
        said(pieces, "timeout", &check.timeout);
        said(pieces, "fall", &check.fall);
        said(pieces, "rise", &check.rise);
    }
}

/// A word and its value, if that was said.
fn said(pieces: &mut Pieces<'_>, word: &str, value: &Option<Literal>) {
    if let Some(value) = value {
        pieces.put(&format!("{word} "));
        pieces.literal(value);
        pieces.soft();
    }
}

/// `to POOL [by KEYS] [via …] [echo]`
pub(super) fn balance(pieces: &mut Pieces<'_>, balance: &Balance) {
    pieces.soft();
    pieces.put(&format!("to {}", balance.pool.text));
    if !balance.by.is_empty() {
        pieces.soft();
        pieces.put("by ");
        keys(pieces, &balance.by);
    }
    if let Some(via) = &balance.via {
        pieces.soft();
        self::via(pieces, via);
    }
    if balance.echo.is_some() {
        pieces.soft();
        pieces.put("echo");
    }
}

fn via(pieces: &mut Pieces<'_>, via: &Via) {
    pieces.put(&format!("via {}", via.mode.word()));
    for (word, number) in [(" id ", &via.id), (" port ", &via.port)] {
        if let Some(number) = number {
            pieces.put(word);
            pieces.literal(number);
        }
    }
    match via.from.as_slice() {
        [] => {}
        [one] => {
            pieces.put(" from ");
            pieces.literal(one);
        }
        [first, others @ ..] => {
            pieces.put(" from (");
            pieces.literal(first);
            for other in others {
                pieces.put(", ");
                pieces.literal(other);
            }
            pieces.put(")");
        }
    }
    if let Some((first, last)) = &via.ports {
        pieces.put(" ports ");
        pieces.literal(first);
        pieces.put("..");
        pieces.literal(last);
    }
}
