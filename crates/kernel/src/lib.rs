//! Weir's door to the kernel.
//!
//! The only crate with `unsafe` code and raw system calls. Everything is synchronous, nothing prints,
//! and nothing knows what a policy is: it loads, attaches, reads and measures programs and maps.
//!
//! | module | owns |
//! |---|---|
//! | [`probe`] | what this kernel can do, as a `Target`, and the facts `weir doctor` shows |
//! | [`load`] | ELF object → maps and programs; maps that are already there are reused |
//! | [`verifier_log`] | the verifier's log, read for people |
//! | [`attach`] | XDP and tc hooks, links, who sits on an interface |
//! | [`maps`], [`rings`] | map access by bytes; ring buffer and perf readers |
//! | [`run`], [`mod@bench`] | test runs of one frame, live frames, and honest nanoseconds |
//! | [`pins`] | bpffs: mounts and directories of pins |
//! | [`netns`], [`netlink`], [`offload`], [`sysctl`] | namespaces and the links in them |
//! | [`clock`] | the clock that programs see |
//! | [`memory`] | huge pages for large tables |
//! | [`datagrams`] | UDP datagrams, several in a call |
#![allow(unsafe_code, reason = "the one crate that talks to the kernel; each block says why it is sound")]

pub mod attach;
pub mod bench;
pub mod clock;
pub mod datagrams;
mod error;
pub mod load;
pub mod maps;
pub mod memory;
pub mod netlink;
pub mod netns;
pub mod offload;
pub mod pins;
pub mod probe;
pub mod program;
pub mod rings;
pub mod run;
mod sys;
pub mod sysctl;
pub mod verifier_log;

pub use error::KernelError;
