use super::*;
use crate::map::{MapKind, MapType};
use crate::text::parse_program;

/// The program of `text`, with two maps: 0 an array, 1 what `second` is.
fn vm(text: &str, second: Option<MapDef>) -> Vm {
    let first = MapDef::new("array", MapKind::Array, MapType::U32, MapType::U64, 4);
    let maps: Vec<MapDef> = [first].into_iter().chain(second).collect();
    let mut vm = Vm::new(&maps);
    vm.load(&program(text));
    vm
}

fn program(text: &str) -> Program {
    let text = format!(".program p xdp\n{text}");
    parse_program(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn packet() -> Vec<u8> {
    (0..64).collect()
}

fn run(text: &str) -> Result<u32, FaultKind> {
    let mut vm = vm(text, None);
    vm.run_xdp(ProgramId(0), &mut packet()).map_err(|f| f.kind)
}

#[test]
fn packet_bytes_within_bounds() {
    let text = "
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r0 = *(u16 *)(r2 + 12)
        r0 = be16 r0
        r3 -= r2
        r0 += r3
        exit";
    assert_eq!(run(text), Ok(0x0c0d + 64));
}

#[test]
fn past_the_end_is_a_fault_that_names_the_instruction() {
    let text = "
        ; a.weir:7:1\tdrop all
        r2 = *(u32 *)(r1 + 0)
        r0 = *(u32 *)(r2 + 62)
        exit";
    let fault = vm(text, None).run_xdp(ProgramId(0), &mut packet()).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "program `p`, instruction 1, `r0 = *(u32 *)(r2 + 62)` (a.weir:7): \
         4 bytes at offset 62 do not lie in the 64 bytes of the packet"
    );
}

#[test]
fn what_nothing_wrote_is_not_read() {
    use crate::insn::Reg;
    assert_eq!(run("r0 = r3\n exit"), Err(FaultKind::UninitRegister(Reg::R3)));
    assert_eq!(run("exit"), Err(FaultKind::UninitRegister(Reg::R0)));
    let text = "*(u32 *)(r10 - 8) = 1\n r0 = *(u64 *)(r10 - 8)\n exit";
    assert_eq!(run(text), Err(FaultKind::UninitStack(-4)));
    let after_call = "r1 = 1\n call 5\n r0 = r1\n exit";
    assert_eq!(run(after_call), Err(FaultKind::UninitRegister(Reg::R1)));
}

#[test]
fn pointers_do_not_leak() {
    assert_eq!(run("r0 = r1\n exit"), Err(FaultKind::NotANumber));
    let text = "r2 = *(u32 *)(r1 + 0)\n *(u64 *)(r2 + 0) = r1\n r0 = 0\n exit";
    assert_eq!(run(text), Err(FaultKind::PointerLeak));
    let spill = "*(u64 *)(r10 - 8) = r1\n r2 = *(u64 *)(r10 - 8)\n r3 = *(u32 *)(r2 + 0)\n r0 = *(u8 *)(r3 + 5)\n exit";
    assert_eq!(run(spill), Ok(5));
    let partial = "*(u64 *)(r10 - 8) = r1\n r0 = *(u32 *)(r10 - 8)\n exit";
    assert_eq!(run(partial), Err(FaultKind::PointerLeak));
    assert_eq!(run("r1 *= 2\n r0 = 0\n exit"), Err(FaultKind::PointerArithmetic));
}

#[test]
fn endless_loops_end() {
    let mut vm = vm("L0:\n goto L0", None);
    vm.budget = 1000;
    let fault = vm.run_xdp(ProgramId(0), &mut packet()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Budget);
}

#[test]
fn maps_are_looked_up_and_counted_in() {
    let text = "
        *(u32 *)(r10 - 4) = 2
        r2 = r10
        r2 += -4
        r1 = map[0] ll
        call 1
        if r0 == 0x0 goto L0
        r1 = 5
        lock *(u64 *)(r0 + 0) += r1
        r1 = atomic_fetch_add((u64 *)(r0 + 0), r1)
        r0 = r1
        exit
        L0:
        r0 = 0
        exit";
    let mut vm = vm(text, None);
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(5));
    let value = vm.maps.lookup(MapId(0), &2u32.to_le_bytes());
    assert_eq!(value, Some(&10u64.to_le_bytes()[..]));
}

#[test]
fn a_subprogram_has_its_own_frame() {
    let text = "
        r6 = 7
        *(u64 *)(r10 - 8) = 1
        r1 = r10
        r1 += -8
        call sub
        r0 += r6
        r1 = *(u64 *)(r10 - 8)
        r0 += r1
        exit
        .function sub 1
        r6 = 100
        *(u64 *)(r1 + 0) = 40
        r0 = 2
        exit";
    assert_eq!(run(text), Ok(49));
    let endless = "call sub\n exit\n .function sub 0\n call sub\n exit";
    assert_eq!(run(endless), Err(FaultKind::CallDepth));
}

#[test]
fn loops_turn_until_told_to_stop() {
    let text = "
        *(u64 *)(r10 - 8) = 0
        r1 = 100
        r2 = func body ll
        r3 = r10
        r3 += -8
        r4 = 0
        call 181
        r1 = *(u64 *)(r10 - 8)
        r0 *= 1000
        r0 += r1
        exit
        .function body 2
        r3 = *(u64 *)(r2 + 0)
        r3 += r1
        *(u64 *)(r2 + 0) = r3
        r0 = 0
        if r1 != 0x9 goto L0
        r0 = 1
        L0:
        exit";
    assert_eq!(run(text), Ok(10 * 1000 + 45));
}

#[test]
fn tail_calls_go_on_elsewhere_or_fall_through() {
    let text = "
        r2 = map[1] ll
        r3 = 3
        call 12
        r0 = 9
        exit";
    let mut vm = vm(text, Some(MapDef::programs("table", 8)));
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(9));
    let next = vm.load(&program("r0 = *(u32 *)(r1 + 12)\n exit"));
    vm.xdp.ingress_ifindex = 4;
    let entry = vm.maps.update(MapId(1), &3u32.to_le_bytes(), &next.0.to_le_bytes());
    assert_eq!(entry, Ok(()));
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(4));
    // A program that calls itself is stopped by the kernel's limit.
    let own = vm.maps.update(MapId(1), &3u32.to_le_bytes(), &0u32.to_le_bytes());
    assert_eq!(own, Ok(()));
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(9));
}

#[test]
fn ring_buffers_and_events_are_collected() {
    let text = "
        r1 = map[1] ll
        r2 = 8
        r3 = 0
        call 131
        if r0 == 0x0 goto L0
        *(u64 *)(r0 + 0) = 7
        r1 = r0
        r2 = 0
        call 132
        L0:
        r0 = 2
        exit";
    let mut vm = vm(text, Some(MapDef::ring("ring", 4096)));
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(2));
    let sent = vm.take_outputs();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].bytes, 7u64.to_le_bytes());
    for _ in 0..1000 {
        assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(2));
    }
    assert_eq!(vm.take_outputs().len(), 255);
    let kept = text.replace("call 132", "call 5");
    let mut vm = super::tests::vm(&kept, Some(MapDef::ring("ring", 4096)));
    let fault = vm.run_xdp(ProgramId(0), &mut packet()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnreleasedRecord);
}

#[test]
fn perf_events_carry_packet_bytes() {
    let text = "
        *(u32 *)(r10 - 4) = 9
        r2 = map[1] ll
        r3 = 0x4ffffffff ll
        r4 = r10
        r4 += -4
        r5 = 4
        call 25
        exit";
    let kind = MapKind::PerfEventArray;
    let events = MapDef::new("events", kind, MapType::U32, MapType::U32, 0);
    let mut vm = vm(text, Some(events));
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(0));
    let bytes = vm.take_outputs().remove(0).bytes;
    assert_eq!(bytes, [9, 0, 0, 0, 0, 1, 2, 3]);
}

#[test]
fn the_packet_moves_and_old_pointers_die() {
    let text = "
        r6 = r1
        r2 = -14
        call 44
        r1 = *(u32 *)(r6 + 0)
        *(u8 *)(r1 + 0) = 170
        r0 = 3
        exit";
    let mut vm = vm(text, None);
    let mut bytes = packet();
    assert_eq!(vm.run_xdp(ProgramId(0), &mut bytes), Ok(3));
    assert_eq!((bytes.len(), bytes[0], bytes[15]), (78, 170, 1));
    let stale = "
        r7 = *(u32 *)(r1 + 0)
        r2 = 4
        call 65
        r0 = *(u8 *)(r7 + 0)
        exit";
    assert_eq!(run(stale), Err(FaultKind::StalePointer));
}

#[test]
fn tc_reads_and_writes_its_context() {
    let text = "
        *(u32 *)(r1 + 8) = 77
        r0 = *(u32 *)(r1 + 16)
        r2 = *(u32 *)(r1 + 24)
        r0 += r2
        exit";
    let mut vm = vm(text, None);
    vm.skb.protocol = Some(0x0800);
    vm.skb.vlan_tci = 100;
    assert_eq!(vm.run_tc(ProgramId(0), &mut packet()), Ok(0x0008 + 100));
    assert_eq!(vm.skb.mark, 77);
    let fault = vm.run_xdp(ProgramId(0), &mut packet()).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Context { off: 8, size: 4 });
}

#[test]
fn bytes_beyond_the_linear_part_are_pulled_or_copied() {
    let direct = "
        r6 = r1
        r2 = 40
        call 39
        r1 = *(u32 *)(r6 + 76)
        r0 = *(u8 *)(r1 + 39)
        exit";
    let mut vm = vm(direct, None);
    vm.linear = Some(20);
    assert_eq!(vm.run_tc(ProgramId(0), &mut packet()), Ok(39));
    let without = direct.replace("call 39", "call 5").replace("r1 = *(u32 *)(r6 + 0)", "");
    let mut vm = super::tests::vm(&without, None);
    vm.linear = Some(20);
    assert!(vm.run_tc(ProgramId(0), &mut packet()).is_err());
    let copied = "
        r2 = 30
        r3 = r10
        r3 += -8
        r4 = 2
        call 189
        r0 = *(u16 *)(r10 - 8)
        exit";
    let mut vm = super::tests::vm(copied, None);
    vm.linear = Some(20);
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(0x1f1e));
}

#[test]
fn time_and_chance_are_given() {
    let text = "call 5\n r6 = r0\n call 7\n r0 += r6\n exit";
    let mut vm = vm(text, None);
    vm.clock_ns = 1000;
    vm.random = Box::new(|| 4);
    assert_eq!(vm.run_xdp(ProgramId(0), &mut packet()), Ok(1004));
}

#[test]
fn checksums_follow_what_changed() {
    // A packet of zeros but a checksum over its first 4 bytes at 8; 0 becomes 0x01020304.
    let text = "
        r6 = r1
        r2 = 8
        r3 = 0
        r4 = 0x04030201
        r5 = 4
        call 10
        r0 = 0
        exit";
    let mut vm = vm(text, None);
    let mut bytes = vec![0; 64];
    bytes[8..10].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(vm.run_tc(ProgramId(0), &mut bytes), Ok(0));
    // !(0x0102 + 0x0304) in the network's order.
    assert_eq!(bytes[8..10], [0xfb, 0xf9]);
}

#[test]
fn unknown_helpers_are_named() {
    assert_eq!(run("call 9999\n exit"), Err(FaultKind::UnknownHelper(9999)));
    let fault = vm("call 69\n exit", None).run_xdp(ProgramId(0), &mut packet()).unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Argument { .. } | FaultKind::UnknownHelper(69)));
}

/// Somebody listens at port 80, and a connection is at port 81; the cookie is 7.
struct Host;

impl Sockets for Host {
    fn find(&mut self, tuple: &[u8]) -> Option<u32> {
        match tuple.last_chunk() {
            Some([0, 80]) => Some(10),
            Some([0, 81]) => Some(1),
            _ => None,
        }
    }

    fn cookie(&mut self, ip: &[u8], segment: &[u8]) -> Option<(u32, u16)> {
        (ip[0] == 0x45).then_some((7, segment.len() as u16))
    }

    fn brings_cookie(&mut self, _: &[u8], segment: &[u8]) -> bool {
        segment[8..12] == [0, 0, 0, 8]
    }
}

/// Looks up the socket for the segment at 20 of a packet whose IP header is its first bytes, and asks a helper for it.
fn asks(helper: u32, release: &str, packet: &mut Vec<u8>) -> Result<u32, FaultKind> {
    let text = format!(
        "
        r6 = r1
        r7 = *(u32 *)(r1 + 0)
        r2 = r7
        r2 += 12
        r3 = 12
        r4 = -1
        r5 = 0
        call 99
        if r0 == 0 goto none
        r8 = r0
        r1 = r8
        r2 = r7
        r3 = 20
        r4 = r7
        r4 += 20
        r5 = 24
        call {helper}
        r9 = r0
        {release}
        r0 = r9
        exit
        none:
        r0 = 99
        exit"
    );
    let mut vm = vm(&text, None);
    vm.sockets = Some(Box::new(Host));
    vm.run_xdp(ProgramId(0), packet).map_err(|fault| fault.kind)
}

#[test]
fn sockets_are_asked_for_cookies_and_released() {
    let packet = |port: u8, flags: u8, words: u8| {
        let mut bytes = vec![0; 60];
        bytes[0] = 0x45;
        bytes[23] = port;
        bytes[31] = 8;
        (bytes[32], bytes[33]) = (words << 4, flags);
        bytes
    };
    let release = "r1 = r8\n call 86";
    let (make, check) = (110, 100);
    assert_eq!(asks(make, release, &mut packet(80, 2, 6)), Ok(7), "the lower half");
    let no = |errno: i32| Ok(-errno as u32);
    assert_eq!(asks(make, release, &mut packet(80, 2, 5)), no(22), "another length");
    assert_eq!(asks(make, release, &mut packet(80, 0x12, 6)), no(22), "no SYN");
    assert_eq!(asks(make, release, &mut packet(81, 2, 6)), no(22), "a connection");
    assert_eq!(asks(make, release, &mut packet(82, 2, 6)), Ok(99), "nobody");
    assert_eq!(asks(check, release, &mut packet(80, 0x10, 6)), Ok(0));
    assert_eq!(asks(check, release, &mut packet(80, 0x12, 6)), no(2));
    assert_eq!(asks(check, release, &mut packet(81, 0x10, 6)), no(22));
    assert_eq!(asks(make, "r2 = 0", &mut packet(80, 2, 6)), Err(FaultKind::UnreleasedSocket));
    let twice = "r1 = r8\n call 86\n r1 = r8\n call 86";
    let wanted = FaultKind::Argument { nth: 1, wanted: Wanted::Socket };
    assert_eq!(asks(make, twice, &mut packet(80, 2, 6)), Err(wanted));
    let store = "r2 = 1\n *(u32 *)(r8 + 72) = r2\n r1 = r8\n call 86";
    assert_eq!(asks(make, store, &mut packet(80, 2, 6)), Err(FaultKind::ReadOnly));
}
