//! Threads that stay where they are: what each CPU counts, remembers or loses by itself is then one CPU's.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// As long as it lives, the calling thread, and those that it starts from here on, stay on the CPU that it is on.
pub(crate) struct OneCpu(CpuSet);

impl OneCpu {
    pub(crate) fn stay() -> Self {
        let before = sched_getaffinity(None).unwrap();
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        sched_setaffinity(None, &one).unwrap();
        Self(before)
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}
