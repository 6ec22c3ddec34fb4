//! The values of an array as memory of this process: written without system calls, a word at once.

use super::Map;
use crate::KernelError;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// All values of an array map that was made with `BPF_F_MMAPABLE`, each rounded up to eight bytes. Programs and other
/// processes may read and write them at any time.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is shared memory wherever it is used from; every access goes through raw copies or atomics.
unsafe impl Send for Memory {}

/// The values of a large map, of which a change touches little: what is touched is mapped then, as each page takes time.
#[derive(Debug)]
pub struct Windows {
    map: Map,
    bytes: usize,
    open: RefCell<HashMap<usize, Memory>>,
}

/// Bytes of a window: whole pages of any size that Linux has.
const WINDOW: usize = 64 << 10;

impl Map {
    /// Maps the values. An error for maps that were not made for it.
    pub fn memory(&self) -> Result<Memory, KernelError> {
        self.part(0, self.value_bytes())
    }

    /// Maps the first `most` bytes of the values, or all.
    pub fn memory_up_to(&self, most: usize) -> Result<Memory, KernelError> {
        self.part(0, self.value_bytes().min(most))
    }

    /// Maps the values where they are touched. An error for maps that were not made for it.
    pub fn windows(self) -> Result<Windows, KernelError> {
        let bytes = self.value_bytes();
        let first = self.part(0, bytes.min(WINDOW))?;
        Ok(Windows { map: self, bytes, open: RefCell::new(HashMap::from([(0, first)])) })
    }

    fn value_bytes(&self) -> usize {
        (self.info.value_size as usize).next_multiple_of(8) * self.info.max_entries as usize
    }

    fn part(&self, from: usize, bytes: usize) -> Result<Memory, KernelError> {
        // SAFETY: a new mapping at an address that the kernel chooses, of a descriptor that is open.
        let start = unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let from = from as libc::off_t;
            libc::mmap(std::ptr::null_mut(), bytes, rights, libc::MAP_SHARED, self.raw_fd(), from)
        };
        if start == libc::MAP_FAILED {
            return Err(self.error("map into memory", io::Error::last_os_error()));
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at 0");
        Ok(Memory { start, bytes })
    }
}

impl Windows {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// As [`Memory::load`].
    ///
    /// # Panics
    /// Beyond the end, not at a multiple of eight, or if there is no room for 64 KiB more.
    pub fn load(&self, at: usize) -> u64 {
        self.within(at, |memory, at| memory.load(at))
    }

    /// As [`Memory::store`].
    ///
    /// # Panics
    /// As [`Windows::load`].
    pub fn store(&self, at: usize, word: u64) {
        self.within(at, |memory, at| memory.store(at, word));
    }

    fn within<T>(&self, at: usize, access: impl FnOnce(&Memory, usize) -> T) -> T {
        let from = at / WINDOW * WINDOW;
        let mut open = self.open.borrow_mut();
        let memory = open.entry(from).or_insert_with(|| {
            assert!(from < self.bytes, "a word at {at} of {}", self.bytes);
            let memory = self.map.part(from, WINDOW.min(self.bytes - from));
            memory.unwrap_or_else(|error| panic!("{error}"))
        });
        access(memory, at - from)
    }
}

impl Memory {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// A copy of `bytes` bytes from `at`.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn read(&self, at: usize, bytes: usize) -> Vec<u8> {
        self.check(at, bytes);
        let mut copy = vec![0; bytes];
        // SAFETY: inside the mapping; what is copied may be torn, but any bytes are good bytes.
        unsafe { std::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), copy.as_mut_ptr(), bytes) };
        copy
    }

    /// Writes bytes. In which order programs see them is open.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.check(at, bytes.len());
        // SAFETY: inside the mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) };
    }

    /// Stores a word: programs see all of it or what was there, and with it everything that was written before.
    ///
    /// # Panics
    /// Beyond the end, or not at a multiple of eight.
    pub fn store(&self, at: usize, word: u64) {
        self.word(at).store(word, Ordering::SeqCst);
    }

    /// Reads a word.
    ///
    /// # Panics
    /// Beyond the end, or not at a multiple of eight.
    pub fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::SeqCst)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        self.check(at, 8);
        assert!(at.is_multiple_of(8), "a word at {at}");
        // SAFETY: inside the mapping, which begins at a page, and aligned; atomics may be shared with anybody.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    fn check(&self, at: usize, bytes: usize) {
        let end = at.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.bytes), "{bytes} bytes at {at} of {}", self.bytes);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and goes with it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Returns when no program runs any more that ran when it was called (`membarrier(2)`, which waits for the RCU grace
/// period that XDP and tc programs run in): some ten milliseconds.
pub fn wait_for_programs() -> Result<(), KernelError> {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: numbers only.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    match answer {
        0 => Ok(()),
        _ => Err(KernelError::new("wait for", "programs that run", io::Error::last_os_error())),
    }
}
