//! What `ethtool -K` and `ethtool -i` do, by the same ioctl.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::KernelError;

/// A switch of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offload {
    /// Checksums of sent packets (`tx`). Off in labs that redirect: what veth carries has no real checksum otherwise.
    TxChecksum,
    /// Checksums of received packets (`rx`).
    RxChecksum,
    /// Scatter-gather (`sg`).
    ScatterGather,
    /// TCP segmentation (`tso`).
    Tso,
    /// Software segmentation (`gso`).
    Gso,
    /// Software coalescing (`gro`). On makes veth ready to take redirected frames.
    Gro,
}

/// Reading and writing commands of `linux/ethtool.h`.
const COMMANDS: [(Offload, u32, u32); 6] = [
    (Offload::RxChecksum, 0x14, 0x15),
    (Offload::TxChecksum, 0x16, 0x17),
    (Offload::ScatterGather, 0x18, 0x19),
    (Offload::Tso, 0x1e, 0x1f),
    (Offload::Gso, 0x23, 0x24),
    (Offload::Gro, 0x2b, 0x2c),
];

const GET_DRIVER_INFO: u32 = 0x03;

/// Whether a switch is on, in the calling thread's namespace.
pub fn offload(interface: &str, offload: Offload) -> Result<bool, KernelError> {
    let mut value = EthtoolValue { command: commands(offload).0, data: 0 };
    ioctl(interface, &mut value)?;
    Ok(value.data != 0)
}

/// Turns a switch on or off, in the calling thread's namespace.
pub fn set_offload(interface: &str, offload: Offload, on: bool) -> Result<(), KernelError> {
    ioctl(interface, &mut EthtoolValue { command: commands(offload).1, data: u32::from(on) })
}

/// The driver's name: `veth`, `ixgbe`, `virtio_net`.
pub fn driver(interface: &str) -> Result<String, KernelError> {
    let mut info = DriverInfo { command: GET_DRIVER_INFO, driver: [0; 32], rest: [0; 160] };
    ioctl(interface, &mut info)?;
    Ok(crate::sys::name_text(&info.driver))
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`: 196 bytes.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// # Safety
/// The type is one of ethtool's structures whose first word is the command, as large as the kernel writes it.
unsafe trait Request {}
// SAFETY: `struct ethtool_value`, eight bytes, the commands above write no more.
unsafe impl Request for EthtoolValue {}
// SAFETY: `struct ethtool_drvinfo`, 196 bytes since it was introduced.
unsafe impl Request for DriverInfo {}

fn commands(offload: Offload) -> (u32, u32) {
    let row = COMMANDS.iter().find(|row| row.0 == offload).expect("every switch is in the table");
    (row.1, row.2)
}

fn ioctl<R: Request>(interface: &str, request: &mut R) -> Result<(), KernelError> {
    try_ioctl(interface, request)
        .map_err(|source| KernelError::new("ask the driver of", format!("`{interface}`"), source))
}

fn try_ioctl<R: Request>(interface: &str, request: &mut R) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is a valid value of it.
    let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= ifreq.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (slot, byte) in ifreq.ifr_name.iter_mut().zip(interface.bytes()) {
        *slot = byte as libc::c_char;
    }
    ifreq.ifr_ifru.ifru_data = std::ptr::from_mut(request).cast();
    // SAFETY: plain socket creation.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just created, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: `ifreq` points to a live `Request`, which is as large as its command writes; both outlive the call.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut ifreq) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
