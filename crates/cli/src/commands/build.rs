//! `weir build`: a policy as an object that any loader can load.

use crate::args::Build;
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::files;
use crate::policy::{compile, options};
use crate::printer::Printer;
use crate::units::{counted, memory};
use serde::Serialize;
use weir_compiler::Options;

#[derive(Serialize)]
struct Built {
    output: String,
    bytes: usize,
    program: String,
    section: String,
    instructions: usize,
    maps: Vec<String>,
    target: String,
}

pub(super) fn run(args: &Build, printer: &mut Printer) -> Outcome {
    check_name(&args.name)?;
    let options = Options { name: args.name.clone(), ..options(&args.target) };
    let compilation = compile(&args.policy, &options, printer)?;
    let elf = compilation.object.to_elf()?;
    files::write(&args.output, &elf, printer)?;
    let program = &compilation.object.programs[0];
    let built = Built {
        output: args.output.display().to_string(),
        bytes: elf.len(),
        program: program.name.clone(),
        section: program.section.clone(),
        instructions: program.slots(),
        maps: compilation.object.maps.iter().map(|map| map.name.clone()).collect(),
        target: options.target.to_string(),
    };
    tell(args, &built, printer)?;
    Ok(Exit::Fine)
}

fn tell(args: &Build, built: &Built, printer: &mut Printer) -> Result<(), Failure> {
    let to_stdout = files::is_standard(&args.output);
    if args.json && !to_stdout {
        return printer.json(built);
    }
    printer.say(format!(
        "{}: {}, program `{}` in section `{}`, {}, {}, for {}",
        if to_stdout { "<stdout>" } else { &built.output },
        memory(built.bytes as u64),
        built.program,
        built.section,
        counted(built.instructions as u64, "instruction"),
        counted(built.maps.len() as u64, "map"),
        built.target,
    ));
    Ok(())
}

/// The name becomes a function's name, and the kernel keeps 15 bytes of it.
fn check_name(name: &str) -> Result<(), Failure> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let first = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    match letters && first && name.len() <= 15 {
        true => Ok(()),
        false => Err(failed(format!("not a name for a program: `{name}`"))
            .help("use up to 15 letters, digits and `_`, a letter first")),
    }
}
