use crate::server::{Etcd, is_missing, until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use weir_fleet::Error;
use weir_fleet::etcd::{Credentials, Link, Operation, Options, Store, Transaction};

/// A certificate authority, and a certificate of its for the loopback that servers and clients may use.
struct Certificates {
    directory: TempDir,
}

impl Certificates {
    fn make() -> Certificates {
        let directory = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        for (name, pem) in
            [("ca", authority.pem()), ("cert", certificate.pem()), ("key", key.serialize_pem())]
        {
            fs::write(directory.path().join(name), pem).unwrap();
        }
        Certificates { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn lost(options: Options) -> String {
    let store = Store::open(options).unwrap();
    until("it is refused", || matches!(store.link(), Link::Lost(_)));
    let Link::Lost(why) = store.link() else { panic!("found again") };
    why
}

#[test]
fn both_ends_can_ask_for_certificates() {
    if is_missing("both_ends_can_ask_for_certificates") {
        return;
    }
    let (ours, others) = (Certificates::make(), Certificates::make());
    let [ca, cert, key] = ["ca", "cert", "key"].map(|name| ours.text(name));
    let flags = ["--cert-file", &cert, "--key-file", &key, "--client-cert-auth", "--trusted-ca-file", &ca];
    let etcd = Etcd::with("https", &flags.map(str::to_owned));
    let identity = Some((ours.path("cert"), ours.path("key")));
    let good = Options { ca: Some(ours.path("ca")), identity, ..etcd.options() };
    let store = Store::open(good.clone()).unwrap();
    store.reached(Duration::from_secs(10)).unwrap();
    let then = vec![Operation::Put("x".into(), b"1".to_vec())];
    assert!(store.transact(Transaction { when: Vec::new(), then }).unwrap());
    until("it is there", || store.get("x").is_some());

    let told = lost(Options { ca: Some(others.path("ca")), ..good.clone() });
    assert!(told.contains("invalid peer certificate"), "a server that somebody else vouches for: {told}");
    lost(Options { identity: None, ..good.clone() });
    let strange = Some((others.path("cert"), others.path("key")));
    lost(Options { identity: strange, ..good });
}

#[test]
fn users_have_passwords_and_tokens_that_expire() {
    if is_missing("users_have_passwords_and_tokens_that_expire") {
        return;
    }
    let etcd = Etcd::with("http", &["--auth-token-ttl".to_owned(), "2".to_owned()]);
    drop(etcd.store());
    etcd.ctl(&["user", "add", "root:secret"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["user", "add", "edge:word"]);
    etcd.ctl(&["role", "add", "edges"]);
    etcd.ctl(&["role", "grant-permission", "edges", "--prefix=true", "read", "/weir/"]);
    etcd.ctl(&["role", "grant-permission", "edges", "--prefix=true", "readwrite", "/weir/edges/"]);
    etcd.ctl(&["user", "grant-role", "edge", "edges"]);
    etcd.ctl(&["auth", "enable"]);
    let user = |name: &str, password: &str| Options {
        user: Some(Credentials { name: name.into(), password: password.into() }),
        ..etcd.options()
    };
    let store = Store::open(user("edge", "word")).unwrap();
    store.reached(Duration::from_secs(10)).unwrap();
    let write = |value: &str| {
        let then = vec![Operation::Put("edges/x".into(), value.into())];
        store.transact(Transaction { when: Vec::new(), then })
    };
    assert!(write("1").unwrap());
    store.lend("edges/a", b"there".to_vec());
    // Longer than tokens live.
    std::thread::sleep(Duration::from_secs(6));
    assert!(write("2").unwrap());
    until("it is followed", || store.get("edges/x").is_some_and(|entry| entry.value == b"2"));
    assert!(store.get("edges/a").is_some());

    let elsewhere = Transaction { when: Vec::new(), then: vec![Operation::Delete("mitigations/1".into())] };
    assert!(
        matches!(store.transact(elsewhere), Err(Error::Refused(why)) if why.contains("permission denied"))
    );

    let told = lost(user("edge", "wrong"));
    assert!(told.contains("authentication failed"), "{told}");
    let told = lost(etcd.options());
    assert!(told.contains("user name is empty"), "{told}");
    let elsewhere = Options { prefix: "/other/".into(), ..user("edge", "word") };
    let told = lost(elsewhere);
    assert!(told.contains("permission denied"), "{told}");
}

#[test]
fn nobody_there_and_somebody_else_there() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    let options = Options { endpoints: vec![url.clone()], ..Options::default() };
    // It takes connections and says nothing.
    let store = Store::open(options.clone()).unwrap();
    let told = store.reached(Duration::from_secs(4)).unwrap_err();
    assert!(matches!(&told, Error::Lost(why) if why.contains("no answer")), "{told}");
    drop(store);
    drop(free);
    let told = lost(options);
    assert!(told.contains("refused"), "{told}");
}
