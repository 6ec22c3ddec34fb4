use crate::support::privileged;
use weir_compiler::{Compilation, Hook, NoFiles, Options, compile};
use weir_dataplane::engines::{By, Kernel, judge, unprivileged};

/// Policies with tests of their own: every engine must give each case its verdict, and all must count alike.
const POLICIES: [&str; 3] = [
    r#"
set friends : ip = { 192.0.2.0/24, 2001:db8::/32 }
set blocked : ip = { 203.0.113.9, 198.51.100.0/24, 2001:db8:bad::/48 } timeout 10m max 1k
set pairs   : (ip, u16) = { (10.0.0.1, 80), (2001:db8::1, 443), (10.0.0.2, 1), (10.0.0.2, 2), (10.0.0.2, 3), (10.0.0.2, 4), (10.0.0.2, 5), (10.0.0.2, 6), (10.0.0.2, 7) } max 100
drop    blocked when ip.src in blocked
pass    friends when ip.src in friends
drop    pairs   when (ip.src, tcp.dstport) in pairs
count   all     when ip
test "all kinds of sets" {
    udp(ip.src=203.0.113.9)                        => drop by blocked
    udp(ip.src=198.51.100.77)                      => drop by blocked
    udp(ip.src=192.0.2.1)                          => pass by friends
    tcp(ip.src=10.0.0.1, tcp.dstport=80)           => drop by pairs
    tcp(ip.src=10.0.0.1, tcp.dstport=81)           => pass by default
    udp(ip6.src=2001:db8:bad::1, ip6.dst=2001:db8::2) => drop by blocked
}
"#,
    r#"
limit few when udp.dstport == 53 to 1/h burst 3 per ip.src
drop  big when frame.len > 1000
test "a limit" {
    udp(udp.dstport=53)                     => pass
    udp(udp.dstport=53)                     => pass
    udp(udp.dstport=53)                     => pass
    udp(udp.dstport=53)                     => drop by few
    udp(udp.dstport=54, frame.len=1200)     => drop by big
}
"#,
    "drop dns when udp.port == 53\nshadow drop all when ip\ndefault drop\n",
];

fn compiled(text: &str, hook: Hook) -> Compilation {
    let options = Options::new(weir_kernel::probe::target(), hook);
    match compile("test.weir", text, &NoFiles, &options) {
        Ok(compilation) => compilation,
        Err(analysis) => panic!("{:?}", analysis.diagnostics),
    }
}

#[test]
fn all_engines_agree_on_the_cases_of_policies() {
    let kernel = privileged("engines::all_engines_agree_on_the_cases_of_policies (kernel)");
    for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
        for text in POLICIES {
            let compilation = compiled(text, hook);
            let mut engines = unprivileged(&compilation);
            if kernel {
                engines.push(Box::new(Kernel::load(&compilation).unwrap_or_else(|error| panic!("{error}"))));
            }
            for case in &compilation.analysis.cases {
                for engine in &mut engines {
                    let mut last = None;
                    for _ in 0..case.times.max(1) {
                        last = Some(engine.judge(&case.frame, 1_000_000_000_000).unwrap());
                    }
                    let last = last.unwrap();
                    assert_eq!(last.verdict, case.verdict, "{} on {} ({hook:?})", engine.name(), case.test);
                    if let (Some(by), By::Statement(index)) = (&case.by, last.by) {
                        assert_eq!(&compilation.analysis.policy.statements[index].name, by);
                    }
                }
            }
            let counters: Vec<_> = engines.iter_mut().map(|engine| engine.counters().unwrap()).collect();
            assert!(counters.iter().all(|one| *one == counters[0]), "{counters:#?}");
        }
    }
}

#[test]
fn frames_are_judged_without_an_interface() {
    crate::support::require_kernel!();
    let compilation = compiled(POLICIES[2], Hook::Xdp);
    let frame = vec![0; 60];
    let (verdicts, counters) = judge(&compilation, &[&frame, &frame]).unwrap();
    assert_eq!(verdicts, [weir_compiler::ir::Verdict::Drop; 2]);
    let default = counters.last().unwrap();
    assert_eq!(
        (default.name.as_str(), default.action.as_str(), default.packets, default.bytes),
        ("default", "drop", 2, 120)
    );
    let error = judge(&compilation, &[&[0; 5]]).unwrap_err();
    assert_eq!(error.to_string(), "a test run takes frames of 14 to 3520 bytes, this one has 5");
}
