//! nginx, with a configuration and a directory of its own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::io;
use crate::program::{Program, Scratch};
use crate::{Host, LabError};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Serves on one host until it is dropped: `/` gives the host's name and a line end, and what is `PUT` under
/// `/files/` is kept and given back.
///
/// One process without helpers, so that nothing outlives it.
#[derive(Debug)]
pub struct Nginx {
    program: Program,
    scratch: Scratch,
}

impl Nginx {
    /// Listens on addresses of the host, and returns when it does.
    ///
    /// # Errors
    /// When it cannot be started, or does not listen in time; the error has what it said.
    pub fn start(host: &Host, addresses: &[SocketAddr]) -> Result<Nginx, LabError> {
        let scratch = Scratch::create()?;
        let configuration = scratch.write("nginx.conf", configuration(host.name(), addresses))?;
        let files = scratch.path().join("files");
        std::fs::create_dir(&files).map_err(io(format!("create `{}`", files.display())))?;
        let (prefix, log) = (scratch.path().display().to_string(), log(&scratch).display().to_string());
        let command = ["nginx", "-p", &prefix, "-c", &configuration, "-e", &log];
        let mut nginx = Nginx { program: Program::start(host, &command)?, scratch };
        let start = Instant::now();
        let listens = || addresses.iter().all(|address| TcpStream::connect(address).is_ok());
        while !host.run(listens)? {
            let status = nginx.program.ended()?;
            if status.is_some() || start.elapsed() >= PATIENCE {
                let what = format!("`nginx` on host `{}`", host.name());
                return Err(LabError::Program { what, status, said: nginx.errors() });
            }
            thread::sleep(LOOK);
        }
        Ok(nginx)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What was wrong, in its words.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(log(&self.scratch)).unwrap_or_default()
    }

    /// Where `/files/` is.
    pub fn files(&self) -> PathBuf {
        self.scratch.path().join("files")
    }
}

fn log(scratch: &Scratch) -> PathBuf {
    scratch.path().join("error.log")
}

/// All that nginx would put elsewhere by itself is in its prefix. Nothing is said of single requests.
fn configuration(name: &str, addresses: &[SocketAddr]) -> String {
    let mut listen = String::new();
    for address in addresses {
        let _ = writeln!(listen, "        listen {address} backlog=4096 reuseport;");
    }
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log error;
worker_rlimit_nofile 16384;
events {{
    worker_connections 8192;
}}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
{listen}        root .;
        location / {{
            return 200 \"{name}\\n\";
        }}
        location /files/ {{
            dav_methods PUT;
        }}
    }}
}}
"
    )
}
