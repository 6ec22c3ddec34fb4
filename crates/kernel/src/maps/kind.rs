use weir_bpf::map::MapKind;

/// The kind with the kernel's number, if Weir has a name for it.
pub(crate) fn kind_of(number: u32) -> Option<MapKind> {
    MapKind::ALL.iter().copied().find(|kind| kind.number() == number)
}

/// The name that `bpftool` prints, or the number.
pub(crate) fn kind_name(number: u32) -> String {
    kind_of(number).map_or_else(|| format!("kind {number}"), |kind| kind.name().to_owned())
}
