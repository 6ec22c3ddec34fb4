//! Who sits on an interface.

use std::io;

use super::{Holder, Hook, Occupant, link};
use crate::KernelError;
use crate::netlink::tc::Filter;
use crate::netlink::{Interface, Netlink};
use crate::program::Program;
use crate::sys::{self, Command};

/// `BPF_MPROG_MAX`: the kernel holds no more programs at one tcx hook.
const MPROG_MAX: usize = 64;

/// Who sits on an interface, at all hooks: XDP first, then tc in the order in which packets meet them.
pub fn occupants(interface: &Interface) -> Result<Vec<Occupant>, KernelError> {
    let mut netlink = Netlink::open()?;
    let mut all = xdp_occupants(&mut netlink, interface)?;
    for hook in [Hook::TcIngress, Hook::TcEgress] {
        all.extend(tcx_occupants(interface, hook));
        let filters = netlink.filters(interface, hook.way())?;
        all.extend(filters.iter().map(|filter| of_filter(interface, hook, filter)));
    }
    Ok(all)
}

/// Takes an occupant away, whoever put it there.
pub fn evict(interface: &Interface, occupant: &Occupant) -> Result<(), KernelError> {
    let error = |source| KernelError::new("detach the program from", format!("`{}`", interface.name), source);
    match occupant.holder {
        Holder::Link { id } => link::open(id).and_then(|link| link::detach(&link)).map_err(error),
        Holder::Filter { priority, handle } => {
            let way = occupant.hook.way();
            let filter = Filter { way, priority, handle, program_id: occupant.program_id };
            Netlink::open()?.delete_filter(interface, &filter)
        }
        Holder::Netlink if matches!(occupant.hook, Hook::TcIngress | Hook::TcEgress) => {
            Err(error(io::Error::from_raw_os_error(libc::EOPNOTSUPP)))
        }
        Holder::Netlink => Netlink::open()?.clear_xdp(interface, occupant.hook.xdp_mode()),
    }
}

pub(super) fn xdp_occupants(
    netlink: &mut Netlink,
    interface: &Interface,
) -> Result<Vec<Occupant>, KernelError> {
    let state = netlink.xdp_state(interface)?;
    let modes = [
        (Hook::XdpNative, state.native),
        (Hook::XdpGeneric, state.generic),
        (Hook::XdpOffload, state.offload),
    ];
    let found = modes.into_iter().filter_map(|(hook, id)| Some((hook, id?)));
    Ok(found.map(|(hook, id)| of_xdp(interface, hook, id)).collect())
}

fn of_xdp(interface: &Interface, hook: Hook, program_id: u32) -> Occupant {
    let link = link::find_xdp(interface.index, program_id);
    Occupant {
        ifindex: interface.index,
        hook,
        holder: link.map_or(Holder::Netlink, |id| Holder::Link { id }),
        program_id,
        program_name: program_name(program_id),
    }
}

pub(super) fn of_filter(interface: &Interface, hook: Hook, filter: &Filter) -> Occupant {
    Occupant {
        ifindex: interface.index,
        hook,
        holder: Holder::Filter { priority: filter.priority, handle: filter.handle },
        program_id: filter.program_id,
        program_name: program_name(filter.program_id),
    }
}

/// None as well where the kernel has no tcx.
fn tcx_occupants(interface: &Interface, hook: Hook) -> Vec<Occupant> {
    let (mut programs, mut links) = ([0u32; MPROG_MAX], [0u32; MPROG_MAX]);
    let mut arguments = sys::Query {
        ifindex: interface.index,
        attach_type: hook.tcx_type(),
        prog_ids: programs.as_mut_ptr() as u64,
        link_ids: links.as_mut_ptr() as u64,
        count: MPROG_MAX as u32,
        ..sys::Query::default()
    };
    // SAFETY: both tables have the room that `count` states.
    if unsafe { sys::bpf_with_pointers(Command::ProgQuery, &mut arguments) }.is_err() {
        return Vec::new();
    }
    let pairs = programs.into_iter().zip(links).take(arguments.count as usize);
    pairs
        .map(|(program_id, link)| Occupant {
            ifindex: interface.index,
            hook,
            holder: if link == 0 { Holder::Netlink } else { Holder::Link { id: link } },
            program_id,
            program_name: program_name(program_id),
        })
        .collect()
}

/// Programs may go while we look: then the name is empty.
pub(super) fn program_name(id: u32) -> String {
    Program::from_id(id).map_or_else(|_| String::new(), |program| program.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::tc::Way;

    #[test]
    fn ways_belong_to_hooks() {
        assert_eq!(Hook::TcIngress.way(), Way::In);
        assert_eq!(Hook::TcEgress.way(), Way::Out);
    }
}
