//! Policies whose parts the tests know: they can be changed, said in another way, and aimed at.

use crate::dice::Dice;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// A field that rules ask for: its name, its layer, and how large it can be.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) layer: &'static str,
    most: u32,
    /// How a packet names it, if not in the same way.
    set: &'static str,
}

const fn field(name: &'static str, layer: &'static str, most: u32) -> Field {
    Field { name, layer, most, set: name }
}

pub(crate) const FIELDS: &[Field] = &[
    field("tcp.dstport", "tcp", 65_535),
    field("tcp.srcport", "tcp", 65_535),
    field("tcp.window_size_value", "tcp", 65_535),
    field("tcp.options.mss.val", "tcp", 65_535),
    field("udp.dstport", "udp", 65_535),
    field("udp.srcport", "udp", 65_535),
    field("ip4.ttl", "ip4", 255),
    field("ip4.dscp", "ip4", 63),
    field("ip4.id", "ip4", 65_535),
    field("ip6.hlim", "ip6", 255),
    field("icmp.type", "icmp", 255),
    field("vlan.id", "vlan", 4_095),
    field("gre.key", "gre", 65_535),
    field("vxlan.vni", "vxlan", 65_535),
    field("dns.flags.opcode", "dns", 15),
    Field { name: "frame.len", layer: "ip4", most: 1_400, set: "frame.len" },
    Field { name: "tcp.flags & 0x17", layer: "tcp", most: 23, set: "tcp.flags" },
    Field { name: "udp.length - 8", layer: "udp", most: 65_000, set: "" },
    Field { name: "ip4[8:1]", layer: "ip4", most: 255, set: "ip4.ttl" },
];

const SIDES: &[&str] = &["src", "dst"];
const FLAGS: &[&str] = &["syn", "ack", "fin"];

/// A question, with what a packet must say to be near its edges.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Atom {
    /// A field is in one of the ranges.
    In(usize, Vec<(u32, u32)>),
    /// An address is in a prefix: source or destination.
    Prefix(&'static str, u32, u32),
    /// A flag is set.
    Flag(&'static str),
    /// A set has the source address.
    Member(usize),
}

/// A statement.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Rule {
    pub(crate) verb: &'static str,
    pub(crate) name: String,
    pub(crate) atoms: Vec<(bool, Atom)>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Policy {
    pub(crate) sets: Vec<Vec<(u32, u32)>>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: &'static str,
}

impl Policy {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let sets = (0..2).map(|_| (0..dice.between(1, 6)).map(|_| prefix(dice)).collect()).collect();
        let rules = (0..dice.between(2, 9)).map(|number| Rule::random(dice, number)).collect();
        Self { sets, rules, default: *dice.pick(&["pass", "drop"]) }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::from("set seen : ip timeout 1h max 100\n");
        for (number, set) in self.sets.iter().enumerate() {
            let elements: Vec<_> = set.iter().map(|&(at, length)| prefix_text(at, length)).collect();
            let _ = writeln!(text, "set s{number} : ip4 = {{ {} }}", elements.join(", "));
        }
        for rule in &self.rules {
            let _ = writeln!(text, "{}", rule.text());
        }
        text + "default " + self.default + "\n"
    }
}

impl Rule {
    fn random(dice: &mut Dice, number: usize) -> Self {
        let verb = *dice.pick(&["drop", "drop", "drop", "pass", "pass", "limit"]);
        let layer = FIELDS[dice.below(FIELDS.len())].layer;
        let atoms = (0..dice.between(1, 3)).map(|_| (dice.one_in(6), Atom::random(dice, layer))).collect();
        Rule { verb, name: format!("r{number}"), atoms }
    }

    pub(crate) fn condition(&self) -> String {
        let atom = |(not, atom): &(bool, Atom)| match not {
            true => format!("not {}", atom.text()),
            false => atom.text(),
        };
        self.atoms.iter().map(atom).collect::<Vec<_>>().join(" and ")
    }

    pub(crate) fn text(&self) -> String {
        let tail = if self.verb == "limit" { " to 5/s burst 3 per ip.src" } else { "" };
        format!("{} {} when {}{tail}", self.verb, self.name, self.condition())
    }
}

impl Atom {
    fn random(dice: &mut Dice, layer: &str) -> Self {
        match dice.below(10) {
            0 | 1 => {
                let (at, length) = prefix(dice);
                Atom::Prefix(SIDES[dice.below(SIDES.len())], at, length)
            }
            2 if layer == "tcp" => Atom::Flag(FLAGS[dice.below(FLAGS.len())]),
            3 => Atom::Member(dice.below(3)),
            _ => {
                let of_layer =
                    |field: &&Field| field.layer == layer || field.layer == "ip4" && layer == "tcp";
                let fields: Vec<_> = FIELDS.iter().filter(of_layer).map(|field| field.name).collect();
                let name = *dice.pick(&fields);
                let field = FIELDS.iter().position(|field| field.name == name).unwrap();
                Atom::In(field, ranges(dice, FIELDS[field].most))
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Atom::In(field, ranges) => {
                let range = |&(low, high): &(u32, u32)| match low == high {
                    true => low.to_string(),
                    false => format!("{low}..{high}"),
                };
                let ranges: Vec<_> = ranges.iter().map(range).collect();
                format!("{} in {{ {} }}", FIELDS[*field].name, ranges.join(", "))
            }
            Atom::Prefix(side, at, length) => format!("ip4.{side} == {}", prefix_text(*at, *length)),
            Atom::Flag(flag) => format!("tcp.flags.{flag}"),
            Atom::Member(2) => "ip.src in seen".into(),
            Atom::Member(set) => format!("ip4.src in s{set}"),
        }
    }

    /// What a packet says near the atom's edges: the layer, and a field.
    fn near(&self, dice: &mut Dice, sets: &[Vec<(u32, u32)>]) -> (&'static str, Option<String>) {
        match self {
            Atom::In(at, ranges) => {
                let field = &FIELDS[*at];
                let (low, high) = *dice.pick(ranges);
                let value = match dice.below(6) {
                    0 => low.saturating_sub(1),
                    1 | 2 => low,
                    3 | 4 => high,
                    _ => (high + 1).min(field.most),
                };
                let said = match field.name {
                    "udp.length - 8" => Some(format!("udp.length={}", value + 8)),
                    "frame.len" if value == 0 => None,
                    _ => Some(format!("{}={value}", field.set)),
                };
                (field.layer, said)
            }
            Atom::Prefix(side, at, length) => {
                ("ip4", Some(format!("ip4.{side}={}", around(dice, *at, *length))))
            }
            Atom::Flag(flag) => ("tcp", Some(format!("tcp.flags.{flag}={}", dice.below(2)))),
            Atom::Member(2) => ("ip4", None),
            Atom::Member(set) => {
                let (at, length) = *dice.pick(&sets[*set]);
                ("ip4", Some(format!("ip4.src={}", around(dice, at, length))))
            }
        }
    }
}

/// A packet that a rule is about, more or less.
pub(crate) fn packet(dice: &mut Dice, rule: &Rule, sets: &[Vec<(u32, u32)>]) -> String {
    const LAYERS: &[&str] = &["tcp", "udp", "icmp", "ip4", "ip6", "gre", "vxlan", "dns"];
    let mut layer = "ip4";
    let (mut fields, mut vlan) = (Vec::new(), None);
    for (_, atom) in &rule.atoms {
        let (of, said) = atom.near(dice, sets);
        match of {
            "vlan" => vlan = said,
            "ip4" => fields.extend(said),
            of => {
                layer = of;
                fields.extend(said);
            }
        }
    }
    if layer == "ip4" && dice.one_in(2) {
        layer = *dice.pick(LAYERS);
    }
    if dice.one_in(12) {
        fields.retain(|field| !field.starts_with("ip4"));
    }
    let vlan = vlan.map_or(String::new(), |vlan| format!("vlan({vlan}) / "));
    format!("{vlan}{layer}({})", fields.join(", "))
}

fn around(dice: &mut Dice, at: u32, length: u32) -> Ipv4Addr {
    let size = if length == 0 { 0 } else { u32::MAX.checked_shr(length).unwrap_or(0) };
    Ipv4Addr::from(match dice.below(5) {
        0 => at.wrapping_sub(1),
        1 | 2 => at,
        3 => at.wrapping_add(size),
        _ => at.wrapping_add(size).wrapping_add(1),
    })
}

pub(crate) fn prefix(dice: &mut Dice) -> (u32, u32) {
    let length = *dice.pick(&[8, 12, 16, 20, 24, 24, 28, 31, 32]);
    let at = 0x0a00_0000 | (dice.word() as u32 & 0x0003_ffff) << dice.below(6);
    (at & !(u32::MAX.checked_shr(length).unwrap_or(0)), length)
}

pub(crate) fn prefix_text(at: u32, length: u32) -> String {
    format!("{}/{length}", Ipv4Addr::from(at))
}

/// Ranges that do not touch each other.
fn ranges(dice: &mut Dice, most: u32) -> Vec<(u32, u32)> {
    let mut edges: Vec<u32> = (0..2 * dice.between(1, 3)).map(|_| dice.below(most as usize) as u32).collect();
    edges.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for pair in edges.chunks(2) {
        let high = if dice.one_in(2) { pair[0] } else { pair[1] };
        if ranges.last().is_none_or(|last| last.1 + 1 < pair[0]) {
            ranges.push((pair[0], high));
        }
    }
    ranges
}
