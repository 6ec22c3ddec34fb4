//! Which headers a frame has: the walk over the protocol graph, in the plainest way.
//!
//! The law: a header is there when all of it is inside the frame, its definition's `require`
//! holds, and the header before it says that it follows. Lengths that headers claim never make
//! anything outside the frame readable.

use super::value;
use crate::policy::{HeaderRef, LEVELS, MAX_HEADER, Next, ProtocolId, Protocols, Selector};

/// A header that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Which.
    pub name: HeaderRef,
    /// Its first byte in the frame.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// All headers of a frame, outermost first.
pub fn walk(protocols: &Protocols, frame: &[u8]) -> Vec<Header> {
    let mut walk = Walk { protocols, frame, headers: Vec::new() };
    let mut next = protocols.root.map(|root| (root, 0));
    let (mut offset, mut level) = (0, 0);
    while let Some((protocol, rise)) = next {
        level += rise;
        let Some(header) = walk.enter(protocol, level, offset) else { break };
        walk.headers.push(header);
        offset = header.offset + header.length;
        next = walk.follow(header);
    }
    walk.headers
}

struct Walk<'a> {
    protocols: &'a Protocols,
    frame: &'a [u8],
    headers: Vec<Header>,
}

impl Walk<'_> {
    /// The header of `protocol` at `offset`, if it is there.
    fn enter(&self, protocol: ProtocolId, level: u8, offset: usize) -> Option<Header> {
        let definition = &self.protocols[protocol];
        let here = |h: &&Header| h.name.level == level;
        let of_group = self
            .headers
            .iter()
            .filter(here)
            .filter(|h| self.protocols[h.name.protocol].group == definition.group);
        if level >= LEVELS || of_group.count() >= usize::from(definition.depth) {
            return None;
        }
        let index = self.headers.iter().filter(here).filter(|h| h.name.protocol == protocol).count() as u8;
        let fixed = usize::from(definition.fixed);
        let mut header = Header { name: HeaderRef { level, protocol, index }, offset, length: fixed };
        if offset + fixed > self.frame.len() {
            return None;
        }
        let scope = value::Scope::inside(self.protocols, self.frame, &header);
        if definition.require.as_ref().is_some_and(|p| !scope.holds(p)) {
            return None;
        }
        let length = scope.term(&definition.length)? as i128;
        if length > i128::from(MAX_HEADER)
            || length < fixed as i128
            || offset as i128 + length > self.frame.len() as i128
        {
            return None;
        }
        header.length = length as usize;
        Some(header)
    }

    /// The protocol that follows a header, and whether a new packet begins with it.
    fn follow(&self, header: Header) -> Option<(ProtocolId, u8)> {
        let definition = &self.protocols[header.name.protocol];
        let scope = value::Scope::inside(self.protocols, self.frame, &header);
        if definition.carries.as_ref().is_some_and(|p| !scope.holds(p)) {
            return None;
        }
        definition.next.iter().find_map(|next| {
            if next.when.as_ref().is_some_and(|p| !scope.holds(p)) {
                return None;
            }
            let row = self.answer(next, header, &scope)?;
            Some((row.1, u8::from(row.2)))
        })
    }

    fn answer<'n>(
        &self,
        next: &'n Next,
        header: Header,
        scope: &value::Scope,
    ) -> Option<&'n (u128, ProtocolId, bool)> {
        let asked = match &next.selector {
            Selector::Always => return next.table.first(),
            Selector::Term(term) => scope.term(term)?,
            Selector::Peek(bits) => {
                value::bits(self.frame, (header.offset + header.length) * 8, u32::from(*bits))?
            }
        };
        next.table.iter().find(|row| row.0 == asked)
    }
}
