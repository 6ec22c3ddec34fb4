//! bpffs: where it is mounted, and directories of pins in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::KernelError;
use crate::sys::c_path;

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Where everybody expects it.
pub const USUAL_MOUNT: &str = "/sys/fs/bpf";

/// Where bpffs is mounted: the usual place if it is there, else any other that this process sees.
pub fn find_bpffs() -> Option<PathBuf> {
    let usual = Path::new(USUAL_MOUNT);
    if is_bpffs(usual) {
        return Some(usual.to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(bpffs_of_mount_line)
}

/// Mounts bpffs at a directory; nothing is done if it is there already.
pub fn mount_bpffs(at: &Path) -> Result<(), KernelError> {
    if is_bpffs(at) {
        return Ok(());
    }
    let error = |source| KernelError::new("mount bpffs at", at.display().to_string(), source);
    let target = c_path(at).map_err(error)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: all strings end with a zero byte and live through the call; bpf takes no data that must point anywhere.
    let answer = unsafe {
        libc::mount(c"bpf".as_ptr(), target.as_ptr(), c"bpf".as_ptr(), flags, c"mode=0700".as_ptr().cast())
    };
    if answer == 0 { Ok(()) } else { Err(error(io::Error::last_os_error())) }
}

/// Finds bpffs, or mounts it at its usual place.
pub fn ensure_bpffs() -> Result<PathBuf, KernelError> {
    if let Some(found) = find_bpffs() {
        return Ok(found);
    }
    mount_bpffs(Path::new(USUAL_MOUNT))?;
    Ok(PathBuf::from(USUAL_MOUNT))
}

/// Whether a path is on bpffs.
pub fn is_bpffs(path: &Path) -> bool {
    let Ok(path) = c_path(path) else { return false };
    // SAFETY: an all-zero statfs is a valid value of it, and the kernel overwrites it.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte, the structure is writable.
    let answer = unsafe { libc::statfs(path.as_ptr(), &mut stat) };
    // f_type is signed on some machines and unsigned on others.
    answer == 0 && (stat.f_type as i64) & 0xffff_ffff == BPF_FS_MAGIC
}

/// A directory of pins: what one instance leaves in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDir {
    path: PathBuf,
}

impl PinDir {
    /// Makes a directory (and those above it); it may be there already.
    pub fn create(path: &Path) -> Result<Self, KernelError> {
        let above = path.ancestors().find(|above| above.exists()).unwrap_or(path);
        check_bpffs(above, path)?;
        fs::create_dir_all(path).map_err(|source| at("create pin directory", path, source))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens a directory that is there.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        fs::read_dir(path).map_err(|source| at("open pin directory", path, source))?;
        check_bpffs(path, path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a pin in it. bpffs allows no dots in names (they are the kernel's own): they become `_`.
    pub fn pin(&self, name: &str) -> PathBuf {
        self.path.join(name.replace('.', "_"))
    }

    /// Makes a directory inside it.
    pub fn subdirectory(&self, name: &str) -> Result<Self, KernelError> {
        Self::create(&self.pin(name))
    }

    /// The names in it, sorted; those of directories end with `/`.
    pub fn list(&self) -> Result<Vec<String>, KernelError> {
        let error = |source| at("list pin directory", &self.path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            let slash = if entry.file_type().map_err(error)?.is_dir() { "/" } else { "" };
            names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(names)
    }

    /// Renames the directory in one step. The new name must be free, or an empty directory.
    pub fn rename(&mut self, to: &Path) -> Result<(), KernelError> {
        rename(&self.path, to)?;
        self.path = to.to_owned();
        Ok(())
    }

    /// Removes it and all below it. Objects that nothing else holds are gone then: links let go of their interfaces.
    pub fn remove(self) -> Result<(), KernelError> {
        fs::remove_dir_all(&self.path).map_err(|source| at("remove pin directory", &self.path, source))
    }
}

/// Renames a pin in one step; one that has the new name already is replaced.
pub fn rename(from: &Path, to: &Path) -> Result<(), KernelError> {
    fs::rename(from, to).map_err(|source| at("rename pin", from, source))
}

/// Makes two pins change places in one step.
pub fn exchange(one: &Path, other: &Path) -> Result<(), KernelError> {
    let error = |source| at("exchange pin", one, source);
    let (one_c, other_c) = (c_path(one).map_err(error)?, c_path(other).map_err(error)?);
    // SAFETY: both paths end with a zero byte and live through the call.
    let answer = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            one_c.as_ptr(),
            libc::AT_FDCWD,
            other_c.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if answer == 0 { Ok(()) } else { Err(error(io::Error::last_os_error())) }
}

/// A second name for a pinned object. Hard links if bpffs allows them, else the object is opened and pinned again.
pub fn duplicate(from: &Path, to: &Path) -> Result<(), KernelError> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    use std::os::fd::AsRawFd;
    let object = crate::sys::open_pin(from)?;
    crate::sys::pin(object.as_raw_fd(), to)
}

/// A `PinDir` is only ever on bpffs: [`PinDir::remove`] must not take anybody's files.
fn check_bpffs(there: &Path, path: &Path) -> Result<(), KernelError> {
    if is_bpffs(there) {
        return Ok(());
    }
    let source = io::Error::other("not on bpffs: `mount -t bpf bpf /sys/fs/bpf`");
    Err(at("pin under", path, source))
}

fn at(action: &'static str, path: &Path, source: io::Error) -> KernelError {
    KernelError::new(action, path.display().to_string(), source)
}

/// `bpf /sys/fs/bpf bpf rw 0 0` → the path, with `\040` for a space undone.
fn bpffs_of_mount_line(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ');
    let (_, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
    (kind == "bpf").then(|| PathBuf::from(path.replace("\\040", " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_read() {
        assert_eq!(
            bpffs_of_mount_line("none /run/my\\040bpf bpf rw 0 0"),
            Some(PathBuf::from("/run/my bpf"))
        );
        assert_eq!(bpffs_of_mount_line("tmpfs /tmp tmpfs rw 0 0"), None);
    }

    #[test]
    fn an_ordinary_directory_is_not_bpffs() {
        assert!(!is_bpffs(Path::new("/proc")));
    }
}
