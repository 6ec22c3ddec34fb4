//! Where the real captures are, how foreign tools are asked, and which frames a condition picks.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use weir_compiler::NoFiles;
use weir_compiler::ir::Verdict;
use weir_compiler::ir::interp::Interpreter;
use weir_packet::capture::{Capture, Frame, LinkType, PcapngWriter};

/// Numbers of frames, from 1 on.
pub(crate) type Picked = BTreeSet<u64>;

/// A condition of ours and one of theirs that should pick the same frames.
pub(crate) struct Pair {
    pub(crate) weir: String,
    pub(crate) theirs: String,
}

/// Reads a table: a line of ours, below it, indented, a line of theirs.
pub(crate) fn pairs(table: &str) -> Vec<Pair> {
    let says = |line: &&str| !(line.is_empty() || line.starts_with('#') || line.starts_with("law: "));
    let lines: Vec<&str> = table.lines().filter(says).collect();
    let pair = |lines: &[&str]| {
        let [weir, theirs] = lines else { panic!("a line without its pair: {lines:?}") };
        assert!(!weir.starts_with(' ') && theirs.starts_with("    "), "not a pair: {lines:?}");
        Pair { weir: (*weir).to_owned(), theirs: theirs.trim().to_owned() }
    };
    lines.chunks(2).map(pair).collect()
}

/// Whether a tool can be run. A tool that must be there and is not fails the test.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        let required = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
        assert!(!required, "{test}: `{tool}` is not installed");
        println!("skipped {test}: `{tool}` is not installed");
    }
    there
}

/// What a tool printed; it must have been content.
pub(crate) fn run<S: AsRef<OsStr>>(tool: &str, args: impl IntoIterator<Item = S>) -> String {
    let mut command = Command::new(tool);
    command.args(args);
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{tool}: {e}"));
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// What tshark says of every frame of a capture: the values of fields, in their order.
pub(crate) fn tshark_fields(
    capture: &Path,
    options: &[&str],
    decode_as: Option<&str>,
    fields: &[&str],
) -> Vec<Vec<String>> {
    let mut args: Vec<String> = vec!["-n".into(), "-r".into(), capture.display().to_string()];
    args.extend(options.iter().flat_map(|option| ["-o".into(), (*option).into()]));
    args.extend(decode_as.into_iter().flat_map(|rule| ["-d".into(), rule.into()]));
    args.extend(["-T".into(), "fields".into()]);
    args.extend(fields.iter().flat_map(|field| ["-e".into(), (*field).into()]));
    let values = |line: &str| line.split('\t').map(str::to_owned).collect();
    run("tshark", args).lines().map(values).collect()
}

/// What stands behind the link's header, of colon-separated protocols.
pub(crate) fn network(protocols: &str) -> &str {
    let mut rest = protocols;
    while let Some((first, behind)) = rest.split_once(':')
        && ["eth", "ethertype", "vlan", "ieee8021ad"].contains(&first)
    {
        rest = behind;
    }
    rest
}

/// Makes a capture of frames that left.
pub(crate) fn write(path: &Path, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut writer = PcapngWriter::create(path).expect("a capture");
    let interface = writer.interface("left", LinkType::Ethernet).expect("an interface");
    for frame in frames {
        writer.frame(interface, &Frame::ethernet(0, frame)).expect("a frame");
    }
    writer.finish().expect("a capture");
}

/// `weir` itself.
pub(crate) fn weir<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    run(env!("CARGO_BIN_EXE_weir"), args)
}

/// The frames of all captures, with those that only the packet notation makes, in one file.
pub(crate) struct Corpus {
    folder: TempDir,
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) captures: usize,
    /// Frames whose record tells another length than it has: tshark believes it, we do not.
    pub(crate) lie: Picked,
}

impl Corpus {
    pub(crate) fn new(test: &str) -> Corpus {
        let captures = captures(test);
        let read = |path: &PathBuf| -> Vec<Frame> {
            let capture = Capture::open(path).expect("a capture");
            capture.map(|frame| frame.expect("a frame")).collect()
        };
        let mut frames: Vec<Frame> = captures.iter().flat_map(read).collect();
        frames.retain(|frame| frame.link == LinkType::Ethernet);
        frames.extend(built());
        Corpus::of(frames, captures.len())
    }

    /// Only what the packet notation makes.
    pub(crate) fn built() -> Corpus {
        Corpus::of(built(), 0)
    }

    fn of(mut frames: Vec<Frame>, captures: usize) -> Corpus {
        let folder = TempDir::new().expect("a folder");
        let mut writer = PcapngWriter::create(folder.path().join("all.pcapng")).expect("a capture");
        let interface = writer.interface("all", LinkType::Ethernet).expect("an interface");
        let mut lie = Picked::new();
        for (number, frame) in (1..).zip(&mut frames) {
            // tcpdump tells no frame's number, but its time.
            frame.timestamp_ns = number * 1_000_000_000;
            if frame.original_len as usize != frame.data.len() {
                lie.insert(number);
            }
            writer.frame(interface, frame).expect("a frame");
        }
        writer.finish().expect("a capture");
        let frames = frames.into_iter().map(|frame| frame.data).collect();
        Corpus { folder, frames, captures, lie }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("all.pcapng")
    }

    /// The verdicts of a policy, by `weir replay`.
    pub(crate) fn replay(&self, policy: &Path) -> Vec<Verdict> {
        let capture = self.path();
        let args = ["replay".as_ref(), "--json".as_ref(), "--frames".as_ref(), policy, capture.as_path()];
        let answer: serde_json::Value = serde_json::from_str(&weir(args)).expect("JSON");
        let rows = answer["frames"].as_array().expect("frames");
        let verdict = |row: &serde_json::Value| match row["verdict"].as_str() {
            Some("drop") => Verdict::Drop,
            _ => Verdict::Pass,
        };
        assert_eq!(rows.len(), self.frames.len());
        rows.iter().map(verdict).collect()
    }

    /// The frames that a condition picks, by the command.
    fn weir_picks(&self, condition: &str) -> Picked {
        let policy = self.folder.path().join("it.weir");
        std::fs::write(&policy, format!("drop it when {condition}\n")).expect("a policy");
        let verdicts = (1..).zip(self.replay(&policy));
        verdicts.filter(|(_, verdict)| *verdict == Verdict::Drop).map(|(number, _)| number).collect()
    }

    /// The frames that each condition picks, all of them counted by one program.
    fn weir_counts(&self, pairs: &[Pair]) -> Vec<Picked> {
        let statement = |(index, pair): (usize, &Pair)| format!("count c{index} when {}\n", pair.weir);
        let policy: String = pairs.iter().enumerate().map(statement).collect();
        let analysis = weir_compiler::analyse("pairs.weir", &policy, &NoFiles);
        let errors: Vec<_> = analysis.diagnostics.iter().map(|found| format!("{found:?}")).collect();
        let lowered = analysis.lower(&Default::default(), &[]);
        let lowered = lowered.unwrap_or_else(|| panic!("{policy}{}", errors.join("\n")));
        let mut interpreter = Interpreter::new(&lowered.program);
        let mut state = lowered.state(&analysis.policy);
        let slots: Vec<usize> =
            (0..pairs.len()).map(|index| lowered.slots[&format!("c{index}")] as usize).collect();
        let mut picked = vec![Picked::new(); pairs.len()];
        for (number, frame) in (1..).zip(&self.frames) {
            let before: Vec<u64> = slots.iter().map(|&slot| state.counters[slot].packets).collect();
            interpreter.run(&mut state, frame).expect("a sound program");
            for (index, (&slot, before)) in slots.iter().zip(before).enumerate() {
                if state.counters[slot].packets > before {
                    picked[index].insert(number);
                }
            }
        }
        picked
    }

    /// Fails with all pairs that differ.
    pub(crate) fn compare(&self, pairs: &[Pair], theirs: &[Picked]) {
        let ours = self.weir_counts(pairs);
        for (index, pair) in pairs.iter().enumerate().step_by(16) {
            assert_eq!(self.weir_picks(&pair.weir), ours[index], "the command about `{}`", pair.weir);
        }
        let all = pairs.iter().zip(&ours).zip(theirs);
        let differences: Vec<_> =
            all.filter_map(|((pair, ours), theirs)| self.difference(pair, ours, theirs)).collect();
        assert!(differences.is_empty(), "{} pairs:\n{}", differences.len(), differences.join("\n"));
        println!("{} pairs, {} captures, {} frames agree", pairs.len(), self.captures, self.frames.len());
    }

    fn difference(&self, pair: &Pair, ours: &Picked, theirs: &Picked) -> Option<String> {
        let Pair { weir, theirs: filter } = pair;
        let less = |a: &Picked, b: &Picked| -> Vec<u64> {
            a.difference(b).filter(|frame| !self.lie.contains(frame)).copied().collect()
        };
        let (only_ours, only_theirs) = (less(ours, theirs), less(theirs, ours));
        if only_ours.is_empty() && only_theirs.is_empty() {
            // A pair that picks nothing proves nothing; without the captures, most pick little.
            let idle = self.captures > 0 && ours.is_empty();
            return idle.then(|| format!("`{weir}` picks no frame"));
        }
        let some = |frames: &[u64]| {
            let first: Vec<_> = frames.iter().take(3).map(|&frame| self.shown(frame)).collect();
            format!("{} {}", frames.len(), first.concat())
        };
        let (only_ours, only_theirs) = (some(&only_ours), some(&only_theirs));
        Some(format!("`{weir}`\n  {filter}\n  only ours: {only_ours}\n  only theirs: {only_theirs}"))
    }

    fn shown(&self, frame: u64) -> String {
        let bytes = &self.frames[frame as usize - 1];
        let hex: String = bytes.iter().take(96).map(|byte| format!("{byte:02x}")).collect();
        format!("\n    {frame}: {} {hex}", weir_packet::view::View(bytes))
    }
}

/// Every capture, or none with the reason printed.
fn captures(test: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/captures");
    let mut found = Vec::new();
    collect(&root, &mut found);
    found.sort();
    if found.is_empty() {
        println!("skipped {test} on real frames: no captures at ../shared/data/captures of the repository");
    }
    found
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, into) } else { into.push(path) }
    }
}

/// What the captures lack.
fn built() -> Vec<Frame> {
    let analysis = weir_compiler::analyse("frames.weir", include_str!("frames.weir"), &NoFiles);
    assert!(!analysis.diagnostics.has_errors(), "frames.weir has errors");
    analysis.cases.into_iter().map(|case| Frame::ethernet(0, case.frame)).collect()
}
