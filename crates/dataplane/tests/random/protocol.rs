//! Random protocol definitions: odd layouts, optional fields, computed places, stacks, options, spaces of their own.

use crate::dice::Dice;
use std::fmt::Write;

/// Definitions that may follow each other.
pub(crate) fn protocols(dice: &mut Dice) -> Vec<String> {
    let count = *dice.pick(&[0, 0, 0, 1, 1, 2, 3]);
    let own_space = count > 1 && dice.percent(50);
    let mut texts: Vec<_> = (0..count).map(|number| protocol(dice, number, count, own_space)).collect();
    if count > 1 && !own_space && dice.one_in(4) {
        texts.push("family both = x0, x1".into());
    }
    texts
}

fn protocol(dice: &mut Dice, number: usize, count: usize, own_space: bool) -> String {
    let transport = if dice.one_in(5) { " transport" } else { "" };
    let stack = if dice.one_in(4) { format!(" stack {}", dice.between(2, 4)) } else { String::new() };
    let mut text = format!("protocol x{number}{transport}{stack} {{\n");
    let place = |dice: &mut Dice| match dice.below(5) {
        0 => format!("ethertype {}", 0x88b5 + number),
        1 => format!("ipproto {}", 200 + number),
        2 => format!("udp.port {}", 7_100 + number),
        _ => format!("udp.dstport {}", 7_000 + number),
    };
    let inner = if dice.one_in(5) { " inner" } else { "" };
    let _ = writeln!(text, "    over {}{inner}", place(dice));
    if own_space && number > 0 {
        let _ = writeln!(text, "    over x.kind {}", number + 1);
    }
    let numbers = fields(dice, &mut text);
    let name = |dice: &mut Dice| numbers[dice.below(numbers.len())].clone();
    if dice.one_in(3) {
        let (a, b) = (name(dice), name(dice));
        let _ = writeln!(text, "    sum = {a} * {} + {b}", dice.between(1, 9));
    }
    if dice.one_in(3) {
        let (a, b) = (name(dice), name(dice));
        let _ = writeln!(text, "    any either = {a}, {b}");
    }
    let mut optional = false;
    for n in 0..dice.below(4) {
        if dice.percent(60) {
            optional = true;
            let bytes = dice.between(1, 4);
            let _ = writeln!(text, "    opt{n} : u{} when {}", bytes * 8, own_condition(dice, &numbers));
        }
    }
    if dice.one_in(5) {
        let _ = writeln!(
            text,
            "    far : u{} at len * {} + {}",
            dice.pick(&[8, 16, 32]),
            dice.between(1, 4),
            dice.below(4)
        );
    }
    if dice.one_in(3) {
        let _ = writeln!(text, "    require {}", own_condition(dice, &numbers));
    }
    let options = dice.one_in(4);
    if options || !optional && dice.one_in(3) {
        let _ = writeln!(text, "    length len * {} + {}", dice.pick(&[1, 2, 4, 8]), dice.below(24));
    }
    if options {
        text += &option_list(dice);
    }
    if dice.one_in(5) {
        let _ = writeln!(text, "    carries when {}", own_condition(dice, &numbers));
    }
    if own_space && number == 0 {
        let _ = writeln!(text, "    next kind in x.kind");
    }
    for _ in 0..dice.below(3) {
        let target = match dice.below(6) {
            0 => "ip4".to_owned(),
            1 => "ip6".to_owned(),
            2 => "eth".to_owned(),
            3 => "udp".to_owned(),
            _ => format!("x{}", dice.below(count)),
        };
        let inner = if dice.one_in(2) { " inner" } else { "" };
        let when =
            if dice.one_in(3) { format!(" when {}", own_condition(dice, &numbers)) } else { String::new() };
        let next = match dice.below(6) {
            0 => format!("always = {target}"),
            1 => format!("peek u{} {{ {} = {target} }}", dice.pick(&[4, 8, 16, 3]), dice.below(7)),
            2 => "kind in ethertype".into(),
            3 => "kind in ipproto".into(),
            _ => format!("kind {{ {} = {target}, {} = tcp }}", dice.below(4), dice.between(4, 7)),
        };
        let _ = writeln!(text, "    next {next}{inner}{when}");
    }
    text + "}"
}

/// Fixed fields of odd widths, `kind` and `len` among them; gives back the names of numbers.
fn fields(dice: &mut Dice, text: &mut String) -> Vec<String> {
    let mut names = Vec::new();
    let mut bits = 0;
    let count = dice.between(0, 5);
    let (kind_at, len_at) = (dice.below(count + 1), dice.below(count + 1));
    for n in 0..=count {
        if n == kind_at {
            let width = *dice.pick(&[3, 8, 16, 16, 5]);
            let _ = writeln!(text, "    kind : u{width}");
            names.push("kind".to_owned());
            bits += width;
        }
        if n == len_at {
            let width = *dice.pick(&[4, 4, 6, 8, 3]);
            let _ = writeln!(text, "    len : u{width}");
            names.push("len".to_owned());
            bits += width;
        }
        if n < count {
            bits += field(dice, text, n, bits, &mut names);
        }
    }
    if bits % 8 != 0 {
        let _ = writeln!(text, "    _ : u{}", 8 - bits % 8);
    }
    names
}

fn field(dice: &mut Dice, text: &mut String, n: usize, bits: usize, names: &mut Vec<String>) -> usize {
    let wide = *dice.pick(&["bool", "mac", "ip4", "ip6", "bytes3", "bytes9"]);
    match dice.below(9) {
        0 if bits.is_multiple_of(8) => {
            let _ = writeln!(text, "    f{n} : {wide}");
            [1, 48, 32, 128, 24, 72][["bool", "mac", "ip4", "ip6", "bytes3", "bytes9"]
                .iter()
                .position(|w| *w == wide)
                .unwrap_or(0)]
        }
        1 => {
            let (a, b) = (dice.between(1, 9), dice.between(1, 12));
            let _ = writeln!(text, "    f{n} : u{} {{ a : u{a} b : u{b} }}", a + b);
            names.push(format!("f{n}.b"));
            a + b
        }
        2 => {
            let _ = writeln!(text, "    f{n} : bool");
            names.push(format!("f{n}"));
            1
        }
        3 => {
            let width = dice.between(33, 64);
            let _ = writeln!(text, "    f{n} : u{width}");
            width
        }
        _ => {
            let width = dice.between(1, 32);
            let _ = writeln!(text, "    f{n} : u{width}");
            names.push(format!("f{n}"));
            width
        }
    }
}

/// A condition over a header's own fields.
fn own_condition(dice: &mut Dice, names: &[String]) -> String {
    let name = dice.pick(names).clone();
    match dice.below(6) {
        0 => format!("{name} != {}", dice.below(2)),
        1 => format!("{name} & 1 == {}", dice.below(2)),
        2 => format!("{name} < {}", dice.between(1, 2)),
        3 => format!("not {name} == 0"),
        4 => format!("{name} == {} or {} >= 1", dice.below(2), dice.pick(names)),
        _ => format!("{name} <= 1"),
    }
}

fn option_list(dice: &mut Dice) -> String {
    let mut text = format!("    options from {}", dice.between(1, 24));
    if dice.one_in(2) {
        text += " length value";
    }
    text += " {\n";
    if dice.percent(60) {
        text += "        0 end\n";
    }
    if dice.percent(60) {
        text += "        1 nop\n";
    }
    text += "        2 one { a : u8 b : u16 }\n        3 two { c : u4 d : u12 e : u32 }\n        9 three\n    }\n";
    text
}
