//! Random packets: walks through the graph of protocols, written in the notation, then spoilt.

use crate::dice::Dice;
use crate::literal::literal;
use crate::vocabulary::{Focus, edge, near};
use std::fmt::Write;
use weir_compiler::policy::{LEVELS, Place, ProtocolId, Protocols};
use weir_compiler::{NoFiles, analyse};

/// Frames that have what the definitions say: whole headers, right selectors and lengths.
pub(crate) fn frames(dice: &mut Dice, protocols: &Protocols, declarations: &str, count: usize) -> Vec<Focus> {
    let mut text = format!("{declarations}\ntest \"frames\" {{\n");
    let stories: Vec<_> = (0..dice.between(1, 4)).map(|_| story(dice, protocols)).collect();
    for _ in 0..count {
        let story = dice.pick(&stories);
        let _ = writeln!(text, "    {} => pass", notation(dice, protocols, story));
        // The same without fields: what is named may be refused, as two fields may share bits.
        let names: Vec<_> = story.iter().map(|id| protocols[*id].name.as_str()).collect();
        let _ = writeln!(text, "    {} => pass", names.join(" / "));
    }
    text += "}\n";
    let analysis = analyse("frames.weir", &text, &NoFiles);
    analysis.cases.into_iter().map(|case| Focus::new(protocols, case.frame)).collect()
}

/// A way through the graph, at least as deep as its first few steps allow.
fn story(dice: &mut Dice, protocols: &Protocols) -> Vec<ProtocolId> {
    let Some(root) = protocols.root else { return Vec::new() };
    let own = |id: ProtocolId| protocols[id].name.starts_with('x') && protocols[id].reference.is_empty();
    let (mut story, mut level) = (vec![root], 0);
    let length = dice.between(2, 9);
    while story.len() < length {
        let last = *story.last().unwrap_or(&root);
        let mut follows: Vec<(ProtocolId, bool)> =
            protocols[last].next.iter().flat_map(|next| &next.table).map(|row| (row.1, row.2)).collect();
        follows.sort_unstable();
        follows.dedup();
        if follows.is_empty() {
            break;
        }
        // The ways that most packets go, and those to the policy's own protocols.
        let favourites: Vec<_> = follows
            .iter()
            .copied()
            .filter(|(id, _)| {
                own(*id) || ["ip4", "ip6", "udp", "tcp"].contains(&protocols[*id].name.as_str())
            })
            .collect();
        let (next, inner) = match favourites.is_empty() || dice.percent(40) {
            true => *dice.pick(&follows),
            false => *dice.pick(&favourites),
        };
        level += u8::from(inner);
        if level >= LEVELS && dice.percent(80) {
            break;
        }
        story.push(next);
    }
    story
}

fn notation(dice: &mut Dice, protocols: &Protocols, story: &[ProtocolId]) -> String {
    let mut layers: Vec<String> = story.iter().map(|id| layer(dice, protocols, *id)).collect();
    if dice.percent(60) {
        let bytes: String = (0..dice.below(40)).map(|_| format!("\\x{:02x}", dice.below(256))).collect();
        layers.push(format!("payload(\"{bytes}\")"));
    }
    layers.join(" / ")
}

fn layer(dice: &mut Dice, protocols: &Protocols, id: ProtocolId) -> String {
    let definition = &protocols[id];
    let mut given: Vec<String> = Vec::new();
    let mut names = Vec::new();
    for _ in 0..dice.below(4) {
        if definition.fields.is_empty() {
            break;
        }
        let field = dice.pick(&definition.fields);
        if names.contains(&&field.name) {
            continue;
        }
        names.push(&field.name);
        let value = match matches!(field.place, Place::OptionThere(_)) {
            true => 1,
            false => edge(dice, field.ty.bits()),
        };
        given.push(format!("{}={}", field.name, literal(dice, field.ty, false, value)));
    }
    if dice.one_in(30) {
        given.push(format!("frame.len={}", dice.between(14, 1600)));
    }
    if given.is_empty() {
        definition.name.clone()
    } else {
        format!("{}({})", definition.name, given.join(", "))
    }
}

/// What is tried on a policy: its frames as they are, spoilt, and again.
pub(crate) fn packets(
    dice: &mut Dice,
    protocols: &Protocols,
    frames: &[Focus],
    count: usize,
) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    while packets.len() < count {
        if !packets.is_empty() && dice.one_in(8) {
            packets.push(dice.pick(&packets).clone());
            continue;
        }
        let mut frame = dice.pick(frames).frame.clone();
        for _ in 0..*dice.pick(&[0, 0, 0, 1, 1, 1, 2, 3, 5]) {
            frame = spoil(dice, protocols, frames, frame);
        }
        frame.truncate(9_000);
        if frame.is_empty() {
            frame.push(0);
        }
        packets.push(frame);
    }
    packets
}

/// One thing wrong, or unusual.
fn spoil(dice: &mut Dice, protocols: &Protocols, frames: &[Focus], mut frame: Vec<u8>) -> Vec<u8> {
    let focus = Focus::new(protocols, frame.clone());
    match dice.below(12) {
        0 => frame.truncate(dice.below(frame.len() + 1)),
        1 => {
            // At the end of a header, or a byte beside it.
            let end = focus.headers.get(dice.below(focus.headers.len())).map_or(14, |h| h.offset + h.length);
            frame.truncate((end + 1).saturating_sub(dice.below(3)));
        }
        2..=5 => poke(dice, protocols, &focus, &mut frame),
        6 => {
            let at = dice.below(frame.len());
            if let Some(byte) = frame.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        7 => repeat_header(dice, &focus, &mut frame),
        8 => {
            let at = dice.below(frame.len() + 1);
            let bytes: Vec<u8> = (0..dice.below(20)).map(|_| dice.word() as u8).collect();
            frame.splice(at..at, bytes);
        }
        9 => frame.extend((0..dice.below(64)).map(|_| dice.below(3) as u8)),
        10 => {
            let other = dice.pick(frames);
            frame = graft(dice, &focus, other);
        }
        _ => options(dice, protocols, &focus, &mut frame),
    }
    frame
}

/// Another value in a field: lengths that lie, selectors, flags.
fn poke(dice: &mut Dice, protocols: &Protocols, focus: &Focus, frame: &mut [u8]) {
    if focus.headers.is_empty() {
        return;
    }
    let header = dice.pick(&focus.headers);
    let fields = &protocols[header.name.protocol].fields;
    if fields.is_empty() {
        return;
    }
    let field = dice.pick(fields);
    let Place::Bit(first) = field.place else { return };
    let width = u32::from(field.ty.bits());
    let start = header.offset * 8 + first as usize;
    let old = weir_compiler::eval::bits(frame, start, width);
    let value = near(dice, old.map(|old| old.wrapping_add(1)), field.ty.bits());
    for bit in 0..width as usize {
        let (at, mask) = ((start + bit) / 8, 0x80u8 >> ((start + bit) % 8));
        let Some(byte) = frame.get_mut(at) else { return };
        match value >> (width as usize - 1 - bit) & 1 {
            0 => *byte &= !mask,
            _ => *byte |= mask,
        }
    }
}

/// A header twice: stacked tags and labels, extension headers, tunnels in tunnels.
fn repeat_header(dice: &mut Dice, focus: &Focus, frame: &mut Vec<u8>) {
    if focus.headers.len() < 2 {
        return;
    }
    let first = dice.between(1, focus.headers.len() - 1);
    let last = dice.between(first, focus.headers.len() - 1);
    let (start, end) = (focus.headers[first].offset, focus.headers[last].offset + focus.headers[last].length);
    for _ in 0..dice.between(1, 4) {
        let copy = frame[start..end].to_vec();
        frame.splice(start..start, copy);
    }
}

/// The beginning of one frame up to a header, and another frame from a header of the same protocol on.
fn graft(dice: &mut Dice, focus: &Focus, other: &Focus) -> Vec<u8> {
    let mut places = Vec::new();
    for a in &focus.headers {
        for b in &other.headers {
            if a.name.protocol == b.name.protocol && a.offset + b.offset > 0 {
                places.push((a.offset, b.offset));
            }
        }
    }
    if places.is_empty() {
        return focus.frame.clone();
    }
    let (a, b) = *dice.pick(&places);
    [&focus.frame[..a], &other.frame[b..]].concat()
}

/// Options of all lengths, cut off, of no length, ended early, many.
fn options(dice: &mut Dice, protocols: &Protocols, focus: &Focus, frame: &mut Vec<u8>) {
    let with: Vec<_> =
        focus.headers.iter().filter(|h| protocols[h.name.protocol].options.is_some()).collect();
    if with.is_empty() {
        return;
    }
    let header = dice.pick(&with);
    let definition = &protocols[header.name.protocol];
    let Some(options) = &definition.options else { return };
    let mut bytes = Vec::new();
    for _ in 0..dice.below(12) {
        let kind = match dice.below(8) {
            0 => options.end.unwrap_or(0),
            1..=3 => options.nop.unwrap_or(1),
            4 => dice.word() as u8,
            _ => options.kinds.get(dice.below(options.kinds.len())).map_or(2, |kind| kind.0),
        };
        bytes.push(kind);
        if Some(kind) != options.nop && Some(kind) != options.end {
            let length = dice.below(12);
            let claimed = if options.length_of_value { length } else { length + 2 };
            bytes.push(if dice.one_in(6) { dice.word() as u8 } else { claimed as u8 });
            bytes.extend((0..length).map(|_| dice.word() as u8));
        }
    }
    bytes.resize(bytes.len().div_ceil(8) * 8, 0);
    bytes.truncate(*dice.pick(&[4, 8, 16, 24, 32, 40, 40]));
    let from = header.offset + usize::from(options.from);
    if from > frame.len() {
        return;
    }
    let end = (header.offset + header.length).max(from).min(frame.len());
    let length = usize::from(options.from) + bytes.len();
    frame.splice(from..end, bytes);
    if frame.len() < header.offset + usize::from(definition.fixed) {
        return;
    }
    // Some field says how long the header is now: the one that makes it so is found by trying.
    let fixed = usize::from(definition.fixed);
    if header.offset + fixed > frame.len() {
        return;
    }
    let place = weir_compiler::eval::Header { name: header.name, offset: header.offset, length: fixed };
    let wanted = |frame: &[u8]| {
        weir_compiler::eval::Scope::inside(protocols, frame, &place).term(&definition.length)
            == Some(length as u128)
    };
    for field in &definition.fields {
        let Place::Bit(first) = field.place else { continue };
        let width = usize::from(field.ty.bits());
        if width > 8 || wanted(frame) {
            continue;
        }
        let start = header.offset * 8 + first as usize;
        let mut tried = frame.clone();
        for value in 0..1u32 << width {
            for bit in 0..width {
                let (at, mask) = ((start + bit) / 8, 0x80u8 >> ((start + bit) % 8));
                let Some(byte) = tried.get_mut(at) else { return };
                if value >> (width - 1 - bit) & 1 == 0 { *byte &= !mask } else { *byte |= mask }
            }
            if wanted(&tried) {
                *frame = tried;
                return;
            }
        }
    }
}
