use super::*;

const PACKET: &str = "\
func#0 @0
0: R1=ctx() R10=fp0
; drop bogons when ip.src in bogons @ edge.weir:14
0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2_w=pkt_end()
1: (61) r1 = *(u32 *)(r1 +0)          ; R1_w=pkt(r=0)
; pass when udp.port == 53 @ edge.weir:15
2: (71) r0 = *(u8 *)(r1 +0)
invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
verification time 51 usec
stack depth 0+16 max 24
processed 3 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 3 mark_read 4
";

#[test]
fn the_last_line_comment_is_the_place() {
    let found = explain(PACKET);
    assert_eq!(
        found.message,
        "invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0); R1 offset is outside of the packet"
    );
    assert_eq!(found.index, Some(2));
    assert_eq!(found.instruction.as_deref(), Some("r0 = *(u8 *)(r1 +0)"));
    let source = found.source.clone().unwrap();
    assert_eq!(source.text, "pass when udp.port == 53");
    assert_eq!((source.file.as_deref(), source.line), (Some("edge.weir"), Some(15)));
    assert_eq!(found.meaning, Some("bytes of the packet are read that were not proven to be there"));
    assert!(found.to_string().ends_with(", at edge.weir:15: `pass when udp.port == 53`"), "{found}");
}

#[test]
fn totals() {
    let found = statistics(PACKET).unwrap();
    assert_eq!((found.processed_insns, found.insn_limit), (3, 1_000_000));
    assert_eq!((found.max_states_per_insn, found.total_states), (1, 2));
    assert_eq!((found.peak_states, found.mark_read), (3, 4));
    assert_eq!((found.microseconds, found.stack_depths), (Some(51), vec![0, 16]));
    assert_eq!(statistics("nothing"), None);
}

#[test]
fn lines_of_older_kernels_have_no_place() {
    let found = explain("; if (x > 1) @ y\n3: (b7) r0 = 1\nR0 !read_ok\n");
    let source = found.source.unwrap();
    assert_eq!((source.text.as_str(), source.file, source.line), ("if (x > 1) @ y", None, None));
}

#[test]
fn messages_about_the_shape_name_the_instruction() {
    let found = explain("unreachable insn 7\nprocessed 0 insns (limit 1000000) max_states_per_insn 0\n");
    assert_eq!((found.message.as_str(), found.index), ("unreachable insn 7", Some(7)));
    assert!(found.meaning.is_some());
}

#[test]
fn states_are_no_messages() {
    let log = "\
5: (15) if r0 == 0x0 goto pc+3\n\
from 5 to 9: R0=0 R10=fp0\n\
9: R0=0 R10=fp0\n\
9: (05) goto pc-2\n\
infinite loop detected at insn 9\n\
cur state: R0=0 R10=fp0\n\
old state: R0=0 R10=fp0\n";
    let found = explain(log);
    assert_eq!(found.message, "infinite loop detected at insn 9");
    assert_eq!(found.instruction.as_deref(), Some("goto pc-2"));
}

#[test]
fn well_known_messages_have_words() {
    for message in [
        "BPF program is too large. Processed 1000001 insn",
        "combined stack size of 2 calls is 544. Too large",
        "R3 !read_ok",
        "R0 invalid mem access 'map_value_or_null'",
        "unreachable insn 3",
        "The sequence of 8193 jumps is too complex.",
    ] {
        assert!(explain(message).meaning.is_some(), "{message}");
    }
}

#[test]
fn an_empty_log_is_said_to_be_empty() {
    assert_eq!(explain("").message, "the log gives no reason");
    assert_eq!(explain(" \n\n").index, None);
}
