//! What is known of files changes nothing but the time that a policy takes.

use weir_bpf::target::Target;
use weir_compiler::diagnostic::{Style, render};
use weir_compiler::{Analysis, Hook, Known, Loader, Options, analyse, compile};

const POLICY: &str = "set listed : ip from \"listed.txt\"\ndrop listed when ip.src in listed\n";

/// The one file that a policy names, and what was made of it, if that is kept.
struct File<'a>(&'a str, Option<&'a Known>);

impl Loader for File<'_> {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Ok((path.to_owned(), self.0.to_owned()))
    }

    fn known(&self) -> Option<&Known> {
        self.1
    }
}

/// Enough to be kept.
fn list(step: u32) -> String {
    let address = |number: u32| std::net::Ipv4Addr::from(0x0a00_0000 + number * step);
    let mut lines: Vec<String> = (0..6000).map(|number| format!("{}\n", address(number))).collect();
    lines.push("2001:db8::/32\n".into());
    lines.concat()
}

fn object(policy: &str, file: &File<'_>) -> weir_bpf::object::Object {
    let options = Options::new(Target::newest(), Hook::Xdp);
    let Ok(compiled) = compile("edge.weir", policy, file, &options) else { panic!("it compiles") };
    compiled.object
}

fn told(Analysis { diagnostics, sources, .. }: &Analysis) -> String {
    render(diagnostics, sources, Style::Plain)
}

#[test]
fn the_same_program_comes_of_it() {
    let known = Known::default();
    assert!(known.is_empty());
    let (one, other) = (list(3), list(5));
    assert_ne!(object(POLICY, &File(&one, None)), object(POLICY, &File(&other, None)));
    for text in [&one, &one, &other, &one, &other] {
        assert_eq!(object(POLICY, &File(text, Some(&known))), object(POLICY, &File(text, None)));
        assert!(!known.is_empty());
    }
    // Another statement, as it comes and goes against an attack.
    let more = format!("drop ntp when udp.srcport == 123\n{POLICY}");
    assert_eq!(object(&more, &File(&one, Some(&known))), object(&more, &File(&one, None)));
}

#[test]
fn of_another_type_or_with_more_it_is_another_set() {
    let (known, text) = (Known::default(), list(3));
    assert_eq!(told(&analyse("edge.weir", POLICY, &File(&text, Some(&known)))), "");
    for set in [
        "set listed : ip4 from \"listed.txt\"",
        "set listed : u16 from \"listed.txt\"",
        "set listed : ip = { 192.0.2.1 } from \"listed.txt\"",
        "set listed : ip from \"listed.txt\" max 6k",
        "set listed : ip from \"listed.txt\" max 1k",
        "set listed : ip from \"listed.txt\" max 10k",
    ] {
        let policy = format!("{set}\n{}", POLICY.lines().last().unwrap());
        let [with, without] =
            [Some(&known), None].map(|known| analyse("edge.weir", &policy, &File(&text, known)));
        assert_eq!(told(&with), told(&without), "{set}");
        let parts = |analysis: &Analysis| analysis.policy.sets[0].parts.clone();
        assert!(parts(&with) == parts(&without), "{set}");
    }
}

#[test]
fn what_is_wrong_in_it_is_told_each_time() {
    let (known, text) = (Known::default(), format!("{}10.0.0.1/8\nnobody\n", list(3)));
    let first = told(&analyse("edge.weir", POLICY, &File(&text, Some(&known))));
    assert!(first.contains("listed.txt:6002") && first.contains("listed.txt:6003"), "{first}");
    assert_eq!(told(&analyse("edge.weir", POLICY, &File(&text, Some(&known)))), first);
    assert!(known.is_empty());
}
