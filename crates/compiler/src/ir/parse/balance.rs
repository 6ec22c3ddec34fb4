//! Pools, and what is sent to them.

use super::{Expected, Scan, lookup, statement, target, value};
use crate::ir::{
    BalanceDecl, BalanceRef, CookieCall, Echo, Op, Origin, PoolDecl, PoolRef, Refuse, Send, SynAck,
    Terminator, Via,
};

/// `"web" slots 65537 max 64 flows 32768 [all silence 60000000000]`, behind the pool's number.
pub(super) fn pool(scan: &mut Scan<'_>) -> Expected<PoolDecl> {
    let name = scan.string()?;
    scan.expect("slots")?;
    let slots = scan.number()?;
    scan.expect("max")?;
    let max = scan.number()?;
    scan.expect("flows")?;
    let flows = scan.number()?;
    let all = scan.eat_word("all");
    let silence = if all {
        scan.expect("silence")?;
        Some(scan.number()?)
    } else {
        None
    };
    Ok(PoolDecl { name, slots, max, flows, silence })
}

/// `pool0 gue port 6080 from4 3221225985/32 from6 0 1/128`, behind the number.
pub(super) fn balance(scan: &mut Scan<'_>) -> Expected<BalanceDecl> {
    let pool = pool_ref(scan)?;
    let via = match scan.word() {
        "l2" => Via::L2,
        "ipip" => Via::IpIp(origin(scan)?),
        "gue" => {
            scan.expect("port")?;
            let port = scan.number()?;
            Via::Gue(origin(scan)?, port)
        }
        "vxlan" => {
            scan.expect("id")?;
            let id = network(scan)?;
            scan.expect("port")?;
            let port = scan.number()?;
            Via::Vxlan { origin: origin(scan)?, port, id }
        }
        "nat" => {
            scan.expect("ports")?;
            let first = scan.number()?;
            scan.expect("..")?;
            let ports = (first, scan.number()?);
            Via::Nat { origin: origin(scan)?, ports }
        }
        word => return Err(format!("no way to a backend is called `{word}`")),
    };
    Ok(BalanceDecl { pool, via })
}

fn origin(scan: &mut Scan<'_>) -> Expected<Origin> {
    let mut origin = Origin::default();
    if scan.eat_word("from4") {
        let address = scan.number()?;
        origin.v4 = Some((address, prefix(scan, 32)?));
    }
    if scan.eat_word("from6") {
        let [high, low]: [u64; 2] = [scan.number()?, scan.number()?];
        origin.v6 = Some((u128::from(high) << 64 | u128::from(low), prefix(scan, 128)?));
    }
    Ok(origin)
}

fn network(scan: &mut Scan<'_>) -> Expected<u32> {
    match scan.number()? {
        id if id < 1 << 24 => Ok(id),
        id => Err(format!("a network's number has 24 bits, {id} has more")),
    }
}

fn prefix(scan: &mut Scan<'_>, most: u8) -> Expected<u8> {
    scan.expect("/")?;
    match scan.number()? {
        bits if bits <= most => Ok(bits),
        bits => Err(format!("a prefix of {bits} bits")),
    }
}

/// `pool0 v5 begins v6 held v7`, behind `pick`.
pub(super) fn pick(scan: &mut Scan<'_>) -> Expected<Op> {
    let pool = pool_ref(scan)?;
    let hash = value(scan)?;
    scan.expect("begins")?;
    let begins = value(scan)?;
    let held = if scan.eat_word("held") { Some(value(scan)?) } else { None };
    Ok(Op::Pick { pool, hash, begins, held })
}

/// `ip4 v1 length v2 service v3 hash v4 to v5 of balance0 long b6 unreachable b7 by s0`, behind `send`.
pub(super) fn send(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let six = family(scan)?;
    let packet = value(scan)?;
    let named = |word: &str, scan: &mut Scan<'_>| {
        scan.expect(word)?;
        value(scan)
    };
    let length = named("length", scan)?;
    let service = named("service", scan)?;
    let hash = named("hash", scan)?;
    let backend = named("to", scan)?;
    scan.expect("of")?;
    let balance = balance_ref(scan)?;
    scan.expect("long")?;
    let long = target(scan)?;
    scan.expect("unreachable")?;
    let unreachable = target(scan)?;
    scan.expect("by")?;
    let by = statement(scan)?;
    let send = Send { by, balance, backend, six, packet, length, service, hash, long, unreachable };
    Ok(Terminator::Send(Box::new(send)))
}

/// `ip4 v1 room v2 by s0`, behind `refuse`.
pub(super) fn refuse(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let six = family(scan)?;
    let packet = value(scan)?;
    scan.expect("room")?;
    let room = value(scan)?;
    scan.expect("by")?;
    Ok(Terminator::Refuse(Refuse { by: statement(scan)?, six, packet, room }))
}

/// `ip4 v1 by s0`, behind `echo`.
pub(super) fn echo(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let six = family(scan)?;
    let packet = value(scan)?;
    scan.expect("by")?;
    Ok(Terminator::Echo(Echo { by: statement(scan)?, six, packet }))
}

/// `ip4 v1 cookie v2 by s0`, behind `synack`.
pub(super) fn syn_ack(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let six = family(scan)?;
    let packet = value(scan)?;
    scan.expect("cookie")?;
    let cookie = value(scan)?;
    scan.expect("by")?;
    Ok(Terminator::SynAck(SynAck { by: statement(scan)?, six, packet, cookie }))
}

/// `make ip4 v1`, behind `cookie`.
pub(super) fn cookie(scan: &mut Scan<'_>) -> Expected<Op> {
    let call = lookup::<CookieCall>(scan, &CookieCall::NAMES).ok_or("expected `make` or `check`")?;
    Ok(Op::Cookie { call, six: family(scan)?, packet: value(scan)? })
}

/// `balance0 v1`, behind `room`.
pub(super) fn room(scan: &mut Scan<'_>) -> Expected<Op> {
    Ok(Op::Room { balance: balance_ref(scan)?, backend: value(scan)? })
}

pub(super) fn family(scan: &mut Scan<'_>) -> Expected<bool> {
    match scan.word() {
        "ip4" => Ok(false),
        "ip6" => Ok(true),
        word => Err(format!("expected `ip4` or `ip6`, not `{word}`")),
    }
}

fn balance_ref(scan: &mut Scan<'_>) -> Expected<BalanceRef> {
    scan.entity("balance").map(BalanceRef).ok_or_else(|| "expected a balance".into())
}

pub(super) fn pool_ref(scan: &mut Scan<'_>) -> Expected<PoolRef> {
    scan.entity("pool").map(PoolRef).ok_or_else(|| "expected a pool".into())
}
