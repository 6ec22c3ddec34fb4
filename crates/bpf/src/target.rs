//! What the kernel at hand can do, as an explicit value: nothing here asks the system.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The instruction set's level, as in clang's `-mcpu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// The first one.
    V1,
    /// `<`, `<=` and their signed forms (4.14).
    V2,
    /// 32-bit comparisons (5.1) and all atomics (5.12).
    V3,
    /// `gotol`, `bswap`, signed loads, moves and division (6.6).
    V4,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", *self as u8 + 1)
    }
}

macro_rules! features {
    ($($name:ident $text:literal $major:literal . $minor:literal $instead:literal)*) => {
        /// An ability that kernels got at some version; [`Feature::row`] has the facts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Feature { $(#[doc = $text] $name,)* }

        /// The table of features in the order of [`Feature`], older ones first.
        pub const FEATURES: &[FeatureRow] = &[$(FeatureRow {
            feature: Feature::$name, name: $text, since: ($major, $minor), instead: $instead,
        },)*];
    };
}

/// One line of [`FEATURES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureRow {
    /// Which feature.
    pub feature: Feature,
    /// What it is called in messages.
    pub name: &'static str,
    /// The first mainline kernel that has it.
    pub since: (u16, u16),
    /// What takes its place on older kernels.
    pub instead: &'static str,
}

// Versions: the kernel's own history (`git describe --contains` of the adding commit), as also
// listed in iovisor/bcc docs/kernel-versions.md and docs.ebpf.io.
features! {
    PerfEventOutput "perf event output" 4 . 4 "ring buffers"
    Xdp "XDP" 4 . 8 "tc"
    LruHash "LRU hash maps" 4 . 10 "hash maps that can fill up"
    AdjustHead "xdp_adjust_head" 4 . 10 "none: no encapsulation"
    LpmTrie "LPM tries" 4 . 11 "one hash look-up for each prefix length"
    MapInMap "maps of maps" 4 . 12 "one map that is rewritten"
    DevMap "device maps" 4 . 14 "redirect by interface number"
    ShortJumps "`<` and `<=` jumps" 4 . 14 "swapped operands"
    BpfToBpfCalls "BPF-to-BPF calls" 4 . 16 "inlining"
    AdjustTail "xdp_adjust_tail" 4 . 18 "none: packets keep their length"
    FibLookup "fib_lookup" 4 . 18 "a routing map that user space fills"
    Btf "BTF" 4 . 18 "no types for maps"
    BtfLineInfo "BTF line info" 5 . 0 "instruction numbers only"
    Jmp32 "32-bit jumps" 5 . 1 "64-bit jumps after a mask"
    MillionInsns "one million instructions" 5 . 2 "4,096 instructions a program"
    GlobalData "global data sections" 5 . 2 "array maps"
    BoundedLoops "bounded loops" 5 . 3 "unrolling"
    SynCookies "SYN cookies for sockets" 5 . 3 "none: the stack answers SYNs"
    DevMapHash "hashed device maps" 5 . 4 "device maps"
    BatchOps "batched map operations" 5 . 6 "one call for each entry"
    GlobalFunctions "functions verified by themselves" 5 . 6 "one function"
    BootClock "ktime_get_boot_ns" 5 . 8 "ktime_get_ns"
    RingBuf "ring buffers" 5 . 8 "none: no captures and no samples"
    XdpLink "XDP links" 5 . 9 "attachment by netlink"
    TailCallsInSubprograms "tail calls in subprograms" 5 . 10 "tail calls in the main function only"
    CoarseClock "ktime_get_coarse_ns" 5 . 11 "ktime_get_ns, about 20 ns dearer"
    Atomics "atomics that fetch" 5 . 12 "per-CPU values"
    Timers "BPF timers" 5 . 15 "user space"
    BloomFilter "Bloom filters" 5 . 16 "hash maps"
    Loop "the loop helper" 5 . 17 "bounded loops"
    XdpFrags "multi-buffer XDP" 5 . 18 "frames of one page"
    DynPtr "dynptr" 5 . 19 "direct packet access"
    Tcx "tcx" 6 . 6 "cls_bpf on a clsact qdisc"
    Gotol "long jumps" 6 . 6 "chains of short jumps"
    Bswap "unconditional byte swaps" 6 . 6 "be/le conversions"
    SignExtension "sign-extending loads and moves" 6 . 6 "shifts"
    SignedDivision "signed division" 6 . 6 "unsigned division of magnitudes"
    MayGoto "may_goto" 6 . 9 "bounded loops"
    BpfToken "BPF tokens" 6 . 9 "privileges of the caller"
}

impl Feature {
    /// The facts about this feature.
    pub fn row(self) -> &'static FeatureRow {
        &FEATURES[self as usize]
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// What a program may use. Pure data: made by hand, or by a probe elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Major and minor version.
    pub kernel: (u16, u16),
    /// Possible CPUs, for per-CPU maps.
    pub cpus: u32,
    /// The highest level of instructions.
    pub isa: Isa,
    /// What is there.
    pub features: BTreeSet<Feature>,
    /// How many instructions the verifier walks through, and the longest program.
    pub max_instructions: u32,
    /// Bytes of stack, all frames of a call chain together.
    pub stack: u32,
}

impl Target {
    /// The newest kernel that this table knows, 6.18, with all features.
    pub fn newest() -> Target {
        Target::for_kernel(6, 18)
    }

    /// What mainline of this version can do, one CPU.
    pub fn for_kernel(major: u16, minor: u16) -> Target {
        let kernel = (major, minor);
        let features: BTreeSet<Feature> =
            FEATURES.iter().filter(|row| row.since <= kernel).map(|row| row.feature).collect();
        let many = features.contains(&Feature::MillionInsns);
        Target {
            kernel,
            cpus: 1,
            isa: isa_of(&features),
            features,
            max_instructions: if many { 1_000_000 } else { 4096 },
            stack: 512,
        }
    }

    /// True if the feature is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// The same target with the feature.
    pub fn with(mut self, feature: Feature) -> Target {
        self.features.insert(feature);
        self.isa = isa_of(&self.features);
        self
    }

    /// The same target without the feature.
    pub fn without(mut self, feature: Feature) -> Target {
        self.features.remove(&feature);
        self.isa = isa_of(&self.features);
        self
    }

    /// The rows of [`FEATURES`] that this target lacks.
    pub fn missing(&self) -> impl Iterator<Item = &'static FeatureRow> + '_ {
        FEATURES.iter().filter(|row| !self.has(row.feature))
    }
}

fn isa_of(features: &BTreeSet<Feature>) -> Isa {
    let has = |feature| features.contains(&feature);
    if !has(Feature::ShortJumps) {
        Isa::V1
    } else if !has(Feature::Jmp32) || !has(Feature::Atomics) {
        Isa::V2
    } else if !has(Feature::Gotol) || !has(Feature::Bswap) || !has(Feature::SignExtension) {
        Isa::V3
    } else {
        Isa::V4
    }
}

impl Default for Target {
    fn default() -> Target {
        Target::newest()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.kernel;
        let cpus = match self.cpus {
            1 => "1 CPU".to_string(),
            n => format!("{n} CPUs"),
        };
        write!(f, "Linux {major}.{minor}, cpu {}, {cpus}", self.isa)?;
        for (nth, row) in self.missing().enumerate() {
            let lead = if nth == 0 { "; without " } else { ", " };
            write!(f, "{lead}{}", row.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enum() {
        for (nth, row) in FEATURES.iter().enumerate() {
            assert_eq!(row.feature as usize, nth, "{}", row.name);
            assert_eq!(row.feature.row(), row);
        }
        assert!(FEATURES.is_sorted_by_key(|row| row.since));
    }

    #[test]
    fn versions_decide_features_and_isa() {
        assert_eq!(Target::for_kernel(4, 11).isa, Isa::V1);
        assert_eq!(Target::for_kernel(5, 4).isa, Isa::V2);
        assert_eq!(Target::for_kernel(5, 15).isa, Isa::V3);
        assert_eq!(Target::newest().isa, Isa::V4);
        assert!(!Target::for_kernel(5, 7).has(Feature::RingBuf));
        assert!(Target::for_kernel(5, 8).has(Feature::RingBuf));
        assert_eq!(Target::for_kernel(4, 19).max_instructions, 4096);
    }

    #[test]
    fn removing_an_instruction_lowers_the_isa() {
        let target = Target::newest().without(Feature::Gotol);
        assert_eq!(target.isa, Isa::V3);
        assert_eq!(target.with(Feature::Gotol).isa, Isa::V4);
    }

    #[test]
    fn reads_as_a_sentence() {
        assert_eq!(Target::newest().to_string(), "Linux 6.18, cpu v4, 1 CPU");
        let text = Target::newest().without(Feature::RingBuf).to_string();
        assert_eq!(text, "Linux 6.18, cpu v4, 1 CPU; without ring buffers");
    }

    #[test]
    fn survives_json() {
        let target = Target::for_kernel(5, 15);
        let text = serde_json::to_string(&target).unwrap();
        assert_eq!(serde_json::from_str::<Target>(&text).unwrap(), target);
        assert!(text.contains("\"ring_buf\""), "{text}");
    }
}
