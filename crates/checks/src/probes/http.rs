//! HTTP/1.1 `GET`, in the clear or over TLS.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::tcp;
use crate::error::Error;
use crate::fault::Fault;

/// The longest head of an answer that is read: what is asked is in its first line.
const LONGEST: usize = 64 << 10;

/// A request, and how it travels.
#[derive(Debug)]
pub(crate) struct Get {
    request: Request<String>,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

impl Get {
    pub(super) fn new(
        path: &str,
        host: Option<&str>,
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Get, Error> {
        let target =
            PathAndQuery::try_from(path).ok().filter(|_| path.starts_with('/') && !path.contains('#'));
        let target = target.ok_or_else(|| Error::Path(path.to_owned()))?;
        let usual = if tls.is_some() { 443 } else { 80 };
        let host = host.map_or_else(|| authority(address, usual), str::to_owned);
        let parsed = Authority::try_from(host.as_str()).ok().filter(|_| !host.contains('@'));
        let parsed = parsed.ok_or_else(|| Error::Host(host.clone()))?;
        let request = Request::get(target.as_str())
            .header(HOST, parsed.as_str())
            .header(USER_AGENT, "weir")
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .body(String::new())
            .map_err(|_| Error::Path(path.to_owned()))?;
        let tls = tls.map(|tls| (server_name(&parsed, address), tls));
        Ok(Get { request, tls })
    }

    pub(super) async fn ask(&self, address: SocketAddr, mark: Option<u32>) -> Result<(), Fault> {
        let stream = tcp::connect(address, mark).await?;
        let answer = match &self.tls {
            None => self.exchange(stream).await?,
            Some((name, config)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                self.exchange(connector.connect(name.clone(), stream).await?).await?
            }
        };
        match answer.status().as_u16() {
            200..400 => Ok(()),
            status => Err(Fault::Theirs(format!("status {status}"))),
        }
    }

    /// The head of the answer. Its body is not waited for.
    async fn exchange<S>(&self, stream: S) -> Result<Response<Incoming>, Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        let connecting = http1::Builder::new().max_buf_size(LONGEST).handshake(stream).await;
        let (mut sender, connection) = connecting.map_err(|error| fault(&error))?;
        let mut answer = std::pin::pin!(sender.send_request(self.request.clone()));
        let answer = tokio::select! {
            biased;
            // Nothing moves unless this is polled. It ends behind the answer, or without one; both are told by the
            // other end.
            _ = connection => answer.await,
            answer = &mut answer => answer,
        };
        answer.map_err(|error| fault(&error))
    }
}

/// An address as a `Host`, which says no port that goes without saying (RFC 9110, section 4.2.3).
fn authority(address: SocketAddr, usual: u16) -> String {
    match address {
        SocketAddr::V6(address) if address.port() == usual => format!("[{}]", address.ip()),
        SocketAddr::V4(address) if address.port() == usual => address.ip().to_string(),
        address => address.to_string(),
    }
}

/// Whom TLS asks for: servers have certificates of several names, and some have none for no name.
fn server_name(host: &Authority, address: SocketAddr) -> ServerName<'static> {
    ServerName::try_from(host.host().to_owned()).unwrap_or_else(|_| ServerName::from(address.ip()))
}

fn fault(error: &hyper::Error) -> Fault {
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        return Fault::of(error);
    }
    if error.is_parse() {
        return Fault::theirs("no answer of HTTP");
    }
    if error.is_incomplete_message() {
        return Fault::theirs("connection closed");
    }
    Fault::Theirs(error.to_string())
}

/// TLS to whoever answers. Connections are not resumed, so that each probe sees the whole of what a client does.
pub(crate) fn accepting() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes every certificate, and does not look into it: a backend is known by its address.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "192.0.2.7:8080";

    fn get(path: &str, host: Option<&str>, address: &str) -> Result<Get, Error> {
        Get::new(path, host, address.parse().expect("an address"), None)
    }

    fn host(given: Option<&str>, address: &str) -> String {
        let get = get("/", given, address).expect("a request");
        get.request.headers()[HOST].to_str().expect("text").to_owned()
    }

    #[test]
    fn the_host_is_what_was_said_or_the_address() {
        assert_eq!(host(Some("weir.test"), ADDRESS), "weir.test");
        assert_eq!(host(Some("weir.test:8443"), ADDRESS), "weir.test:8443");
        assert_eq!(host(None, ADDRESS), "192.0.2.7:8080");
        assert_eq!(host(None, "192.0.2.7:80"), "192.0.2.7");
        assert_eq!(host(None, "[2001:db8::7]:80"), "[2001:db8::7]");
        assert_eq!(host(None, "[2001:db8::7]:443"), "[2001:db8::7]:443");
    }

    #[test]
    fn paths_and_hosts_that_no_request_can_have_are_refused() {
        for path in ["", "health", "/a b", "/\r\nX: y", "http://weir.test/", "*", "/a#b"] {
            assert!(
                matches!(get(path, None, ADDRESS), Err(Error::Path(refused)) if refused == path),
                "{path}"
            );
        }
        for host in ["", "a b", "a\r\nX: y", "user@weir.test", "weir.test/"] {
            assert!(
                matches!(get("/", Some(host), ADDRESS), Err(Error::Host(refused)) if refused == host),
                "{host}"
            );
        }
        for path in ["/", "/health?deep=1", "/a%20b"] {
            assert_eq!(get(path, None, ADDRESS).expect("a request").request.uri(), path);
        }
    }

    #[test]
    fn tls_asks_for_the_name_that_was_said() {
        let name = |host: &str| {
            let host = Authority::try_from(host).expect("a host");
            server_name(&host, ADDRESS.parse().expect("an address"))
        };
        assert_eq!(name("weir.test:8443"), ServerName::try_from("weir.test").expect("a name"));
        let address = ServerName::from(std::net::IpAddr::from([192, 0, 2, 7]));
        assert_eq!(name("192.0.2.7:8443"), address);
        assert_eq!(name("[::1]"), address, "nothing is asked for by an address, whichever");
    }
}
