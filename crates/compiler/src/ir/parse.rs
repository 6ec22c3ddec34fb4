//! Reads the text form that `print` writes.
//!
//! One thing a line; `#` begins a comment. Blocks are numbered in the order in which they stand.

mod balance;
mod nat;
mod scan;

use super::print::{BINARY, RELATIONS, SET_KINDS, VERDICTS};
use super::verify::Location;
use super::{
    BinaryOp, Block, BlockData, EcnChange, Frequency, Inst, LimitDecl, LimitRef, Line, LineInfo, Op, Program,
    Relation, Rule, SampleDecl, SampleRef, SetDecl, SetRef, StatementId, TableDecl, TableRef, Target,
    Terminator, Type, Value, Verdict,
};
use crate::source::{SourceId, Span};
use crate::table::Table;
use scan::Scan;
use std::collections::HashMap;
use std::fmt;

/// A text that is not a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: u32,
    /// What was expected there.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// The table of values reaches to the highest number: a text of one line must not fill the memory.
const MOST_VALUES: usize = 1 << 22;

/// What was expected, without the line.
type Expected<T> = Result<T, String>;

/// A program and where its parts stand in the text.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The program, not verified.
    pub program: Program,
    /// The line of each block, instruction and end.
    pub places: HashMap<Location, u32>,
}

/// Reads a program.
///
/// # Errors
/// At the first line that is not of the form.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    parse_with_places(text).map(|parsed| parsed.program)
}

/// Reads a program and keeps where everything stands.
///
/// # Errors
/// At the first line that is not of the form.
pub fn parse_with_places(text: &str) -> Result<Parsed, ParseError> {
    let nowhere = LineInfo { span: None, file: String::new(), line: 0, column: 0, text: String::new() };
    let program = Program { lines: vec![nowhere], ..Program::default() };
    let mut parser = Parser { parsed: Parsed { program, ..Parsed::default() }, number: 0, open: false };
    for (text, number) in text.lines().zip(1..) {
        parser.number = number;
        parser.line(text).map_err(|message| ParseError { line: number, message })?;
    }
    let number = parser.number;
    match parser.open {
        true => Err(ParseError { line: number, message: "the last block has no end".into() }),
        false => Ok(parser.parsed),
    }
}

struct Parser {
    parsed: Parsed,
    number: u32,
    /// Whether the last block still waits for its end.
    open: bool,
}

impl Parser {
    fn program(&mut self) -> &mut Program {
        &mut self.parsed.program
    }

    fn line(&mut self, text: &str) -> Expected<()> {
        let mut scan = Scan::new(text);
        if scan.at_end() {
            return Ok(());
        }
        if self.open {
            self.inst_or_end(&mut scan)?;
        } else {
            self.declaration(&mut scan)?;
        }
        if scan.at_end() { Ok(()) } else { Err(format!("unexpected `{}`", scan.rest())) }
    }

    fn declaration(&mut self, scan: &mut Scan<'_>) -> Expected<()> {
        if scan.eat_word("counters") {
            self.program().counters = scan.number()?;
        } else if scan.eat_word("frequency") {
            let counter = scan.number()?;
            let frequency = frequency(scan)?;
            self.program().frequencies.insert(counter, frequency);
        } else if scan.eat_word("scratch") {
            self.program().scratch = scan.number()?;
        } else if scan.eat("@") {
            expect_next(scan.number()?, self.program().lines.len(), "line")?;
            let info = line_info(scan)?;
            self.program().lines.push(info);
        } else if let Some(index) = scan.entity("set") {
            expect_next(index, self.program().sets.len(), "set")?;
            let decl = set(scan)?;
            self.program().sets.push(decl);
        } else if let Some(index) = scan.entity("limit") {
            expect_next(index, self.program().limits.len(), "limit")?;
            let decl = limit(scan)?;
            self.program().limits.push(decl);
        } else if let Some(index) = scan.entity("pool") {
            expect_next(index, self.program().pools.len(), "pool")?;
            let decl = balance::pool(scan)?;
            self.program().pools.push(decl);
        } else if let Some(index) = scan.entity("nat") {
            expect_next(index, self.program().nats.len(), "table of flows")?;
            let decl = nat::decl(scan)?;
            self.program().nats.push(decl);
        } else if let Some(index) = scan.entity("balance") {
            expect_next(index, self.program().balances.len(), "balance")?;
            let decl = balance::balance(scan)?;
            self.program().balances.push(decl);
        } else if scan.eat_word("tells") {
            scan.expect("[")?;
            self.program().tells = scan.list("]", Scan::number)?;
        } else if let Some(index) = scan.entity("sample") {
            expect_next(index, self.program().samples.len(), "sample")?;
            let decl = sample(scan)?;
            self.program().samples.push(decl);
        } else if let Some(index) = scan.entity("table") {
            expect_next(index, self.program().tables.len(), "table")?;
            let table = Table::new(words(scan)?);
            self.program().tables.push(TableDecl { table, rules: Vec::new() });
        } else if scan.eat_word("row") {
            let decl = self.program().tables.last_mut().ok_or("a row stands behind its table")?;
            row(scan, decl)?;
        } else if let Some(index) = scan.entity("s") {
            expect_next(index, self.program().statements.len(), "statement")?;
            let name = scan.string()?;
            self.program().statements.push(name);
        } else if let Some(index) = scan.entity("b") {
            expect_next(index, self.program().blocks.len(), "block")?;
            self.block(scan)?;
        } else {
            return Err("expected a declaration or a block".into());
        }
        Ok(())
    }

    fn block(&mut self, scan: &mut Scan<'_>) -> Expected<()> {
        let mut params = Vec::new();
        if scan.eat("(") {
            params = scan.list(")", |scan| self.defined(scan))?;
        }
        let loop_bound = if scan.eat_word("loop") { Some(scan.number()?) } else { None };
        let (cold, likely) = (scan.eat_word("cold"), scan.eat_word("likely"));
        scan.expect(":")?;
        let end = Terminator::Return { verdict: Verdict::Pass, by: None };
        let (insts, end_line) = (Vec::new(), Line(0));
        self.program().blocks.push(BlockData { params, insts, end, end_line, cold, likely, loop_bound });
        self.open = true;
        self.note(Location::Block(self.current()));
        Ok(())
    }

    fn current(&self) -> Block {
        Block(self.parsed.program.blocks.len() as u32 - 1)
    }

    fn note(&mut self, at: Location) {
        self.parsed.places.insert(at, self.number);
    }

    /// `v1: u16`, which is where a value gets its type.
    fn defined(&mut self, scan: &mut Scan<'_>) -> Expected<Value> {
        let value = value(scan)?;
        if value.index() >= MOST_VALUES {
            return Err(format!("values are numbered below {MOST_VALUES}"));
        }
        scan.expect(":")?;
        let ty = ty(scan)?;
        let values = &mut self.program().values;
        if values.len() <= value.index() {
            values.resize(value.index() + 1, Type::Int(64));
        }
        values[value.index()] = ty;
        Ok(value)
    }

    fn inst_or_end(&mut self, scan: &mut Scan<'_>) -> Expected<()> {
        let block = self.current();
        if let Some(end) = end(scan)? {
            let line = at_line(scan)?;
            let data = &mut self.program()[block];
            (data.end, data.end_line) = (end, line);
            self.open = false;
            self.note(Location::End(block));
            return Ok(());
        }
        let mut result = None;
        if scan.clone().entity("v").is_some() {
            result = Some(self.defined(scan)?);
            scan.expect("=")?;
        }
        let ty = result.map(|value| self.parsed.program.type_of(value));
        let op = op(scan, ty)?;
        let line = at_line(scan)?;
        self.note(Location::Inst(block, self.parsed.program[block].insts.len()));
        self.program()[block].insts.push(Inst { result, op, line });
        Ok(())
    }
}

fn expect_next(index: u32, len: usize, what: &str) -> Expected<()> {
    if index as usize == len { Ok(()) } else { Err(format!("the next {what} is number {len}, not {index}")) }
}

fn lookup<T: Copy>(scan: &mut Scan<'_>, table: &[(T, &str)]) -> Option<T> {
    table.iter().find(|(_, word)| scan.eat_word(word)).map(|entry| entry.0)
}

fn line_info(scan: &mut Scan<'_>) -> Expected<LineInfo> {
    let file = scan.path()?;
    scan.expect(":")?;
    let line = scan.number()?;
    scan.expect(":")?;
    let column = scan.number()?;
    let span = if scan.eat_word("bytes") { Some(span(scan)?) } else { None };
    Ok(LineInfo { span, file, line, column, text: scan.string()? })
}

fn span(scan: &mut Scan<'_>) -> Expected<Span> {
    let source = SourceId(scan.number()?);
    scan.expect(":")?;
    let start = scan.number()?;
    scan.expect("..")?;
    Ok(Span { source, start, end: scan.number()? })
}

fn words(scan: &mut Scan<'_>) -> Expected<Vec<u8>> {
    scan.expect("[")?;
    scan.list("]", Scan::number)
}

fn set(scan: &mut Scan<'_>) -> Expected<SetDecl> {
    let name = scan.string()?;
    // The longest word first: `hash` begins `hash+lpm`.
    let kind = SET_KINDS.iter().rev().find(|(_, word)| scan.eat(word)).ok_or("expected a kind of set")?.0;
    let words = words(scan)?;
    let expires = scan.eat_word("expires");
    scan.expect("max")?;
    Ok(SetDecl { name, kind, words, expires, max: scan.number()? })
}

/// `row [1..5, 7] drop by s0 count 3`, one that goes on `row [1..5, 7] count 3`, of a set `row [1..5, 7]`
fn row(scan: &mut Scan<'_>, decl: &mut TableDecl) -> Expected<()> {
    scan.expect("[")?;
    let ranges = scan.list("]", range)?;
    if ranges.len() != decl.table.words().len() {
        return Err(format!("{} ranges for a key of {} words", ranges.len(), decl.table.words().len()));
    }
    if scan.eat_word("count") {
        let counter: u32 = scan.number()?;
        decl.table.push_counting(&ranges, counter.checked_add(1).ok_or("the counter is too large")?);
        return Ok(());
    }
    let Some(verdict) = lookup(scan, &VERDICTS) else {
        decl.table.push(&ranges, 1);
        return Ok(());
    };
    scan.expect("by")?;
    let by = statement(scan)?;
    scan.expect("count")?;
    let rule = Rule { verdict, by, counter: scan.number()? };
    let known = decl.rules.iter().rposition(|known| *known == rule);
    let index = known.unwrap_or_else(|| {
        decl.rules.push(rule);
        decl.rules.len() - 1
    });
    decl.table.push(&ranges, index as u32 + 1);
    Ok(())
}

/// `5`, or `1..5`
fn range(scan: &mut Scan<'_>) -> Expected<(u64, u64)> {
    let first = scan.number()?;
    Ok((first, if scan.eat("..") { scan.number()? } else { first }))
}

fn limit(scan: &mut Scan<'_>) -> Expected<LimitDecl> {
    let name = scan.string()?;
    scan.expect("interval")?;
    let interval = scan.number()?;
    scan.expect("tolerance")?;
    let tolerance = scan.number()?;
    let words = words(scan)?;
    scan.expect("max")?;
    Ok(LimitDecl { name, interval, tolerance, words, max: scan.number()? })
}

fn sample(scan: &mut Scan<'_>) -> Expected<SampleDecl> {
    let statement = statement(scan)?;
    scan.expect("one_in")?;
    let one_in = scan.number()?;
    scan.expect("bytes")?;
    let bytes = scan.number()?;
    scan.expect("count")?;
    let counter = scan.number()?;
    scan.expect("lost")?;
    let lost = scan.number()?;
    Ok(SampleDecl { statement, one_in, bytes, counter, lost, shadow: scan.eat_word("shadow") })
}

fn frequency(scan: &mut Scan<'_>) -> Expected<Frequency> {
    scan.expect("all")?;
    let all = scan.number()?;
    let met = if scan.eat_word("met") { Some(scan.number()?) } else { None };
    Ok(Frequency { all, met })
}

fn ty(scan: &mut Scan<'_>) -> Expected<Type> {
    if scan.eat_word("cursor") {
        return Ok(Type::Cursor);
    }
    let bits = scan.entity("u").and_then(|bits| u8::try_from(bits).ok());
    bits.map(Type::Int).ok_or_else(|| "expected a type".into())
}

fn value(scan: &mut Scan<'_>) -> Expected<Value> {
    scan.entity("v").map(Value).ok_or_else(|| "expected a value".into())
}

fn statement(scan: &mut Scan<'_>) -> Expected<StatementId> {
    scan.entity("s").map(StatementId).ok_or_else(|| "expected a statement".into())
}

fn verdict(scan: &mut Scan<'_>) -> Expected<Verdict> {
    lookup(scan, &VERDICTS).ok_or_else(|| "expected a verdict".into())
}

fn at_line(scan: &mut Scan<'_>) -> Expected<Line> {
    if scan.eat("@") { scan.number().map(Line) } else { Ok(Line(0)) }
}

fn pair(scan: &mut Scan<'_>) -> Expected<(Value, Value)> {
    let a = value(scan)?;
    scan.expect(",")?;
    Ok((a, value(scan)?))
}

fn op(scan: &mut Scan<'_>, ty: Option<Type>) -> Expected<Op> {
    if let Some(op) = lookup::<BinaryOp>(scan, &BINARY) {
        return pair(scan).map(|(a, b)| Op::Binary(op, a, b));
    }
    if let Some(relation) = lookup::<Relation>(scan, &RELATIONS) {
        return pair(scan).map(|(a, b)| Op::Compare(relation, a, b));
    }
    let name = scan.word();
    match name {
        "const" => scan.number().map(Op::Const),
        "start" => Ok(Op::Start),
        "frame_len" => Ok(Op::FrameLen),
        "offset" => value(scan).map(Op::Offset),
        "count" => scan.number().map(|counter| Op::Count { counter }),
        "unstash" => scan.number().map(|slot| Op::Unstash { slot }),
        "advance" => advance(scan),
        "detour" => {
            let cursor = value(scan)?;
            scan.expect("max")?;
            Ok(Op::Detour { cursor, max: scan.number()? })
        }
        "skip" => plus(scan).map(|(cursor, bytes)| Op::Skip { cursor, bytes }),
        "load" => load(scan, ty),
        "in" => in_set(scan),
        "take" => take(scan),
        "pick" => balance::pick(scan),
        "backend" => nat::backend(scan),
        "nat" => nat::call(scan),
        "cookie" => balance::cookie(scan),
        "route" => key(scan).map(|to| Op::Route { to }),
        "note" => pair(scan).map(|(key, word)| Op::Note { key, word }),
        "room" => balance::room(scan),
        "recall" => value(scan).map(|key| Op::Recall { key }),
        "capture" => Ok(Op::Capture { statement: statement(scan)?, verdict: verdict(scan)? }),
        "draw" => {
            let sample = scan.entity("sample").map(SampleRef).ok_or("expected a sample")?;
            Ok(Op::Draw { sample })
        }
        "stash" => {
            let slot = scan.number()?;
            scan.expect(",")?;
            Ok(Op::Stash { slot, value: value(scan)? })
        }
        _ => Err(format!("`{name}` is no operation")),
    }
}

/// `v1 + 14`
fn plus(scan: &mut Scan<'_>) -> Expected<(Value, u16)> {
    let cursor = value(scan)?;
    scan.expect("+")?;
    Ok((cursor, scan.number()?))
}

fn advance(scan: &mut Scan<'_>) -> Expected<Op> {
    let cursor = value(scan)?;
    scan.expect("by")?;
    let by = value(scan)?;
    scan.expect("max")?;
    Ok(Op::Advance { cursor, by, max: scan.number()? })
}

fn load(scan: &mut Scan<'_>, ty: Option<Type>) -> Expected<Op> {
    let (cursor, offset) = plus(scan)?;
    let from_type = ty.and_then(Type::bits).map(|bits| bits / 8);
    let bytes = if scan.eat_word("bytes") {
        scan.number()?
    } else {
        from_type.ok_or("expected an integer result")?
    };
    Ok(Op::Load { cursor, offset, bytes })
}

fn key(scan: &mut Scan<'_>) -> Expected<Vec<Value>> {
    scan.expect("[")?;
    scan.list("]", value)
}

fn in_set(scan: &mut Scan<'_>) -> Expected<Op> {
    if let Some(table) = scan.entity("table").map(TableRef) {
        return Ok(Op::InTable { table, key: key(scan)? });
    }
    let set = scan.entity("set").map(SetRef).ok_or("expected a set")?;
    Ok(Op::InSet { set, key: key(scan)? })
}

fn take(scan: &mut Scan<'_>) -> Expected<Op> {
    let limit = scan.entity("limit").map(LimitRef).ok_or("expected a limit")?;
    let key = key(scan)?;
    scan.expect("cost")?;
    Ok(Op::Take { limit, key, cost: value(scan)? })
}

/// A block's end, if the line begins like one.
fn end(scan: &mut Scan<'_>) -> Expected<Option<Terminator>> {
    let end = if scan.eat_word("jump") {
        Terminator::Jump(target(scan)?)
    } else if scan.eat_word("branch") {
        let cond = value(scan)?;
        let (then, other) = choice(scan)?;
        Terminator::Branch { cond, then, other }
    } else if scan.eat_word("fits") {
        let (cursor, bytes) = plus(scan)?;
        let (then, other) = choice(scan)?;
        Terminator::Fits { cursor, bytes, then, other }
    } else if scan.eat_word("switch") {
        switch(scan)?
    } else if scan.eat_word("match") {
        let table = scan.entity("table").map(TableRef).ok_or("expected a table")?;
        let key = key(scan)?;
        scan.expect("else")?;
        Terminator::Match { table, key, otherwise: target(scan)? }
    } else if scan.eat_word("return") {
        let verdict = verdict(scan)?;
        let by = if scan.eat_word("by") { Some(statement(scan)?) } else { None };
        Terminator::Return { verdict, by }
    } else if scan.eat_word("decap") {
        decap(scan)?
    } else if scan.eat_word("send") {
        balance::send(scan)?
    } else if scan.eat_word("forward") {
        nat::forward(scan)?
    } else if scan.eat_word("refuse") {
        balance::refuse(scan)?
    } else if scan.eat_word("synack") {
        balance::syn_ack(scan)?
    } else if scan.eat_word("echo") {
        balance::echo(scan)?
    } else {
        return Ok(None);
    };
    Ok(Some(end))
}

/// `decap v5 link v6 flip v7 at v8 by s0`
fn decap(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let inner = value(scan)?;
    let link = if scan.eat_word("link") { Some(value(scan)?) } else { None };
    let mut ecn = None;
    if scan.eat_word("flip") {
        let flip = value(scan)?;
        scan.expect("at")?;
        ecn = Some(EcnChange { at: value(scan)?, flip });
    }
    scan.expect("by")?;
    Ok(Terminator::Decap { by: statement(scan)?, inner, link, ecn })
}

fn target(scan: &mut Scan<'_>) -> Expected<Target> {
    let block = scan.entity("b").map(Block).ok_or("expected a block")?;
    let args = if scan.eat("(") { scan.list(")", value)? } else { Vec::new() };
    Ok(Target { block, args })
}

fn choice(scan: &mut Scan<'_>) -> Expected<(Target, Target)> {
    scan.expect("?")?;
    let then = target(scan)?;
    scan.expect(":")?;
    Ok((then, target(scan)?))
}

fn switch(scan: &mut Scan<'_>) -> Expected<Terminator> {
    let value = value(scan)?;
    scan.expect("{")?;
    let cases = scan.list("}", |scan| {
        let (first, last) = range(scan)?;
        scan.expect("=>")?;
        Ok((first, last, target(scan)?))
    })?;
    scan.expect("else")?;
    Ok(Terminator::Switch { value, cases, default: target(scan)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_huge_number_does_not_take_memory() {
        let error = parse("b0:\n  v4000000000: u8 = const 1\n  return pass\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: values are numbered below 4194304");
    }
}
