//! The context structures `xdp_md` and `__sk_buff` (include/uapi/linux/bpf.h), as programs see
//! them before the kernel rewrites the accesses.

use super::fault::FaultKind;
use super::memory::Packet;
use super::value::Value;
use crate::insn::Size;

/// What `xdp_md` says beside the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct XdpMeta {
    /// The interface's number.
    pub ingress_ifindex: u32,
    /// The receive queue's number.
    pub rx_queue_index: u32,
}

/// What `__sk_buff` says beside the packet; programs may write some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SkbMeta {
    /// `PACKET_HOST` and so on.
    pub pkt_type: u32,
    /// Writable.
    pub mark: u32,
    /// Writable.
    pub queue_mapping: u32,
    /// In the machine's order, such as 0x0800; none takes the Ethernet header's.
    pub protocol: Option<u16>,
    /// A VLAN tag was taken off the frame.
    pub vlan_present: bool,
    /// That tag's control bits and number.
    pub vlan_tci: u16,
    /// That tag's protocol in the machine's order, such as 0x8100.
    pub vlan_proto: u16,
    /// Writable.
    pub priority: u32,
    /// Where it came in.
    pub ingress_ifindex: u32,
    /// Where it is.
    pub ifindex: u32,
    /// Writable.
    pub tc_index: u32,
    /// Writable.
    pub cb: [u32; 5],
    /// The flow's hash.
    pub hash: u32,
    /// Writable.
    pub tc_classid: u32,
}

/// The context of a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Context {
    Xdp(XdpMeta),
    Tc(SkbMeta),
}

impl Context {
    pub(super) fn load(&self, packet: &Packet, off: u64, size: Size) -> Result<Value, FaultKind> {
        match self {
            Context::Xdp(meta) => load_xdp(meta, packet, off, size),
            Context::Tc(meta) => load_skb(meta, packet, off, size),
        }
    }

    pub(super) fn store(&mut self, off: u64, size: Size, value: Value) -> Result<(), FaultKind> {
        let refused = FaultKind::context(off, size.bytes());
        let Context::Tc(meta) = self else {
            return Err(refused);
        };
        let value = value.as_number()? as u32;
        let field = match (off, size) {
            (8, Size::W) => &mut meta.mark,
            (12, Size::W) => &mut meta.queue_mapping,
            (32, Size::W) => &mut meta.priority,
            (44, Size::W) => &mut meta.tc_index,
            (48..68, Size::W) if off.is_multiple_of(4) => &mut meta.cb[(off as usize - 48) / 4],
            (72, Size::W) => &mut meta.tc_classid,
            _ => return Err(refused),
        };
        *field = value;
        Ok(())
    }
}

/// `struct xdp_md`; the kernel allows loads of 4 bytes only.
fn load_xdp(meta: &XdpMeta, packet: &Packet, off: u64, size: Size) -> Result<Value, FaultKind> {
    if size == Size::W {
        match off {
            0 => return Ok(packet.pointer(packet.data)),
            4 => return Ok(packet.pointer(packet.linear)),
            8 => return Ok(packet.pointer(packet.meta)),
            12 => return Ok(Value::number(u64::from(meta.ingress_ifindex))),
            16 => return Ok(Value::number(u64::from(meta.rx_queue_index))),
            _ => {}
        }
    }
    Err(FaultKind::context(off, size.bytes()))
}

/// `struct __sk_buff`; parts of numbers can be loaded, as the kernel allows.
fn load_skb(meta: &SkbMeta, packet: &Packet, off: u64, size: Size) -> Result<Value, FaultKind> {
    if size == Size::W {
        match off {
            76 => return Ok(packet.pointer(packet.data)),
            80 => return Ok(packet.pointer(packet.linear)),
            140 => return Ok(packet.pointer(packet.meta)),
            _ => {}
        }
    }
    let within = off % 4;
    let word = skb_word(meta, packet, off - within);
    match word {
        Some(word) if within + size.bytes() as u64 <= 4 && within.is_multiple_of(size.bytes() as u64) => {
            let part = u64::from(word) >> (within * 8);
            Ok(Value::number(super::value::truncate(size, part)))
        }
        _ => Err(FaultKind::context(off, size.bytes())),
    }
}

fn skb_word(meta: &SkbMeta, packet: &Packet, off: u64) -> Option<u32> {
    Some(match off {
        0 => packet.len() as u32,
        4 => meta.pkt_type,
        8 => meta.mark,
        12 => meta.queue_mapping,
        16 => protocol(meta, packet),
        20 => u32::from(meta.vlan_present),
        24 => u32::from(meta.vlan_tci),
        28 => u32::from(meta.vlan_proto.to_be()),
        32 => meta.priority,
        36 => meta.ingress_ifindex,
        40 => meta.ifindex,
        44 => meta.tc_index,
        48..68 => meta.cb[(off as usize - 48) / 4],
        68 => meta.hash,
        72 => meta.tc_classid,
        _ => return None,
    })
}

/// `skb->protocol`, in the network's order.
fn protocol(meta: &SkbMeta, packet: &Packet) -> u32 {
    let of_frame = || match packet.bytes() {
        [_, _, _, _, _, _, _, _, _, _, _, _, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    u32::from(meta.protocol.unwrap_or_else(of_frame).to_be())
}
