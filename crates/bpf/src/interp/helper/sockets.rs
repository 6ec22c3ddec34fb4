//! Helpers that look for sockets of TCP, and ask those that listen for SYN cookies.

use super::{Answer, INVALID, number};
use crate::helpers::*;
use crate::interp::Sockets;
use crate::interp::exec::{Machine, Socket};
use crate::interp::fault::{FaultKind, Wanted};
use crate::interp::value::{Tag, Value};

/// `-ENOENT`.
const NO_COOKIE: i64 = -2;
/// `TCP_LISTEN`.
const LISTENS: u32 = 10;
/// Bytes of `struct bpf_sock_tuple` with addresses of either family, of an IP header and of one of TCP without options.
const TUPLES: [u64; 2] = [12, 36];
const IP: u64 = 20;
const TCP: u64 = 20;
/// Flags of a segment: FIN, SYN, RST and ACK; those of a SYN, and those that must be as in an acknowledgement.
const FLAGS: u8 = 0x17;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const ACK_OF: u8 = 0x16;

impl Machine<'_> {
    pub(super) fn skc_lookup_tcp(&mut self) -> Answer {
        self.context_argument(1)?;
        let (len, flags) = (self.argument(3)?, self.argument(5)?);
        let tuple = self.memory(2, len as usize)?.to_vec();
        let sockets = self.sockets(SKC_LOOKUP_TCP)?;
        match sockets.find(&tuple).filter(|_| TUPLES.contains(&len) && flags == 0) {
            None => number(0),
            Some(state) => {
                self.opened.push(Socket::new(state));
                Ok(Value::pointer(Tag::Socket(self.opened.len() as u32 - 1), 0))
            }
        }
    }

    pub(super) fn sk_release(&mut self) -> Answer {
        self.socket()?.open = false;
        number(0)
    }

    pub(super) fn tcp_gen_syncookie(&mut self) -> Answer {
        let (state, ip, segment) = self.segment()?;
        let length = usize::from(segment[12] >> 4) * 4;
        if state != LISTENS || length != segment.len() || segment[13] & FLAGS != SYN {
            return number(INVALID);
        }
        match self.sockets(TCP_GEN_SYNCOOKIE)?.cookie(&ip, &segment) {
            Some((cookie, mss)) => number(i64::from(cookie) | i64::from(mss) << 32),
            None => number(NO_COOKIE),
        }
    }

    pub(super) fn tcp_check_syncookie(&mut self) -> Answer {
        let (state, ip, segment) = self.segment()?;
        if state != LISTENS {
            return number(INVALID);
        }
        let valid =
            segment[13] & ACK_OF == ACK && self.sockets(TCP_CHECK_SYNCOOKIE)?.brings_cookie(&ip, &segment);
        number(if valid { 0 } else { NO_COOKIE })
    }

    /// The socket's state, an IP header and one of TCP, as both helpers take them.
    fn segment(&mut self) -> Result<(u32, Vec<u8>, Vec<u8>), FaultKind> {
        let state = self.socket()?.state();
        let (ip, tcp) = (self.argument(3)?, self.argument(5)?);
        let wanted = |nth| FaultKind::Argument { nth, wanted: Wanted::Number };
        if ip < IP {
            return Err(wanted(3));
        }
        if tcp < TCP {
            return Err(wanted(5));
        }
        Ok((state, self.memory(2, ip as usize)?.to_vec(), self.memory(4, tcp as usize)?.to_vec()))
    }

    fn socket(&mut self) -> Result<&mut Socket, FaultKind> {
        let wanted = FaultKind::Argument { nth: 1, wanted: Wanted::Socket };
        match self.regs[1] {
            Value { tag: Tag::Socket(nth), bits: 0 } => {
                self.opened.get_mut(nth as usize).filter(|socket| socket.open).ok_or(wanted)
            }
            _ => Err(wanted),
        }
    }

    fn sockets(&mut self, helper: u32) -> Result<&mut Box<dyn Sockets>, FaultKind> {
        self.vm.sockets.as_mut().ok_or(FaultKind::UnknownHelper(helper))
    }
}
