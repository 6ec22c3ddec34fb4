//! Reloads that exchange the tables of the program that runs.

use crate::reloads::{reload, under_traffic};
use crate::support::{Edge, packets, require_kernel, say};
use weir_dataplane::{Change, Instance, Lifetime, Policy};
use weir_kernel::maps::Map;
use weir_lab::traffic::Random;

/// Live edits, unless `$WEIR_LIVE_EDITS` says another number.
const EDITS: usize = 300;

fn rules(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("drop r{port} when udp.dstport == {port}\n")).collect()
}

fn program(instance: &Instance) -> u32 {
    instance.status().unwrap().program_id
}

#[test]
fn rules_of_a_shape_that_is_there_need_no_program() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, report) = edge.load(&rules(1000..1100));
    assert_eq!(report.change, Change::Program);
    let running = program(&instance);
    edge.send(1005, 10);
    edge.send(1100, 10);
    let counted = |instance: &Instance, name| packets(instance, name);
    assert_eq!((counted(&instance, "r1005"), counted(&instance, "default")), (10, 10));
    // One more behind the others, one before them, one less.
    let more = format!("pass first when udp.dstport == 1099\n{}", rules((1000..1050).chain(1051..1101)));
    let report = reload(&mut instance, &more);
    assert_eq!((report.change, program(&instance)), (Change::Tables, running));
    assert_eq!(report.fresh, ["statement first", "statement r1100"]);
    assert_eq!(report.gone, ["statement r1050"]);
    [(1100, 3), (1099, 4), (1050, 5), (1005, 6)].iter().for_each(|(port, frames)| {
        edge.send(*port, *frames);
    });
    let all = ["r1100", "first", "r1099", "r1005", "default"].map(|name| counted(&instance, name));
    assert_eq!(all, [3, 4, 0, 16, 15]);
    // Another name, another verdict.
    let other = more.replace("drop r1005", "pass fine");
    assert_eq!(reload(&mut instance, &other).change, Change::Tables);
    edge.send(1005, 2);
    assert_eq!((counted(&instance, "fine"), counted(&instance, "default")), (2, 15));
    assert_eq!(reload(&mut instance, &format!("# A comment.\n{other}")).change, Change::Text);
    assert_eq!(program(&instance), running);
    assert_eq!(instance.policy_text().unwrap().lines().next(), Some("# A comment."));
    // Another question is another program, and so are rules that the table has no room for.
    let report = reload(&mut instance, &format!("{other}drop odd when udp.length == 77\n"));
    assert_eq!(report.change, Change::Program);
    let running = program(&instance);
    let many = rules(1000..3000);
    assert_eq!(reload(&mut instance, &many).change, Change::Program);
    assert_ne!(program(&instance), running);
    edge.send(2500, 3);
    assert_eq!((counted(&instance, "r2500"), counted(&instance, "r1005")), (3, 0));
}

#[test]
fn statements_that_count_come_and_go_without_a_program() {
    require_kernel!();
    let edge = Edge::new();
    let counts = |ports: std::ops::Range<u16>| -> String {
        ports
            .map(|port| format!("count c{port} when udp.dstport == {port} or udp.srcport == {port}\n"))
            .collect()
    };
    let policy = |counted: std::ops::Range<u16>| rules(1000..1060) + &counts(counted) + &rules(1060..1120);
    let (mut instance, _) = edge.load(&policy(1050..1054));
    let running = program(&instance);
    edge.send(1055, 1);
    // One more that counts, in the middle; what comes before it still decides.
    assert_eq!(reload(&mut instance, &policy(1050..1065)).change, Change::Tables);
    for (port, frames) in [(1052, 2), (1062, 3), (1070, 4), (9, 5)] {
        edge.send(port, frames);
    }
    let counted = |instance: &Instance, names: &[&str]| -> Vec<u64> {
        names.iter().map(|name| packets(instance, name)).collect()
    };
    let names = ["r1052", "c1052", "c1062", "r1062", "c1064", "r1070", "default"];
    assert_eq!(counted(&instance, &names), [2, 0, 3, 3, 0, 4, 5]);
    // One less, and one that only says what it would do.
    let report = reload(&mut instance, &policy(1051..1062).replace("count c1060", "shadow drop c1060"));
    assert_eq!((report.change, program(&instance)), (Change::Tables, running));
    edge.send(1060, 6);
    edge.send(1062, 1);
    assert_eq!(counted(&instance, &["c1060", "r1060", "r1062"]), [6, 6, 4]);
    // The first statement that counts among others needs what walks to it.
    let edge = Edge::new();
    let (mut instance, _) = edge.load(&rules(1000..1100));
    let middle = rules(1000..1050) + "count few when udp.dstport > 1090\n" + &rules(1050..1100);
    assert_eq!(reload(&mut instance, &middle).change, Change::Program);
}

#[test]
fn sets_that_do_not_change_while_running_are_tables_too() {
    require_kernel!();
    let edge = Edge::new();
    let policy = |ports: std::ops::Range<u16>| {
        let ports: Vec<String> = ports.map(|port| (2 * port).to_string()).collect();
        format!(
            "set ports : u16 = {{ {} }}\nset live : ip max 1k\nlimit few when udp.dstport == 9 to 1/h burst 2\ndrop listed when udp.dstport in ports\ndrop alive when ip.src in live\n",
            ports.join(", ")
        )
    };
    let (mut instance, _) = edge.load(&policy(1000..1400));
    instance.set("live").unwrap().add(&["192.0.2.1"], Lifetime::Forever).unwrap();
    edge.send(9, 3);
    let report = reload(&mut instance, &policy(1100..1500));
    assert_eq!(report.change, Change::Tables);
    assert_eq!(instance.set("live").unwrap().list().unwrap().len(), 1);
    edge.send(2000, 5);
    edge.send(2998, 7);
    assert_eq!((packets(&instance, "listed"), packets(&instance, "default")), (7, 7));
    edge.send(9, 1);
    let over = instance.counters().unwrap()[0].over_packets;
    assert_eq!(over, 2, "the bucket is as empty as it was");
    // A limit's rate is in the program.
    let other = policy(1100..1500).replace("1/h burst 2", "1/h burst 9");
    assert_eq!(reload(&mut instance, &other).change, Change::Program);
}

#[test]
fn a_kill_before_the_tables_are_taken_up_is_mended() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(&rules(1000..1100));
    assert_eq!(reload(&mut instance, &rules(1001..1101)).change, Change::Tables);
    // As it is when the generation is complete and nothing else happened.
    let path = weir_kernel::pins::ensure_bpffs().unwrap().join("weir").join(&edge.instance);
    let memory = Map::open(&path.join("gen-2/tables")).unwrap().memory().unwrap();
    assert_ne!(memory.load(0), 0);
    memory.store(0, 0);
    edge.send(1100, 2);
    assert_eq!(packets(&instance, "default"), 2);
    let instance = Instance::open(&edge.instance).unwrap();
    edge.send(1100, 3);
    assert_eq!((packets(&instance, "r1100"), packets(&instance, "default")), (3, 2));
}

#[test]
fn a_space_that_says_nonsense_drops_and_harms_nobody() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(&rules(1000..1100));
    let path = weir_kernel::pins::ensure_bpffs().unwrap().join("weir").join(&edge.instance);
    let memory = Map::open(&path.join("gen-1/tables")).unwrap().memory().unwrap();
    memory.store(0, u64::MAX);
    edge.send(1005, 4);
    assert_eq!((packets(&instance, "r1005"), packets(&instance, "default")), (0, 0));
    Instance::open(&edge.instance).unwrap();
    edge.send(1005, 4);
    assert_eq!(packets(&instance, "r1005"), 4);
}

/// A policy of one shape whose statements come, go, move and change at random. `bad` takes port 53 and `good` port
/// 80, wherever they stand.
struct Edited {
    random: Random,
    statements: Vec<(String, String)>,
    made: usize,
}

impl Edited {
    fn new() -> Self {
        let mut edited = Self { random: Random::new(0x5eed), statements: Vec::new(), made: 0 };
        edited.statements.push(("drop bad".into(), "udp.dstport == 53".into()));
        edited.statements.push(("pass good".into(), "udp.dstport == 80".into()));
        (0..150).for_each(|_| edited.insert());
        edited
    }

    fn below(&mut self, most: usize) -> usize {
        self.random.below(most as u32) as usize
    }

    /// Neither port 53 nor port 80.
    fn condition(&mut self) -> String {
        let port = 3000 + self.below(3000);
        let source = format!("10.{}.{}.0/{}", self.below(250), self.below(250), 24);
        match self.below(4) {
            0 => format!("udp.dstport == {port}"),
            1 => format!("udp.dstport in {{ {port}..{} }} and ip4.src == {source}", port + self.below(500)),
            2 => format!("ip4.src == {source} and udp.dstport != 53 and udp.dstport != 80"),
            _ => format!("ip4.dst == {source} and udp.srcport == {port}"),
        }
    }

    fn insert(&mut self) {
        self.made += 1;
        let verb = ["pass", "drop", "count", "shadow pass"][self.below(4)];
        let condition = self.condition();
        let at = self.below(self.statements.len() + 1);
        self.statements.insert(at, (format!("{verb} x{}", self.made), condition));
    }

    fn edit(&mut self) -> String {
        let at = self.below(self.statements.len());
        let is_ours = |head: &str| head.ends_with(" bad") || head.ends_with(" good");
        match self.below(4) {
            0 if self.statements.len() < 200 => self.insert(),
            1 if self.statements.len() > 100 && !is_ours(&self.statements[at].0) => {
                self.statements.remove(at);
            }
            2 => {
                let statement = self.statements.remove(at);
                let to = self.below(self.statements.len() + 1);
                self.statements.insert(to, statement);
            }
            _ => {
                // Counters of what changes its meaning begin anew, and these two are what counts the traffic.
                let condition = self.condition();
                let (head, asked) = &mut self.statements[at];
                if !is_ours(head) {
                    *asked = condition;
                }
            }
        }
        self.text()
    }

    fn text(&self) -> String {
        let line = |(head, condition): &(String, String)| format!("{head} when {condition}\n");
        self.statements.iter().map(line).collect::<String>() + "default drop\n"
    }
}

#[test]
fn random_edits_at_full_rate_lose_and_misjudge_nothing() {
    require_kernel!();
    let edits = std::env::var("WEIR_LIVE_EDITS").map_or(EDITS, |number| number.parse().expect("a number"));
    let edge = Edge::new();
    let mut edited = Edited::new();
    let (mut instance, _) = edge.load(&edited.text());
    let reports = under_traffic(&edge, &mut instance, edits, || edited.edit());
    let live = reports.iter().filter(|report| report.change == Change::Tables).count();
    say(&format!("{live} of {edits} edits needed no other program"));
    assert!(live * 10 > edits * 9, "{live} of {edits}");
}

#[test]
fn what_cannot_be_changes_nothing() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(&rules(1000..1100));
    let before = instance.status().unwrap();
    let bad = rules(1000..1100).replace("1050", "70000");
    instance.reload(&Policy::new("bad.weir", &bad)).unwrap_err();
    assert_eq!(instance.status().unwrap(), before);
    assert_eq!(edge.generations(), ["gen-1"]);
}
