//! Imports beside what they give: `golden/NAME` and `golden/NAME.weir`. Inputs were written by the tools
//! themselves where a tool writes them. `WEIR_BLESS=1` writes the policies anew.

use std::fs;
use std::path::{Path, PathBuf};
use weir_bpf::target::Target;
use weir_compiler::{Hook, NoFiles, diagnostic};
use weir_import::{Import, Options, import};

struct Case {
    file: &'static str,
    options: fn(Options) -> Options,
}

const fn plain(file: &'static str) -> Case {
    Case { file, options: |options| options }
}

const CASES: &[Case] = &[
    plain("server.save"),
    plain("chains.save"),
    plain("limits.save"),
    Case { file: "sets.save", options: |options| Options { ipset: Some(read("sets.ipset")), ..options } },
    plain("refused.save"),
    plain("six.save"),
    Case {
        file: "interface.save",
        options: |options| Options {
            interface: Some("eth0".into()),
            chains: vec!["FORWARD".into()],
            ..options
        },
    },
    Case {
        file: "two.save",
        options: |options| Options {
            chains: vec!["filter/INPUT".into(), "raw/PREROUTING".into()],
            ..options
        },
    },
    plain("many.save"),
    plain("inet.json"),
    plain("netdev.json"),
    Case {
        file: "ip.json",
        options: |options| Options {
            interface: Some("eth0".into()),
            chains: vec!["raw".into(), "input".into()],
            ..options
        },
    },
    plain("drop.txt"),
    plain("mixed.netset"),
    plain("drop.jsonl"),
    plain("blocked.ipset"),
    plain("acls.json"),
];

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn imported(case: &Case) -> Import {
    let options = (case.options)(Options { name: case.file.into(), ..Options::default() });
    import(&read(case.file), &options).unwrap_or_else(|garbage| panic!("{}: {garbage}", case.file))
}

#[test]
fn imports_are_as_written_and_compile() {
    for case in CASES {
        let import = imported(case);
        compiles(case.file, &import.policy);
        let expected = format!("{}.weir", case.file);
        if std::env::var_os("WEIR_BLESS").is_some() {
            fs::write(path(&expected), &import.policy).expect("a file");
        }
        assert_eq!(import.policy, read(&expected), "{}", case.file);
    }
}

fn compiles(file: &str, policy: &str) {
    let options = weir_compiler::Options::new(Target::newest(), Hook::Xdp);
    if let Err(analysis) = weir_compiler::compile(file, policy, &NoFiles, &options) {
        let told = diagnostic::render(&analysis.diagnostics, &analysis.sources, diagnostic::Style::Plain);
        panic!("{told}\n{policy}");
    }
}

/// Whatever is cut off or turned around, the answer is a policy that compiles or an error with a place.
#[test]
fn broken_input_never_panics() {
    for case in CASES {
        let text = read(case.file);
        for step in 1..60 {
            let cut = text.len() * step / 60;
            let Some(start) = text.get(..cut) else { continue };
            try_import(case, start);
            try_import(case, &start.replace("-j", "-g").replace("\"right\"", "\"left\""));
            try_import(case, &start.replace(['1', ':'], "9").replace('/', "!"));
        }
    }
}

fn try_import(case: &Case, text: &str) {
    let options = (case.options)(Options { name: case.file.into(), ..Options::default() });
    match import(text, &options) {
        Ok(import) => {
            let analysis = weir_compiler::analyse(case.file, &import.policy, &NoFiles);
            assert!(!analysis.diagnostics.has_errors(), "{}\n{text}\n{}", case.file, import.policy);
        }
        Err(garbage) => assert!(!garbage.message.is_empty()),
    }
}

/// `docs/import.md` shows an import as it is.
#[test]
fn the_page_shows_what_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/import.md");
    let text = fs::read_to_string(&page).expect("the page");
    let block = |kind: &str| {
        let (_, rest) = text.split_once(&format!("```{kind}\n")).expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let import =
        import(block("text"), &Options { name: "rules".into(), ..Options::default() }).expect("a policy");
    compiles("docs/import.md", &import.policy);
    if std::env::var_os("WEIR_BLESS").is_some() {
        let old = format!("```weir\n{}```", block("weir"));
        fs::write(&page, text.replace(&old, &format!("```weir\n{}```", import.policy))).expect("the page");
        return;
    }
    assert_eq!(import.policy, block("weir"));
}
