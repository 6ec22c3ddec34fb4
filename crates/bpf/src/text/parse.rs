//! Text → instructions and programs.

use std::collections::HashMap;
use std::fmt;

use super::scan::{Place, scan};
use crate::insn::Insn;
use crate::program::{Function, LineId, LineInfo, LineMark, Program};

/// A line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { line, text, expected } = self;
        write!(f, "line {line}: `{}`: expected {expected}", text.trim())
    }
}

impl std::error::Error for ParseError {}

/// One instruction whose jump, if it is one, counts slots: `goto +3`.
pub fn parse_insn(text: &str) -> Result<Insn, ParseError> {
    let fail = |expected: String| ParseError { line: 1, text: text.to_string(), expected };
    let (insn, place) = scan(text).map_err(fail)?;
    match place {
        None => Ok(insn),
        Some(Place::Distance(off)) => with_distance(insn, off).map_err(fail),
        Some(Place::Name(_)) => Err(fail("a distance such as `+3`".into())),
    }
}

/// A program as [`super::program_text`] writes it.
pub fn parse_program(text: &str) -> Result<Program, ParseError> {
    let mut reader = Reader::default();
    for (nth, line) in text.lines().enumerate() {
        let fail = |expected: String| ParseError { line: nth + 1, text: line.to_string(), expected };
        reader.line(nth, line).map_err(fail)?;
    }
    let lines: Vec<&str> = text.lines().collect();
    reader.finish().map_err(|(nth, expected)| ParseError {
        line: nth + 1,
        text: lines.get(nth).unwrap_or(&"").to_string(),
        expected,
    })
}

#[derive(Default)]
struct Reader {
    program: Program,
    slot: u32,
    /// The slot of each label and function.
    names: HashMap<String, u32>,
    /// Instructions that name a place: index, slot, name, line of the text.
    open: Vec<(usize, u32, String, usize)>,
    lines: HashMap<LineInfo, LineId>,
    /// The line of the text that tells of the next instruction: of its function or its source.
    ahead: Option<usize>,
}

impl Reader {
    fn line(&mut self, nth: usize, line: &str) -> Result<(), String> {
        let text = line.trim_start();
        if text.trim_end().is_empty() {
            return Ok(());
        }
        if let Some(source) = text.strip_prefix("; ") {
            self.ahead = Some(nth);
            return self.source(source);
        }
        let text = text.trim_end();
        if let Some(rest) = text.strip_prefix(".program ") {
            return self.header(rest);
        }
        if let Some(rest) = text.strip_prefix(".function ") {
            self.ahead = Some(nth);
            return self.function(rest);
        }
        if let Some(name) = text.strip_suffix(':') {
            return self.name(name);
        }
        let (mut insn, place) = scan(text)?;
        match place {
            None => {}
            Some(Place::Distance(off)) => insn = with_distance(insn, off)?,
            Some(Place::Name(name)) => {
                let index = self.program.insns.len();
                self.open.push((index, self.slot, name, nth));
            }
        }
        self.slot += insn.slots() as u32;
        self.program.insns.push(insn);
        self.ahead = None;
        Ok(())
    }

    fn header(&mut self, rest: &str) -> Result<(), String> {
        let (name, section) = rest.split_once(' ').ok_or("`.program`, a name and a section")?;
        if !self.program.functions.is_empty() {
            return Err("one `.program`, before the functions".into());
        }
        self.program.name = name.to_string();
        self.program.section = section.to_string();
        self.program.functions.push(Function { name: name.to_string(), start: 0, args: 1, global: false });
        Ok(())
    }

    fn function(&mut self, rest: &str) -> Result<(), String> {
        let form = "`.function`, a name and a count of arguments";
        let (name, args) = rest.split_once(' ').filter(|(name, _)| is_identifier(name)).ok_or(form)?;
        let (args, global) = match args.split_once(' ') {
            Some((args, "global")) => (args, true),
            _ => (args, false),
        };
        let args = args.parse().map_err(|_| form)?;
        if self.program.functions.is_empty() {
            return Err("`.program` before the functions".into());
        }
        self.program.functions.push(Function {
            name: name.to_string(),
            start: self.program.insns.len(),
            args,
            global,
        });
        match super::print::is_label(name) {
            true => Ok(()),
            false => self.name(name),
        }
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        match self.names.insert(name.to_string(), self.slot) {
            None => Ok(()),
            Some(_) => Err(format!("a name other than `{name}`, which has a place already")),
        }
    }

    /// `file:line:column`, a tab, the text.
    fn source(&mut self, source: &str) -> Result<(), String> {
        let line = source_line(source).ok_or("`; file:line:column`, a tab and the line's text")?;
        let next = LineId(self.program.lines.len() as u32);
        let id = *self.lines.entry(line.clone()).or_insert(next);
        if id == next {
            self.program.lines.push(line);
        }
        let insn = self.program.insns.len();
        self.program.marks.push(LineMark { insn, line: id });
        Ok(())
    }

    fn finish(mut self) -> Result<Program, (usize, String)> {
        if self.program.functions.is_empty() {
            return Err((0, "`.program`, a name and a section".into()));
        }
        if let Some(nth) = self.ahead {
            return Err((nth, "an instruction behind it".into()));
        }
        for (index, slot, name, nth) in self.open {
            let Some(to) = self.names.get(&name) else {
                return Err((nth, format!("a label or function, there is no `{name}`")));
            };
            let off = *to as i32 - slot as i32 - 1;
            let insn = with_distance(self.program.insns[index], off);
            self.program.insns[index] = insn.map_err(|expected| (nth, expected))?;
        }
        Ok(self.program)
    }
}

/// What C, ELF and BTF call a name.
fn is_identifier(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(good) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}

fn source_line(source: &str) -> Option<LineInfo> {
    let (place, text) = source.split_once('\t')?;
    let (place, column) = place.rsplit_once(':')?;
    let (file, line) = place.rsplit_once(':')?;
    Some(LineInfo {
        file: file.to_string(),
        line: line.parse().ok()?,
        column: column.parse().ok()?,
        // `lines` takes one carriage return for part of the line's end.
        text: text.trim_end_matches('\r').to_string(),
    })
}

fn with_distance(insn: Insn, distance: i32) -> Result<Insn, String> {
    let short = || i16::try_from(distance).map_err(|_| "a distance of 16 bits".to_string());
    Ok(match insn {
        Insn::Jump { cond, width, dst, src, .. } => Insn::Jump { cond, width, dst, src, off: short()? },
        Insn::Ja { .. } => Insn::Ja { off: short()? },
        Insn::JaLong { .. } => Insn::JaLong { off: distance },
        Insn::CallLocal { .. } => Insn::CallLocal { off: distance },
        Insn::LdFunc { dst, .. } => Insn::LdFunc { dst, off: distance },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::insn::strategy::insn;
    use crate::text::program_text;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn what_prints_parses(insn in insn()) {
            prop_assert_eq!(parse_insn(&insn.to_string()), Ok(insn));
        }

        #[test]
        fn programs_round_trip(
            insns in proptest::collection::vec(insn(), 1..40),
            marks in proptest::collection::btree_map(0usize..40, 0u32..4, 0..5),
            second in 1usize..40,
            global in any::<bool>(),
        ) {
            let mut program = Program {
                name: "edge".into(),
                section: "xdp".into(),
                functions: vec![Function { name: "edge".into(), start: 0, args: 1, global: false }],
                ..Program::default()
            };
            // Near jumps, so that some of them meet the start of an instruction.
            program.insns = insns.iter().map(|insn| match insn.distance() {
                Some(off) => with_distance(*insn, off % 12).unwrap(),
                None => *insn,
            }).collect();
            if second < program.insns.len() {
                program.functions.push(Function { name: "sub".into(), start: second, args: 2, global });
            }
            for (at, line) in marks.into_iter().filter(|(at, _)| *at < program.insns.len()) {
                let info = LineInfo {
                    file: "a b:c.weir".into(), line, column: 7, text: "\tdrop  x ".into(),
                };
                let known = program.lines.iter().position(|l| *l == info);
                let line = LineId(known.unwrap_or(program.lines.len()) as u32);
                if known.is_none() {
                    program.lines.push(info);
                }
                program.marks.push(LineMark { insn: at, line });
            }
            let text = program_text(&program);
            prop_assert_eq!(parse_program(&text).map_err(|e| e.to_string()), Ok(program), "{}", text);
        }

        #[test]
        fn nothing_panics(text in "[rw0-9 =+*()a-z<>&\\[\\]#:.,-]{0,40}") {
            let _ = parse_insn(&text);
            let _ = parse_program(&text);
        }
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(parse_program(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_source_line_needs_an_instruction_to_print_again() {
        refused(
            ".program a xdp\n; a.weir:1:7\tdrop all\n",
            "line 2: `; a.weir:1:7\tdrop all`: expected an instruction behind it",
        );
        refused(
            ".program a xdp\nexit\n.function sub 1\n",
            "line 3: `.function sub 1`: expected an instruction behind it",
        );
    }

    #[test]
    fn names_that_code_could_not_call_are_refused() {
        let form = "a name and a count of arguments";
        for name in ["a-b", "5", "", "+3", "ä"] {
            let line = format!(".function {name} 1");
            refused(
                &format!(".program a xdp\nexit\n{line}\nexit\n"),
                &format!("line 3: `{line}`: expected `.function`, {form}"),
            );
        }
    }

    #[test]
    fn the_entry_stands_first_and_once() {
        refused(
            ".program a xdp\n.program b xdp\nexit\n",
            "line 2: `.program b xdp`: expected one `.program`, before the functions",
        );
        refused(
            ".function a 1\nexit\n.program b xdp\n",
            "line 1: `.function a 1`: expected `.program` before the functions",
        );
    }

    #[test]
    fn a_source_line_keeps_no_carriage_return() {
        let program = parse_program(".program a xdp\n; a.weir:1:7\tdrop\r\r\nexit\n").unwrap();
        assert_eq!(program.lines[0].text, "drop");
    }

    #[test]
    fn refusals_name_the_line() {
        let error = parse_program(".program a xdp\n  goto L7\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: `goto L7`: expected a label or function, there is no `L7`");
        let error = parse_insn("r1 = r11").unwrap_err();
        assert_eq!(error.to_string(), "line 1: `r1 = r11`: expected a register or a number instead of `r11`");
    }
}
