//! A message by HTTP `POST`.

use crate::hooks::{Deliver, Message};
use rustls::crypto::ring;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long all of it may take, with the name and TLS.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An address that messages are posted to.
#[derive(Debug)]
pub(crate) struct Webhook {
    url: String,
    host: String,
    agent: Agent,
}

impl Webhook {
    pub(crate) fn new(url: &str) -> io::Result<Webhook> {
        let uri = url.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let host = uri.as_ref().and_then(Uri::host).filter(|host| !host.is_empty());
        let Some(host) = host.map(str::to_owned) else {
            let message = format!("`{url}` is no address such as `https://alerts.example/weir`");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        // A redirect would be to somewhere that nobody named.
        let config =
            Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).user_agent("weir");
        Ok(Webhook { url: url.to_owned(), host, agent: config.tls_config(tls()).build().new_agent() })
    }

    /// All of its address that is no secret.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// The certificates that the system trusts, or those of `SSL_CERT_FILE`.
fn tls() -> TlsConfig {
    let certificates = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<Certificate<'static>> =
        certificates.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build()
}

impl Deliver for Webhook {
    fn deliver(&mut self, message: &Message, _: &AtomicBool) -> Result<(), String> {
        let request = self.agent.post(&self.url).content_type("application/json");
        let answer = request.send(&message.json).map_err(|error| words(&error))?;
        // Redirects are not followed, and so not told.
        match answer.status().as_u16() {
            200..300 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}

fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("status {status}"),
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::HostNotFound => "no such host".into(),
        ureq::Error::Io(error) => {
            error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
        }
        other => other.to_string(),
    }
}
