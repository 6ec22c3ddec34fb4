//! Programs on interfaces.

use std::path::Path;

use crate::KernelError;
use crate::netlink::Interface;
use crate::program::Program;

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
    /// Netlink: stays until somebody removes it.
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

/// A program that we attached. Dropping it detaches it, unless it was pinned or let go.
#[derive(Debug)]
pub struct Attachment {
    _private: (),
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
        "the MTU {mtu} of `{interface}` is too large for native XDP without fragments; at most about {limit}: `ip link set {interface} mtu {limit}`"
    )]
    MtuTooLarge {
        /// The interface's name.
        interface: String,
        /// Its MTU, or its peer's.
        mtu: u32,
        /// What fits, where known.
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
    #[error(
        "no privileges to attach to `{interface}`: run as root, or with CAP_BPF and CAP_NET_ADMIN"
    )]
    Permission {
        /// The interface's name.
        interface: String,
    },
    /// The kernel has no tcx and it was forced.
    #[error("this kernel has no tcx (6.6 and later); use clsact")]
    NoTcx,
    /// The program is not for this hook.
    #[error("program `{program}` is not for {hook:?}")]
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
pub fn attach(
    program: &Program,
    interface: &Interface,
    hook: Hook,
) -> Result<Attachment, AttachError> {
    let _ = (program, interface, hook);
    unimplemented!("being written")
}

/// Attaches a tc program by a door of one's choice.
pub fn attach_tc(
    program: &Program,
    interface: &Interface,
    hook: Hook,
    door: TcDoor,
) -> Result<Attachment, AttachError> {
    let _ = (program, interface, hook, door);
    unimplemented!("being written")
}

/// Attaches a program to the same hook of several interfaces: to all or to none.
pub fn attach_all(
    program: &Program,
    interfaces: &[Interface],
    hook: Hook,
) -> Result<Vec<Attachment>, AttachError> {
    let _ = (program, interfaces, hook);
    unimplemented!("being written")
}

/// Who sits on an interface, at all hooks.
pub fn occupants(interface: &Interface) -> Result<Vec<Occupant>, KernelError> {
    let _ = interface;
    unimplemented!("being written")
}

/// Takes an occupant away, whoever put it there.
pub fn evict(interface: &Interface, occupant: &Occupant) -> Result<(), KernelError> {
    let _ = (interface, occupant);
    unimplemented!("being written")
}

impl Attachment {
    /// Opens a pinned link.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let _ = path;
        unimplemented!("being written")
    }

    /// Pins the link: then it stays when this process ends. Filters need no pin (`EINVAL`): they stay by themselves.
    pub fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        let _ = path;
        unimplemented!("being written")
    }

    /// Swaps the program: every frame sees the old or the new one (link updates take about 9 ms).
    pub fn update(&mut self, program: &Program) -> Result<(), KernelError> {
        let _ = program;
        unimplemented!("being written")
    }

    /// Where it sits and what holds it.
    pub fn occupant(&self) -> Result<Occupant, KernelError> {
        unimplemented!("being written")
    }

    /// Takes the program off, also if its link is pinned.
    pub fn detach(self) -> Result<(), KernelError> {
        unimplemented!("being written")
    }

    /// Leaves a filter where it is; a link must be pinned instead.
    pub fn let_go(self) {
        unimplemented!("being written")
    }
}
