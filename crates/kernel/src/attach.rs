//! Programs on interfaces.

mod attachment;
mod link;
mod occupants;
mod refusal;

use crate::KernelError;
use crate::netlink::tc::Way;
use crate::netlink::{Interface, Netlink};
use crate::program::{Program, ProgramKind};

pub use attachment::Attachment;
pub use occupants::{evict, occupants};
pub(crate) use refusal::{PAGE_MTU, XDP_DRIVERS};

/// Where on an interface a program sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// XDP in the driver, before the kernel makes a packet of the frame.
    XdpNative,
    /// XDP in the stack: works everywhere, three times slower. Never taken unless asked for.
    XdpGeneric,
    /// XDP in the card itself.
    XdpOffload,
    /// tc, on the way in.
    TcIngress,
    /// tc, on the way out.
    TcEgress,
}

/// By which of the kernel's doors a tc program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TcDoor {
    /// tcx where the kernel has it (6.6), else clsact.
    #[default]
    Best,
    /// A tcx link.
    Tcx,
    /// The clsact qdisc and a `cls_bpf` filter by netlink, with this priority (0: the kernel chooses).
    Clsact {
        /// Lower runs first.
        priority: u16,
    },
}

/// What holds a program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A BPF link: gone when its last descriptor and pin are gone.
    Link {
        /// The link's id.
        id: u32,
    },
    /// Netlink alone: stays until somebody removes it.
    Netlink,
    /// A `cls_bpf` filter of the clsact qdisc.
    Filter {
        /// The filter's priority.
        priority: u16,
        /// The filter's handle.
        handle: u32,
    },
}

/// One program on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// The interface's index.
    pub ifindex: u32,
    /// Where it sits.
    pub hook: Hook,
    /// What holds it there.
    pub holder: Holder,
    /// The program's id.
    pub program_id: u32,
    /// The program's name.
    pub program_name: String,
}

/// Why a program was not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such interface (any more).
    #[error("there is no interface `{interface}`; `ip link` lists those there are")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// Another program sits there.
    #[error("`{interface}` is taken: program {} (`{}`) sits there; detach it first", .occupant.program_id, .occupant.program_name)]
    Busy {
        /// The interface's name.
        interface: String,
        /// Who sits there.
        occupant: Box<Occupant>,
    },
    /// XDP in the other mode is active: the kernel allows one mode at a time.
    #[error("`{interface}` already runs XDP in the other mode: program {} (`{}`); detach it first", .occupant.program_id, .occupant.program_name)]
    OtherMode {
        /// The interface's name.
        interface: String,
        /// Who sits there.
        occupant: Box<Occupant>,
    },
    /// Frames of this MTU do not fit one page.
    #[error(
        "the MTU {mtu} of `{interface}` or of its peer is too large for native XDP without fragments; at most about {limit}: `ip link set {interface} mtu {limit}`"
    )]
    MtuTooLarge {
        /// The interface's name.
        interface: String,
        /// Its MTU; a veth's peer counts too.
        mtu: u32,
        /// What fits in a page of 4 KiB.
        limit: u32,
    },
    /// The driver has no XDP.
    #[error(
        "driver `{driver}` of `{interface}` has no native XDP; use `--mode generic` (about three times slower)"
    )]
    NoNative {
        /// The interface's name.
        interface: String,
        /// The driver's name.
        driver: String,
    },
    /// Not allowed.
    #[error("no privileges to attach to `{interface}`: run as root, or with CAP_BPF and CAP_NET_ADMIN")]
    Permission {
        /// The interface's name.
        interface: String,
    },
    /// The kernel has no tcx and it was forced.
    #[error("this kernel has no tcx (6.6 and later); use clsact")]
    NoTcx,
    /// The program is not for this hook.
    #[error("program `{program}` is not for {hook}")]
    WrongKind {
        /// The program's name.
        program: String,
        /// Where it should go.
        hook: Hook,
    },
    /// The driver refuses for a reason of its own.
    #[error("`{interface}` refuses the program: {reason}")]
    Refused {
        /// The interface's name.
        interface: String,
        /// In the kernel's words, with what is known about them.
        reason: String,
    },
    /// Anything else.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Attaches a program to a hook of an interface of the calling thread's namespace; tc by the best door.
///
/// A refused native attachment is an error, never a silent generic one.
pub fn attach(program: &Program, interface: &Interface, hook: Hook) -> Result<Attachment, AttachError> {
    check_kind(program, hook)?;
    match hook {
        Hook::TcIngress | Hook::TcEgress => attach_tc(program, interface, hook, TcDoor::Best),
        _ => attach_xdp(program, interface, hook),
    }
}

/// Attaches a tc program by a door of one's choice.
pub fn attach_tc(
    program: &Program,
    interface: &Interface,
    hook: Hook,
    door: TcDoor,
) -> Result<Attachment, AttachError> {
    check_kind(program, hook)?;
    match door {
        TcDoor::Clsact { priority } => attach_clsact(program, interface, hook, priority),
        TcDoor::Tcx => attach_tcx(program, interface, hook, 0),
        TcDoor::Best => match attach_tcx(program, interface, hook, 0) {
            Err(AttachError::NoTcx) => attach_clsact(program, interface, hook, 0),
            answer => answer,
        },
    }
}

/// Attaches a tc program by tcx so that packets meet it before those that are there, which may end their way.
pub fn attach_first(program: &Program, interface: &Interface, hook: Hook) -> Result<Attachment, AttachError> {
    check_kind(program, hook)?;
    attach_tcx(program, interface, hook, link::BEFORE_ALL)
}

/// Attaches an XDP program by netlink, without a link: for kernels before 5.9. It cannot be pinned and stays by itself.
pub fn attach_by_netlink(
    program: &Program,
    interface: &Interface,
    hook: Hook,
) -> Result<Attachment, AttachError> {
    check_kind(program, hook)?;
    let mut netlink = Netlink::open()?;
    match netlink.set_xdp(interface, program, None, hook.xdp_mode()) {
        Ok(()) => Ok(Attachment::of_netlink(netlink, program.try_clone()?, interface.clone(), hook)),
        Err(error) => Err(refusal::of_xdp(program, interface, hook, error)),
    }
}

/// Attaches a program to the same hook of several interfaces: to all or to none.
pub fn attach_all(
    program: &Program,
    interfaces: &[Interface],
    hook: Hook,
) -> Result<Vec<Attachment>, AttachError> {
    // An error drops, and so detaches, those that came before it.
    interfaces.iter().map(|interface| attach(program, interface, hook)).collect()
}

fn attach_xdp(program: &Program, interface: &Interface, hook: Hook) -> Result<Attachment, AttachError> {
    match link::create(program, interface, link::ATTACH_XDP, hook.xdp_mode()) {
        Ok(fd) => Ok(Attachment::of_link(fd, interface.clone(), hook)),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && !has_xdp_links() => {
            attach_by_netlink(program, interface, hook)
        }
        Err(source) => {
            let error = KernelError::new("attach to", format!("`{}`", interface.name), source);
            Err(refusal::of_xdp(program, interface, hook, error))
        }
    }
}

/// EINVAL is also a driver's answer, so the version tells what it means here.
fn has_xdp_links() -> bool {
    let release = crate::probe::Release::current();
    (release.major, release.minor) >= (5, 9)
}

fn attach_tcx(
    program: &Program,
    interface: &Interface,
    hook: Hook,
    flags: u32,
) -> Result<Attachment, AttachError> {
    match link::create(program, interface, hook.tcx_type(), flags) {
        Ok(fd) => Ok(Attachment::of_link(fd, interface.clone(), hook)),
        // Before 6.6 the attach type is unknown.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(AttachError::NoTcx),
        Err(error) => Err(refusal::of_tc(interface, error)),
    }
}

fn attach_clsact(
    program: &Program,
    interface: &Interface,
    hook: Hook,
    priority: u16,
) -> Result<Attachment, AttachError> {
    let mut netlink = Netlink::open()?;
    let ways_in = netlink.filters(interface, Way::In)?.len();
    let made = netlink
        .ensure_clsact(interface)
        .and_then(|_| netlink.add_filter(interface, hook.way(), program, priority));
    match made {
        Ok(filter) => {
            let attachment = Attachment::of_filter(netlink, filter, interface.clone(), hook);
            // Nothing but where the filter shows up tells clsact from the qdisc that it grew out of.
            if hook == Hook::TcEgress && Netlink::open()?.filters(interface, Way::In)?.len() > ways_in {
                return Err(refusal::of_ingress_qdisc(interface));
            }
            Ok(attachment)
        }
        Err(error) if error.is_permission() || error.is_missing() => {
            Err(refusal::of_tc(interface, error.source))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel makes a link here. It goes at once.
pub(crate) fn links(program: &Program, interface: &Interface, hook: Hook) -> bool {
    let (attach_type, flags) = match hook {
        Hook::TcIngress | Hook::TcEgress => (hook.tcx_type(), 0),
        _ => (link::ATTACH_XDP, hook.xdp_mode()),
    };
    link::create(program, interface, attach_type, flags).is_ok()
}

fn check_kind(program: &Program, hook: Hook) -> Result<(), AttachError> {
    if program.kind() == hook.program_kind() {
        return Ok(());
    }
    Err(AttachError::WrongKind { program: program.name().to_owned(), hook })
}

impl Hook {
    /// The kind of program that belongs here.
    pub fn program_kind(self) -> ProgramKind {
        match self {
            Self::XdpNative | Self::XdpGeneric | Self::XdpOffload => ProgramKind::Xdp,
            Self::TcIngress | Self::TcEgress => ProgramKind::Tc,
        }
    }

    /// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`, `XDP_FLAGS_HW_MODE` of `linux/if_link.h`.
    fn xdp_mode(self) -> u32 {
        match self {
            Self::XdpGeneric => 1 << 1,
            Self::XdpOffload => 1 << 3,
            _ => 1 << 2,
        }
    }

    /// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
    fn tcx_type(self) -> u32 {
        if self == Self::TcEgress { 47 } else { 46 }
    }

    fn way(self) -> Way {
        if self == Self::TcEgress { Way::Out } else { Way::In }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::XdpNative => "native XDP",
            Self::XdpGeneric => "generic XDP",
            Self::XdpOffload => "offloaded XDP",
            Self::TcIngress => "tc ingress",
            Self::TcEgress => "tc egress",
        })
    }
}
