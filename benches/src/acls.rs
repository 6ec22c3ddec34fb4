//! The rules that DE-CIX mined from attacks, hundreds of them, imported as one policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use weir_compiler::NoFiles;
use weir_lab::traffic::Random;
use weir_packet::build::{Ipv4, Packet, Tcp, Udp};

use crate::frames::{self, FRAMES, link};
use crate::rules::{self, Rules};

/// The case.
pub(crate) const ACLS: &str = "de-cix";

/// Where the file is, which is not of this repository: beside it, or where `$DE_CIX_ACLS` says.
pub(crate) fn file() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/de-cix-acls.json");
    std::env::var_os("DE_CIX_ACLS").map_or_else(beside, PathBuf::from)
}

/// An ACL of transports with ports.
#[derive(Deserialize)]
struct Acl {
    protocol: Value,
    port_src: Value,
    port_dst: Value,
    packet_size: String,
}

/// The policy, with frames that each meet one of the ACLs of TCP and UDP.
pub(crate) fn rules() -> Rules {
    let text = std::fs::read_to_string(file()).expect("a file that was there");
    let options = weir_import::Options { name: "acls.json".into(), ..weir_import::Options::default() };
    let policy = weir_import::import(&text, &options).expect("ACLs").policy;
    let acls: BTreeMap<String, Acl> = serde_json::from_str(&text).expect("ACLs");
    let acls: Vec<Acl> = acls.into_values().filter(Acl::has_ports).collect();
    let hits = frames::draw(FRAMES, |random| acls[random.below(acls.len() as u32) as usize].met(random));
    Rules { policy, files: Box::new(NoFiles), hits, random: rules::random(), rivals: Box::new(Vec::new) }
}

impl Acl {
    /// Whether it is of TCP or UDP; two ports of 0 mean fragments.
    fn has_ports(&self) -> bool {
        let fragments = self.port_src == 0 && self.port_dst == 0;
        [6, 17].iter().any(|protocol| self.protocol == *protocol) && !fragments
    }

    /// A frame that it drops: what is no number is any of the highest ports, which none excludes.
    fn met(&self, random: &mut Random) -> Packet {
        let mut port =
            |wanted: &Value| wanted.as_u64().map_or_else(|| random.port() | 0xc000, |port| port as u16);
        let (from, to) = (port(&self.port_src), port(&self.port_dst));
        let packet = link(random).push(Ipv4::new(rules::address(random), [203, 0, 113, 10]));
        let packet = if self.protocol == 6 {
            packet.push(Tcp::new(from, to))
        } else {
            packet.push(Udp::new(from, to))
        };
        // The IP packet's length is above the first number and at most a hundred more, with a tag in the frame or without.
        let least = self.packet_size.trim_start_matches('(').split(',').next().unwrap_or_default();
        let length = least.parse::<usize>().unwrap_or(0) + 50 + random.below(40) as usize;
        packet.padded_to(length + 18)
    }
}
