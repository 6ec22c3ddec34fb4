//! Random policies: every kind of statement, over what some frame has.

use crate::case::{Condition, Statement};
use crate::dice::Dice;
use crate::literal::{element, integer, literal, prefix};
use crate::vocabulary::{Focus, Operand, Vocabulary, edge, near};
use weir_compiler::Hook;
use weir_compiler::policy::ValueType;

const RELATIONS: &[&str] = &["==", "==", "==", "!=", "<", "<=", ">", ">="];
const EQUALITIES: &[&str] = &["==", "==", "!="];

/// Statements and the sets that they look into.
pub(crate) struct Author<'a> {
    vocabulary: Vocabulary<'a>,
    frames: &'a [Focus],
    sets: Vec<NamedSet>,
    clock: Clock,
    verbs: &'static [&'static str],
}

/// What statements do at any hook, and at XDP.
const VERBS: &[&str] = &["drop", "drop", "drop", "pass", "pass", "count", "count", "limit", "sample"];
const VERBS_OF_XDP: &[&str] =
    &["drop", "drop", "drop", "pass", "pass", "count", "count", "count", "limit", "decap", "sample"];

/// And where the kernel's own sockets have no say.
const VERBS_WITHOUT_SOCKETS: &[&str] = &[
    "drop", "drop", "drop", "pass", "pass", "count", "count", "count", "limit", "decap", "sample", "answer",
];

/// Whose clock the limits meet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// It stands still.
    Ours,
    /// The kernel's, which goes on between packets.
    Kernel,
}

struct NamedSet {
    types: Vec<ValueType>,
    text: String,
}

impl<'a> Author<'a> {
    pub(crate) fn new(vocabulary: Vocabulary<'a>, frames: &'a [Focus], clock: Clock, hook: Hook) -> Self {
        let verbs = match (hook, clock) {
            (Hook::Xdp, Clock::Ours) => VERBS_WITHOUT_SOCKETS,
            (Hook::Xdp, Clock::Kernel) => VERBS_OF_XDP,
            _ => VERBS,
        };
        Self { vocabulary, frames, sets: Vec::new(), clock, verbs }
    }

    pub(crate) fn sets(self) -> Vec<String> {
        self.sets.into_iter().map(|set| set.text).collect()
    }

    pub(crate) fn statement(&mut self, dice: &mut Dice, number: usize) -> Statement {
        let frames = self.frames;
        let focus = dice.pick(frames);
        let shadow = if dice.one_in(10) { "shadow " } else { "" };
        let expected = ["likely ", "unlikely "].get(dice.below(6)).copied().unwrap_or_default();
        let name = if dice.percent(60) { format!(" s{number}") } else { String::new() };
        let verb = *dice.pick(self.verbs);
        // Statements that end every packet's way leave nothing for those behind them.
        let always = match verb {
            "drop" | "pass" if shadow.is_empty() => 60,
            "decap" => 3,
            _ => 12,
        };
        let when = (!dice.one_in(always)).then(|| self.condition(dice, focus, 3));
        let mut head = format!("{expected}{shadow}{verb}{name}");
        let tail = match verb {
            "limit" => self.limit(dice, focus),
            "sample" => {
                head += &format!(" 1 in {}", dice.pick(&["1", "2", "3", "10", "1k"]));
                (*dice.pick(&["", " bytes 14", " bytes 64B", " bytes 512 budget 1M/s"])).to_owned()
            }
            "answer" => {
                head += " syncookie";
                String::new()
            }
            _ => String::new(),
        };
        Statement { head, when, tail }
    }

    fn condition(&mut self, dice: &mut Dice, focus: &Focus, depth: usize) -> Condition {
        if depth == 0 || dice.percent(45) {
            return Condition::Leaf(self.leaf(dice, focus));
        }
        let count = dice.between(2, 3);
        let parts = |author: &mut Self, dice: &mut Dice| -> Vec<Condition> {
            (0..count).map(|_| author.condition(dice, focus, depth - 1)).collect()
        };
        match dice.below(6) {
            0 => Condition::Not(Box::new(self.condition(dice, focus, depth - 1))),
            1..=3 => Condition::And(parts(self, dice)),
            _ => Condition::Or(parts(self, dice)),
        }
    }

    fn leaf(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        match dice.below(20) {
            0 | 1 => {
                let header = self.vocabulary.header(dice, focus);
                self.vocabulary.header_name(dice, header)
            }
            2 | 3 => self.vocabulary.operand(dice, focus).path,
            4..=8 => self.with_constant(dice, focus),
            9 | 10 => self.with_value(dice, focus),
            11..=13 => self.in_elements(dice, focus),
            14 | 15 => self.in_set(dice, focus),
            16 => self.tuple_in_elements(dice, focus),
            17 => self.masked(dice, focus),
            18 => self.calculated(dice, focus),
            _ => match dice.below(8) {
                0 => "true".into(),
                1 => "false".into(),
                _ => self.slice_of_field(dice, focus),
            },
        }
    }

    fn with_constant(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let operand = self.vocabulary.operand(dice, focus);
        let value = near(dice, operand.value, operand.ty.bits().min(if operand.computed { 62 } else { 128 }));
        let number = matches!(operand.ty, ValueType::Int(_));
        let relation = if number { *dice.pick(RELATIONS) } else { *dice.pick(EQUALITIES) };
        let address = matches!(operand.ty, ValueType::Ip4 | ValueType::Ip6);
        let constant = match address && dice.one_in(3) {
            true => prefix(dice, operand.ty, value),
            false => literal(dice, operand.ty, operand.slice, value),
        };
        match dice.one_in(6) {
            true => format!("{constant} {relation} {}", operand.path),
            false => format!("{} {relation} {constant}", operand.path),
        }
    }

    /// Two values of the packet.
    fn with_value(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let left = self.vocabulary.operand(dice, focus);
        for _ in 0..40 {
            let right = self.vocabulary.operand(dice, focus);
            let number = |o: &Operand| matches!(o.ty, ValueType::Int(_) | ValueType::Bool);
            if number(&left) && number(&right) {
                return format!("{} {} {}", left.path, dice.pick(RELATIONS), right.path);
            }
            if left.ty == right.ty && left.family == right.family {
                return format!("{} {} {}", left.path, dice.pick(EQUALITIES), right.path);
            }
        }
        left.path
    }

    fn in_elements(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let operand = self.vocabulary.operand(dice, focus);
        let count = if dice.one_in(12) { dice.between(10, 120) } else { dice.between(1, 5) };
        let elements: Vec<_> = (0..count).map(|at| self.element(dice, &operand, at == 0, false)).collect();
        format!("{} in {{ {} }}", operand.path, elements.join(", "))
    }

    fn element(&self, dice: &mut Dice, operand: &Operand, first: bool, single: bool) -> String {
        // Elements of the other family go with a family's fields, and meet nothing.
        let other = match operand.ty {
            ValueType::Ip4 => Some(ValueType::Ip6),
            ValueType::Ip6 => Some(ValueType::Ip4),
            _ => None,
        };
        if let Some(other) = other.filter(|_| operand.family && !first && dice.one_in(4)) {
            let value = edge(dice, other.bits());
            return element(dice, other, false, value, single);
        }
        let bits = operand.ty.bits().min(if operand.computed { 62 } else { 128 });
        let value = if first || dice.one_in(3) { near(dice, operand.value, bits) } else { edge(dice, bits) };
        element(dice, operand.ty, operand.slice, value, single)
    }

    fn masked(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let operand = self.number(dice, focus);
        let bits = operand.ty.bits().min(62);
        let mask = edge(dice, bits);
        let mask_text = integer(dice, mask);
        match dice.one_in(3) {
            true => format!("{} & {mask_text}", operand.path),
            false => {
                let value = near(dice, operand.value.map(|value| value & mask), bits);
                let value = integer(dice, value);
                format!("{} & {mask_text} {} {value}", operand.path, dice.pick(RELATIONS))
            }
        }
    }

    /// A number that can be calculated with.
    fn number(&mut self, dice: &mut Dice, focus: &Focus) -> Operand {
        loop {
            let operand = self.vocabulary.operand(dice, focus);
            if matches!(operand.ty, ValueType::Int(_) | ValueType::Bool) && !operand.either {
                return operand;
            }
        }
    }

    fn calculated(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let (left, value) = self.sum(dice, focus, 2);
        let relation = *dice.pick(RELATIONS);
        if dice.one_in(3) {
            let (right, _) = self.sum(dice, focus, 1);
            return format!("{left} {relation} {right}");
        }
        let value = near(dice, value.and_then(|value| u128::try_from(value).ok()), 62);
        format!("{left} {relation} {}", integer(dice, value))
    }

    /// Arithmetic, and what it is for the frame in focus.
    fn sum(&mut self, dice: &mut Dice, focus: &Focus, depth: usize) -> (String, Option<i128>) {
        if depth == 0 || dice.one_in(5) {
            if dice.one_in(4) {
                let value = edge(dice, 12);
                return (integer(dice, value), Some(value as i128));
            }
            let mut operand = self.number(dice, focus);
            for _ in 0..4 {
                if operand.ty.bits() <= 32 {
                    break;
                }
                operand = self.number(dice, focus);
            }
            return (operand.path, operand.value.map(|value| value as i128));
        }
        let (left, a) = self.sum(dice, focus, depth - 1);
        let (right, b) = self.sum(dice, focus, depth - 1);
        let both = a.zip(b);
        match dice.below(7) {
            0 | 1 => (format!("({left} + {right})"), both.and_then(|(a, b)| a.checked_add(b))),
            2 | 3 => (format!("({left} - {right})"), both.and_then(|(a, b)| a.checked_sub(b))),
            4 | 5 => (format!("({left} * {right})"), both.and_then(|(a, b)| a.checked_mul(b))),
            _ => (format!("({left} & {right})"), both.map(|(a, b)| a & b)),
        }
    }

    fn slice_of_field(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        for _ in 0..60 {
            let field = self.vocabulary.operand(dice, focus);
            let whole = usize::from(field.ty.bits() / 8);
            if !field.bytes || whole == 0 || field.family {
                continue;
            }
            let length = dice.between(1, whole);
            let offset = dice.below(whole - length + 1);
            let bits = length as u8 * 8;
            let low = field.ty.bits() as usize - (offset + length) * 8;
            let value = field.value.map(|value| value >> low & (u128::MAX >> (128 - u32::from(bits))));
            let value = near(dice, value, bits);
            let ty = if length <= 8 { ValueType::Int(bits) } else { ValueType::Bytes(length as u8) };
            let relation = *dice.pick(EQUALITIES);
            return format!(
                "{}[{offset}:{length}] {relation} {}",
                field.path,
                literal(dice, ty, true, value)
            );
        }
        "eth.src[0:3] == 0x020000".into()
    }

    fn in_set(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let count = if dice.one_in(3) { dice.between(2, 3) } else { 1 };
        let operands: Vec<_> = (0..count).map(|_| self.vocabulary.operand(dice, focus)).collect();
        let names: Vec<_> = operands.iter().map(|o| o.path.as_str()).collect();
        let key = if count == 1 { names[0].to_owned() } else { format!("({})", names.join(", ")) };
        let types: Vec<_> = operands.iter().map(set_type).collect();
        let known = self.sets.iter().position(|set| set.types == types);
        let set = match known {
            Some(set) if dice.percent(50) => set,
            _ => {
                self.declare(dice, &operands, types);
                self.sets.len() - 1
            }
        };
        format!("{key} in set{set}")
    }

    fn declare(&mut self, dice: &mut Dice, operands: &[Operand], types: Vec<ValueType>) {
        let name = format!("set{}", self.sets.len());
        let names: Vec<_> = operands.iter().zip(&types).map(|(o, ty)| type_name(dice, o, *ty)).collect();
        let live = dice.one_in(3);
        let address = matches!(types.as_slice(), [ValueType::Ip | ValueType::Ip4 | ValueType::Ip6]);
        let count = match dice.below(400) {
            // Beyond what the code holds: a hash map.
            0 => 4_200,
            1..=40 => dice.between(9, 60),
            41..=60 => dice.between(100, 600),
            _ => dice.between(0, 6),
        };
        // So many tuples with ranges are refused: they are compared one by one.
        let many = count > 500 && types.len() > 1;
        let single = many || live && !address || types.len() > 1 && dice.percent(70);
        let elements: Vec<_> = match (dice.below(4_000), types.as_slice()) {
            // More prefixes than the code holds: a trie.
            (0, [ValueType::Ip4 | ValueType::Ip]) => {
                (0..16_500).map(|n: u32| format!("{}/31", std::net::Ipv4Addr::from(n << 14))).collect()
            }
            _ => (0..count).map(|at| self.set_element(dice, operands, at < 2, single)).collect(),
        };
        let types_text = if names.len() == 1 { names[0].clone() } else { format!("({})", names.join(", ")) };
        let mut text = format!("set {name} : {types_text} = {{ {} }}", elements.join(", "));
        if live {
            text += *dice.pick(&[" timeout 10m", " timeout 1d max 20k", " max 5k"]);
        }
        self.sets.push(NamedSet { types, text });
    }

    fn set_element(&self, dice: &mut Dice, operands: &[Operand], first: bool, single: bool) -> String {
        // An element is of one family.
        let whole = operands.len() > 1;
        let address = |o: &&Operand| o.family && matches!(o.ty, ValueType::Ip4 | ValueType::Ip6);
        let family = operands.iter().find(address).map(|o| o.ty);
        let part = |o: &Operand| {
            // The elements of sets are of the set's type, without the freedom of slices.
            let mut operand = Operand { slice: false, ..o.clone() };
            if let Some(ty) = family.filter(|ty| address(&o) && *ty != o.ty) {
                (operand.ty, operand.value) = (ty, None);
            }
            self.element(dice, &operand, first || whole, single)
        };
        let parts: Vec<_> = operands.iter().map(part).collect();
        if whole { format!("({})", parts.join(", ")) } else { parts[0].clone() }
    }

    fn tuple_in_elements(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let operands: Vec<_> =
            (0..dice.between(2, 3)).map(|_| self.vocabulary.operand(dice, focus)).collect();
        let names: Vec<_> = operands.iter().map(|o| o.path.as_str()).collect();
        let count = dice.between(1, 4);
        let elements: Vec<_> =
            (0..count).map(|at| self.set_element(dice, &operands, at == 0, false)).collect();
        format!("({}) in {{ {} }}", names.join(", "), elements.join(", "))
    }

    /// Packets flow in so slowly that the kernel's clock does not matter. For bytes the slowest rate is four a
    /// millisecond, so that in the kernel a bucket is too small for any frame, or large enough for all.
    fn limit(&mut self, dice: &mut Dice, focus: &Focus) -> String {
        let bytes = match self.clock {
            Clock::Ours => dice.between(60, 4_000),
            Clock::Kernel => *dice.pick(&[1, 13, 1_000_000]),
        };
        let mut text = match dice.one_in(3) {
            true => format!(" to {}kB/s burst {bytes}B", dice.between(4, 9)),
            false => format!(" to {}/h burst {}", dice.between(1, 3), dice.between(1, 6)),
        };
        let count = dice.below(4);
        let mut keys = Vec::new();
        while keys.len() < count {
            let operand = self.vocabulary.operand(dice, focus);
            if !operand.either {
                keys.push(self.limit_key(dice, &operand));
            }
        }
        match keys.as_slice() {
            [] => {}
            [one] => text += &format!(" per {one}"),
            many => text += &format!(" per ({})", many.join(", ")),
        }
        // With room enough no bucket is stolen, which only the bytecode could do.
        text += *dice.pick(&[" max 1k", " max 4k", ""]);
        text
    }

    fn limit_key(&mut self, dice: &mut Dice, operand: &Operand) -> String {
        let width = match operand.ty {
            ValueType::Ip4 => 32,
            ValueType::Ip6 if operand.family => 32,
            ValueType::Ip6 => 128,
            _ => return operand.path.clone(),
        };
        match dice.below(4) {
            0 => operand.path.clone(),
            1 if operand.family => format!("{}/{}/{}", operand.path, dice.below(33), dice.below(129)),
            _ => format!("{}/{}", operand.path, dice.below(width + 1)),
        }
    }
}

/// The type of a set that holds a value's kind.
fn set_type(operand: &Operand) -> ValueType {
    match operand.ty {
        ValueType::Ip4 | ValueType::Ip6 if operand.family => ValueType::Ip,
        other => other,
    }
}

/// A name of the type: its own, or that of the field.
fn type_name(dice: &mut Dice, operand: &Operand, ty: ValueType) -> String {
    if !operand.slice && !operand.computed && operand.path != "frame.len" && dice.percent(40) {
        return operand.path.clone();
    }
    match ty {
        ValueType::Int(16) if dice.percent(50) => "port".into(),
        ty => ty.to_string(),
    }
}
