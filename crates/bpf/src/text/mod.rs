//! The text form, as `llvm-objdump` and the kernel's log write it: `r1 = *(u32 *)(r2 + 4)`.
//!
//! Single instructions count slots (`goto +3`); whole programs have labels and parse back.

mod insn;
mod parse;
mod print;
mod scan;

pub use parse::{ParseError, parse_insn, parse_program};
pub use print::{disassemble, program_text};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_shows_lines_slots_and_names() {
        let text = ".program edge xdp\n; edge.weir:3:1\tdrop all\nr1 = map[0] ll\ncall 1\n\
                    if r0 == 0x0 goto L0\ncall sub\nL0:\nr0 = 1\nexit\n.function sub 0\nr0 = 0\nexit\n";
        let program = parse_program(text).unwrap();
        let expected = "\
edge: section xdp
; edge.weir:3  drop all
     0: r1 = map[0] ll  # hits
     2: call 1  # map_lookup_elem
     3: if r0 == 0x0 goto L0
     4: call sub
L0:
     5: r0 = 1
     6: exit

sub:
     7: r0 = 0
     8: exit
";
        assert_eq!(disassemble(&program, &["hits"]), expected);
    }

    #[test]
    fn remarks_of_a_listing_are_read_over() {
        let insn = parse_insn("call 1  # map_lookup_elem").unwrap();
        assert_eq!(insn, parse_insn("call bpf_map_lookup_elem#1").unwrap());
        assert_eq!(insn.to_string(), "call 1");
    }
}
