use weir_compiler::*;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let t = std::time::Instant::now();
    let options = Options::new(weir_bpf::target::Target::newest(), Hook::Xdp);
    match compile("x.weir", &text, &NoFiles, &options) {
        Err(a) => println!("{}", diagnostic::render(&a.diagnostics, &a.sources, diagnostic::Style::Plain)),
        Ok(c) => {
            eprintln!("{:?}", t.elapsed());
            eprintln!("{}", diagnostic::render(&c.analysis.diagnostics, &c.analysis.sources, diagnostic::Style::Plain));
            let plan = c.analysis.plan.as_ref().unwrap();
            eprintln!("{} states {} classes cost {} statics {}, {} insns", plan.graph.states.len(), plan.classes.len(), plan.cost, plan.static_headers.len(), c.object.programs[0].insns.len());
            std::fs::write("/tmp/x.o", c.object.to_elf().unwrap()).unwrap();
            if std::env::var("IR").is_ok() { println!("{}", c.lowered.program); }
            if std::env::var("ASM").is_ok() { println!("{}", weir_bpf::text::disassemble(&c.object.programs[0], &c.object.maps.iter().map(|m| m.name.as_str()).collect::<Vec<_>>())); }
        }
    }
}
