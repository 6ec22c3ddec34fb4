use weir_compiler::*;
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let mut d = diagnostic::Diagnostics::default();
    let loaded = load::load("x.weir", &text, &load::NoFiles, &mut d);
    let policy = check::check(&check::Input{sources:&loaded.sources,main:loaded.main,items:&loaded.items,set_files:&loaded.set_files}, &mut d);
    for x in d.iter() { println!("{} {}: {} [{}] `{}` help {:?}", x.code.text(), loaded.sources.place(x.primary.0), x.message, x.primary.1, loaded.sources.text(x.primary.0), x.help); }
    for s in &policy.statements { println!("{} {:?} {:?}", s.name, s.action, s.when); }
    println!("{} protocols", policy.protocols.list.len());
}
