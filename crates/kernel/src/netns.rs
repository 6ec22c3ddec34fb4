//! Network namespaces: found, made, entered.
//!
//! A thread enters with `setns(CLONE_NEWNET)` alone. `ip netns exec` would also change the mount namespace and
//! mount a new /sys, and bpffs with all pins would be out of sight.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::KernelError;
use crate::sys::c_path;

/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

/// An open network namespace. It lives at least as long as this.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    label: String,
}

impl Namespace {
    /// The one of the calling thread.
    pub fn current() -> Result<Self, KernelError> {
        Self::at(Path::new("/proc/thread-self/ns/net"))
    }

    /// A named one, as `ip netns` lists them.
    pub fn named(name: &str) -> Result<Self, KernelError> {
        let path = name_path(name)?;
        let file = File::open(path)
            .map_err(|source| KernelError::new("open namespace", format!("`{name}`"), source))?;
        Ok(Self { file, label: name.to_owned() })
    }

    /// The one that a path leads to.
    pub fn at(path: &Path) -> Result<Self, KernelError> {
        let label = path.display().to_string();
        let file = File::open(path).map_err(|source| KernelError::new("open namespace", &label, source))?;
        Ok(Self { file, label })
    }

    /// The one of a process.
    pub fn of_process(pid: u32) -> Result<Self, KernelError> {
        Self::at(&PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// A name, a path or a process's number, in this order of trying.
    pub fn find(text: &str) -> Result<Self, KernelError> {
        if text.contains('/') {
            return Self::at(Path::new(text));
        }
        match (Self::named(text), text.parse()) {
            (Err(_), Ok(pid)) => Self::of_process(pid),
            (answer, _) => answer,
        }
    }

    /// Its name or path, for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Another handle of the same namespace.
    pub fn try_clone(&self) -> Result<Self, KernelError> {
        let file = self
            .file
            .try_clone()
            .map_err(|source| KernelError::new("duplicate namespace", &self.label, source))?;
        Ok(Self { file, label: self.label.clone() })
    }

    /// Runs `work` inside, on a thread of its own that ends with it; a panic in `work` goes on in the caller.
    ///
    /// Sockets that `work` opens stay in the namespace wherever they are used afterwards.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter_thread()?;
                Ok(work())
            });
            match thread.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread inside, for good. For threads that belong to the caller; else use [`Namespace::run`].
    pub fn enter_thread(&self) -> Result<(), KernelError> {
        // SAFETY: the descriptor is open, and changing this thread's network namespace touches no memory.
        let answer = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
        if answer == 0 {
            return Ok(());
        }
        Err(KernelError::new("enter namespace", format!("`{}`", self.label), io::Error::last_os_error()))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A named namespace that was made here, and goes when this is dropped.
#[derive(Debug)]
pub struct OwnedNamespace {
    namespace: Namespace,
    name: String,
    kept: bool,
}

impl OwnedNamespace {
    /// Makes a namespace with a name that is free, as `ip netns add` does, and sets its loopback up.
    pub fn create(name: &str) -> Result<Self, KernelError> {
        let path = name_path(name)?;
        let error = |source| KernelError::new("create namespace", format!("`{name}`"), source);
        prepare_names().map_err(error)?;
        File::options().write(true).create_new(true).open(&path).map_err(error)?;
        let bound = std::thread::scope(|scope| scope.spawn(|| unshare_and_bind(&path)).join());
        let bound = bound.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Err(source) = bound {
            // The file is only the place for the mount; without the mount it would be a name for nothing.
            let _ = fs::remove_file(&path);
            return Err(error(source));
        }
        let owned = Self { namespace: Namespace::named(name)?, name: name.to_owned(), kept: false };
        owned.namespace.run(|| crate::netlink::Netlink::open()?.set_up("lo"))??;
        Ok(owned)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets the namespace outlive this value; [`delete`] removes it.
    pub fn keep(mut self) -> Namespace {
        self.kept = true;
        Namespace {
            file: self.namespace.file.try_clone().expect("a descriptor can be duplicated"),
            label: self.name.clone(),
        }
    }
}

impl std::ops::Deref for OwnedNamespace {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Drop for OwnedNamespace {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to tell; a name that could not be removed shows up in `list`.
            let _ = delete(&self.name);
        }
    }
}

/// The named namespaces, sorted.
pub fn list() -> Result<Vec<String>, KernelError> {
    let entries = match fs::read_dir(NAMES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| KernelError::new("list", NAMES, source))?,
    };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Removes a name, as `ip netns delete`; the namespace itself ends when no process and no descriptor is left in it.
pub fn delete(name: &str) -> Result<(), KernelError> {
    let path = name_path(name)?;
    let error = |source| KernelError::new("delete namespace", format!("`{name}`"), source);
    let c_path = c_path(&path).map_err(error)?;
    // SAFETY: the path ends with a zero byte; a failure (it may not be mounted) shows in the removal below.
    unsafe { libc::umount2(c_path.as_ptr(), libc::MNT_DETACH) };
    fs::remove_file(&path).map_err(error)
}

fn name_path(name: &str) -> Result<PathBuf, KernelError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        let source = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(KernelError::new("name a namespace", format!("`{name}`"), source));
    }
    Ok(Path::new(NAMES).join(name))
}

/// `/run/netns` must be a shared mount, so that names show in every mount namespace and can be removed from each.
fn prepare_names() -> io::Result<()> {
    fs::create_dir_all(NAMES)?;
    let names = c_path(Path::new(NAMES))?;
    let share = || mount(None, &names, libc::MS_SHARED | libc::MS_REC);
    if share().is_ok() {
        return Ok(());
    }
    // Not a mount of its own yet: bind it onto itself once, as `ip netns` does.
    mount(Some(&names), &names, libc::MS_BIND | libc::MS_REC)?;
    share()
}

/// Runs `work` on a thread in a new namespace without a name, which ends with the thread.
pub(crate) fn in_scratch<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let answer = std::thread::scope(|scope| scope.spawn(|| unshare().map(|()| work())).join());
    answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn unshare() -> io::Result<()> {
    // SAFETY: gives this thread alone a new network namespace; no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn unshare_and_bind(path: &Path) -> io::Result<()> {
    unshare()?;
    mount(Some(c"/proc/thread-self/ns/net"), &c_path(path)?, libc::MS_BIND)
}

fn mount(source: Option<&std::ffi::CStr>, target: &std::ffi::CStr, flags: libc::c_ulong) -> io::Result<()> {
    let source = source.map_or(std::ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: the strings end with a zero byte and live through the call; these flags take no type and no data.
    let answer = unsafe { libc::mount(source, target.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
