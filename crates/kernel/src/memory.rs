//! Memory for large tables.

use std::alloc::{GlobalAlloc, Layout, System};

/// From this size on an allocation is a table, and is read at random: two of the processor's larger pages.
const LARGE: usize = 4 << 20;

/// The least page that the kernel gives.
const PAGE: usize = 4096;

/// The system's allocator, which asks the kernel for huge pages (`CONFIG_TRANSPARENT_HUGEPAGE`) for what is large, where
/// they are given to those that ask. A table of a hundred megabytes has so many small pages that what is read at random
/// waits for their addresses as long as for the memory itself.
#[derive(Clone, Copy, Debug)]
pub struct Allocator;

// SAFETY: all four are the system allocator's; what is told to the kernel about the memory in between changes nothing of
// what is in it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same contract.
        told(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same contract.
        told(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps to the same contract.
        told(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[inline]
fn told(memory: *mut u8, size: usize) -> *mut u8 {
    if size >= LARGE && !memory.is_null() {
        advise(memory, size);
    }
    memory
}

/// Whole pages only. A kernel that has no huge pages refuses, and nothing is lost.
#[cold]
fn advise(memory: *mut u8, size: usize) {
    let inside = memory.align_offset(PAGE);
    let whole = size.saturating_sub(inside) / PAGE * PAGE;
    // SAFETY: these pages are of one allocation, which is there; the advice is about how they are backed.
    unsafe { libc::madvise(memory.wrapping_add(inside).cast(), whole, libc::MADV_HUGEPAGE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the mapping that an address is in.
    fn flags(address: usize) -> Option<String> {
        let text = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let mut is_in = false;
        text.lines().find_map(|line| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((Ok(from), Ok(to))) =
                range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)))
            {
                is_in = (from..to).contains(&address);
            }
            line.strip_prefix("VmFlags:").filter(|_| is_in).map(str::to_owned)
        })
    }

    #[test]
    fn only_what_is_large_gets_huge_pages() {
        let has_huge_pages = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        let is_told = |size: usize| {
            let layout = Layout::from_size_align(size, 64).expect("a layout");
            // SAFETY: the layout is that of the allocation, whose bytes are written before they are read.
            unsafe {
                let memory = Allocator.alloc(layout);
                memory.add(size / 2).write(1);
                let flags = flags(memory as usize + size / 2).expect("a mapping");
                assert_eq!(memory.add(size / 2).read(), 1);
                Allocator.dealloc(memory, layout);
                flags.split_whitespace().any(|flag| flag == "hg")
            }
        };
        assert_eq!(is_told(3 * LARGE), has_huge_pages);
        assert!(!is_told(LARGE / 8));
    }

    #[test]
    fn what_grows_keeps_what_is_in_it() {
        let layout = Layout::from_size_align(LARGE / 2, 64).expect("a layout");
        // SAFETY: the layouts are those of the allocation, whose bytes are there.
        unsafe {
            let memory = Allocator.alloc_zeroed(layout);
            memory.add(7).write(9);
            let grown = Allocator.realloc(memory, layout, 2 * LARGE);
            assert_eq!([grown.add(6).read(), grown.add(7).read()], [0, 9]);
            Allocator.dealloc(grown, Layout::from_size_align(2 * LARGE, 64).expect("a layout"));
        }
    }
}
