//! What is told about a policy depends on where it is attached, and on the kernel.

use weir_bpf::target::Target;
use weir_compiler::{Hook, NoFiles, Options, compile};

const TAGGED: &str = "drop five when vlan.id == 5";

fn codes(text: &str, target: Target, hook: Hook) -> Vec<&'static str> {
    let diagnostics = match compile("edge.weir", text, &NoFiles, &Options::new(target, hook)) {
        Ok(compilation) => compilation.analysis.diagnostics,
        Err(analysis) => analysis.diagnostics,
    };
    diagnostics.iter().map(|d| d.code.text()).collect()
}

#[test]
fn at_tc_the_outer_tag_is_gone() {
    assert_eq!(codes(TAGGED, Target::newest(), Hook::TcIngress), ["W0305"]);
    assert!(codes(TAGGED, Target::newest(), Hook::Xdp).is_empty());
}

#[test]
fn at_tc_no_tunnel_comes_off() {
    let text = "pass\ndecap off when gre\n";
    let options = Options::new(Target::newest(), Hook::TcIngress);
    let Err(analysis) = compile("edge.weir", "count\ndecap off when gre\n", &NoFiles, &options) else {
        panic!("no frame is changed at tc");
    };
    let told: Vec<_> = analysis.diagnostics.iter().collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(told.code.text(), "E0202");
    assert!(told.message.contains("this needs XDP"), "{}", told.message);
    assert_eq!(analysis.sources.text(told.primary.0), "decap off when gre");
    assert!(codes("shadow decap off when gre", Target::newest(), Hook::TcEgress).is_empty());
    // What no packet comes to changes none.
    assert_eq!(codes(text, Target::newest(), Hook::TcIngress), ["W0301"]);
}

#[test]
fn what_an_old_kernel_lacks_is_named() {
    let mut options = Options::new(Target::for_kernel(5, 10), Hook::Xdp);
    options.lower.capture = vec!["five".into()];
    let Err(analysis) = compile("edge.weir", TAGGED, &NoFiles, &options) else {
        panic!("5.10 has no helper to copy a frame");
    };
    let told = analysis.diagnostics.iter().find(|d| d.code.text() == "E0202").expect("E0202");
    assert!(told.message.contains("5.18"), "{}", told.message);
}

#[test]
fn syns_are_answered_at_xdp_and_by_kernels_that_can() {
    let text = "count\nanswer web syncookie when tcp.dstport == 443\n";
    let refused = |target: Target, hook: Hook| {
        let Err(analysis) = compile("edge.weir", text, &NoFiles, &Options::new(target, hook)) else {
            panic!("it compiles");
        };
        let told: Vec<_> = analysis.diagnostics.iter().collect();
        let [told] = told.as_slice() else { panic!("{told:?}") };
        (told.code.text(), told.message.clone(), analysis.sources.text(told.primary.0).to_owned())
    };
    let (code, message, place) = refused(Target::newest(), Hook::TcIngress);
    assert_eq!((code, place.as_str()), ("E0202", "answer web syncookie when tcp.dstport == 443"));
    assert!(message.contains("this needs XDP"), "{message}");
    let (code, message, place) = refused(Target::for_kernel(5, 2), Hook::Xdp);
    assert_eq!((code, place.as_str()), ("E0202", "answer web syncookie when tcp.dstport == 443"));
    assert!(message.contains("SYN cookies") && message.contains("5.3"), "{message}");
    assert!(codes(&format!("shadow {}", &text[6..]), Target::for_kernel(5, 2), Hook::TcEgress).is_empty());
}
