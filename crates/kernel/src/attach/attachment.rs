use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::{Holder, Hook, Occupant, link, occupants};
use crate::KernelError;
use crate::maps;
use crate::netlink::tc::Filter;
use crate::netlink::{Interface, Netlink};
use crate::program::Program;
use crate::sys;

/// A program that we attached. Dropping it detaches it, unless it was pinned or let go.
#[derive(Debug)]
pub struct Attachment {
    held: Held,
    interface: Interface,
    hook: Hook,
}

#[derive(Debug)]
enum Held {
    /// The kernel detaches when the last descriptor and pin of the link are gone.
    Link { fd: OwnedFd, pin: Option<PathBuf> },
    /// A filter stays until it is removed; the socket is of the namespace that it is in.
    Filter { netlink: Netlink, filter: Filter, left: bool },
    /// As a filter, but on an XDP hook. The program is what a swap expects to find there.
    Netlink { netlink: Netlink, program: Program, left: bool },
}

impl Attachment {
    pub(super) fn of_link(fd: OwnedFd, interface: Interface, hook: Hook) -> Self {
        Self { held: Held::Link { fd, pin: None }, interface, hook }
    }

    pub(super) fn of_filter(netlink: Netlink, filter: Filter, interface: Interface, hook: Hook) -> Self {
        Self { held: Held::Filter { netlink, filter, left: false }, interface, hook }
    }

    pub(super) fn of_netlink(netlink: Netlink, program: Program, interface: Interface, hook: Hook) -> Self {
        let held = Held::Netlink { netlink, program, left: false };
        Self { held, interface, hook }
    }

    /// Opens a pinned link. The interface may have gone meanwhile: then [`Attachment::occupant`] tells index 0.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let fd = sys::open_pin(path)?;
        let error = |source| KernelError::new("open link", path.display().to_string(), source);
        let info = link::info(&fd).map_err(error)?;
        let wrong = || error(io::Error::from_raw_os_error(libc::EMEDIUMTYPE));
        let mut hook = link::hook(&info).ok_or_else(wrong)?;
        let name = match Netlink::open()?.link_by_index(info.ifindex) {
            Ok(link) => link.name,
            Err(_) => format!("if{}", info.ifindex),
        };
        let interface = Interface { index: info.ifindex, name };
        if hook == Hook::XdpNative {
            hook = xdp_mode_of(&interface, info.prog_id).unwrap_or(hook);
        }
        Ok(Self { held: Held::Link { fd, pin: Some(path.to_owned()) }, interface, hook })
    }

    /// The interface; its name is the one of the time of attaching.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Where it sits.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// Pins the link: then it stays when this process ends. A filter needs no pin ([`Attachment::let_go`]) and has none.
    pub fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        match &mut self.held {
            Held::Link { fd, pin } => {
                sys::pin(fd.as_raw_fd(), path)?;
                *pin = Some(path.to_owned());
                Ok(())
            }
            Held::Filter { .. } | Held::Netlink { .. } => {
                let source = io::Error::other("it is no link; it stays without a pin");
                Err(KernelError::new("pin at", path.display().to_string(), source))
            }
        }
    }

    /// Swaps the program: every frame meets the old or the new one. Link updates take about 9 ms.
    pub fn update(&mut self, program: &Program) -> Result<(), KernelError> {
        match &mut self.held {
            Held::Link { fd, .. } => link::update(fd, program).map_err(|source| {
                KernelError::new("swap the program of", format!("`{}`", self.interface.name), source)
            }),
            Held::Filter { netlink, filter, .. } => {
                netlink.replace_filter(&self.interface, filter, program)?;
                filter.program_id = program.id()?;
                Ok(())
            }
            Held::Netlink { netlink, program: old, .. } => {
                netlink.set_xdp(&self.interface, program, Some(old), self.hook.xdp_mode())?;
                *old = program.try_clone()?;
                Ok(())
            }
        }
    }

    /// Where it sits and what holds it.
    pub fn occupant(&self) -> Result<Occupant, KernelError> {
        match &self.held {
            Held::Filter { filter, .. } => Ok(occupants::of_filter(&self.interface, self.hook, filter)),
            Held::Netlink { program, .. } => {
                let info = program.info()?;
                Ok(Occupant {
                    ifindex: self.interface.index,
                    hook: self.hook,
                    holder: Holder::Netlink,
                    program_id: info.id,
                    program_name: info.name,
                })
            }
            Held::Link { fd, .. } => {
                let error = |source| {
                    KernelError::new("inspect the link of", format!("`{}`", self.interface.name), source)
                };
                let info = link::info(fd).map_err(error)?;
                Ok(Occupant {
                    ifindex: info.ifindex,
                    hook: self.hook,
                    holder: Holder::Link { id: info.id },
                    program_id: info.prog_id,
                    program_name: occupants::program_name(info.prog_id),
                })
            }
        }
    }

    /// Takes the program off, also if its link is pinned; the pin goes too.
    pub fn detach(mut self) -> Result<(), KernelError> {
        match &mut self.held {
            Held::Filter { netlink, filter, left } => {
                *left = true;
                netlink.delete_filter(&self.interface, filter)
            }
            Held::Netlink { netlink, left, .. } => {
                *left = true;
                netlink.clear_xdp(&self.interface, self.hook.xdp_mode())
            }
            Held::Link { fd, pin } => {
                let error =
                    |source| KernelError::new("detach from", format!("`{}`", self.interface.name), source);
                link::detach(fd).map_err(error)?;
                pin.as_deref().map_or(Ok(()), |path| maps::unpin(path).map(drop))
            }
        }
    }

    /// Leaves what is no link where it is. A link stays only where it is pinned.
    pub fn let_go(mut self) {
        if let Held::Filter { left, .. } | Held::Netlink { left, .. } = &mut self.held {
            *left = true;
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // The interface may be gone, and what was on it too: nobody is left to tell.
        match &mut self.held {
            Held::Filter { netlink, filter, left: false } => {
                let _ = netlink.delete_filter(&self.interface, filter);
            }
            Held::Netlink { netlink, left: false, .. } => {
                let _ = netlink.clear_xdp(&self.interface, self.hook.xdp_mode());
            }
            _ => {}
        }
    }
}

/// A link does not tell its mode, the interface does.
fn xdp_mode_of(interface: &Interface, program_id: u32) -> Option<Hook> {
    let mut netlink = Netlink::open().ok()?;
    let all = occupants::xdp_occupants(&mut netlink, interface).ok()?;
    all.iter().find(|occupant| occupant.program_id == program_id).map(|occupant| occupant.hook)
}
