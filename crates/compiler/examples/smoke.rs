use weir_compiler::*;
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let mut d = diagnostic::Diagnostics::default();
    let loaded = load::load("x.weir", &text, &load::NoFiles, &mut d);
    let policy = check::check(&check::Input{sources:&loaded.sources,main:loaded.main,items:&loaded.items,set_files:&loaded.set_files}, &mut d);
    for x in d.iter() { println!("{} {}: {} [{}] `{}` help {:?}", x.code.text(), loaded.sources.place(x.primary.0), x.message, x.primary.1, loaded.sources.text(x.primary.0), x.help); }
    if d.has_errors() { return; }
    let t=std::time::Instant::now();
    let plan = plan::plan(&policy);
    eprintln!("plan {:?}: {} states {} classes cost {} statics {}", t.elapsed(), plan.graph.states.len(), plan.classes.len(), plan.cost, plan.static_headers.len());
    let t=std::time::Instant::now();
    if std::env::var("D").is_ok() { dump(&policy,&plan); }
    let low = lower::lower(&policy, &plan, &loaded.sources, &Default::default());
    eprintln!("lower {:?}: {} blocks {} values", t.elapsed(), low.program.blocks.len(), low.program.values.len());
    if let Err(e) = ir::verify::verify(&low.program) { for x in e.iter().take(20) { println!("{x}"); } if std::env::var("P").is_ok() { println!("{}", low.program);} return; }
    let mut dd = diagnostic::Diagnostics::default();
    let cases = notation::cases(&policy, &mut dd);
    for x in dd.iter() { println!("{} {}: {} `{}`", x.code.text(), loaded.sources.place(x.primary.0), x.message, loaded.sources.text(x.primary.0)); }
    let mut out = String::new();
    for c in &cases {
        let o = eval::Evaluator::new(&policy).judge(&c.frame);
        println!("{:?} by {:?} expected {:?} by {:?}  {}", o.verdict, o.by.map(|i| policy.statements[i].name.clone()), c.verdict, c.by, loaded.sources.text(c.span));
        for (i, ch) in c.frame.chunks(16).enumerate() { out += &format!("{:06x}", i*16); for b in ch { out += &format!(" {b:02x}"); } out += "\n"; }
    }
    std::fs::write("/tmp/cases.txt", out).unwrap();
    let mut ev = eval::Evaluator::new(&policy);
    let mut interp = ir::interp::Interpreter::new(&low.program);
    let mut state = low.state(&policy);
    let mut n=0; let mut bad=0;
    for path in std::env::args().skip(2) {
        for f in weir_packet::capture::Capture::open(&path).unwrap() {
            let Ok(f) = f else { break };
            let Ok(data) = f.to_ethernet() else { continue };
            ev.now = f.timestamp_ns; state.now = f.timestamp_ns;
            let a = ev.judge(&data);
            let b = interp.run(&mut state, &data).unwrap();
            n+=1;
            if a.verdict != b.verdict || a.by.map(|x| x as u32) != b.by.map(|s| s.0) { bad+=1; if bad<10 { println!("{path} {}: {a:?} {b:?}", f.number); } }
        }
    }
    println!("{n} frames, {bad} differ");
    for (i,s) in policy.statements.iter().enumerate() {
        let slot = low.slots[&s.name] as usize;
        println!("{:20} {:?} {:?}", s.name, ev.counters[i], state.counters[slot]);
        assert_eq!(ev.counters[i], state.counters[slot]);
    }
}
#[allow(dead_code)]
fn dump(policy: &policy::Policy, plan: &plan::Plan) {
    let mut m = std::collections::BTreeMap::new();
    for s in &plan.graph.states { *m.entry((s.header.level, policy.protocols[s.header.protocol].name.clone(), s.header.index)).or_insert(0) += 1; }
    eprintln!("{m:?}");
}
