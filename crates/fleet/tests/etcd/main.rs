//! The copy of etcd, against a real one.

mod server;
mod store;
mod trust;
