//! Any text as a listing, any bytes as code: neither panics, and what is read prints and encodes to
//! what reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_bpf::insn::decode_all;
use weir_bpf::text::{disassemble, parse_insn, parse_program, program_text};

fuzz_target!(|data: &[u8]| {
    code(data);
    let text = String::from_utf8_lossy(data);
    if let Ok(insn) = text.lines().next().map_or_else(|| parse_insn(""), parse_insn) {
        assert_eq!(parse_insn(&insn.to_string()), Ok(insn));
    }
    if let Ok(program) = parse_program(&text) {
        let printed = program_text(&program);
        assert_eq!(parse_program(&printed).as_ref(), Ok(&program), "{printed}");
        disassemble(&program, &["first", "second"]);
    }
});

fn code(data: &[u8]) {
    // Code that ends within an instruction is refused at once, so the rest is left out.
    let Ok(insns) = decode_all(&data[..data.len() & !7]) else { return };
    let again: Vec<u8> =
        insns.iter().flat_map(|insn| insn.encode()).flat_map(|slot| slot.to_bytes()).collect();
    assert_eq!(decode_all(&again).as_ref(), Ok(&insns));
    for insn in insns {
        assert_eq!(parse_insn(&insn.to_string()), Ok(insn));
    }
}
