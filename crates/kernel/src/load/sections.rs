//! `aya-obj` 0.3 knows tc programs only in sections named `classifier`; libbpf, clang's users and `weir-bpf` say `tc`,
//! `tcx/ingress` and `tcx/egress`. Those names are changed, in a copy of the object, to ones of the same length that the
//! parser takes for tracepoints (`tp`, `tp//ingress`), which Weir does not load otherwise.

use super::LoadError;

/// Renames tc's sections in the section names and in BTF's strings, by which line info finds its section.
pub(super) fn rename(elf: &mut [u8]) -> Result<(), LoadError> {
    let Some(sections) = read_sections(elf) else {
        // Not an ELF file of 64 bits: the parser has better words for it.
        return Ok(());
    };
    for section in &sections {
        let name = string_at(elf, section.name_at);
        if name == b"tp" || name.starts_with(b"tp/") {
            let reason = "programs for tracepoints are not Weir's".to_owned();
            return Err(LoadError::Object { reason });
        }
        let Some(new) = renamed(name) else { continue };
        let old = name.to_vec();
        elf[section.name_at..section.name_at + new.len()].copy_from_slice(&new);
        for btf in sections.iter().filter(|section| section.is_btf) {
            rename_strings(&mut elf[btf.start..btf.end], &old, &new);
        }
    }
    Ok(())
}

struct Section {
    name_at: usize,
    start: usize,
    end: usize,
    is_btf: bool,
}

fn renamed(name: &[u8]) -> Option<Vec<u8>> {
    let rest = name.strip_prefix(b"tc")?;
    let rest = match rest {
        b"" => Vec::new(),
        [b'/', ..] => rest.to_vec(),
        [b'x', b'/', ..] => [b"/", &rest[1..]].concat(),
        _ => return None,
    };
    Some([b"tp".as_slice(), &rest].concat())
}

/// Offsets as in `Elf64_Ehdr` and `Elf64_Shdr`; only little endian, as the kernels that Weir is for.
fn read_sections(elf: &[u8]) -> Option<Vec<Section>> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = word(elf, 0x28)?;
    let (size, count, names) = (half(elf, 0x3a)?, half(elf, 0x3c)?, half(elf, 0x3e)?);
    let header = |index: usize| table.checked_add(index.checked_mul(size)?);
    let names_start = word(elf, header(names)? + 0x18)?;
    let mut sections = Vec::new();
    for index in 0..count {
        let header = header(index)?;
        let name_at = names_start.checked_add(half(elf, header)? | half(elf, header + 2)? << 16)?;
        let start = word(elf, header + 0x18)?;
        let end = start.checked_add(word(elf, header + 0x20)?)?;
        // Sections without bytes in the file (`.bss`) may point past its end.
        let end = end.min(elf.len());
        elf.get(name_at)?;
        sections.push(Section {
            name_at,
            start: start.min(end),
            end,
            is_btf: string_at(elf, name_at) == b".BTF",
        });
    }
    Some(sections)
}

/// `struct btf_header`: the strings' offset counts from the header's end.
fn rename_strings(btf: &mut [u8], old: &[u8], new: &[u8]) -> Option<()> {
    let header = half(btf, 4)? | half(btf, 6)? << 16;
    let from = header + (half(btf, 12)? | half(btf, 14)? << 16);
    let to = from + (half(btf, 16)? | half(btf, 18)? << 16);
    let mut at = from;
    while at < to.min(btf.len()) {
        let length = string_at(btf, at).len();
        if string_at(btf, at) == old {
            btf[at..at + new.len()].copy_from_slice(new);
        }
        at += length + 1;
    }
    Some(())
}

fn string_at(bytes: &[u8], at: usize) -> &[u8] {
    let rest = bytes.get(at..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    &rest[..end]
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_length() {
        for (old, new) in [("tc", "tp"), ("tc/web", "tp/web"), ("tcx/ingress", "tp//ingress")] {
            assert_eq!(renamed(old.as_bytes()).as_deref(), Some(new.as_bytes()));
            assert_eq!(old.len(), new.len());
        }
        assert_eq!(renamed(b"xdp"), None);
        assert_eq!(renamed(b"tcp"), None);
    }

    #[test]
    fn what_is_no_object_is_left_to_the_parser() {
        assert!(rename(&mut []).is_ok());
        assert!(rename(&mut b"\x7fELF\x02\x01".to_vec()).is_ok());
        assert!(rename(&mut [0xff; 100]).is_ok());
    }
}
