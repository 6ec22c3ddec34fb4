//! The policy language and its compiler: text → checked policy → plan → IR → eBPF object.
//!
//! [`compile`] is the table of contents. Everything is a pure function of the policy, the files
//! that it names (through a [`Loader`]) and [`Options`]; the same input gives the same bytes.
//!
//! Four engines judge packets: [`eval`] (the checked policy, read plainly), [`ir::interp`] on the IR
//! before and after [`passes`], `weir_bpf::interp` on the emitted bytecode, and the kernel.

pub mod check;
pub mod codegen;
pub mod diagnostic;
pub mod diff;
pub mod eval;
mod hash;
pub mod index;
pub mod ir;
mod known;
pub mod load;
pub mod lower;
pub mod nat;
pub mod notation;
pub mod passes;
pub mod plan;
pub mod policy;
pub mod sampling;
pub mod sockets;
pub mod source;
pub mod state;
pub mod symbolic;
pub mod syntax;
pub mod table;

pub use codegen::Hook;
pub use known::Known;
pub use load::{Loader, NoFiles};

use diagnostic::{Code, Diagnostics};
use lower::Lowered;
use plan::Plan;
use policy::Policy;
use source::{SourceId, Sources, Span};
use weir_bpf::object::Object;
use weir_bpf::target::Target;

/// What to compile for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the kernel can do.
    pub target: Target,
    /// Where the program will be attached.
    pub hook: Hook,
    /// The program's name in the kernel.
    pub name: String,
    /// XDP frames may have several buffers (jumbo frames): only their first is looked at.
    pub frags: bool,
    /// Counter slots and captured statements.
    pub lower: lower::Options,
    /// Passes that are left out, by name; for `weir debug` and the tests.
    pub without: Vec<String>,
    /// Cuts the program into functions of so many branches, whether the kernel's verifier needs that or not; for the
    /// tests and benches.
    pub part: Option<u32>,
}

impl Options {
    /// XDP on a target.
    pub fn new(target: Target, hook: Hook) -> Self {
        let lower = lower::Options::default();
        Self { target, hook, name: "weir".into(), frags: false, lower, without: Vec::new(), part: None }
    }
}

/// A policy that was read and understood as far as possible.
pub struct Analysis {
    /// All texts.
    pub sources: Sources,
    /// The policy's own text.
    pub main: SourceId,
    /// The checked policy; of no use if there are errors.
    pub policy: Policy,
    /// Its plan, if there are no errors.
    pub plan: Option<Plan>,
    /// The cases of its tests, their packets built.
    pub cases: Vec<notation::Case>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
}

/// A compiled policy.
pub struct Compilation {
    /// What was compiled, with its warnings.
    pub analysis: Analysis,
    /// The program in IR after the passes, with what user space must know of its maps.
    pub lowered: Lowered,
    /// The object for the kernel.
    pub object: Object,
}

/// Compiles a policy; if that cannot be, what was found wrong is in [`Analysis::diagnostics`].
pub fn compile(
    name: &str,
    text: &str,
    loader: &dyn Loader,
    options: &Options,
) -> Result<Compilation, Analysis> {
    analyse(name, text, loader).compile(options)
}

/// Reads, checks and plans a policy.
pub fn analyse(name: &str, text: &str, loader: &dyn Loader) -> Analysis {
    let mut diagnostics = Diagnostics::default();
    let loaded = load::load(name, text, loader, &mut diagnostics);
    let input = check::Input {
        sources: &loaded.sources,
        main: loaded.main,
        items: &loaded.items,
        set_files: &loaded.set_files,
        known: loader.known(),
    };
    let policy = check::check(&input, &mut diagnostics);
    let cases = notation::cases(&policy, &mut diagnostics);
    let fine = !diagnostics.has_errors();
    let plan = if fine { plan::plan(&policy) } else { None };
    match &plan {
        Some(plan) => {
            plan::warnings(&policy, plan, &mut diagnostics);
            tell_too_long(&policy, plan, &mut diagnostics);
        }
        None if fine => tell_too_many_ways(&policy, loaded.main, &mut diagnostics),
        None => {}
    }
    Analysis { sources: loaded.sources, main: loaded.main, policy, plan, cases, diagnostics }
}

fn tell_too_long(policy: &Policy, plan: &Plan, diagnostics: &mut Diagnostics) {
    let Some((statement, comparisons)) = plan.too_long() else { return };
    let statement = &policy.statements[statement];
    diagnostics
        .report(
            Code::TooComplex,
            statement.span,
            format!("up to `{}` the statements fit one program, with it they do not", statement.name),
        )
        .label(format!("all together ask {comparisons} comparisons one after the other"))
        .help(
            "neighbours that pass or drop are matched as one if they ask for ranges of the same few fields, eight at \
             most, and do not overlap in too many ways; values that one statement lists can be a set",
        );
}

fn tell_too_many_ways(policy: &Policy, main: SourceId, diagnostics: &mut Diagnostics) {
    let own = policy.protocols.list.iter().map(|protocol| protocol.span).find(|span| span.source == main);
    let span = own.or(policy.statements.first().map(|s| s.span)).unwrap_or(Span::new(main, 0, 0));
    diagnostics
        .report(
            Code::TooComplex,
            span,
            "the protocols can follow each other in too many ways for one program",
        )
        .help("let `stack` be less deep, or say `inner` where a new packet begins");
}

impl Analysis {
    /// Compiles what was read; if that cannot be, it comes back with what was found wrong.
    pub fn compile(mut self, options: &Options) -> Result<Compilation, Analysis> {
        let Some(lowered) = self.lower(&options.lower, &options.without) else { return Err(self) };
        self.note_hook(options.hook);
        let mut codegen = options.codegen();
        codegen.indexes = lowered.index_bytes(&self.policy);
        codegen.pools = self.policy.pools.iter().map(codegen::pools::image).collect();
        match codegen::generate(&lowered.program, &codegen) {
            Ok(object) => Ok(Compilation { analysis: self, lowered, object }),
            Err(error) => {
                self.refuse(&error, &lowered.program);
                Err(self)
            }
        }
    }

    /// The program in IR after the passes; `None` if the policy has errors.
    pub fn lower(&self, options: &lower::Options, without: &[String]) -> Option<Lowered> {
        let mut lowered = self.lower_plainly(options)?;
        passes::optimise(&mut lowered.program, without);
        Some(lowered)
    }

    /// The program in IR as the lowering makes it.
    pub fn lower_plainly(&self, options: &lower::Options) -> Option<Lowered> {
        let plan = self.plan.as_ref().filter(|_| !self.diagnostics.has_errors())?;
        Some(lower::lower(&self.policy, plan, &self.sources, options))
    }

    /// At tc the outer VLAN tag is in the kernel's metadata and no longer in the packet
    /// (`skb_vlan_untag`, net/core/dev.c), so the program sees the next one as the first.
    fn note_hook(&mut self, hook: Hook) {
        let Some(plan) = self.plan.as_ref().filter(|_| hook != Hook::Xdp) else { return };
        let is_tag = |header: &policy::HeaderRef| {
            header.level == 0 && self.policy.protocols[header.protocol].name == "vlan"
        };
        let tags: Vec<_> = plan.demand.headers.iter().copied().filter(is_tag).collect();
        let asks = |pred: &policy::Pred| plan::headers_asked(pred).iter().any(|h| tags.contains(h));
        for statement in self.policy.statements.iter().filter(|s| asks(&s.when)) {
            self.diagnostics
                .report(
                    Code::TagTaken,
                    statement.span,
                    format!("at tc `{}` does not see a packet's outer VLAN tag", statement.name),
                )
                .label("`vlan` is the second tag here")
                .help("attach the policy at XDP, where the tag is still in the frame");
        }
    }

    fn refuse(&mut self, error: &codegen::CodegenError, program: &ir::Program) {
        let start = Span::new(self.main, 0, 0);
        let line = match error {
            codegen::CodegenError::Verifier { line, .. }
            | codegen::CodegenError::XdpOnly { line }
            | codegen::CodegenError::Missing { line, .. } => program.lines[line.index()].span,
            _ => None,
        };
        let span = line.or(self.policy.statements.first().map(|s| s.span)).unwrap_or(start);
        match error {
            codegen::CodegenError::Missing { .. } => {
                self.diagnostics.report(Code::Unsupported, span, error.to_string());
                return;
            }
            codegen::CodegenError::XdpOnly { .. } => {
                let told = self.diagnostics.report(Code::Unsupported, span, error.to_string());
                told.help(
                    "attach the policy at XDP, or say `shadow` before it to count what it would change",
                );
                return;
            }
            _ => {}
        }
        self.diagnostics
            .report(Code::TooComplex, span, format!("the policy does not fit one program: {error}"))
            .help("split it, or move long lists of values into sets");
    }
}

impl Options {
    fn codegen(&self) -> codegen::Options {
        let mut options = codegen::Options::new(self.target.clone(), self.hook);
        options.name = self.name.clone();
        options.frags = self.frags;
        options.part = self.part;
        options
    }
}
