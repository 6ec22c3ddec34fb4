//! An edge, an analyser and an etcd, joined as machines would be.

use super::{INSTANCE, Log, Round, Worker, traffic};
use crate::Failure;
use crate::threads::is_installed;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use weir_dataplane::export::{Collectors, Dropped, Exporter};
use weir_dataplane::{Hook, Source, protect, unload};
use weir_fleet::analyser::{self, Analyser, What};
use weir_fleet::edge::{self, Edge};
use weir_fleet::etcd::{Options, Store};
use weir_fleet::listener::{Listener, Senders};
use weir_fleet::policy::publish;
use weir_kernel::netns::Namespace;
use weir_lab::Lab;
use weir_lab::traffic::Attack;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn missing() -> Option<&'static str> {
    ["etcd", "setpriv"].into_iter().find(|tool| !is_installed(tool))
}

pub(super) fn play(lab: &Lab, source: &Source, attack: &Attack) -> Result<Round, Failure> {
    let etcd = Etcd::start()?;
    let people = etcd.store()?;
    publish(&people, "edge", source)?;
    let listener = Listener::bind(SocketAddr::new(LOOPBACK, 0), Senders::Listed(BTreeSet::new()))?;
    let collector = listener.address()?;
    let options = analyser::Options {
        name: "a1".into(),
        address: collector,
        agents: Vec::new(),
        protect: protect::Options::default(),
        hold: Duration::from_secs(60),
    };
    let mut analyser = Analyser::start(etcd.store()?, listener, options)?;
    let mut edge = Edge::start(etcd.store()?, edge_options(lab)?)?;
    // The policy goes after everything that uses it.
    let _guard = Guard;
    let start = Instant::now();
    while edge.instance().is_none() || !analyser.leads() {
        edge.turn(Duration::from_millis(10))?;
        analyser.turn()?;
        if start.elapsed() >= PATIENCE {
            return Err("the fleet does not come together".into());
        }
    }
    let instance = edge.instance().ok_or("no policy runs")?.clone();
    let mut samples = instance.samples()?;
    let collectors = Collectors::connect(&[collector.to_string()])?;
    let every = Duration::from_secs(20);
    let mut exporter = Exporter::new(instance, collectors, None, Dropped::Flows, every, None)?;
    let log = Log::default();
    let theirs = log.clone();
    let _workers = [
        Worker::start(move || {
            let _ = samples.read(Duration::from_millis(10), &mut |sample| exporter.sample(sample));
            let _ = exporter.turn();
        }),
        Worker::start(move || drop(edge.turn(Duration::from_millis(50)))),
        Worker::start(move || {
            for event in analyser.turn().unwrap_or_default() {
                if let What::Defence(what) = event.what {
                    theirs.add(event.time_ns, what);
                }
            }
        }),
    ];
    traffic(lab, attack, &log)
}

fn edge_options(lab: &Lab) -> Result<edge::Options, Failure> {
    Ok(edge::Options {
        name: "edge".into(),
        policy: "edge".into(),
        instance: INSTANCE.into(),
        interfaces: vec!["clients".into()],
        hook: Hook::XdpNative,
        namespace: Some(Namespace::find(lab.host("edge")?.namespace().label())?),
        never: None,
        idle: Duration::from_secs(60),
        longest: Duration::from_secs(3600),
        agent: Some(LOOPBACK),
    })
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = unload(INSTANCE);
    }
}

/// One member, which ends with this, or with us.
struct Etcd {
    child: Child,
    url: String,
    _data: TempDir,
}

impl Etcd {
    fn start() -> Result<Etcd, Failure> {
        let data = TempDir::new()?;
        let [url, peer] = [port()?, port()?].map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "etcd", "--log-level", "error", "--data-dir"])
            .arg(data.path());
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("default={peer}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Etcd { child, url, _data: data })
    }

    fn store(&self) -> Result<Store, Failure> {
        let store = Store::open(Options { endpoints: vec![self.url.clone()], ..Options::default() })?;
        store.reached(PATIENCE)?;
        Ok(store)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that was free a moment ago.
fn port() -> Result<u16, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
