//! `weir explain`: which structure a policy got, and why.

mod choices;
mod facts;
mod flow;
mod pools;

use crate::args::Explain;
use crate::failure::{Exit, Failure, Outcome};
use crate::policy::{compile, options};
use crate::printer::{Cell, Paint, Printer, Table, verdict_paint};
use crate::units::{counted, grouped, memory};
use facts::Facts;
use weir_compiler::Compilation;
use weir_compiler::ir::effort::MOST_STEPS;

pub(super) fn run(args: &Explain, printer: &mut Printer) -> Outcome {
    if let Some(packet) = &args.packet {
        return flow::run(args, packet, printer);
    }
    let options = options(&args.target);
    let compilation = compile(&args.policy, &options, printer)?;
    if args.asm {
        printer.text(&disassembly(&compilation))?;
        return Ok(Exit::Fine);
    }
    let facts = Facts::of(&compilation, &options).ok_or(Failure::Refused)?;
    match args.json {
        true => printer.json(&facts)?,
        false => show(&facts, printer)?,
    }
    Ok(Exit::Fine)
}

/// The program, the policy's lines between the instructions.
pub(super) fn disassembly(compilation: &Compilation) -> String {
    let maps: Vec<&str> = compilation.object.maps.iter().map(|map| map.name.as_str()).collect();
    weir_bpf::text::disassemble(&compilation.object.programs[0], &maps)
}

fn show(facts: &Facts, printer: &mut Printer) -> Result<(), Failure> {
    section(printer, "statements, in their order", &statements(facts))?;
    let title = format!(
        "packet classes: the parser tells {} apart in {}, and each has its own chain of statements",
        counted(facts.classes.len() as u64, "kind"),
        counted(facts.parser_states as u64, "state"),
    );
    section(printer, &title, &classes(facts))?;
    if !facts.early.is_empty() {
        section(printer, "decided before the packet is parsed to its end", &early(facts))?;
    }
    if !facts.tables.is_empty() {
        section(printer, "matched as one, by a table", &tables(facts))?;
    }
    if !facts.groups.is_empty() {
        let title =
            "neighbours that could be matched as one, and what a packet that none of them decides costs";
        section(printer, title, &groups(facts))?;
    }
    if !facts.sets.is_empty() {
        section(printer, "sets, and the structures chosen for them", &sets(facts))?;
    }
    if !facts.limits.is_empty() {
        section(printer, "limits", &limits(facts))?;
    }
    if !facts.pools.is_empty() {
        section(printer, "pools", &pools::table(&facts.pools))?;
    }
    if !facts.samples.is_empty() {
        section(printer, "samples", &samples(facts))?;
    }
    if !facts.maps.is_empty() {
        section(printer, "maps", &maps(facts))?;
    }
    section(printer, "program", &program(facts))
}

fn section(printer: &mut Printer, title: &str, table: &Table) -> Result<(), Failure> {
    let title = printer.painted(title, Paint::Bold);
    printer.line(title)?;
    printer.table(table)?;
    printer.line("")
}

fn statements(facts: &Facts) -> Table {
    let mut table = Table::new(&["  statement", "action", ">classes", "when"]);
    for fact in &facts.statements {
        let shadow = if fact.shadow { "shadow " } else { "" };
        table.row(vec![
            format!("  {}", fact.name).into(),
            Cell::from(format!("{shadow}{}", fact.action)).paint(verdict_paint(&fact.action)),
            Cell::right(fact.classes.to_string()),
            shortened(&fact.condition).into(),
        ]);
    }
    table.row(vec!["  default".into(), Cell::from(facts.default).paint(verdict_paint(facts.default))]);
    table
}

/// Conditions can be as long as their author liked.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn classes(facts: &Facts) -> Table {
    let mut table = Table::new(&["  headers", ">comparisons", ">estimate", "statements"]);
    for class in &facts.classes {
        let headers = if class.headers.is_empty() { "none".to_owned() } else { class.headers.join(" ") };
        let statements = match class.statements.as_slice() {
            [] => "none: the default decides".to_owned(),
            names => names.join(", "),
        };
        table.row(vec![
            format!("  {headers}").into(),
            Cell::right(grouped(class.comparisons)),
            Cell::right(class.ns.map_or("–".to_owned(), |ns| format!("{ns:.1} ns"))),
            shortened(&statements).into(),
        ]);
    }
    table
}

fn early(facts: &Facts) -> Table {
    let mut table = Table::new(&["  behind", "statements"]);
    for fact in &facts.early {
        let statements = shortened(&fact.statements.join(", "));
        table.row(vec![format!("  {}", fact.behind.join(" ")).into(), statements.into()]);
    }
    table
}

fn tables(facts: &Facts) -> Table {
    let mut table = Table::new(&["  from", "to", ">statements", ">counting", ">rows", "key"]);
    for fact in &facts.tables {
        table.row(vec![
            format!("  {}", fact.first).into(),
            fact.last.as_str().into(),
            Cell::right(grouped(fact.statements as u64)),
            Cell::right(grouped(fact.counting as u64)),
            Cell::right(grouped(fact.rows as u64)),
            fact.key.join(", ").into(),
        ]);
    }
    table
}

fn groups(facts: &Facts) -> Table {
    let mut table = Table::new(&["  from", "to", ">statements", "matched by", ">estimate", "instead"]);
    for fact in &facts.groups {
        let structure =
            fact.choices.iter().find(|choice| choice.chosen).map_or("", |choice| choice.structure);
        let (ns, others) = choices::shown(&fact.choices);
        table.row(vec![
            format!("  {}", fact.first).into(),
            fact.last.as_str().into(),
            Cell::right(grouped(fact.statements as u64)),
            structure.into(),
            Cell::right(ns),
            others.into(),
        ]);
    }
    table
}

fn sets(facts: &Facts) -> Table {
    let mut table =
        Table::new(&["  set", "family", ">elements", "structure", ">estimate", "because", "instead"]);
    for set in &facts.sets {
        let (ns, others) = choices::shown(&set.choices);
        table.row(vec![
            format!("  {}", set.name).into(),
            set.family.unwrap_or("").into(),
            Cell::right(grouped(set.elements as u64)),
            set.structure.into(),
            Cell::right(ns),
            set.why.as_str().into(),
            others.into(),
        ]);
    }
    table
}

fn limits(facts: &Facts) -> Table {
    let mut table = Table::new(&["  limit", "rate", ">keys"]);
    for limit in &facts.limits {
        table.row(vec![
            format!("  {}", limit.name).into(),
            limit.rate.as_str().into(),
            Cell::right(grouped(u64::from(limit.keys))),
        ]);
    }
    table
}

fn samples(facts: &Facts) -> Table {
    let mut table = Table::new(&["  sample", ">1 in", ">bytes", ">budget"]);
    for sample in &facts.samples {
        table.row(vec![
            format!("  {}", sample.name).into(),
            Cell::right(grouped(sample.one_in.into())),
            Cell::right(sample.bytes.to_string()),
            Cell::right(format!("{}/s", grouped(sample.budget))),
        ]);
    }
    table
}

fn maps(facts: &Facts) -> Table {
    let mut table = Table::new(&["  map", "kind", ">key", ">value", ">entries", ">memory"]);
    for map in &facts.maps {
        table.row(vec![
            format!("  {}", map.name).into(),
            map.kind.into(),
            Cell::right(format!("{} B", map.key_bytes)),
            Cell::right(format!("{} B", map.value_bytes)),
            Cell::right(grouped(u64::from(map.entries))),
            Cell::right(memory(map.bytes)),
        ]);
    }
    table
}

fn program(facts: &Facts) -> Table {
    let program = &facts.program;
    let mut table = Table::plain();
    let mut row = |name: &str, value: String| table.row(vec![format!("  {name}").into(), value.into()]);
    row("section", program.section.clone());
    let (count, most) = (grouped(program.instructions as u64), grouped(u64::from(program.max_instructions)));
    let functions = match program.functions {
        0 | 1 => String::new(),
        count => format!(", in {count} functions"),
    };
    row("instructions", format!("{count} of at most {most}{functions}"));
    let (about, wall) = (grouped(program.verified), grouped(MOST_STEPS));
    row("verifier", format!("goes through about {about} of at most {wall}"));
    let (all, longest) = (grouped(program.comparisons), grouped(program.longest_class));
    row("estimated cost", format!("{all} comparisons in all classes, at most {longest} for one packet"));
    row(
        "estimated time",
        format!(
            "{:.1} to {:.1} ns for a packet that no statement decides",
            program.least_ns, program.most_ns
        ),
    );
    row("target", facts.target.clone());
    table
}
