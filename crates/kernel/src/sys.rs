//! The one door to `bpf(2)`: the layouts of its arguments and the call itself.
//!
//! Each structure is the part of `union bpf_attr` (`include/uapi/linux/bpf.h`) that one command reads, cut
//! after its last field that Weir uses. The kernel takes a shorter structure and reads zeros for the rest.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::KernelError;

/// `BPF_F_XDP_HAS_FRAGS`, a flag of program loading: the program takes frames of several pages.
pub(crate) const HAS_FRAGS: u32 = 1 << 5;

/// The commands of `bpf(2)` (`enum bpf_cmd`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Command {
    MapCreate = 0,
    MapLookup = 1,
    MapUpdate = 2,
    MapDelete = 3,
    MapNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgTestRun = 10,
    ProgByFdId = 13,
    MapByFdId = 14,
    Info = 15,
    ProgQuery = 16,
    BtfLoad = 18,
    MapFreeze = 22,
    MapLookupBatch = 24,
    MapLookupAndDeleteBatch = 25,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkByFdId = 30,
    LinkNextId = 31,
    LinkDetach = 34,
    TokenCreate = 36,
}

/// Marks the argument structures below.
///
/// # Safety
/// The type is `repr(C)`, made of integers without padding, and its layout is the kernel's for the commands
/// that it is passed with.
pub(crate) unsafe trait Arguments {}

macro_rules! arguments {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $kind),* }
        // SAFETY: `repr(C)`, integers only; the fields below follow uapi/linux/bpf.h, padding is named.
        unsafe impl Arguments for $name {}
    )*};
}

arguments! {
    MapCreate {
        kind: u32, key_size: u32, value_size: u32, max_entries: u32, flags: u32, inner_map_fd: u32,
        numa_node: u32, name: [u8; 16], ifindex: u32, btf_fd: u32, btf_key_type_id: u32,
        btf_value_type_id: u32, btf_vmlinux_value_type_id: u32, map_extra: u64,
    }
    /// One element; `value` is `next_key` for `MapNextKey`.
    Element { map_fd: u32, pad: u32, key: u64, value: u64, flags: u64 }
    Batch {
        in_batch: u64, out_batch: u64, keys: u64, values: u64, count: u32, map_fd: u32,
        element_flags: u64, flags: u64,
    }
    ProgLoad {
        kind: u32, insn_count: u32, insns: u64, license: u64, log_level: u32, log_size: u32, log_buf: u64,
        kernel_version: u32, flags: u32, name: [u8; 16], ifindex: u32, expected_attach_type: u32,
        btf_fd: u32, func_info_size: u32, func_info: u64, func_info_count: u32, line_info_size: u32,
        line_info: u64, line_info_count: u32, attach_btf_id: u32,
    }
    Pin { path: u64, fd: u32, flags: u32 }
    TestRun {
        prog_fd: u32, retval: u32, data_size_in: u32, data_size_out: u32, data_in: u64, data_out: u64,
        repeat: u32, duration: u32, ctx_size_in: u32, ctx_size_out: u32, ctx_in: u64, ctx_out: u64,
        flags: u32, cpu: u32, batch_size: u32, pad: u32,
    }
    /// `start_id` or the id itself; `next_id` comes back.
    ById { id: u32, next_id: u32, open_flags: u32 }
    InfoByFd { fd: u32, size: u32, info: u64 }
    Query {
        ifindex: u32, attach_type: u32, flags: u32, attach_flags: u32, prog_ids: u64, count: u32, pad: u32,
        prog_attach_flags: u64, link_ids: u64, link_attach_flags: u64, revision: u64,
    }
    BtfLoad { btf: u64, log_buf: u64, btf_size: u32, log_size: u32, log_level: u32, pad: u32 }
    LinkCreate { prog_fd: u32, ifindex: u32, attach_type: u32, flags: u32 }
    LinkUpdate { link_fd: u32, new_prog_fd: u32, flags: u32, old_prog_fd: u32 }
    OneFd { fd: u32 }
    TokenCreate { flags: u32, bpffs_fd: u32 }
}

/// Marks arguments without pointers: the kernel writes nowhere but into them.
///
/// # Safety
/// No field is an address of this process's memory.
pub(crate) unsafe trait Plain: Arguments {}
// SAFETY: sizes, flags, ids and descriptors only.
unsafe impl Plain for MapCreate {}
// SAFETY: as above.
unsafe impl Plain for ById {}
// SAFETY: as above.
unsafe impl Plain for LinkCreate {}
// SAFETY: as above.
unsafe impl Plain for LinkUpdate {}
// SAFETY: as above.
unsafe impl Plain for OneFd {}
// SAFETY: as above.
unsafe impl Plain for TokenCreate {}

/// Calls `bpf(2)`.
///
/// # Safety
/// Each pointer inside `arguments` points to memory that lives through the call, and that is as large as the other
/// fields, or for maps the map's sizes, say.
pub(crate) unsafe fn bpf_with_pointers<A: Arguments>(command: Command, arguments: &mut A) -> io::Result<i32> {
    // SAFETY: the pointer and size describe one live, initialised `Arguments`; for those inside the caller answers.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(arguments), size_of::<A>())
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as i32) }
}

/// Calls `bpf(2)` with arguments that point nowhere.
pub(crate) fn bpf<A: Plain>(command: Command, arguments: &mut A) -> io::Result<i32> {
    // SAFETY: there are no pointers.
    unsafe { bpf_with_pointers(command, arguments) }
}

/// Calls a command of `bpf(2)` whose answer is a new file descriptor.
pub(crate) fn bpf_fd<A: Plain>(command: Command, arguments: &mut A) -> io::Result<OwnedFd> {
    bpf(command, arguments).map(owned)
}

/// Calls a command of `bpf(2)` whose answer is a new file descriptor.
///
/// # Safety
/// As for [`bpf_with_pointers`].
pub(crate) unsafe fn bpf_fd_with_pointers<A: Arguments>(
    command: Command,
    arguments: &mut A,
) -> io::Result<OwnedFd> {
    // SAFETY: the caller answers for the pointers.
    unsafe { bpf_with_pointers(command, arguments) }.map(owned)
}

/// Takes the descriptor that a command answered (close-on-exec: the kernel sets it).
fn owned(fd: i32) -> OwnedFd {
    // SAFETY: only the commands above come here; the kernel just made this descriptor and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A name as the kernel keeps it: at most 15 bytes of `[A-Za-z0-9_.]`, then zeros.
pub(crate) fn object_name(name: &str) -> [u8; 16] {
    let mut out = [0; 16];
    for (slot, byte) in out[..15].iter_mut().zip(name.bytes()) {
        *slot = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte } else { b'_' };
    }
    out
}

/// Reads a name that the kernel filled in.
pub(crate) fn name_text(name: &[u8]) -> String {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// A path as C wants it.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Pins any BPF object; the directory must be on bpffs.
pub(crate) fn pin(fd: i32, path: &Path) -> Result<(), KernelError> {
    let error = |source| KernelError::new("pin at", path.display().to_string(), source);
    let c_path = c_path(path).map_err(error)?;
    let mut arguments = Pin { path: c_path.as_ptr() as u64, fd: fd as u32, flags: 0 };
    // SAFETY: the path ends with a zero byte and lives through the call.
    unsafe { bpf_with_pointers(Command::ObjPin, &mut arguments) }.map(drop).map_err(error)
}

/// Opens any pinned BPF object.
pub(crate) fn open_pin(path: &Path) -> Result<OwnedFd, KernelError> {
    let error = |source| KernelError::new("open pin", path.display().to_string(), source);
    let c_path = c_path(path).map_err(error)?;
    let mut arguments = Pin { path: c_path.as_ptr() as u64, ..Pin::default() };
    // SAFETY: the path ends with a zero byte and lives through the call.
    unsafe { bpf_fd_with_pointers(Command::ObjGet, &mut arguments) }.map_err(error)
}

/// Opens an object by its id.
pub(crate) fn open_id(command: Command, id: u32) -> io::Result<OwnedFd> {
    bpf_fd(command, &mut ById { id, ..ById::default() })
}

/// What a descriptor names, as `bpf_obj_get_info_by_fd` fills it.
///
/// # Safety
/// As for [`Arguments`]; and every bit pattern is a value of the type.
pub(crate) unsafe trait Info: Default {}

/// Asks for the info of a program, map or link.
pub(crate) fn info<I: Info>(fd: i32, mut info: I) -> io::Result<I> {
    let mut arguments =
        InfoByFd { fd: fd as u32, size: size_of::<I>() as u32, info: std::ptr::from_mut(&mut info) as u64 };
    // SAFETY: `info` is as large as stated; `ProgInfo` points to a table that its caller keeps.
    unsafe { bpf_with_pointers(Command::Info, &mut arguments) }?;
    Ok(info)
}

macro_rules! infos {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $kind),* }
        // SAFETY: `repr(C)`, integers only, in the order of uapi/linux/bpf.h, without implicit padding.
        unsafe impl Info for $name {}
    )*};
}

infos! {
    ProgInfo {
        kind: u32, id: u32, tag: [u8; 8], jited_len: u32, xlated_len: u32, jited_insns: u64, xlated_insns: u64,
        load_time: u64, uid: u32, nr_map_ids: u32, map_ids: u64, name: [u8; 16], ifindex: u32, bits: u32,
        netns_dev: u64, netns_ino: u64, nr_jited_ksyms: u32, nr_jited_func_lens: u32, jited_ksyms: u64,
        jited_func_lens: u64, btf_id: u32, func_info_rec_size: u32, func_info: u64, nr_func_info: u32,
        nr_line_info: u32, line_info: u64, jited_line_info: u64, nr_jited_line_info: u32,
        line_info_rec_size: u32, jited_line_info_rec_size: u32, nr_prog_tags: u32, prog_tags: u64,
        run_ns: u64, runs: u64, recursion_misses: u64, verified_insns: u32, attach_btf_obj_id: u32,
    }
    MapInfo {
        kind: u32, id: u32, key_size: u32, value_size: u32, max_entries: u32, flags: u32, name: [u8; 16],
        ifindex: u32, btf_vmlinux_value_type_id: u32, netns_dev: u64, netns_ino: u64, btf_id: u32,
        btf_key_type_id: u32, btf_value_type_id: u32, btf_vmlinux_id: u32, map_extra: u64,
    }
    /// For XDP and tcx links the first word of the union is the interface, the second (tcx) the attach type.
    LinkInfo { kind: u32, id: u32, prog_id: u32, pad: u32, ifindex: u32, attach_type: u32, rest: [u64; 8] }
}
