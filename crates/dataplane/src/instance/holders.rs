//! What holds the root program on interfaces: pinned links, and filters of clsact where tc has no links.
//!
//! A filter stays by itself and cannot be pinned, so a *note* of it is: the root program once more, under a name that
//! says where the filter is. The note is pinned before the filter is added and goes after it, so a process that is
//! killed in between leaves a note without a filter, never a filter without a note. Which filter is ours is told by
//! the program's id, which no other program gets while the note is there: a priority or a handle can be taken over
//! by somebody else's `tc filter replace`.
//!
//! Links are the same from everywhere, filters are found only in their network namespace. Its inode is in the note;
//! where no name and no process leads to that namespace, it is taken for gone, and the filter with it. Should one be
//! left after all, it lets everything pass: the kernel empties a program array that is neither open nor pinned.
//!
//! The clsact qdisc stays, also where it was made for us: it judges nothing, and tools that found it there may rely
//! on it without having a filter on it at the moment.

use super::place;
use crate::{Error, Hook};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use weir_bpf::target::{Feature, Target};
use weir_kernel::KernelError;
use weir_kernel::attach::{self, Attachment, Holder, Occupant, TcDoor};
use weir_kernel::maps::unpin;
use weir_kernel::netlink::{Interface, Netlink};
use weir_kernel::netns::{self, Namespace};
use weir_kernel::program::Program;

/// The namespace of the calling thread, which need not be the one of its process.
const THIS_NETNS: &str = "/proc/thread-self/ns/net";

/// How programs come to an instance's interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    Link,
    Clsact { priority: u16 },
}

/// Where a filter is, or is about to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Note {
    ifindex: u32,
    hook: Hook,
    /// The inode of the network namespace.
    netns: u64,
}

/// What is to be seen on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// 0 if the interface is gone.
    pub(crate) ifindex: u32,
    /// The root program is there.
    pub(crate) active: bool,
}

/// Attaches the root program to all interfaces and fills a new directory with what holds it there. After an error
/// [`clear`] removes what was done.
pub(crate) fn attach_all(
    links: &Path,
    root: &Program,
    (hook, door): (Hook, TcDoor),
    interfaces: &[Interface],
    target: &Target,
) -> Result<(), Error> {
    fs::create_dir(links).map_err(|error| Error::io("create", links, error))?;
    match Door::of(hook, door, target) {
        Door::Link => attach_links(links, root, hook, interfaces),
        Door::Clsact { priority } => {
            interfaces.iter().try_for_each(|interface| add_filter(links, root, hook, interface, priority))
        }
    }
}

/// Takes the root program off everything that a directory holds, and removes it. Links are detached, since others may
/// have them open; what cannot be opened goes with its pin. A filter that stays keeps its note and the directory.
pub(crate) fn clear(links: &Path) -> Result<(), Error> {
    let mut outcome = Ok(());
    for (name, path) in entries(links)? {
        if let Some(note) = Note::read(&name) {
            let removed = note.remove_filter(&path).and_then(|()| unpin(&path));
            outcome = outcome.and(removed.map(drop));
        } else if let Ok(link) = Attachment::open(&path) {
            let _ = link.detach();
        }
    }
    outcome?;
    place::remove_dir(links)
}

/// Whether a program sits on the interface that had this index when the instance was loaded.
pub(crate) fn look(links: &Path, index: u32, program_id: u32) -> Result<Seen, Error> {
    let notes = entries(links)?.into_iter().filter_map(|(name, _)| Note::read(&name));
    match notes.into_iter().find(|note| note.ifindex == index) {
        Some(note) => Ok(note.look(program_id)?),
        None => Ok(look_at_link(&links.join(index.to_string()), program_id)),
    }
}

fn look_at_link(path: &Path, program_id: u32) -> Seen {
    let occupant = Attachment::open(path).and_then(|link| link.occupant());
    match occupant {
        Ok(there) => {
            Seen { ifindex: there.ifindex, active: there.ifindex != 0 && there.program_id == program_id }
        }
        Err(_) => Seen { ifindex: 0, active: false },
    }
}

fn attach_links(links: &Path, root: &Program, hook: Hook, interfaces: &[Interface]) -> Result<(), Error> {
    let attached = hook.attached();
    let one = |interface: &Interface| {
        let attachment = match hook.is_xdp() {
            true => attach::attach(root, interface, attached),
            false => attach::attach_tc(root, interface, attached, TcDoor::Tcx),
        }?;
        match attachment.occupant()?.holder {
            Holder::Link { .. } => Ok(attachment),
            _ => Err(Error::NoLink { hook, interface: interface.name.clone() }),
        }
    };
    // An error drops, and so detaches, those that came before it.
    let mut attachments = interfaces.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    for attachment in &mut attachments {
        attachment.pin(&links.join(attachment.interface().index.to_string()))?;
    }
    Ok(())
}

fn add_filter(
    links: &Path,
    root: &Program,
    hook: Hook,
    interface: &Interface,
    priority: u16,
) -> Result<(), Error> {
    let netns = inode(Path::new(THIS_NETNS)).map_err(|error| Error::io("inspect", THIS_NETNS, error))?;
    let note = Note { ifindex: interface.index, hook, netns };
    root.pin(&links.join(note.name()))?;
    attach::attach_tc(root, interface, hook.attached(), TcDoor::Clsact { priority })?.let_go();
    Ok(())
}

impl Door {
    fn of(hook: Hook, asked: TcDoor, target: &Target) -> Self {
        match asked {
            _ if hook.is_xdp() => Self::Link,
            TcDoor::Clsact { priority } => Self::Clsact { priority },
            TcDoor::Best if !target.has(Feature::Tcx) => Self::Clsact { priority: 0 },
            TcDoor::Best | TcDoor::Tcx => Self::Link,
        }
    }
}

impl Note {
    /// Its pin's name, for people who list the directory too; bpffs allows no dots in it.
    fn name(self) -> String {
        let way = if self.hook == Hook::TcEgress { "egress" } else { "ingress" };
        format!("clsact-{}-{way}-netns-{}", self.ifindex, self.netns)
    }

    /// From a pin's name; nothing if that is the one of a link.
    fn read(name: &str) -> Option<Self> {
        let (ifindex, rest) = name.strip_prefix("clsact-")?.split_once('-')?;
        let (way, netns) = rest.split_once("-netns-")?;
        let hook = match way {
            "ingress" => Hook::TcIngress,
            "egress" => Hook::TcEgress,
            _ => return None,
        };
        Some(Self { ifindex: ifindex.parse().ok()?, hook, netns: netns.parse().ok()? })
    }

    fn look(self, program_id: u32) -> Result<Seen, KernelError> {
        let work = move || {
            let Some(interface) = self.interface()? else { return Ok(Seen { ifindex: 0, active: false }) };
            let active = self.filter(&interface, program_id)?.is_some();
            Ok(Seen { ifindex: self.ifindex, active })
        };
        Ok(within(self.netns, work)?.unwrap_or(Seen { ifindex: 0, active: false }))
    }

    /// Somebody else may have removed it already, or its interface.
    fn remove_filter(self, pin: &Path) -> Result<(), KernelError> {
        let program_id = Program::open(pin)?.id()?;
        let work = move || {
            let Some(interface) = self.interface()? else { return Ok(()) };
            let Some(ours) = self.filter(&interface, program_id)? else { return Ok(()) };
            match attach::evict(&interface, &ours) {
                Err(error) if self.filter(&interface, program_id)?.is_some() => Err(error),
                _ => Ok(()),
            }
        };
        within(self.netns, work).map(drop)
    }

    /// In the namespace of the calling thread.
    fn interface(self) -> Result<Option<Interface>, KernelError> {
        match Netlink::open()?.link_by_index(self.ifindex) {
            Ok(link) => Ok(Some(Interface { index: link.index, name: link.name })),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// In the namespace of the calling thread.
    fn filter(self, interface: &Interface, program_id: u32) -> Result<Option<Occupant>, KernelError> {
        let ours = |occupant: &Occupant| {
            matches!(occupant.holder, Holder::Filter { .. })
                && occupant.hook == self.hook.attached()
                && occupant.program_id == program_id
        };
        match attach::occupants(interface) {
            Ok(occupants) => Ok(occupants.into_iter().find(ours)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Works in a network namespace; nothing if it is gone.
fn within<T: Send>(
    netns: u64,
    work: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<Option<T>, KernelError> {
    if inode(Path::new(THIS_NETNS)).is_ok_and(|this| this == netns) {
        return work().map(Some);
    }
    match find_namespace(netns) {
        Some(namespace) => namespace.run(work)?.map(Some),
        None => Ok(None),
    }
}

/// By its names, then by the processes in it.
fn find_namespace(netns: u64) -> Option<Namespace> {
    let is_it = |namespace: &Namespace| rustix::fs::fstat(namespace).is_ok_and(|stat| stat.st_ino == netns);
    let names = netns::list().unwrap_or_default();
    let named = names.iter().find_map(|name| Namespace::named(name).ok().filter(is_it));
    named.or_else(|| {
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.into_iter().find_map(|number| Namespace::of_process(number).ok().filter(is_it))
    })
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

/// Names and paths of a directory; none where it is not there.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", path, error)),
    };
    let named = |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), entry.path());
    Ok(entries.flatten().map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_back() {
        for hook in [Hook::TcIngress, Hook::TcEgress] {
            let note = Note { ifindex: 17, hook, netns: 4_026_531_840 };
            assert_eq!(Note::read(&note.name()), Some(note));
        }
        assert_eq!(Note::read("17"), None);
    }

    #[test]
    fn filters_are_for_tc_without_tcx() {
        let (old, new) = (Target::for_kernel(6, 5), Target::for_kernel(6, 6));
        let of = |hook, target| Door::of(hook, TcDoor::Best, target);
        assert_eq!(of(Hook::TcEgress, &old), Door::Clsact { priority: 0 });
        assert_eq!(of(Hook::TcEgress, &new), Door::Link);
        assert_eq!(of(Hook::XdpGeneric, &old), Door::Link);
        let forced = Door::of(Hook::TcIngress, TcDoor::Clsact { priority: 7 }, &new);
        assert_eq!(forced, Door::Clsact { priority: 7 });
    }
}
