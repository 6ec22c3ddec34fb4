//! The verifier's well-known messages in plain words.

/// One row of the table: the first row whose `needle` the message contains counts.
pub(super) struct Meaning {
    pub(super) needle: &'static str,
    pub(super) meaning: &'static str,
    pub(super) fix: &'static str,
}

/// The row for a message. `R3 …` counts for any register.
pub(super) fn find(message: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|row| message.contains(row.needle))
}

const fn row(needle: &'static str, meaning: &'static str, fix: &'static str) -> Meaning {
    Meaning { needle, meaning, fix }
}

const COMPILER: &str = "this is a fault of the compiler: report it with the policy and the log";
const SMALLER: &str = "split the policy, or turn long lists into sets, which are one look-up each";

const MEANINGS: &[Meaning] = &[
    row(
        "invalid access to packet",
        "bytes of the packet are read that were not proven to be there",
        COMPILER,
    ),
    row(
        "BPF program is too large",
        "the program is too complex: the verifier gave up after a million instructions",
        SMALLER,
    ),
    row("too many instructions", "the program is too long", SMALLER),
    row("jumps is too complex", "too many branches are open at once (more than 8,192)", SMALLER),
    row(
        "combined stack size",
        "the functions that call each other need more than 512 bytes of stack together",
        "track fewer keys at once, or shorter ones",
    ),
    row("the call stack of", "functions call each other more than 8 deep", COMPILER),
    row(
        "invalid stack",
        "the program touches stack that it does not have (512 bytes) or that it never wrote",
        COMPILER,
    ),
    row("invalid write to stack", "the program writes outside of its 512 bytes of stack", COMPILER),
    row("invalid read from stack", "the program reads stack that it never wrote", COMPILER),
    row("!read_ok", "a register is read that was never set on this way", COMPILER),
    row("unreachable insn", "some instructions can never run, which this kernel does not allow", COMPILER),
    row("infinite loop detected", "a loop comes round without getting any further", COMPILER),
    row(
        "loop detected",
        "the program jumps backwards: kernels before 5.3 allow no loops",
        "use a newer kernel",
    ),
    row(
        "back-edge",
        "the program jumps backwards: kernels before 5.3, and callers without privileges, have no loops",
        "load it as root, on 5.3 or later",
    ),
    row("jump out of range", "a jump leaves the program", COMPILER),
    row("last insn is not an exit", "the program runs past its end", COMPILER),
    row("map_value_or_null", "a look-up's result is used without asking whether it found anything", COMPILER),
    row("mem_or_null", "memory is used without asking whether there was any", COMPILER),
    row("invalid access to map value", "bytes outside of a map's value are touched", COMPILER),
    row("invalid access to map key", "bytes outside of a map's key are touched", COMPILER),
    row(
        "invalid bpf_context access",
        "a field of the context is read that this kind of program does not have",
        "check that the program's kind fits the hook",
    ),
    row(
        "invalid mem access 'scalar'",
        "a plain number is used as an address, often a pointer from before the packet was moved",
        COMPILER,
    ),
    row(
        "invalid mem access 'inv'",
        "a plain number is used as an address, often a pointer from before the packet was moved",
        COMPILER,
    ),
    row("misaligned", "this machine refuses reads that are not on their alignment", COMPILER),
    row("Unreleased reference", "a socket or a reserved record is never given back", COMPILER),
    row(
        "unknown func",
        "this kernel lacks a helper function",
        "see `weir doctor` for what this kernel offers",
    ),
    row(
        "helper call is not allowed",
        "this kind of program may not call this helper",
        "see `weir doctor` for what this kernel offers",
    ),
    row(
        "program of this type cannot use helper",
        "this kind of program may not call this helper",
        "see `weir doctor` for what this kernel offers",
    ),
    row(
        "cannot call GPL-restricted function",
        "a helper is only for programs under the GPL",
        "give the object's `license` as `GPL`",
    ),
    row("cannot pass map_type", "a helper is used on a kind of map that it does not serve", COMPILER),
    row("R0 is not a known value", "the program's answer is not one of those allowed", COMPILER),
    row("At program exit the register R0", "the program's answer is not one of those allowed", COMPILER),
    row("math between", "a pointer is moved by an amount without known bounds", COMPILER),
    row("pointer arithmetic", "a pointer is changed in a way that is not allowed", COMPILER),
    row(
        "value is outside of the allowed memory range",
        "an index without a proven limit goes into memory",
        COMPILER,
    ),
    row("unbounded memory access", "a length without a proven limit goes into memory", COMPILER),
    row("min value is negative", "an index could be negative", COMPILER),
    row("leaks addr", "a pointer would be stored where others can read it", "load it as root"),
    row(
        "tail_call",
        "tail calls and the program's other calls do not fit together on this kernel",
        "use 5.10 or later, or fewer functions",
    ),
    row("BPF_EXIT", "the program ends inside of a locked or reserved section", COMPILER),
    row(
        "unknown opcode",
        "this kernel does not know an instruction",
        "see `weir doctor`; compile for this machine's target",
    ),
    row(
        "BPF_LDX uses reserved fields",
        "this kernel does not know an instruction",
        "see `weir doctor`; compile for this machine's target",
    ),
    row(
        "uses reserved fields",
        "this kernel does not know an instruction",
        "see `weir doctor`; compile for this machine's target",
    ),
];
