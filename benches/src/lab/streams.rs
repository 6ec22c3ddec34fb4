//! Real services behind edges: many small requests, and bytes as fast as they go.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_lab::Host;
use weir_lab::program::Program;
use weir_lab::service::{Nginx, WrkLoad};

use super::FIRST;
use super::edges::{Edge, HTTP, SERVERS, SERVICE, SINK, WAIT};
use crate::Failure;
use crate::report::StreamRow;
use crate::spread::{Ratio, Spread};
use crate::threads;

const CONNECTIONS: u32 = 64;
/// Streams of the upload.
const STREAMS: usize = 4;
const UPLOAD: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(2);

/// One turn of one edge.
#[derive(Clone, Copy)]
struct Turn {
    /// Thousands a second, over connections that are kept.
    requests: f64,
    /// Microseconds of the edge's CPU for each.
    request_cpu: f64,
    /// Thousands a second with a connection for each request.
    connections: f64,
    connection_cpu: f64,
    /// Packets that came to servers of requests, in thousands for a second of the edge's CPU.
    packets: f64,
    /// Gbit a second.
    bits: f64,
    /// Milliseconds of the edge's CPU for a Gbit.
    bit_cpu: f64,
}

/// Services of one edge.
struct Served<'a> {
    edge: &'a Edge,
    sinks: Vec<Sink>,
    _servers: Vec<Nginx>,
}

pub(super) fn measure(edges: &[Edge], rounds: usize) -> Result<Vec<StreamRow>, Failure> {
    // Programs are started on the CPU of this thread.
    threads::pin(0, threads::SENDER)?;
    let edges = edges.iter().filter(|edge| edge.balancer.serves());
    let served = edges.map(Served::start).collect::<Result<Vec<_>, _>>()?;
    let mut turns = vec![Vec::new(); served.len()];
    for turn in 0..rounds {
        for index in 0..served.len() {
            let index = (turn + index) % served.len();
            turns[index].push(served[index].turn()?);
        }
    }
    let of = |index: usize, figure: fn(&Turn) -> f64| turns[index].iter().map(figure).collect::<Vec<f64>>();
    let spread = |index, figure| Spread::of(of(index, figure));
    let first = served.iter().position(|served| served.edge.balancer == FIRST).unwrap_or(0);
    let over_first = |index, figure| Ratio::of(&of(index, figure), &of(first, figure));
    let row = |(index, served): (usize, &Served<'_>)| StreamRow {
        name: served.edge.balancer.name(),
        requests: spread(index, |turn| turn.requests),
        request_cpu: spread(index, |turn| turn.request_cpu),
        request_over_first: over_first(index, |turn| turn.request_cpu),
        packets: spread(index, |turn| turn.packets),
        connections: spread(index, |turn| turn.connections),
        connection_cpu: spread(index, |turn| turn.connection_cpu),
        connection_over_first: over_first(index, |turn| turn.connection_cpu),
        bits: spread(index, |turn| turn.bits),
        bit_cpu: spread(index, |turn| turn.bit_cpu),
        bit_over_first: over_first(index, |turn| turn.bit_cpu),
    };
    Ok(served.iter().enumerate().map(row).collect())
}

impl<'a> Served<'a> {
    fn start(edge: &'a Edge) -> Result<Self, Failure> {
        for thread in &edge.threads {
            threads::do_not_prefer(*thread)?;
        }
        // A wire carries packets: the client's stack hands over no longer ones.
        let segment = ["ethtool", "-K", &edge.clients_interface(), "tso", "off", "gso", "off"];
        Program::run(edge.client()?, &segment, WAIT)?;
        let mut servers = Vec::new();
        let mut sinks = Vec::new();
        for server in 1..=SERVERS {
            servers.push(Nginx::start(edge.server(server)?, &[SocketAddr::from(([0, 0, 0, 0], HTTP))])?);
            sinks.push(Sink::start(edge.server(server)?)?);
        }
        let others = (1..=SERVERS).map(|server| format!("server{server}")).chain(["client".to_owned()]);
        for host in others {
            for thread in edge.thread(&host)? {
                threads::pin(thread, threads::SENDER)?;
            }
        }
        Ok(Served { edge, sinks, _servers: servers })
    }

    fn turn(&self) -> Result<Turn, Failure> {
        let (requests, request_cpu, packets) = self.requests(false)?;
        let (connections, connection_cpu, _) = self.requests(true)?;
        let (bits, bit_cpu) = self.upload()?;
        Ok(Turn { requests, request_cpu, connections, connection_cpu, packets, bits, bit_cpu })
    }

    /// Thousands a second, the edge's microseconds for each, and packets for a second of its CPU.
    fn requests(&self, close: bool) -> Result<(f64, f64, f64), Failure> {
        let url = format!("http://{SERVICE}:{HTTP}/");
        let load = WrkLoad { url, connections: CONNECTIONS, seconds: 1, close };
        let (before, cpu) = (self.edge.arrived()?.iter().sum::<u64>(), self.edge.cpu()?);
        let name = self.edge.balancer.name();
        let report = load.run(self.edge.client()?).map_err(|error| format!("{name}: {error}"))?;
        std::thread::sleep(LOOK);
        let (cpu, after) = ((self.edge.cpu()? - cpu).as_secs_f64(), self.edge.arrived()?.iter().sum::<u64>());
        if !report.is_clean() || report.requests == 0 {
            return Err(format!("{name}: {report:?}").into());
        }
        let requests = report.requests as f64;
        let packets = (after - before) as f64;
        Ok((requests / report.duration.as_secs_f64() / 1e3, cpu * 1e6 / requests, packets / cpu / 1e3))
    }

    /// Gbit a second, and the edge's milliseconds for each Gbit.
    fn upload(&self) -> Result<(f64, f64), Failure> {
        let taken = || self.sinks.iter().map(|sink| sink.taken.load(Ordering::Relaxed)).sum::<u64>();
        let (before, cpu, start) = (taken(), self.edge.cpu()?, Instant::now());
        self.edge.client()?.run(|| {
            std::thread::scope(|scope| {
                // Threads that are started in a namespace are in it, and on the CPU of the one that started them.
                let streams: Vec<_> = (0..STREAMS).map(|_| scope.spawn(|| upload(start))).collect();
                streams.into_iter().try_for_each(|stream| stream.join().expect("no panic"))
            })
        })??;
        let time = start.elapsed().as_secs_f64();
        std::thread::sleep(LOOK);
        let (cpu, bits) = ((self.edge.cpu()? - cpu).as_secs_f64(), (taken() - before) as f64 * 8.0 / 1e9);
        Ok((bits / time, cpu * 1e3 / bits))
    }
}

/// Until the time is over and the other end has had all of it.
fn upload(start: Instant) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((SERVICE, SINK))?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.set_read_timeout(Some(WAIT))?;
    let bytes = vec![0; 1 << 16];
    while start.elapsed() < UPLOAD {
        stream.write_all(&bytes)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Reads all that comes, until it is dropped.
struct Sink {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
}

impl Sink {
    fn start(host: &Host) -> Result<Sink, Failure> {
        let listener = host.run(|| TcpListener::bind(("0.0.0.0", SINK)))??;
        listener.set_nonblocking(true)?;
        let sink = Sink { stop: Arc::default(), taken: Arc::default() };
        let (stop, taken) = (Arc::clone(&sink.stop), Arc::clone(&sink.taken));
        host.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(std::thread::spawn({
                        let taken = Arc::clone(&taken);
                        move || take(stream, &taken)
                    })),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        })?;
        Ok(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn take(mut stream: TcpStream, taken: &AtomicU64) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => taken.fetch_add(count as u64, Ordering::Relaxed),
        };
    }
}
