//! Pools change, and flows stay where they are.

mod histories;
mod pool;
mod slots;
mod traffic;
