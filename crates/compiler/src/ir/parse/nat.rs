//! Flows that are translated.

use super::balance::{family, pool_ref};
use super::{Expected, Scan, key, lookup, statement, target, value};
use crate::ir::{BackendPart, Edit, Forward, NatCall, NatDecl, NatPart, NatRef, Op, Terminator};
use crate::nat::Bank;

/// `"web" pool0 bank4 167772161 addresses 1 port 1024 ports 31744 bank6 0 1 addresses …`, behind the number.
pub(super) fn decl(scan: &mut Scan<'_>) -> Expected<NatDecl> {
    let name = scan.string()?;
    let pool = pool_ref(scan)?;
    let mut banks = [None; 2];
    if scan.eat_word("bank4") {
        let address: u32 = scan.number()?;
        banks[0] = Some(bank(scan, address.into())?);
    }
    if scan.eat_word("bank6") {
        let [high, low]: [u64; 2] = [scan.number()?, scan.number()?];
        banks[1] = Some(bank(scan, u128::from(high) << 64 | u128::from(low))?);
    }
    Ok(NatDecl { name, pool, banks })
}

fn bank(scan: &mut Scan<'_>, address: u128) -> Expected<Bank> {
    scan.expect("addresses")?;
    let addresses = scan.number()?;
    scan.expect("port")?;
    let port = scan.number()?;
    scan.expect("ports")?;
    Ok(Bank { address, addresses, port, ports: scan.number()? })
}

/// `pool0 v1 flags`, behind `backend`.
pub(super) fn backend(scan: &mut Scan<'_>) -> Expected<Op> {
    let pool = pool_ref(scan)?;
    let backend = value(scan)?;
    let part = lookup::<BackendPart>(scan, &BackendPart::NAMES).ok_or("expected a part of a backend")?;
    Ok(Op::Backend { pool, backend, part })
}

/// `nat0 ip4 find [v1, v2, v3]`, behind `nat`.
pub(super) fn call(scan: &mut Scan<'_>) -> Expected<Op> {
    let nat = scan.entity("nat").map(NatRef).ok_or("expected a table of flows")?;
    let six = family(scan)?;
    let call = match lookup::<NatPart>(scan, &NatPart::NAMES) {
        Some(part) => NatCall::Part(part),
        None => match scan.word() {
            "find" => NatCall::Find { whole: true },
            "find_addresses" => NatCall::Find { whole: false },
            "bind" => NatCall::Bind,
            "answered" => NatCall::Answered { whole: true },
            "answered_addresses" => NatCall::Answered { whole: false },
            word => return Err(format!("nothing done with a table of flows is called `{word}`")),
        },
    };
    Ok(Op::Nat { nat, six, call, args: key(scan)? })
}

/// `ip4 v1 length v2 service v3 backend pool0 v4 from [v5] to [v6] edits [v1 + 12 bytes 4 = v5] long b1 unreachable b2 by s0`,
/// behind `forward`.
pub(super) fn forward(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let six = family(scan)?;
    let packet = value(scan)?;
    scan.expect("length")?;
    let length = value(scan)?;
    scan.expect("service")?;
    let service = value(scan)?;
    let backend = match scan.eat_word("backend") {
        true => Some((pool_ref(scan)?, value(scan)?)),
        false => None,
    };
    scan.expect("from")?;
    let source = key(scan)?;
    scan.expect("to")?;
    let dest = key(scan)?;
    scan.expect("edits")?;
    scan.expect("[")?;
    let edits = scan.list("]", edit)?;
    scan.expect("long")?;
    let long = target(scan)?;
    scan.expect("unreachable")?;
    let unreachable = target(scan)?;
    scan.expect("by")?;
    let by = statement(scan)?;
    let forward =
        Forward { by, six, packet, length, service, backend, source, dest, edits, long, unreachable };
    Ok(Terminator::Forward(Box::new(forward)))
}

fn edit(scan: &mut Scan<'_>) -> Expected<Edit> {
    let base = value(scan)?;
    scan.expect("+")?;
    let offset = scan.number()?;
    scan.expect("bytes")?;
    let bytes = scan.number()?;
    scan.expect("=")?;
    Ok(Edit { base, offset, bytes, value: value(scan)? })
}
