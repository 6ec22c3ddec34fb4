//! Probes on the wire, as Wireshark sees them.

use super::{CHECK, Checked, HTTP, every_via, lead_to_the_client};
use crate::support::{require_kernel, require_tools};
use crate::vias::{Balanced, SERVERS, SERVICES};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use weir_lab::Host;
use weir_lab::program::{Program, Scratch};
use weir_lab::service::HttpLoad;
use weir_lab::wire::Tap;

/// Asked of every frame. A list has a value for each header, the outermost first.
const FIELDS: [&str; 13] = [
    "ip.src",
    "ipv6.src",
    "_ws.malformed",
    "ip.checksum.status",
    "tcp.checksum.status",
    "eth.src",
    "eth.dst",
    "ip.dst",
    "ipv6.dst",
    "ip.ttl",
    "ip.flags.df",
    "udp.dstport",
    "vxlan.vni",
];
/// From here on probes and traffic agree.
const ALIKE: usize = 5;
const OPTIONS: [&str; 3] = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:FALSE"];

/// On the wire a probe is to a backend what traffic is, and Wireshark finds nothing wrong with it.
#[test]
fn probes_are_as_traffic_is() {
    require_kernel!();
    require_tools!("tshark");
    // Wireshark is told that IPv4 is in GUE, and no more.
    for (via, six, macs) in every_via().into_iter().filter(|(via, six, _)| !via.starts_with("gue") || !six) {
        let mut lab = Balanced::routed();
        lab.take_tunnels_off();
        lead_to_the_client(&lab);
        let text = lab.policy(1..=SERVERS, six, macs, &via, CHECK);
        let service = SERVICES[usize::from(six)];
        let mut checked = Checked::start(lab, &text, service);
        let scratch = Scratch::create().expect("a directory");
        let file = scratch.path().join("frames.pcapng");
        if via != "l2" {
            checked.lab.leave_tunnels_on(1);
        }
        let tap = Tap::start(checked.lab.server(1), "eth0", &file).expect("a tap");
        let load =
            HttpLoad { rate: 100, ..HttpLoad::new((service, HTTP).into(), Duration::from_millis(300)) };
        load.run(checked.lab.host("client")).expect("a client");
        // A loaded machine makes probes late.
        (0..2).for_each(|_| checked.keep());
        tap.stop().expect("a capture");

        let edge = checked.lab.host("edge").interface("clients").expect("there");
        let own = if six { edge.ipv6() } else { edge.ipv4() }.expect("an address").to_string();
        let frames = to_the_service(&file, checked.lab.host("edge"));
        let bad = frames
            .iter()
            .find(|frame| !frame[2].is_empty() || frame[3].contains('0') || frame[4].contains('0'));
        assert_eq!(bad, None, "via {via}");
        let is_probe = |frame: &&Vec<String>| frame[usize::from(six)].split(',').any(|source| source == own);
        let (probes, traffic): (Vec<_>, Vec<_>) = frames.iter().partition(is_probe);
        let alike = |frames: &[&Vec<String>]| {
            frames.iter().map(|frame| frame[ALIKE..].join(" ")).collect::<BTreeSet<_>>()
        };
        assert!(probes.len() > 1 && !traffic.is_empty(), "via {via}: {} and {}", probes.len(), traffic.len());
        assert_eq!(alike(&probes), alike(&traffic), "via {via}");
    }
}

/// What tshark says of the frames on their way to a server. Wireshark does not know variant 1 of GUE, so it is told what is in it.
fn to_the_service(file: &Path, host: &Host) -> Vec<Vec<String>> {
    let file = file.display().to_string();
    let mut command = vec!["tshark", "-n", "-r", &file, "-d", "udp.port==6080,ip", "-T", "fields"];
    command.extend(["-Y", "tcp.dstport == 80 && !icmp && !icmpv6"]);
    command.extend(OPTIONS.iter().flat_map(|option| ["-o", option]));
    command.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    let told = Program::run(host, &command, Duration::from_secs(60)).expect("tshark");
    let lines = told.lines().filter(|line| line.contains('\t'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
