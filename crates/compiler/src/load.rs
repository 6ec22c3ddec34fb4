//! Reads a policy with everything that it names: included files, files of sets.
//!
//! Files reach the compiler through a [`Loader`], so that the compiler itself opens none.

use crate::Known;
use crate::diagnostic::{Code, Diagnostics};
use crate::source::{SourceId, Sources, Span};
use crate::syntax::{self, ast};
use std::collections::HashMap;

/// Gives the text of a file that a policy names.
pub trait Loader {
    /// The text of `path`, named by the file `from` (as the loader itself named it, or the
    /// policy's own name), and the name by which to call it from now on; or why there is none.
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String>;

    /// What was made of files before, if that is kept.
    fn known(&self) -> Option<&Known> {
        None
    }
}

/// For policies that name no files.
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Err(format!("`{path}` cannot be read here"))
    }
}

/// How deep files may include each other.
const DEPTH: usize = 16;

/// The definitions that come with Weir: name and text.
pub const PROTOCOLS: &[(&str, &str)] = &[
    ("protocols/eth.weir", include_str!("../../../protocols/eth.weir")),
    ("protocols/vlan.weir", include_str!("../../../protocols/vlan.weir")),
    ("protocols/mpls.weir", include_str!("../../../protocols/mpls.weir")),
    ("protocols/arp.weir", include_str!("../../../protocols/arp.weir")),
    ("protocols/ip.weir", include_str!("../../../protocols/ip.weir")),
    ("protocols/ip4.weir", include_str!("../../../protocols/ip4.weir")),
    ("protocols/ip6.weir", include_str!("../../../protocols/ip6.weir")),
    ("protocols/ah.weir", include_str!("../../../protocols/ah.weir")),
    ("protocols/esp.weir", include_str!("../../../protocols/esp.weir")),
    ("protocols/tcp.weir", include_str!("../../../protocols/tcp.weir")),
    ("protocols/udp.weir", include_str!("../../../protocols/udp.weir")),
    ("protocols/udplite.weir", include_str!("../../../protocols/udplite.weir")),
    ("protocols/sctp.weir", include_str!("../../../protocols/sctp.weir")),
    ("protocols/icmp.weir", include_str!("../../../protocols/icmp.weir")),
    ("protocols/icmpv6.weir", include_str!("../../../protocols/icmpv6.weir")),
    ("protocols/igmp.weir", include_str!("../../../protocols/igmp.weir")),
    ("protocols/gre.weir", include_str!("../../../protocols/gre.weir")),
    ("protocols/vxlan.weir", include_str!("../../../protocols/vxlan.weir")),
    ("protocols/geneve.weir", include_str!("../../../protocols/geneve.weir")),
    ("protocols/gue.weir", include_str!("../../../protocols/gue.weir")),
    ("protocols/gtp.weir", include_str!("../../../protocols/gtp.weir")),
    ("protocols/dns.weir", include_str!("../../../protocols/dns.weir")),
    ("protocols/ntp.weir", include_str!("../../../protocols/ntp.weir")),
];

/// Everything that was read.
pub struct Loaded {
    /// All texts.
    pub sources: Sources,
    /// The policy's own text.
    pub main: SourceId,
    /// All items, built-in protocols first, included files where they are included.
    pub items: Vec<ast::Item>,
    /// The texts of sets' files, by the place of the file's name.
    pub set_files: HashMap<Span, SourceId>,
}

/// Reads a policy and all that it names.
pub fn load(name: &str, text: &str, loader: &dyn Loader, diagnostics: &mut Diagnostics) -> Loaded {
    let mut sources = Sources::default();
    let main = sources.add(name, text);
    let mut reading = Reading {
        loaded: Loaded { sources, main, items: Vec::new(), set_files: HashMap::new() },
        loader,
        diagnostics,
    };
    for (name, text) in PROTOCOLS {
        let id = reading.loaded.sources.add(*name, *text);
        reading.file(id, &mut Vec::new());
    }
    reading.file(main, &mut vec![name.to_owned()]);
    reading.loaded
}

struct Reading<'a> {
    loaded: Loaded,
    loader: &'a dyn Loader,
    diagnostics: &'a mut Diagnostics,
}

impl Reading<'_> {
    fn file(&mut self, id: SourceId, open: &mut Vec<String>) {
        let file = syntax::parse(&self.loaded.sources, id, self.diagnostics);
        for item in file.items {
            match item {
                ast::Item::Include(include) => self.include(&include, open),
                other => {
                    if let ast::Item::Set(ast::Set { from: Some(from), .. }) = &other {
                        self.set_file(from);
                    }
                    self.loaded.items.push(other);
                }
            }
        }
    }

    fn include(&mut self, include: &ast::Include, open: &mut Vec<String>) {
        let Some((name, text)) = self.named_file(&include.path) else { return };
        if open.contains(&name) || open.len() >= DEPTH {
            let circle = format!("`{name}` includes itself, by way of {} files", open.len());
            self.diagnostics
                .report(Code::BadInclude, include.path.span, circle)
                .label("this closes the circle");
            return;
        }
        open.push(name.clone());
        let id = self.loaded.sources.add(name, text);
        self.file(id, open);
        open.pop();
    }

    fn set_file(&mut self, from: &ast::Str) {
        let Some((name, text)) = self.named_file(from) else { return };
        let id = self.loaded.sources.add(name, text);
        self.loaded.set_files.insert(from.span, id);
    }

    fn named_file(&mut self, path: &ast::Str) -> Option<(String, String)> {
        let from = self.loaded.sources[path.span.source].name.clone();
        let text = String::from_utf8_lossy(&path.value).into_owned();
        match self.loader.load(&from, &text) {
            Ok(file) => Some(file),
            Err(why) => {
                self.diagnostics.report(Code::BadInclude, path.span, why).label("named here");
                None
            }
        }
    }
}
