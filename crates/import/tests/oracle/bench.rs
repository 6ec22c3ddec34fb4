//! Two hosts and a cable, the kernel's verdicts and the policy's.

use serde_json::Value;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_compiler::{NoFiles, analyse};
use weir_import::{Format, Import, Kind, Options, import};
use weir_lab::traffic::Traffic;
use weir_lab::wire::{Flow, Pace, SendOptions, send};
use weir_lab::{End, HostSpec, Lab, Link, Prefix, Topology};
use weir_packet::Mac;

/// Rules as a tool reads them.
pub(crate) enum Rules {
    Iptables { tool: Tool, six: bool, text: String },
    Nft(String),
}

/// iptables' two engines in the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Nft,
    Legacy,
}

/// A frame; its number is in it.
#[derive(Clone)]
pub(crate) struct Numbered {
    pub(crate) six: bool,
    pub(crate) number: u32,
    pub(crate) frame: Vec<u8>,
}

/// Sources of our frames: what the kernel itself sends comes from the interface's own address.
pub(crate) const SENDERS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0x11]), Mac([2, 0, 0, 0, 0, 0x77])];
/// The judge's address on the cable.
pub(crate) const JUDGE: Mac = Mac([2, 0, 0, 0, 0, 2]);

pub(crate) struct Bench {
    lab: Lab,
    _turn: MutexGuard<'static, ()>,
    packets: Cell<usize>,
    dropped: Cell<usize>,
    statements: Cell<usize>,
    start: Instant,
}

static TURN: Mutex<()> = Mutex::new(());

/// Notes what arrives and what is accepted: `raw`, where the rules are, has priority -300. Then all is dropped,
/// so that nothing is answered.
const NOTES: &str = "flush ruleset
table inet notes {
    set came4 { typeof ip id; size 65535; flags dynamic; }
    set came6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
    set passed4 { typeof ip id; size 65535; flags dynamic; }
    set passed6 { typeof ip6 flowlabel; size 65535; flags dynamic; }
    chain before {
        type filter hook prerouting priority -400; policy accept;
        ether saddr != { 02:00:00:00:00:11, 02:00:00:00:00:77 } drop
        add @came4 { ip id }
        add @came6 { ip6 flowlabel }
    }
    chain after {
        type filter hook prerouting priority -200; policy drop;
        add @passed4 { ip id }
        add @passed6 { ip6 flowlabel }
    }
}
";

impl Bench {
    /// Nothing, with the reason printed, where the machine has not what it takes; a failure where it must.
    pub(crate) fn new(test: &str, tools: &[&str]) -> Option<Bench> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
        let built = match missing {
            Some(tool) => Err(format!("there is no `{tool}`")),
            None => topology().build().map_err(|error| error.to_string()),
        };
        let lab = match built {
            Ok(lab) => lab,
            Err(why) => {
                let must = std::env::var_os("WEIR_REQUIRE_KERNEL").is_some_and(|value| value == "1");
                assert!(!must, "WEIR_REQUIRE_KERNEL is set, and {test} cannot run: {why}");
                println!("skipped {test}: {why}");
                return None;
            }
        };
        let none = || Cell::new(0);
        let start = Instant::now();
        let (packets, dropped, statements) = (none(), none(), none());
        Some(Bench { lab, _turn: turn, packets, dropped, statements, start })
    }

    /// Whether the kernel still has the tables of the older iptables.
    pub(crate) fn has_legacy(&self) -> bool {
        let judge = self.lab.host("judge").expect("the judge");
        let run = || Command::new("iptables-legacy").args(["-t", "raw", "-S"]).output();
        judge.run(run).expect("a thread").is_ok_and(|output| output.status.success())
    }

    pub(crate) fn report(&self) {
        println!(
            "{} statements, {} packets ({} dropped) in {:?}",
            self.statements.get(),
            self.packets.get(),
            self.dropped.get(),
            self.start.elapsed()
        );
    }

    /// The kernel and the policy give every packet the same verdict, and count the same.
    pub(crate) fn agree(&self, rules: &Rules, packets: &[Numbered]) {
        self.load(rules);
        self.send(packets);
        let notes = self.notes(packets.len());
        let saved = self.saved(rules);
        let import = imported(rules, &saved);
        let refused = import.findings.iter().find(|finding| finding.kind == Kind::Refused);
        assert!(refused.is_none(), "{refused:?}");
        let analysis = analyse("imported", &import.policy, &NoFiles);
        assert!(!analysis.diagnostics.has_errors(), "{}\n{:?}", import.policy, analysis.diagnostics);
        let mut evaluator = Evaluator::new(&analysis.policy);
        let mut compared = 0;
        for packet in packets {
            if !notes[came(packet.six)].contains(&packet.number) {
                continue;
            }
            compared += 1;
            let outcome = evaluator.judge(&packet.frame);
            let passed = notes[passed(packet.six)].contains(&packet.number);
            let by = outcome.by.map_or("default", |index| &analysis.policy.statements[index].name);
            assert_eq!(
                outcome.verdict == Verdict::Pass,
                passed,
                "packet {}: {by} decided\n{saved}\n{}\n{:02x?}",
                packet.number,
                import.policy,
                packet.frame
            );
            self.dropped.set(self.dropped.get() + usize::from(!passed));
        }
        assert!(compared * 10 >= packets.len() * 8, "{compared} of {} arrived", packets.len());
        let names = analysis.policy.statements.iter().map(|statement| statement.name.as_str());
        let counted: Vec<(&str, u64)> =
            names.zip(evaluator.counters.iter().map(|counter| counter.packets)).collect();
        assert_counts(rules, &saved, &import, &counted);
        self.packets.set(self.packets.get() + compared);
        self.statements.set(self.statements.get() + import.statements);
    }

    fn load(&self, rules: &Rules) {
        match rules {
            Rules::Iptables { tool, six, text } => {
                self.tool(&["nft", "-f", "-"], NOTES);
                self.tool(&[&tool.named(*six, "restore")], text);
            }
            Rules::Nft(text) => drop(self.tool(&["nft", "-f", "-"], &format!("{NOTES}\n{text}"))),
        }
    }

    fn saved(&self, rules: &Rules) -> String {
        match rules {
            Rules::Iptables { tool, six, .. } => {
                let saved = self.tool(&[&tool.named(*six, "save"), "-c", "-t", "raw"], "");
                if *tool == Tool::Legacy {
                    self.tool(&[&tool.named(*six, "restore")], "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n");
                }
                saved
            }
            Rules::Nft(_) => self.tool(&["nft", "-j", "list", "ruleset"], ""),
        }
    }

    fn send(&self, packets: &[Numbered]) {
        let sender = self.lab.host("sender").expect("the sender");
        let mut frames = Frames(packets.iter());
        let options = SendOptions::new(Pace::Fastest, Duration::from_secs(5));
        let sent = send(sender, "eth0", &mut frames, &options).expect("frames go out");
        assert_eq!((sent.frames, sent.refused), (packets.len() as u64, 0));
    }

    /// The numbers that were noted, when all have arrived or no more come.
    fn notes(&self, wanted: usize) -> BTreeMap<String, BTreeSet<u32>> {
        let (mut before, mut same) = (0, 0);
        loop {
            let notes = read_notes(&self.tool(&["nft", "-j", "list", "table", "inet", "notes"], ""));
            let arrived = notes["came4"].len() + notes["came6"].len();
            same = if arrived == before { same + 1 } else { 0 };
            if arrived == wanted || same == 10 {
                return notes;
            }
            before = arrived;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn tool(&self, command: &[&str], input: &str) -> String {
        let judge = self.lab.host("judge").expect("the judge");
        let run = || {
            let mut child = Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a process");
            child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its input");
            child.wait_with_output().expect("its output")
        };
        let output = judge.run(run).expect("a thread");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {told}\n{input}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn topology() -> Topology {
    let end = |host: &str, mac, last| {
        let v6: std::net::Ipv6Addr = format!("2001:db8:1::{last}").parse().expect("an address");
        End::new(host, "eth0")
            .mac(mac)
            .address(Prefix::new([10, 1, 0, last], 24))
            .address(Prefix::new(v6, 64))
            .without_gro()
    };
    Topology::new()
        .host(HostSpec::new("sender"))
        .host(HostSpec::new("judge"))
        .link(Link::new(end("sender", Mac([2, 0, 0, 0, 0, 1]), 1), end("judge", JUDGE, 2)))
}

impl Tool {
    /// `ip6tables-legacy-save`
    fn named(self, six: bool, what: &str) -> String {
        let tables = if six { "ip6tables" } else { "iptables" };
        let engine = if self == Tool::Nft { "nft" } else { "legacy" };
        format!("{tables}-{engine}-{what}")
    }
}

fn came(six: bool) -> &'static str {
    if six { "came6" } else { "came4" }
}

fn passed(six: bool) -> &'static str {
    if six { "passed6" } else { "passed4" }
}

fn read_notes(json: &str) -> BTreeMap<String, BTreeSet<u32>> {
    let value: Value = serde_json::from_str(json).expect("JSON");
    let sets = value["nftables"].as_array().expect("objects").iter().filter_map(|object| object.get("set"));
    let numbers = |set: &Value| {
        let elements = set.get("elem").and_then(Value::as_array).into_iter().flatten();
        elements.map(|element| element.as_u64().expect("a number") as u32).collect()
    };
    sets.map(|set| (set["name"].as_str().expect("a name").to_owned(), numbers(set))).collect()
}

fn imported(rules: &Rules, saved: &str) -> Import {
    let mut options = Options { name: "rules".into(), ..Options::default() };
    if let Rules::Nft(_) = rules {
        options.chains.push("judged/prerouting".into());
        if saved.contains("\"second\"") {
            options.chains.push("judged/second".into());
        }
    }
    let import = import(saved, &options).unwrap_or_else(|garbage| panic!("{garbage}\n{saved}"));
    let expected = match rules {
        Rules::Iptables { six: false, .. } => Format::Iptables,
        Rules::Iptables { six: true, .. } => Format::Ip6tables,
        Rules::Nft(_) => Format::Nft,
    };
    assert_eq!(import.format, expected);
    import
}

/// What rules without a verdict counted, their statements did, too; those keep the rule's chain and number, and
/// copies of them are numbered further.
fn assert_counts(rules: &Rules, saved: &str, import: &Import, counted: &[(&str, u64)]) {
    let Rules::Iptables { .. } = rules else { return };
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for line in saved.lines().filter(|line| line.starts_with('[')) {
        let (count, rule) = line[1..].split_once("] -A ").expect("a counted rule");
        let chain = rule.split_whitespace().next().expect("a chain");
        let number = numbers.entry(chain).or_default();
        *number += 1;
        let name = format!("{chain}_{number}");
        if rule.contains(" -j ") || rule.contains(" -g ") {
            continue;
        }
        let is_copy = |own: &str| {
            own == name
                || own.strip_prefix(&format!("{name}_")).is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        let ours: u64 = counted.iter().filter(|(own, _)| is_copy(own)).map(|(_, packets)| packets).sum();
        let theirs = count.split(':').next().expect("packets").parse::<u64>().expect("a number");
        let told = import.findings.iter().any(|finding| line.contains(&finding.rule));
        assert!(told || ours == theirs, "{name}: {theirs}, not {ours}\n{saved}\n{}", import.policy);
    }
}

struct Frames<'a>(std::slice::Iter<'a, Numbered>);

impl Traffic for Frames<'_> {
    fn next(&mut self, frame: &mut Vec<u8>) -> Option<Flow> {
        frame.clone_from(&self.0.next()?.frame);
        Some(Flow(0))
    }
}
