//! Probes of real servers on the loopback, at ports that the kernel chose.

mod dns;
mod exec;
mod http;
mod life;
mod namespace;
mod support;
mod tcp;
mod udp;
