//! The clock that programs see.

use std::mem::MaybeUninit;

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`: it stands still while the machine sleeps.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of `CLOCK_MONOTONIC_COARSE`, the clock of `bpf_ktime_get_coarse_ns`: it ticks with the kernel's timer.
pub fn coarse_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds of `CLOCK_BOOTTIME`, the clock of `bpf_ktime_get_boot_ns`: it counts suspended time too.
pub fn boot_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to writable memory of the right size; these clocks exist on every kernel that has BPF.
    let answer = unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) };
    assert_eq!(answer, 0, "the monotonic clocks always answer");
    // SAFETY: clock_gettime answered 0, so it filled the structure.
    let time = unsafe { time.assume_init() };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_does_not_run_backwards() {
        let first = monotonic_ns();
        assert!(monotonic_ns() >= first);
        assert!(boot_ns() >= first);
        assert!(coarse_ns() > 0);
    }
}
