//! What a person writes in the place of a mitigation.
//!
//! It is one `drop` or `limit`, compiles where mitigations stand, and leaves out what is protected. The last is shown for all
//! packets: a policy that drops what both its condition and the protected addresses hold is compared
//! ([`weir_compiler::diff`]) with one that does nothing. Equal is a proof; a difference is a packet to show; and where there
//! is neither, the statement is refused as well.

use super::taking::{SOURCE, Taking};
use super::text::Base;
use crate::Source;
use std::fmt;
use weir_compiler::diagnostic::{self, Code, Diagnostics, Severity, Style};
use weir_compiler::diff::{Settings, diff};
use weir_compiler::eval::Evaluator;
use weir_compiler::ir::Verdict;
use weir_compiler::policy::{Action, Policy, Pred, Statement};
use weir_compiler::source::{SourceId, Sources, Span};
use weir_compiler::{Analysis, Loader, analyse};
use weir_detect::defence::{Matcher, Standing};
use weir_detect::life::Written;
use weir_detect::mine::{Prefix, Protected};
use weir_detect::sample::Sample;

/// Under this name the condition on protected addresses stands beside what a person wrote.
const NEVER: &str = "what is protected";
/// No frame is longer: agents may say anything.
const LONGEST: usize = 1 << 16;
/// How hard the proof is tried: samples wait meanwhile.
const ROOM: usize = 1_000_000;
/// And how many packets, where there is none.
const TRIES: u64 = 1_000;
/// So many addresses a help lists.
const LISTED: usize = 8;

/// What a person wrote, as it can stand.
#[derive(Debug)]
pub struct Edit {
    /// The statement.
    pub written: Written,
    /// What it matches. Of live sets it knows the elements that the policy lists.
    pub matcher: Matcher,
    /// What the compiler thinks of it all the same.
    pub warnings: Diagnosis,
}

/// What is to be said of a text, and the text.
#[derive(Clone, Default, Debug)]
pub struct Diagnosis {
    pub(super) sources: Sources,
    pub(super) diagnostics: Diagnostics,
}

/// With the places underlined; empty if there is nothing to say.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&diagnostic::render(&self.diagnostics, &self.sources, Style::Plain))
    }
}

impl Diagnosis {
    /// Whether it is of what is protected, which no other place mends.
    pub fn is_of_protected(&self) -> bool {
        self.diagnostics.iter().any(|one| one.code == Code::Protected)
    }

    /// The first message alone.
    pub fn message(&self) -> String {
        self.diagnostics.iter().next().map(|first| first.message.clone()).unwrap_or_default()
    }
}

impl Edit {
    /// Reads what a person wrote in the place of the mitigation of this name, in a policy without mitigations.
    pub fn read(policy: &Source, name: &str, text: &str, protected: &Protected) -> Result<Edit, Diagnosis> {
        let taking = Taking::read(name, text)?.called(name)?;
        let place = Place { policy, name, text, never: condition(protected) };
        let Analysis { sources, policy: checked, mut diagnostics, .. } = place.analyse(&[name]);
        let has_errors = diagnostics.has_errors();
        diagnostics.retain(|one| {
            let is_error = one.code.severity() == Severity::Error;
            is_error || !has_errors && sources[one.primary.0.source].name == name
        });
        let Some(statement) = of(&checked, &sources, name).filter(|_| !has_errors) else {
            return Err(Diagnosis { sources, diagnostics });
        };
        if let Some(told) = place.meets_protected() {
            let span = taking.statement.when.as_ref().map_or(taking.statement.span, |when| when.span);
            return Err(place.refuse(span, &told, protected));
        }
        let written = Written {
            verb: statement.verb().to_owned(),
            rest: taking.behind_name(),
            in_shadow: statement.shadow,
            spares: protected.clone(),
        };
        let matcher = matcher(alone(&checked, statement.when.clone()));
        Ok(Edit { written, matcher, warnings: Diagnosis { sources, diagnostics } })
    }
}

/// What a person wrote in the place of one that stood elsewhere or before, read where it is to stand: what it matches, and nothing if
/// nobody wrote it. Or its text, and why it has no place.
pub fn read_again(
    standing: &mut Standing,
    read: impl FnOnce(&str, &str) -> Result<Edit, Diagnosis>,
) -> Result<Option<Matcher>, (String, Diagnosis)> {
    let name = standing.name();
    let Some(written) = &mut standing.written else { return Ok(None) };
    let text = written.text(&name);
    let edit = read(&name, &text).map_err(|told| (text, told))?;
    *written = edit.written;
    Ok(Some(edit.matcher))
}

/// Where it is to stand.
struct Place<'a> {
    policy: &'a Source,
    name: &'a str,
    text: &'a str,
    never: Option<String>,
}

/// The policy's files, and what is written here as two more: so messages say where in its own text something is.
impl Loader for Place<'_> {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        match path {
            _ if path == self.name => Ok((path.to_owned(), self.text.to_owned())),
            NEVER => {
                let never = self.never.as_deref().unwrap_or_default();
                Ok((path.to_owned(), format!("drop when {never}\n")))
            }
            _ => self.policy.load(from, path),
        }
    }
}

impl Place<'_> {
    /// The policy with these of the texts.
    fn analyse(&self, paths: &[&str]) -> Analysis {
        let (base, _) = Base::of(&self.policy.name, &self.policy.text, self.policy);
        let include = |path: &&str| format!("include \"{path}\"\n");
        analyse(&self.policy.name, &base.with(&paths.iter().map(include).collect::<Vec<_>>()), self)
    }

    /// What it matches of what is protected, in words; nothing if that is nothing.
    fn meets_protected(&self) -> Option<String> {
        self.never.as_ref()?;
        let Analysis { sources, policy, diagnostics, .. } = self.analyse(&[self.name, NEVER]);
        let when = |name: &str| of(&policy, &sources, name).map(|statement| statement.when.clone());
        let unproven = || Some("that it matches none of it is not proven".to_owned());
        let (false, Some(own), Some(never)) = (diagnostics.has_errors(), when(self.name), when(NEVER)) else {
            return unproven();
        };
        if leaves_out(&own, &never) {
            return None;
        }
        let [nothing, both] =
            [Pred::Const(false), Pred::And(vec![own, never])].map(|when| alone(&policy, when));
        let report =
            diff(&nothing, &both, &Settings { most: 1, room: ROOM, tries: TRIES, ..Settings::default() });
        match report.differences.first() {
            None if report.unproven.is_empty() => None,
            None => unproven(),
            Some(packet) => {
                let given = packet.given.iter().map(|(set, element)| format!(" if {element} is in `{set}`"));
                Some(format!("such as `{}`{}", packet.packet, given.collect::<Vec<_>>().join(" and")))
            }
        }
    }

    fn refuse(&self, place: Span, told: &str, protected: &Protected) -> Diagnosis {
        let mut sources = Sources::default();
        let id = sources.add(self.name, self.text);
        let mut diagnostics = Diagnostics::default();
        let place = Span { source: id, ..place };
        let told = diagnostics.report(Code::Protected, place, "it may match what is protected").label(told);
        let never = condition(&listed(protected)).unwrap_or_default();
        told.help(format!(
            "leave that out: put `and not ({never})` behind it, and what has `or` into parentheses"
        ));
        Diagnosis { sources, diagnostics }
    }
}

/// The statement in the text of this name.
fn of<'a>(policy: &'a Policy, sources: &Sources, name: &str) -> Option<&'a Statement> {
    let is_of = |source: SourceId| sources[source].name == name;
    policy.statements.iter().find(|statement| is_of(statement.span.source))
}

/// Whether a condition says itself that another one must not hold: of long lists that is all that can be shown.
fn leaves_out(own: &Pred, never: &Pred) -> bool {
    match own {
        Pred::And(all) => all.iter().any(|one| leaves_out(one, never)),
        Pred::Not(not) => **not == *never,
        _ => false,
    }
}

/// The policy that drops what meets a condition and does nothing else.
fn alone(policy: &Policy, when: Pred) -> Policy {
    let statement = Statement {
        name: "taken".into(),
        span: Span::new(SourceId(0), 0, 0),
        likelihood: None,
        shadow: false,
        action: Action::Verdict(Verdict::Drop),
        when,
    };
    Policy {
        protocols: policy.protocols.clone(),
        sets: policy.sets.clone(),
        statements: vec![statement],
        ..Policy::default()
    }
}

/// What a sample does not show is taken for zeros, and for ones; if that is not the same, it does not show enough.
fn matcher(policy: Policy) -> Matcher {
    let matches = move |frame: &[u8]| Evaluator::new(&policy).judge(frame).verdict == Verdict::Drop;
    Matcher::new(move |sample: &Sample<'_>| {
        let length = (sample.frame_len as usize).min(LONGEST).max(sample.header.len());
        let filled = |byte: u8| {
            let mut frame = sample.header.to_vec();
            frame.resize(length, byte);
            frame
        };
        let zeros = matches(&filled(0));
        (length == sample.header.len() || matches(&filled(0xff)) == zeros).then_some(zeros)
    })
}

/// The condition that what is protected meets.
fn condition(protected: &Protected) -> Option<String> {
    let list = |all: &[Prefix]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let sources = match &protected.set {
        Some(set) => Some(format!("{SOURCE} in {set}")),
        None if protected.sources.is_empty() => None,
        None => Some(format!("{SOURCE} in {{ {} }}", list(&protected.sources))),
    };
    let victims = &protected.victims;
    let victims = (!victims.is_empty()).then(|| format!("ip.dst in {{ {} }}", list(victims)));
    let all: Vec<String> = sources.into_iter().chain(victims).collect();
    (!all.is_empty()).then(|| all.join(" or "))
}

/// As much of it as a person wants to read.
fn listed(protected: &Protected) -> Protected {
    let some = |all: &[Prefix]| all.iter().take(LISTED).copied().collect();
    Protected { sources: some(&protected.sources), victims: some(&protected.victims), ..protected.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weir_detect::sample::Fate;
    use weir_packet::build::{Ethernet, Ipv4, Packet, Udp};

    const NAME: &str = "mitigation_1_ntp_amplification";
    const POLICY: &str = "set protected : ip = { 192.0.2.0/24, 2001:db8::/32 } timeout 10m\n\
                          set ports : tcp.dstport = { 80 }\n\
                          sample all 1 in 100\ndrop telnet when tcp.dstport == 23\ndrop web when tcp.dstport in ports\n";

    fn read(policy: &str, text: &str, protected: &Protected) -> Result<Edit, String> {
        let policy = Source { name: "edge.weir".into(), text: policy.into(), files: Vec::new() };
        Edit::read(&policy, NAME, text, protected).map_err(|told| told.to_string())
    }

    fn of_set() -> Protected {
        let sources = vec![Prefix::new([192, 0, 2, 0].into(), 24)];
        Protected { sources, set: Some("protected".into()), victims: Vec::new() }
    }

    fn written(text: &str) -> (String, String, bool) {
        let Written { verb, rest, in_shadow, .. } =
            read(POLICY, text, &Protected::default()).unwrap_or_else(|told| panic!("{told}")).written;
        (verb, rest, in_shadow)
    }

    #[test]
    fn one_statement_with_or_without_its_name() {
        let drop = ("drop".to_owned(), "when udp.srcport == 123".to_owned(), false);
        assert_eq!(written("drop when udp.srcport == 123"), drop);
        assert_eq!(written(&format!("# why\ndrop {NAME} when udp.srcport == 123 # so\n")), drop);
        let limit = "when udp and tcp.dstport in ports to 10/s per ip.src/24/56";
        let text = format!("shadow limit {limit}");
        assert_eq!(written(&text), ("limit".to_owned(), limit.to_owned(), true));
        let lines = "drop when udp.srcport in { 53, # DNS\n    123 }\n";
        assert_eq!(written(lines).1, "when udp.srcport in { 53, 123 }");
    }

    #[test]
    fn what_is_refused_is_shown_with_its_place_and_the_fix() {
        let never = of_set();
        for (text, told) in [
            ("", &["it is not one statement", "help: write one `drop when"][..]),
            ("drop when udp\ndrop when tcp", &["it is not one statement", "1 | / drop when udp"]),
            ("default drop", &["it is not one statement"]),
            (
                "pass when udp",
                &["error[E0003]: it is neither `drop` nor `limit`", "| ^^^^\n", "help: say `drop`"],
            ),
            (
                "drop other when udp",
                &[
                    "is called `mitigation_1_ntp_amplification`, and not `other`",
                    ":1:6",
                    "help: leave the name",
                ],
            ),
            ("likely drop when udp", &["a mitigation has no `likely`", "help: leave it out"]),
            ("drop when udp.sport == 1", &["E0101", "mitigation_1_ntp_amplification:1:15"]),
            ("drop when (", &["E0003"]),
            ("drop when ip.src in nowhere", &["E0101", "nowhere"]),
            (
                "drop when udp.srcport == 123",
                &[
                    "error[E0117]: it may match what is protected",
                    "mitigation_1_ntp_amplification:1:11",
                    "such as `udp",
                    "help: leave that out: put `and not (ip.src in protected)` behind it",
                ],
            ),
            ("limit when udp to 10/s", &["E0117"]),
            ("shadow drop when udp", &["E0117"]),
            ("drop", &["E0003", "it has no condition", "help: say for which"]),
            ("drop when eth", &["E0117"]),
            // The set may change.
            ("drop when udp and not ip.src == 192.0.2.0/24", &["E0117"]),
            ("drop when udp or tcp and not ip.src in protected", &["E0117"]),
        ] {
            let refused = read(POLICY, text, &never).unwrap_err();
            for words in told {
                assert!(refused.contains(words), "{text}: `{words}` is not in\n{refused}");
            }
        }
    }

    #[test]
    fn what_is_protected_may_be_left_out_in_any_way_that_can_be_proven() {
        let never = of_set();
        for text in [
            "drop when udp and not ip.src in protected",
            "drop when not ip.src in protected and (udp or tcp)",
            "drop when udp and not (ip.src in protected or udp.dstport == 53)",
            "limit when tcp and not ip.src in protected to 10/s",
            // Neither family has a source.
            "drop when arp",
        ] {
            assert!(
                read(POLICY, text, &never).is_ok(),
                "{text}: {}",
                read(POLICY, text, &never).unwrap_err()
            );
        }
        // A list of the fleet, which no policy changes.
        let list = Protected { set: None, ..of_set() };
        for (text, is_fine) in [
            ("drop when udp and not ip.src == 192.0.2.0/24", true),
            ("drop when udp and ip.src in { 10.0.0.0/8, 192.0.3.0/24 }", true),
            ("drop when ip6 and udp", true),
            ("drop when udp and not ip.src == 192.0.2.0/25", false),
        ] {
            let told = read(POLICY, text, &list).map(drop);
            assert_eq!(told.is_ok(), is_fine, "{text}: {told:?}");
        }
        let victims = vec![Prefix::host([203, 0, 113, 9].into())];
        let victims = Protected { victims, ..Protected::default() };
        assert!(read(POLICY, "drop when ip.dst == 203.0.113.8", &victims).is_ok());
        let told = read(POLICY, "drop when ip.dst == 203.0.113.0/24", &victims).unwrap_err();
        assert!(told.contains("and not (ip.dst in { 203.0.113.9 })"), "{told}");
    }

    #[test]
    fn a_long_list_is_left_out_by_its_name() {
        let elements: Vec<String> =
            (0..20_000u32).map(|n| format!("10.{}.{}.{}", n >> 12, n >> 4 & 255, (n & 15) * 16)).collect();
        let policy = format!("set protected : ip = {{ {} }}\nsample all 1 in 10\n", elements.join(", "));
        let never = Protected { set: Some("protected".into()), ..Protected::default() };
        read(&policy, "drop when udp and not ip.src in protected", &never).unwrap();
    }

    #[test]
    fn what_never_applies_is_taken_with_a_warning() {
        let policy = "pass all when udp\nsample x 1 in 10\ndrop telnet when tcp.dstport == 23\n";
        let edit = read(policy, "drop when udp.srcport == 1", &Protected::default()).unwrap();
        let told = edit.warnings.to_string();
        assert!(told.contains("W0301") && told.contains(NAME), "{told}");
        assert_eq!(read(policy, "drop when tcp", &Protected::default()).unwrap().warnings.to_string(), "");
    }

    #[test]
    fn samples_are_matched_as_far_as_they_show() {
        let frame = |port: u16| -> Vec<u8> {
            let packet =
                Packet::new().push(Ethernet::default()).push(Ipv4::new([192, 0, 2, 1], [192, 0, 2, 9]));
            packet.push(Udp::new(port, 4000)).payload(vec![7; 400]).build()
        };
        let matches = |text: &str, frame: &[u8], shown: usize| {
            let sample = Sample {
                time: Duration::ZERO,
                header: &frame[..shown],
                frame_len: frame.len() as u32,
                one_in: 1,
                fate: Fate::Passed,
                statement: None,
            };
            read(POLICY, text, &Protected::default()).unwrap().matcher.matches(&sample)
        };
        let ntp = frame(123);
        assert_eq!(matches("drop when udp.srcport == 123 and frame.len > 400", &ntp, 128), Some(true));
        assert_eq!(matches("drop when udp.srcport == 53", &ntp, 128), Some(false));
        assert_eq!(matches("limit when ip.src in protected to 1/s", &ntp, 128), Some(true));
        assert_eq!(matches("drop when udp.payload[200:1] > 100", &ntp, 128), None, "it is not shown");
        assert_eq!(matches("drop when udp.payload[200:1] > 100", &ntp, ntp.len()), Some(false));
    }
}
