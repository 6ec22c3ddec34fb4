//! What it costs to answer a SYN with a cookie of the kernel, to check an acknowledgement, and to see that a connection is there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use weir_compiler::{NoFiles, Options};
use weir_dataplane::counters::CookieCounters;
use weir_dataplane::engines::{Engine, Kernel};
use weir_kernel::sysctl;
use weir_lab::traffic::Random;
use weir_lab::{End, HostSpec, Link, Prefix, Topology};
use weir_packet::build::{Ethernet, Ipv4, Packet, Tcp, TcpFlags, TcpOption};

use crate::Failure;
use crate::beside;
use crate::frames::{self, FRAMES, Frames};
use crate::report::BalanceRow;

/// The host's address, where somebody listens.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const PORT: u16 = 443;
const POLICY: &str = "answer web syncookie when ip.dst == 10.1.0.1 and tcp.dstport == 443\n";

/// What frames are, and what must become of all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segments {
    /// With the options of a Linux client.
    Syns,
    /// Of nobody.
    Acknowledgements,
    /// Of one connection that is there.
    Connection,
}

pub(crate) const COOKIES: &[(&str, Segments)] = &[
    ("answer-syn", Segments::Syns),
    ("answer-ack", Segments::Acknowledgements),
    ("answer-connection", Segments::Connection),
];

/// In a namespace of its own, so that nobody else's sockets are asked.
pub(crate) fn measure(
    name: &str,
    segments: Segments,
    options: &Options,
    rounds: usize,
) -> Result<BalanceRow, Failure> {
    let end = |host, last| End::new(host, "eth0").address(Prefix::new([10, 1, 0, last], 24));
    let hosts = Topology::new().host(HostSpec::new("edge")).host(HostSpec::new("other"));
    let lab = hosts.link(Link::new(end("edge", 1), end("other", 2))).build()?;
    let row = || measure_here(name, segments, options, rounds).map_err(|failure| failure.to_string());
    Ok(lab.host("edge")?.run(row)??)
}

fn measure_here(
    name: &str,
    segments: Segments,
    options: &Options,
    rounds: usize,
) -> Result<BalanceRow, Failure> {
    sysctl::write("net.ipv4.tcp_syncookies", "2")?;
    let listener = TcpListener::bind((OWN, PORT))?;
    let client = TcpStream::connect((OWN, PORT))?;
    let frames = frames_of(segments, client.local_addr()?);
    let compilation = crate::compile(name, POLICY, &NoFiles, options)?;
    let mut kernel = Kernel::load(&compilation)?;
    let measured = beside::measure(kernel.program(), &[], &frames, rounds)?;
    drop(listener);
    all_went(&mut kernel, segments).map_err(|failure| format!("case `{name}`: {failure}"))?;
    Ok(BalanceRow {
        name: name.to_owned(),
        frames: frames.len(),
        weir: measured.weir,
        c: None,
        katran: None,
        goal: None,
        instructions: kernel.program().info()?.translated_bytes / 8,
        remembered: None,
    })
}

fn frames_of(segments: Segments, client: SocketAddr) -> Frames {
    let link = || Packet::new().push(Ethernet::default());
    match segments {
        Segments::Syns => frames::draw(FRAMES, |random| {
            let tcp = Tcp::new(random.port(), PORT).flags(TcpFlags::SYN).option(TcpOption::Mss(1460));
            let tcp = tcp.option(TcpOption::SackPermitted).option(TcpOption::Other(8, vec![0; 8]));
            link().push(Ipv4::new(any_host(random), OWN)).push(tcp.option(TcpOption::Other(3, vec![7])))
        }),
        Segments::Acknowledgements => frames::draw(FRAMES, |random| {
            let tcp = Tcp::new(random.port(), PORT).flags(TcpFlags::ACK).ack(random.bits() as u32);
            link().push(Ipv4::new(any_host(random), OWN)).push(tcp)
        }),
        Segments::Connection => frames::draw(FRAMES, |random| {
            let tcp = Tcp::new(client.port(), PORT).flags(TcpFlags::ACK).ack(random.bits() as u32);
            link().push(Ipv4::new(OWN, OWN)).push(tcp)
        }),
    }
}

/// Addresses that no host has get no answer.
fn any_host(random: &mut Random) -> Ipv4Addr {
    let [_, b, c, d] = frames::any_ip4(random).octets();
    Ipv4Addr::new(198, b, c, d)
}

/// An error if a frame that was measured did not go the way that the case is about.
fn all_went(kernel: &mut Kernel<'_>, segments: Segments) -> Result<(), Failure> {
    let counters = kernel.counters()?;
    let CookieCounters { answered, valid, invalid } = counters[0].cookies.unwrap_or_default();
    let went = counters[1].packets;
    let fine = match segments {
        Segments::Syns => answered > 0 && (valid, invalid, went) == (0, 0, 0),
        Segments::Acknowledgements => invalid > 0 && (answered, valid, went) == (0, 0, 0),
        Segments::Connection => went > 0 && (answered, valid, invalid) == (0, 0, 0),
    };
    match fine {
        true => Ok(()),
        false => Err(format!("{answered} answered, {valid} valid, {invalid} invalid, {went} went on").into()),
    }
}
