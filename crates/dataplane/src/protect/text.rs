//! Where in a policy mitigations stand.
//!
//! **In front of the first statement that is no `sample`, `pass` or `count`.** So what the policy passes before anything
//! else is passed as before; samples that stand in front see what mitigations drop; and nothing that limits, drops, decaps
//! or balances changes a packet before its mitigation sees it. If that first statement stands in an included file,
//! mitigations stand at the top of the policy. Two lines mark them, so that the policy without them can be had back.

use weir_compiler::{Analysis, Loader};

const BEGIN: &str = "# mitigations by weir: begin; they come and go by themselves";
const END: &str = "# mitigations by weir: end";

/// A policy without mitigations, and where they go.
#[derive(Clone, Debug)]
pub struct Base {
    text: String,
    at: usize,
}

impl Base {
    /// Of a policy, without what was put into it before.
    pub fn of(name: &str, text: &str, loader: &dyn Loader) -> (Base, Analysis) {
        let text = without(text);
        let analysis = weir_compiler::analyse(name, &text, loader);
        let at = place(&text, &analysis);
        (Base { text, at }, analysis)
    }

    /// With these statements.
    pub fn with(&self, statements: &[String]) -> String {
        if statements.is_empty() {
            return self.text.clone();
        }
        let (before, after) = self.text.split_at(self.at);
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        format!("{before}{gap}{BEGIN}\n{}{END}\n{after}", statements.concat())
    }
}

/// The lines between the marks.
pub fn inside(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.trim_end() != BEGIN).skip(1);
    let lines = lines.take_while(|line| line.trim_end() != END);
    lines.map(|line| format!("{line}\n")).collect()
}

/// The text without the lines between the marks, and without these.
fn without(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => inside = true,
            END => inside = false,
            _ if inside => {}
            _ => kept.push_str(line),
        }
    }
    kept
}

fn place(text: &str, analysis: &Analysis) -> usize {
    let head = |verb: &str| matches!(verb, "sample" | "pass" | "count");
    let first = analysis.policy.statements.iter().find(|statement| !head(statement.verb()));
    let Some(first) = first else { return text.len() };
    if first.span.source != analysis.main {
        return 0;
    }
    let start = first.span.start as usize;
    let mut at = text[..start].rfind('\n').map_or(0, |end| end + 1);
    if !text[at..start].trim().is_empty() && !text[at..start].trim_start().starts_with("shadow") {
        return start;
    }
    // Its comment stays with it.
    while at > 0 {
        let before = text[..at - 1].rfind('\n').map_or(0, |end| end + 1);
        if !text[before..at].trim_start().starts_with('#') {
            break;
        }
        at = before;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_compiler::NoFiles;

    fn base(text: &str) -> Base {
        Base::of("test.weir", text, &NoFiles).0
    }

    fn one() -> Vec<String> {
        vec!["# why\ndrop mitigation_1_x when udp\n".to_owned()]
    }

    #[test]
    fn they_stand_behind_what_is_passed_and_sampled_and_before_the_rest() {
        let head = "set a : ip = { 192.0.2.1 }\nsample all 1 in 100\npass friends when ip.src in a\n\n";
        let rest = "# Nobody asks us.\ndrop dns when udp.dstport == 53\ndefault pass\n";
        let text = base(&format!("{head}{rest}")).with(&one());
        let added = format!("{BEGIN}\n# why\ndrop mitigation_1_x when udp\n{END}\n");
        assert_eq!(text, format!("{head}{added}{rest}"));
        let analysis = weir_compiler::analyse("test.weir", &text, &NoFiles);
        assert!(!analysis.diagnostics.has_errors());
        let names: Vec<&str> = analysis.policy.statements.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["all", "friends", "mitigation_1_x", "dns"]);
    }

    #[test]
    fn a_policy_is_had_back() {
        for text in [
            "sample all 1 in 100",
            "default pass\n",
            "",
            "shadow drop x when udp\n",
            "\n\n# a\nlikely drop when tcp\n",
        ] {
            let with = base(text).with(&one());
            let analysis = weir_compiler::analyse("test.weir", &with, &NoFiles);
            assert!(!analysis.diagnostics.has_errors(), "{with}");
            assert_eq!(base(&with).with(&[]).trim_end(), text.trim_end());
            assert_eq!(base(&with).with(&one()), with);
        }
    }

    #[test]
    fn in_front_of_what_is_included() {
        struct One;
        impl Loader for One {
            fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
                Ok((path.to_owned(), "drop dns when udp.dstport == 53\n".to_owned()))
            }
        }
        let (base, _) = Base::of("test.weir", "include \"more.weir\"\nsample all 1 in 2\n", &One);
        assert!(base.with(&one()).starts_with(BEGIN));
    }
}
