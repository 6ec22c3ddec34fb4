//! The data plane on the kernel at hand, in namespaces of its own.

mod captures;
mod cookies;
mod damage;
mod decap;
mod echo;
mod engines;
mod filters;
mod indexes;
mod instances;
mod kills;
mod limits;
#[path = "../one_cpu/mod.rs"]
mod one_cpu;
mod pools;
mod profiles;
mod programs;
mod protect;
mod reloads;
mod samples;
mod sets;
mod support;
mod tables;
mod through;
mod tracking;
mod vias;
mod ways;
