//! One line of text as an instruction.

use super::insn::{ALU_SIGNS, ATOMIC_SIGNS, COND_SIGNS};
use crate::insn::{AluOp, AtomicOp, Insn, MapId, Operand, Order, Reg, Size, Width};

/// What a jump, call or function address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Slots from the next instruction, with a sign.
    Distance(i32),
    /// A label or a function.
    Name(String),
}

type Scanned = (Insn, Option<Place>);

/// The instruction, with 0 for a distance that `Place` names. The error says what was expected.
pub(super) fn scan(text: &str) -> Result<Scanned, String> {
    // Remarks stand behind `#` after a space; `call name#1` has none.
    let text = text.split(" #").next().unwrap_or(text).trim();
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim();
    match first {
        "exit" if rest.is_empty() => Ok((Insn::Exit, None)),
        "goto" => Ok((Insn::Ja { off: 0 }, Some(place(rest)?))),
        "gotol" => Ok((Insn::JaLong { off: 0 }, Some(place(rest)?))),
        "call" => call(rest),
        "if" => branch(rest),
        "lock" => Ok((lock(rest)?, None)),
        _ if first.starts_with('*') => Ok((store(text)?, None)),
        _ => assignment(first, rest),
    }
}

fn place(text: &str) -> Result<Place, String> {
    if text.starts_with(['+', '-']) {
        return Ok(Place::Distance(int(text)?));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !text.is_empty() && text.chars().all(good) {
        true => Ok(Place::Name(text.to_string())),
        false => Err(format!("a label or a distance instead of `{text}`")),
    }
}

fn call(text: &str) -> Result<Scanned, String> {
    if let Some(id) = text.strip_prefix("kfunc ") {
        let insn = Insn::CallKfunc { btf_id: int(id)? };
        return Ok((insn, None));
    }
    // As the kernel's log has it: `bpf_map_lookup_elem#1`.
    let id = text.split_once('#').map_or(text, |(_, id)| id);
    if let Ok(id) = id.parse()
        && !text.starts_with('+')
    {
        return Ok((Insn::Call(id), None));
    }
    Ok((Insn::CallLocal { off: 0 }, Some(place(text)?)))
}

fn branch(text: &str) -> Result<Scanned, String> {
    let form = || "`if`, a comparison, `goto` and a place".to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [dst, sign, src, "goto", to] = words[..] else {
        return Err(form());
    };
    let (width, dst) = named(dst)?;
    let cond = COND_SIGNS.iter().find(|row| row.1 == sign);
    let insn = Insn::Jump {
        cond: cond.ok_or_else(|| format!("a relation instead of `{sign}`"))?.0,
        width,
        dst,
        src: operand(width, src)?,
        off: 0,
    };
    Ok((insn, Some(place(to)?)))
}

fn lock(text: &str) -> Result<Insn, String> {
    let (signed, size, base, off, rest) = memory(text)?;
    let (sign, src) = rest.split_once(' ').ok_or("an operation and a register")?;
    let row = ATOMIC_SIGNS.iter().find(|row| row.1 == sign && !signed);
    Ok(Insn::Atomic {
        op: row.ok_or_else(|| format!("an atomic operation instead of `{sign}`"))?.0,
        fetch: false,
        size: atomic_size(size)?,
        base,
        off,
        src: named(src)?.1,
    })
}

fn atomic_size(size: Size) -> Result<Size, String> {
    match size {
        Size::W | Size::DW => Ok(size),
        _ => Err("32 or 64 bits".into()),
    }
}

fn store(text: &str) -> Result<Insn, String> {
    let (signed, size, base, off, rest) = memory(text)?;
    let src = rest.strip_prefix("= ").filter(|_| !signed);
    let src = src.ok_or("`=` and what to store")?.trim();
    // Newer tools name 32-bit sources `w1`.
    let src = match named(src) {
        Ok((_, reg)) => Operand::Reg(reg),
        Err(_) => Operand::Imm(int(src)?),
    };
    Ok(Insn::Store { size, base, off, src })
}

/// `dst = …` and `dst op= …`.
fn assignment(dst: &str, rest: &str) -> Result<Scanned, String> {
    let (width, dst) = named(dst)?;
    let (sign, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let value = value.trim();
    if sign == "=" {
        return special(width, dst, value);
    }
    let row = ALU_SIGNS.iter().find(|row| row.1 == sign);
    let insn = Insn::Alu {
        width,
        op: row.ok_or_else(|| format!("an operation instead of `{sign}`"))?.0,
        dst,
        src: operand(width, value)?,
    };
    Ok((insn, None))
}

/// What may stand behind `dst =`.
fn special(width: Width, dst: Reg, value: &str) -> Result<Scanned, String> {
    if let Some(wide) = value.strip_suffix(" ll") {
        return wide_load(dst, wide.trim());
    }
    let insn = if value.starts_with('*') {
        load(dst, value)?
    } else if let Some(negated) = value.strip_prefix('-')
        && let Ok((_, reg)) = named(negated)
    {
        match reg == dst {
            true => Insn::Neg { width, dst },
            false => return Err(format!("`-{dst}`")),
        }
    } else if let Some(rest) = value.strip_prefix("(s") {
        sign_extending(width, dst, rest)?
    } else if let Some((name, rest)) = value.split_once('(') {
        atomic(dst, name, rest)?
    } else if let Some((order, reg)) = value.split_once(' ') {
        swap(dst, order, reg)?
    } else {
        Insn::Alu { width, op: AluOp::Mov, dst, src: operand(width, value)? }
    };
    Ok((insn, None))
}

fn wide_load(dst: Reg, value: &str) -> Result<Scanned, String> {
    if let Some(to) = value.strip_prefix("func ") {
        return Ok((Insn::LdFunc { dst, off: 0 }, Some(place(to)?)));
    }
    let Some(map) = value.strip_prefix("map[") else {
        let value = wide_number(value).ok_or("a number of 64 bits")?;
        return Ok((Insn::LdImm64 { dst, value }, None));
    };
    let (id, rest) = map.split_once(']').ok_or("`map[0]`")?;
    let map = MapId(id.parse().map_err(|_| "the number of a map")?);
    let insn = match rest.trim().strip_prefix('+') {
        None => Insn::LdMap { dst, map },
        Some(off) => {
            let off = off.trim().parse().map_err(|_| "an offset in the value")?;
            Insn::LdMapValue { dst, map, off }
        }
    };
    Ok((insn, None))
}

fn wide_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok().or_else(|| text.parse::<i64>().ok().map(|n| n as u64)),
    }
}

fn load(dst: Reg, value: &str) -> Result<Insn, String> {
    let (signed, size, base, off, rest) = memory(value)?;
    match (signed, size, rest) {
        (true, Size::DW, _) => Err("at most 32 bits to extend".into()),
        (true, _, "") => Ok(Insn::LoadSx { size, dst, base, off }),
        (false, _, "") => Ok(Insn::Load { size, dst, base, off }),
        _ => Err(format!("nothing more instead of `{rest}`")),
    }
}

fn sign_extending(width: Width, dst: Reg, rest: &str) -> Result<Insn, String> {
    let (from, src) = rest.split_once(')').ok_or("`(s8)` and a register")?;
    let src = match operand(width, src.trim())? {
        Operand::Reg(src) => src,
        Operand::Imm(_) => return Err("a register".into()),
    };
    let insn = Insn::MovSx { width, from: bits(from)?, dst, src };
    match insn.malformed() {
        Some(why) if dst != Reg::R10 => Err(format!("another size: {why}")),
        _ => Ok(insn),
    }
}

fn swap(dst: Reg, order: &str, reg: &str) -> Result<Insn, String> {
    if named(reg.trim())?.1 != dst {
        return Err(format!("`{dst}` again"));
    }
    let size = |digits: &str| match bits(digits)? {
        Size::B => Err("16, 32 or 64 bits".to_string()),
        size => Ok(size),
    };
    if let Some(digits) = order.strip_prefix("bswap") {
        let size = size(digits)?;
        return Ok(Insn::Bswap { dst, size });
    }
    let orders = [("be", Order::Be), ("le", Order::Le)];
    for (name, to) in orders {
        if let Some(digits) = order.strip_prefix(name) {
            let size = size(digits)?;
            return Ok(Insn::Endian { dst, to, size });
        }
    }
    Err(format!("`be16`, `le16`, `bswap16` instead of `{order}`"))
}

/// `atomic_fetch_add((u64 *)(r1 + 0), r2)`, `xchg_64(r1 + 0, r2)`, `cmpxchg_64(r1 + 0, r0, r2)`.
fn atomic(dst: Reg, name: &str, rest: &str) -> Result<Insn, String> {
    let args = rest.strip_suffix(')').ok_or("`)` at the end")?;
    let (args, src) = args.rsplit_once(", ").ok_or("a register at the end")?;
    let src = named(src)?.1;
    let fetching = ATOMIC_SIGNS.iter().find(|row| row.2 == name);
    let (op, size, base_and_off) = if let Some(row) = fetching {
        let place = format!("*{args}");
        let (_, size, base, off, rest) = memory(&place)?;
        (row.0, size, (base, off, rest.to_string()))
    } else {
        let (name, digits) = name.rsplit_once('_').ok_or("an atomic operation")?;
        let op = match name.strip_suffix("32").unwrap_or(name) {
            "xchg" => AtomicOp::Xchg,
            "cmpxchg" => AtomicOp::CmpXchg,
            _ => return Err(format!("an atomic operation instead of `{name}`")),
        };
        let place = match op {
            AtomicOp::CmpXchg => args.rsplit_once(", ").ok_or("the compared register")?.0,
            _ => args,
        };
        let (base, off) = address(place)?;
        (op, bits(digits)?, (base, off, String::new()))
    };
    let (base, off, left) = base_and_off;
    let result = if op == AtomicOp::CmpXchg { Reg::R0 } else { src };
    if !left.is_empty() || dst != result {
        return Err(format!("`{result} =` and one operation"));
    }
    Ok(Insn::Atomic { op, fetch: true, size: atomic_size(size)?, base, off, src })
}

/// `*(u32 *)(r1 + 4)` and what follows it; whether it is signed.
fn memory(text: &str) -> Result<(bool, Size, Reg, i16, &str), String> {
    let form = || "`*(u32 *)(r1 + 4)`".to_string();
    let inner = text.strip_prefix("*(").ok_or_else(form)?;
    let (kind, rest) = inner.split_once(" *)(").ok_or_else(form)?;
    let (place, rest) = rest.split_once(')').ok_or_else(form)?;
    let (signed, digits) = match (kind.strip_prefix('u'), kind.strip_prefix('s')) {
        (Some(digits), _) => (false, digits),
        (_, Some(digits)) => (true, digits),
        _ => return Err(form()),
    };
    let (base, off) = address(place)?;
    Ok((signed, bits(digits)?, base, off, rest.trim()))
}

/// `r1 + 4`.
fn address(text: &str) -> Result<(Reg, i16), String> {
    let form = || format!("a register and an offset instead of `{text}`");
    let words: Vec<&str> = text.split_whitespace().collect();
    let [base, sign @ ("+" | "-"), off] = words[..] else {
        return Err(form());
    };
    let (Width::W64, base) = named(base)? else {
        return Err(form());
    };
    let off = int(&format!("{sign}{off}"))?;
    Ok((base, i16::try_from(off).map_err(|_| form())?))
}

fn bits(digits: &str) -> Result<Size, String> {
    match digits {
        "8" => Ok(Size::B),
        "16" => Ok(Size::H),
        "32" => Ok(Size::W),
        "64" => Ok(Size::DW),
        _ => Err(format!("8, 16, 32 or 64 bits instead of `{digits}`")),
    }
}

fn operand(width: Width, text: &str) -> Result<Operand, String> {
    match named(text) {
        Ok((found, reg)) if found == width => Ok(Operand::Reg(reg)),
        Ok(_) => Err(format!("registers of one width, `{text}` has another")),
        Err(_) => match int(text) {
            Ok(imm) => Ok(Operand::Imm(imm)),
            Err(_) => Err(format!("a register or a number instead of `{text}`")),
        },
    }
}

/// `r1` or `w1`.
fn named(text: &str) -> Result<(Width, Reg), String> {
    let expected = || format!("a register instead of `{text}`");
    let width = match text.as_bytes().first() {
        Some(b'r') => Width::W64,
        Some(b'w') => Width::W32,
        _ => return Err(expected()),
    };
    let digits = &text[1..];
    let number = digits.parse().ok().filter(|_| !digits.starts_with('+'));
    let reg = number.and_then(Reg::new).ok_or_else(expected)?;
    Ok((width, reg))
}

/// A number of 32 bits, decimal or hexadecimal, with or without a sign.
fn int(text: &str) -> Result<i32, String> {
    let (negative, digits) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(digits), _) => (true, digits),
        (_, Some(digits)) => (false, digits),
        _ => (false, text),
    };
    let value = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    let value = value.ok().filter(|_| !digits.starts_with(['-', '+']));
    let value = value.map(|value| if negative { -value } else { value });
    let value = value.and_then(|value| i32::try_from(value).ok());
    value.ok_or_else(|| format!("a number of 32 bits instead of `{text}`"))
}
