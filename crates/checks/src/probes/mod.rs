//! What is asked, one file a kind.

mod dns;
mod exec;
pub(crate) mod http;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;
use weir_pool::health::Outcome;
use weir_pool::pool::Endpoint;
use weir_pool::probe::{Check, Probe};

use crate::error::Error;
use crate::fault::{Fault, outcome};
use crate::over::Over;
use crate::way::Way;

/// A question that can be asked: whatever can be wrong with it was looked at when it was made.
#[derive(Debug)]
pub(crate) enum Question {
    Network(SocketAddr, Option<Arc<Way>>, Exchange),
    Exec(exec::Program),
}

/// What goes over the network.
#[derive(Debug)]
pub(crate) enum Exchange {
    Tcp,
    Http(Box<http::Get>),
    Dns(dns::Query),
    Udp { send: Vec<u8>, expect: Vec<u8> },
}

impl Question {
    pub(crate) fn new(
        check: &Check,
        endpoint: Endpoint,
        way: Option<Arc<Way>>,
        tls: &Arc<ClientConfig>,
    ) -> Result<Question, Error> {
        let own = (endpoint.port != 0).then_some(endpoint.port);
        let port = check.port.or(own).or(check.probe.usual_port());
        let port = port.ok_or(Error::NoPort { endpoint, probe: check.probe.word() })?;
        let asked = way.as_ref().map_or(endpoint.address, |way| way.service);
        let address = SocketAddr::new(asked, port);
        let exchange = match &check.probe {
            Probe::Tcp => Exchange::Tcp,
            Probe::Http { path, host, tls: over } => {
                let tls = over.then(|| Arc::clone(tls));
                Exchange::Http(Box::new(http::Get::new(path, host.as_deref(), address, tls)?))
            }
            Probe::Dns { name } => Exchange::Dns(dns::Query::new(name)?),
            Probe::Udp { send, expect } => Exchange::Udp { send: send.clone(), expect: expect.clone() },
            Probe::Exec { command } => return exec::Program::new(command, address).map(Question::Exec),
        };
        Ok(Question::Network(address, way, exchange))
    }

    /// Asks until there is an answer, or it is over. An answer that is there by then counts.
    pub(crate) async fn ask(&self, over: Over) -> Outcome {
        match self {
            Question::Exec(program) => program.run(over).await,
            Question::Network(address, way, exchange) => {
                if let Some(why) = way.as_ref().and_then(|way| way.hindrance()) {
                    return Outcome::NotMade(why);
                }
                let mark = way.as_ref().map(|way| way.mark);
                tokio::select! {
                    biased;
                    answer = exchange.with(*address, mark) => outcome(answer),
                    () = over.wait() => Outcome::TimedOut,
                }
            }
        }
    }
}

impl Exchange {
    async fn with(&self, address: SocketAddr, mark: Option<u32>) -> Result<(), Fault> {
        match self {
            Exchange::Tcp => tcp::connect(address, mark).await.map(drop),
            Exchange::Http(get) => get.ask(address, mark).await,
            Exchange::Dns(query) => query.ask(address, mark).await,
            Exchange::Udp { send, expect } => udp::ask(address, mark, send, expect).await,
        }
    }
}
