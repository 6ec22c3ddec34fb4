//! Frames to send: each kind is a [`Traffic`], a seed names its frames for ever.

mod attack;
mod everyday;
mod flood;
mod random;
mod replay;
mod template;

use std::net::IpAddr;

use weir_packet::Mac;

pub use attack::Attack;
pub use everyday::{Everyday, Kind};
pub use flood::{Amplifier, Reflection, Steady, SynFlood};
pub use random::Random;
pub use replay::Replay;

use crate::wire::Flow;
use crate::{Interface, LabError};

/// A source of frames.
pub trait Traffic {
    /// Writes the next frame in place of what is in `frame`, and says which flow it belongs to.
    /// `None` when there are no more.
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow>;
}

/// Between which addresses traffic goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The sender's Ethernet address.
    pub src_mac: Mac,
    /// The next hop's Ethernet address.
    pub dst_mac: Mac,
    /// The honest source, for traffic that has one.
    pub src: IpAddr,
    /// The destination.
    pub dst: IpAddr,
}

impl Route {
    /// From an interface, by what is at its other end, to an address.
    ///
    /// # Errors
    /// When the interface has no address of the destination's family.
    pub fn from(interface: &Interface, dst: impl Into<IpAddr>) -> Result<Route, LabError> {
        let dst = dst.into();
        let src = if dst.is_ipv4() { interface.ipv4()? } else { interface.ipv6()? };
        Ok(Route { src_mac: interface.mac, dst_mac: interface.peer, src, dst })
    }
}
