//! Where etcd is, and who we are.

use crate::Error;
use hyper::Uri;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How etcd is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port` or `https://host:port`, one or more members of the same cluster.
    pub endpoints: Vec<String>,
    /// All keys begin with this.
    pub prefix: String,
    /// For how long keys stay whose owner is gone.
    pub lease: Duration,
    /// Certificates that etcd's must be signed by, as PEM.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, as PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The user that etcd knows us by.
    pub user: Option<Credentials>,
}

/// A user of etcd.
#[derive(Clone)]
pub struct Credentials {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            prefix: "/weir/".to_owned(),
            lease: Duration::from_secs(5),
            ca: None,
            identity: None,
            user: None,
        }
    }
}

/// A member of the cluster.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// As it was given.
    pub(super) text: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Nothing in the clear.
    pub(super) tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

impl Options {
    /// Reads the files and understands the endpoints.
    pub(super) fn resolve(&self) -> Result<Vec<Endpoint>, Error> {
        let config = match self.endpoints.iter().any(|text| text.starts_with("https:")) {
            true => Some(Arc::new(self.tls()?)),
            false => None,
        };
        if config.is_none() && (self.ca.is_some() || self.identity.is_some()) {
            return Err(Error::Options("certificates are given, but no `https://` endpoint".into()));
        }
        let all = self.endpoints.iter().map(|text| endpoint(text, config.as_ref()));
        let all: Vec<Endpoint> = all.collect::<Result<_, _>>()?;
        match all.is_empty() {
            true => Err(Error::Options("no endpoint of etcd is given".into())),
            false => Ok(all),
        }
    }

    fn tls(&self) -> Result<ClientConfig, Error> {
        let told = |error: tokio_rustls::rustls::Error| Error::Options(format!("TLS to etcd: {error}"));
        let Some(ca) = &self.ca else {
            return Err(Error::Options(
                "`https://` needs the certificate that etcd's is signed by: `--etcd-ca FILE`".into(),
            ));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(told)?;
        }
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(told)?;
        let builder = versions.with_root_certificates(roots);
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let pem = read(key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|error| Error::Options(format!("`{}` is no private key: {error}", key.display())))?;
        builder.with_client_auth_cert(certificates(certificate)?, key).map_err(told)
    }
}

fn endpoint(text: &str, config: Option<&Arc<ClientConfig>>) -> Result<Endpoint, Error> {
    let wrong =
        || Error::Options(format!("`{text}` is no endpoint: `http://HOST:PORT` or `https://HOST:PORT`"));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let authority = uri.authority().ok_or_else(wrong)?;
    if !matches!(uri.path(), "" | "/") || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(2379);
    let tls = match config.filter(|_| is_tls) {
        Some(config) => {
            let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
            Some((name, Arc::clone(config)))
        }
        None => None,
    };
    Ok(Endpoint { text: text.trim_end_matches('/').to_owned(), host, port, tls })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let none = |why: String| Error::Options(format!("`{}` has no certificates: {why}", path.display()));
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| none(error.to_string()))?;
    match all.is_empty() {
        true => Err(none("no PEM block in it".into())),
        false => Ok(all),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Options(format!("cannot read `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &Options) -> String {
        options.resolve().unwrap_err().to_string()
    }

    #[test]
    fn endpoints_are_understood() {
        let of = |text: &str| endpoint(text, None).map(|one| (one.host, one.port));
        assert_eq!(of("http://etcd.example:2379/").unwrap(), ("etcd.example".into(), 2379));
        assert_eq!(of("http://[2001:db8::1]").unwrap(), ("2001:db8::1".into(), 2379));
        for wrong in ["etcd.example:2379", "ftp://a", "http://", "http://a/b", "http://u:p@a", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        let https = Options { endpoints: vec!["https://a:1".into()], ..Options::default() };
        assert!(refused(&https).contains("--etcd-ca"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = Options { ca: Some(file.path().into()), ..https };
        assert!(refused(&empty).contains("has no certificates"));
        let clear = Options { endpoints: vec!["http://a:1".into()], ..empty };
        assert!(refused(&clear).contains("no `https://` endpoint"));
        assert!(refused(&Options { endpoints: Vec::new(), ..Options::default() }).contains("no endpoint"));
    }
}
