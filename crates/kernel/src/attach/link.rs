//! BPF links, as the kernel numbers and describes them.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::Hook;
use crate::netlink::Interface;
use crate::program::Program;
use crate::sys::{self, Command};

/// `BPF_XDP` of `enum bpf_attach_type`.
pub(super) const ATTACH_XDP: u32 = 37;

/// `BPF_F_BEFORE`, of nobody: before all.
pub(super) const BEFORE_ALL: u32 = 1 << 3;

/// `enum bpf_link_type`.
const LINK_XDP: u32 = 6;
const LINK_TCX: u32 = 11;

pub(super) fn create(
    program: &Program,
    interface: &Interface,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let prog_fd = program.raw_fd() as u32;
    let mut arguments = sys::LinkCreate { prog_fd, ifindex: interface.index, attach_type, flags };
    sys::bpf_fd(Command::LinkCreate, &mut arguments)
}

pub(super) fn update(link: &OwnedFd, program: &Program) -> io::Result<()> {
    let mut arguments = sys::LinkUpdate {
        link_fd: link.as_raw_fd() as u32,
        new_prog_fd: program.raw_fd() as u32,
        ..sys::LinkUpdate::default()
    };
    sys::bpf(Command::LinkUpdate, &mut arguments).map(drop)
}

/// Cuts a link off from its interface, whoever holds it.
pub(super) fn detach(link: &OwnedFd) -> io::Result<()> {
    let mut arguments = sys::OneFd { fd: link.as_raw_fd() as u32 };
    sys::bpf(Command::LinkDetach, &mut arguments).map(drop)
}

pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
    sys::open_id(Command::LinkByFdId, id)
}

pub(super) fn info(link: &OwnedFd) -> io::Result<sys::LinkInfo> {
    sys::info(link.as_raw_fd(), sys::LinkInfo::default())
}

/// Where a link attaches; nothing for links of other kinds. An XDP link does not tell its mode.
pub(super) fn hook(info: &sys::LinkInfo) -> Option<Hook> {
    match (info.kind, info.attach_type) {
        (LINK_XDP, _) => Some(Hook::XdpNative),
        (LINK_TCX, 46) => Some(Hook::TcIngress),
        (LINK_TCX, 47) => Some(Hook::TcEgress),
        _ => None,
    }
}

/// The XDP link that holds this program on this interface. Indices repeat between namespaces, so both count.
pub(super) fn find_xdp(ifindex: u32, program_id: u32) -> Option<u32> {
    let mut id = 0;
    loop {
        let mut arguments = sys::ById { id, ..sys::ById::default() };
        sys::bpf(Command::LinkNextId, &mut arguments).ok()?;
        id = arguments.next_id;
        // A link may go while we look.
        let Ok(info) = open(id).and_then(|link| info(&link)) else {
            continue;
        };
        if info.kind == LINK_XDP && info.ifindex == ifindex && info.prog_id == program_id {
            return Some(id);
        }
    }
}
