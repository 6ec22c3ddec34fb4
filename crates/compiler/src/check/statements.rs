//! Statements and the default.

use super::Checker;
use super::quoted::or_errors;
use crate::diagnostic::Code;
use crate::ir::Verdict;
use crate::policy::{Action, Balance, Decap, Pred, Service, Statement, cookie, echo, services};
use crate::source::Span;
use crate::syntax::ast;
use std::collections::HashMap;

impl Checker<'_> {
    pub(super) fn statements(&mut self) {
        let mut names = HashMap::new();
        let mut default_at: Option<Span> = None;
        for item in self.items() {
            match item {
                ast::Item::Statement(statement) => self.statement(statement, &mut names),
                ast::Item::Default(default) => {
                    if let Some(first) = default_at.replace(default.span) {
                        self.diagnostics
                            .report(Code::Duplicate, default.span, "there are two defaults")
                            .label("the second")
                            .also(first, "the first");
                    }
                    self.policy.default = Verdict::named(&default.verdict.text);
                }
                _ => {}
            }
        }
        self.warn_unused_sets();
        self.check_uses_of_pools();
        self.ways_of_checks();
        self.policy.services = self.served();
    }

    /// What is behind each `balance` that is in force.
    fn served(&self) -> Vec<Service> {
        let statements = self.policy.statements.iter();
        let balances = statements.filter(|one| !one.shadow && matches!(one.action, Action::Balance(_)));
        let asked = balances.filter_map(|one| Some((one.name.as_str(), self.services.get(&one.name)?)));
        services(&self.policy, asked)
    }

    fn statement(&mut self, ast: &ast::Statement, names: &mut HashMap<String, Span>) {
        let name = self.statement_name(ast);
        let place = ast.name.as_ref().map_or(ast.action_span, |n| n.span);
        if name == "default" {
            self.diagnostics
                .report(Code::Duplicate, place, "`default` is the name of the policy's default")
                .help("call the statement something else");
        }
        if let Some(first) = names.insert(name.clone(), place) {
            self.duplicate("statements", &name, place, first);
        }
        let when = match &ast.when {
            Some(expr) => self.pred(expr),
            None => Some(Pred::Const(true)),
        };
        let action = match &ast.action {
            ast::Action::Pass => Some(Action::Verdict(Verdict::Pass)),
            ast::Action::Drop => Some(Action::Verdict(Verdict::Drop)),
            ast::Action::Count => Some(Action::Count),
            ast::Action::Limit(limit) => self.limit(limit).map(Action::Limit),
            ast::Action::Decap => Some(Action::Decap),
            ast::Action::Balance(balance) => self.balance(balance).map(Action::Balance),
            ast::Action::Syncookie => Some(Action::Syncookie),
            ast::Action::Sample(sample) => self.sample(sample).map(Action::Sample),
        };
        if let (ast::Action::Balance(balance), Some(when)) = (&ast.action, &when) {
            self.echo(ast, balance, &name, when);
            self.services.insert(name.clone(), when.clone());
        }
        let when = match &action {
            Some(Action::Balance(_)) => when.map(|when| or_errors(&self.policy.protocols, when)),
            _ => when,
        };
        let when = when.map(|when| match (self.applies(&action), when) {
            (Some(applies), when) => Pred::And(vec![applies, when]),
            (None, when) => when,
        });
        let mut action = action;
        if let (Some(when), Some(Action::Balance(balance))) = (&when, &mut action) {
            balance.only_for(when, &self.policy.protocols);
        }
        if let (Some(Action::Balance(balance)), false) = (&action, ast.shadow)
            && balance.via.banks().is_some()
        {
            let back = self.answer(ast, &name, balance);
            self.policy.statements.push(back);
        }
        // After an error the statement still stands in the list, so that later messages number
        // and name the statements as the user does.
        self.policy.statements.push(Statement {
            name,
            span: ast.span,
            likelihood: ast.likelihood,
            shadow: ast.shadow,
            action: action.unwrap_or(Action::Count),
            when: when.unwrap_or(Pred::Const(true)),
        });
    }

    /// The way back of what a statement translates.
    fn answer(&self, ast: &ast::Statement, name: &str, balance: &Balance) -> Statement {
        let mut back = Balance { keys: Vec::new(), families: [true; 2], ..balance.clone() };
        let when = back.answers(&self.policy.protocols);
        back.only_for(&when, &self.policy.protocols);
        Statement {
            name: format!("{name}/back"),
            span: ast.span,
            likelihood: None,
            shadow: false,
            action: Action::Answer(back),
            when,
        }
    }

    /// What answers echo requests for a service is a statement of its own, before the one that sends.
    fn echo(&mut self, ast: &ast::Statement, balance: &ast::Balance, name: &str, when: &Pred) {
        let Some(span) = balance.echo else { return };
        let Some(when) = echo::requests(&self.policy.protocols, when) else {
            let message =
                "`echo` answers for the addresses that the condition asks for, and it asks for none";
            let found = self.diagnostics.report(Code::BadEcho, span, message);
            if let Some(when) = &ast.when {
                found.also(when.span, "holds for any destination");
            }
            found.help("say them before all else: `when ip.dst == 203.0.113.10 and …`, or `ip.dst in { … }`");
            return;
        };
        self.policy.statements.push(Statement {
            name: format!("{name}/echo"),
            span: ast.span,
            likelihood: None,
            shadow: ast.shadow,
            action: Action::Echo,
            when,
        });
    }

    /// To which packets a statement that changes frames applies, whatever its condition says besides.
    fn applies(&self, action: &Option<Action>) -> Option<Pred> {
        let protocols = &self.policy.protocols;
        match action {
            Some(Action::Decap) => {
                Some(Decap::of(protocols).map_or(Pred::Const(false), |decap| decap.applies(protocols)))
            }
            Some(Action::Syncookie) => Some(cookie::segments(protocols)),
            Some(Action::Balance(balance)) => {
                let applies = Balance::applies(protocols);
                Some(match balance.translates() {
                    Some(six) => Pred::And(vec![applies, Balance::of_family(protocols, six)]),
                    None => applies,
                })
            }
            _ => None,
        }
    }

    /// The given name, or the action and line: `drop@12`, in an included file `drop@lists.weir:12`.
    fn statement_name(&self, ast: &ast::Statement) -> String {
        if let Some(name) = &ast.name {
            return name.text.clone();
        }
        let source = self.source(ast.action_span.source);
        let (line, _) = source.line_column(ast.action_span.start);
        let verb = self.text(ast.action_span);
        let main = self.input.main == ast.action_span.source;
        if main { format!("{verb}@{line}") } else { format!("{verb}@{}:{line}", source.name) }
    }
}
