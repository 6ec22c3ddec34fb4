//! What runs on hosts: servers until they are dropped, clients that measure and stop by themselves.

mod client;
mod echo;
mod http;
mod latency;
mod nginx;
mod wrk;

pub use client::{HttpLoad, HttpReport};
pub use echo::{EchoLoad, EchoReport, EchoServer};
pub use http::HttpServer;
pub use latency::Latencies;
pub use nginx::Nginx;
pub use wrk::{WrkLoad, WrkReport};
