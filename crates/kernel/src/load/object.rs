//! Parsing and relocating, by `aya-obj`; the system calls are ours.
//!
//! aya's own loader reuses maps by pin only and keeps the verifier's log to itself when a program loads, so
//! its parser is used without it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use aya_obj::{EbpfSectionKind, Object};

use super::{LoadError, sections};
use crate::KernelError;
use crate::maps::Map;
use crate::sys::{self, Command};

/// Room for the kernel's words about bad BTF.
const BTF_LOG: usize = 64 * 1024;

pub(super) fn parse(elf: &[u8]) -> Result<Object, LoadError> {
    // The parser reads structures in place, so they must lie on their alignment.
    let mut words = vec![0u64; elf.len().div_ceil(8)];
    // SAFETY: the words are at least as many bytes as the object, and bytes have no alignment; nothing else looks at them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), elf.len()) };
    bytes.copy_from_slice(elf);
    sections::rename(bytes)?;
    let mut object = Object::parse(bytes).map_err(|error| not_an_object(&error))?;
    // Instructions point into a data section only if there is something in it.
    let is_data = |kind| matches!(kind, EbpfSectionKind::Data | EbpfSectionKind::Rodata);
    let data = object.maps.values_mut().filter(|map| is_data(map.section_kind()));
    data.filter(|map| map.data().is_empty()).for_each(|map| map.data_mut().push(0));
    Ok(object)
}

/// Gives the object's types to the kernel. Without BTF support programs load without types and lines.
pub(super) fn load_btf(object: &mut Object) -> Result<Option<OwnedFd>, LoadError> {
    let Some(features) = aya::features().btf() else {
        return Ok(None);
    };
    let btf = object.fixup_and_sanitize_btf(features).map_err(|error| not_an_object(&error))?;
    let Some(bytes) = btf.map(|btf| btf.to_bytes()) else {
        return Ok(None);
    };
    let mut arguments =
        sys::BtfLoad { btf: bytes.as_ptr() as u64, btf_size: bytes.len() as u32, ..Default::default() };
    // SAFETY: the bytes live through the call and are as many as stated; there is no log.
    let first = unsafe { sys::bpf_fd_with_pointers(Command::BtfLoad, &mut arguments) };
    if let Ok(fd) = first {
        return Ok(Some(fd));
    }
    // Once more, for the reason.
    let mut log = vec![0u8; BTF_LOG];
    arguments.log_buf = log.as_mut_ptr() as u64;
    arguments.log_size = BTF_LOG as u32;
    arguments.log_level = 1;
    // SAFETY: as before, and the log is as large as stated.
    match unsafe { sys::bpf_fd_with_pointers(Command::BtfLoad, &mut arguments) } {
        Ok(fd) => Ok(Some(fd)),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            Err(LoadError::Permission { what: "types".to_owned() })
        }
        Err(error) => {
            let log = sys::name_text(&log);
            let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Err(KernelError::new("load types (BTF)", format!("({last})"), error).into())
        }
    }
}

/// Puts descriptors of maps and distances of calls into the instructions.
pub(super) fn relocate(object: &mut Object, maps: &BTreeMap<String, Map>) -> Result<(), LoadError> {
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    // Not a copy: they hold the contents of data sections.
    let definitions = std::mem::take(&mut object.maps);
    let fds = definitions
        .iter()
        .filter_map(|(name, definition)| maps.get(name).map(|map| (name.as_str(), map.raw_fd(), definition)));
    let relocated = object.relocate_maps(fds, &sections).map_err(|error| not_an_object(&error));
    object.maps = definitions;
    relocated?;
    object.relocate_calls(&sections).map_err(|error| not_an_object(&error))?;
    object.sanitize_functions(aya::features());
    Ok(())
}

fn not_an_object(error: &dyn std::error::Error) -> LoadError {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    LoadError::Object { reason }
}
