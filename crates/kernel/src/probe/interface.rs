//! What `weir doctor` shows of an interface, and links tried where they hurt nobody.

use std::io;

use weir_bpf::asm::Assembler;
use weir_bpf::insn::{Insn, Reg};

use super::features::load_object;
use super::{Fact, State};
use crate::attach::{self, Hook, PAGE_MTU, XDP_DRIVERS};
use crate::netlink::{Interface, Link, Netlink};
use crate::netns;
use crate::offload::{self, Offload};
use crate::program::{Program, ProgramKind};

/// The facts about an interface of the calling thread's namespace that matter to Weir.
pub fn interface_facts(name: &str) -> Vec<Fact> {
    let link = match Netlink::open().and_then(|mut netlink| netlink.link(name)) {
        Ok(link) => link,
        Err(error) => {
            let fix = "`ip link` lists those there are";
            return vec![Fact::new("interface", State::Bad, error.to_string(), fix)];
        }
    };
    let mut facts = vec![state(&link), native(&link), mtu(&link), occupants(&link)];
    if link.kind.as_deref() == Some("veth") {
        facts.extend([veth_gro(&link), veth_peer(&link)]);
    }
    facts
}

fn state(link: &Link) -> Fact {
    let name = "interface";
    match (link.up, link.running) {
        (true, true) => Fact::good(name, format!("`{}` is up", link.name)),
        (true, false) => Fact::new(
            name,
            State::Warn,
            format!("`{}` is up without a carrier", link.name),
            "plug it in, or set its other end up",
        ),
        _ => Fact::new(
            name,
            State::Warn,
            format!("`{}` is down", link.name),
            format!("`ip link set {} up`", link.name),
        ),
    }
}

fn native(link: &Link) -> Fact {
    let name = "native XDP";
    let driver = match offload::driver(&link.name) {
        Ok(driver) => driver,
        // The loopback and some tunnels have no ethtool at all.
        Err(_) => link.kind.clone().unwrap_or_else(|| "unknown".to_owned()),
    };
    if XDP_DRIVERS.contains(&driver.as_str()) {
        return Fact::good(name, format!("driver `{driver}` has it"));
    }
    let detail = format!("driver `{driver}` is not known to have it");
    Fact::new(name, State::Warn, detail, "try it; else `--mode generic`, about three times slower")
}

fn mtu(link: &Link) -> Fact {
    let name = "MTU";
    if link.mtu <= PAGE_MTU {
        return Fact::good(name, link.mtu.to_string());
    }
    let detail = format!("{}, more than {PAGE_MTU}: native XDP needs programs for fragments", link.mtu);
    Fact::new(
        name,
        State::Warn,
        detail,
        format!("`ip link set {} mtu {PAGE_MTU}`, or a policy for fragments", link.name),
    )
}

fn occupants(link: &Link) -> Fact {
    let name = "programs";
    let interface = Interface { index: link.index, name: link.name.clone() };
    let all = match attach::occupants(&interface) {
        Ok(all) => all,
        Err(error) => return Fact::unknown(name, error.to_string()),
    };
    let words: Vec<_> = all
        .iter()
        .map(|occupant| format!("{} `{}` at {}", occupant.program_id, occupant.program_name, occupant.hook))
        .collect();
    if words.is_empty() {
        return Fact::good(name, "none attached");
    }
    let xdp = |hook| matches!(hook, Hook::XdpNative | Hook::XdpGeneric | Hook::XdpOffload);
    if all.iter().any(|occupant| xdp(occupant.hook)) {
        return Fact::new(
            name,
            State::Warn,
            words.join(", "),
            "an interface takes one XDP program: detach it first",
        );
    }
    Fact::good(name, words.join(", "))
}

/// A veth takes redirected frames only if it has a native program or GRO.
fn veth_gro(link: &Link) -> Fact {
    let name = "veth receives redirects";
    match offload::offload(&link.name, Offload::Gro) {
        Ok(true) => Fact::good(name, "GRO is on"),
        Ok(false) => {
            let detail = "GRO is off: frames that are redirected to its other end are lost, unless a native program sits here";
            Fact::new(name, State::Warn, detail, format!("`ethtool -K {} gro on`", link.name))
        }
        Err(error) => Fact::unknown(name, error.to_string()),
    }
}

/// Seen only where the other end is in this namespace.
fn veth_peer(link: &Link) -> Fact {
    let name = "veth answers (XDP_TX)";
    let here = link.peer.filter(|_| !link.peer_elsewhere);
    let peer = here.and_then(|index| Netlink::open().ok()?.link_by_index(index).ok());
    let Some(peer) = peer else {
        return Fact::unknown(
            name,
            "the other end is in another namespace; it needs a native program, else answers are lost",
        );
    };
    let interface = Interface { index: peer.index, name: peer.name.clone() };
    let found = attach::occupants(&interface).unwrap_or_default();
    if found.iter().any(|occupant| occupant.hook == Hook::XdpNative) {
        return Fact::good(name, format!("`{}` has a native program", peer.name));
    }
    let detail =
        format!("`{}` has no native program: XDP_TX counts frames as sent and loses them", peer.name);
    Fact::new(name, State::Warn, detail, "attach a native program there that passes all")
}

/// Attaches to the loopback of a namespace that nobody else sees, and that ends with this function.
pub(super) fn try_link(kind: ProgramKind) -> Option<bool> {
    let (section, hook) = match kind {
        ProgramKind::Xdp => ("xdp", Hook::XdpGeneric),
        _ => ("tc", Hook::TcIngress),
    };
    let program = answering(section)?;
    let tried: io::Result<bool> = netns::in_scratch(|| {
        let interface = Interface { index: 1, name: "lo".to_owned() };
        attach::links(&program, &interface, hook)
    });
    tried.ok()
}

fn answering(section: &str) -> Option<Program> {
    let mut asm = Assembler::new("probe", section);
    asm.emit(Insn::mov(Reg::R0, 2));
    asm.emit(Insn::Exit);
    let mut loaded = load_object(asm, Vec::new())?.ok()?;
    Some(loaded.programs.remove("probe")?.program)
}
