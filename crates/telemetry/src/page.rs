//! A page that Prometheus scrapes.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// So many scrape at a time; others wait in the kernel's queue. More than are slow on purpose without effort.
const AT_A_TIME: usize = 256;
/// How long one may take, from its first byte to its last.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A request that is longer is none.
const LONGEST: usize = 16 << 10;
/// A page that is younger is told again: it costs nothing then.
const FRESH: Duration = Duration::from_millis(500);
/// How often is looked whether it is over.
const LOOK: Duration = Duration::from_millis(50);

/// A page under `/metrics`, as long as it is not dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Begins to listen. `write` makes the page, at most twice a second, in a thread of its own.
    ///
    /// # Errors
    /// When the address cannot be listened at, or there can be no thread.
    pub fn serve(address: SocketAddr, write: impl FnMut() -> String + Send + 'static) -> io::Result<Page> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&over);
        let written = Arc::new(Written::new(write));
        let work = move || runtime.block_on(listen(listener, written, &asked));
        let thread = std::thread::Builder::new().name("weir-metrics".into()).spawn(work)?;
        Ok(Page { address, over, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The last page, and who writes the next.
struct Written(Mutex<Writer>);

struct Writer {
    write: Box<dyn FnMut() -> String + Send>,
    last: Option<(Instant, Bytes)>,
}

impl Written {
    fn new(write: impl FnMut() -> String + Send + 'static) -> Written {
        Written(Mutex::new(Writer { write: Box::new(write), last: None }))
    }

    fn page(&self) -> Bytes {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, page)) = writer.last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return page.clone();
        }
        let page = Bytes::from((writer.write)());
        writer.last = Some((Instant::now(), page.clone()));
        page
    }
}

async fn listen(listener: std::net::TcpListener, written: Arc<Written>, over: &AtomicBool) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    while !over.load(Relaxed) {
        let Ok(place) = tokio::time::timeout(LOOK, Arc::clone(&room).acquire_owned()).await else { continue };
        let stream = match tokio::time::timeout(LOOK, listener.accept()).await {
            Ok(Ok((stream, _))) => stream,
            // Such as too many open files: it may pass.
            Ok(Err(_)) => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(_) => continue,
        };
        let written = Arc::clone(&written);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, written)).await;
            drop(place);
        });
    }
}

/// One request of one connection: whoever wants more comes again.
async fn answer(stream: TcpStream, written: Arc<Written>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = respond(&request, &written);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(LONGEST).timer(TokioTimer::new()).header_read_timeout(TIMEOUT / 4);
    // What is wrong with a request is the other side's.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn respond(request: &Request<Incoming>, written: &Written) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/metrics" => *answer.body_mut() = Full::new(written.page()),
        "/" => *answer.body_mut() = Full::new(Bytes::from_static(b"Weir: see /metrics\n")),
        _ => *answer.status_mut() = StatusCode::NOT_FOUND,
    }
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(TEXT));
    answer
}
