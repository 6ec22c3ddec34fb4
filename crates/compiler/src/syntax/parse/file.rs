//! A text's items, and those that are not statements: includes, sets, families, tests.

use super::{Parsed, Parser, Reported, words};
use crate::diagnostic::{Code, nearest};
use crate::syntax::ast::{Family, Include, Item, Set, Test, TypeName};
use crate::syntax::token::Kind;

/// What begins an item, for messages.
const ITEM: &str = "a statement, a set, a pool, a protocol or a test";

impl Parser<'_> {
    pub(super) fn items(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while self.raw().kind != Kind::End {
            self.open.clear();
            self.nesting = 0;
            self.item_start = self.at;
            let item = self.item();
            let ended = item.is_ok() && self.peek() == Kind::End;
            if item.is_ok() && !ended {
                self.trailing();
            }
            items.extend(item.ok());
            if !ended {
                self.skip_item();
            }
        }
        items
    }

    /// Whether an item begins at this token, judging by the word and what follows it: a field of a
    /// protocol may be called `count`, but then a `:` comes next.
    pub(super) fn begins_item(&self, index: usize) -> bool {
        let (token, next) = (self.tokens[index], self.tokens.get(index + 1));
        if token.kind != Kind::Word || !words::ITEMS.contains(&self.text_of(token)) {
            return false;
        }
        let alone = next.is_none_or(|n| n.fresh || n.kind == Kind::End);
        match next {
            _ if alone => matches!(self.text_of(token), "pass" | "drop"),
            Some(next) => matches!(next.kind, Kind::Word | Kind::Text),
            None => false,
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        let Some(word) = self.word() else {
            return Err(self.unexpected(ITEM));
        };
        match word {
            "include" => self.include().map(Item::Include),
            "set" => self.set().map(Item::Set),
            "pool" => self.pool().map(Item::Pool),
            "protocol" => self.protocol().map(Item::Protocol),
            "family" => self.family().map(Item::Family),
            "default" => self.default().map(Item::Default),
            "test" => self.test().map(Item::Test),
            "likely" | "unlikely" | "shadow" => self.statement().map(Item::Statement),
            _ if words::is_verb(word) => self.statement().map(Item::Statement),
            _ if words::is_planned(word) => Err(self.planned(word)),
            _ => self.foreign_item(word),
        }
    }

    pub(super) fn planned(&mut self, word: &str) -> Reported {
        let span = self.here();
        let message = format!("this version does not have `{word}`");
        let help = "there are `pass`, `drop`, `count`, `limit`, `decap`, `balance`, `sample` and `answer`";
        self.report(Code::Planned, span, message).help(help).done()
    }

    fn foreign_item(&mut self, word: &str) -> Parsed<Item> {
        if let Some(verb) = words::verb_for(word) {
            let span = self.here();
            self.report(Code::Expected, span, format!("no statement is called `{word}`"))
                .help(format!("write `{verb}` instead"));
            return Err(Reported);
        }
        let meant = nearest(word, words::ITEMS.iter().copied());
        let refusal = self.expected(ITEM);
        Err(match meant {
            Some(meant) => refusal.help(format!("perhaps `{meant}`")).done(),
            None => refusal.done(),
        })
    }

    /// Something stands after a whole item on its line.
    fn trailing(&mut self) {
        let clause = self.word().filter(|w| words::continues(w)).map(str::to_owned);
        let refusal = self.after_condition("the line's end");
        if let Some(word) = clause {
            refusal.help(format!("`{word}` has no place here, or comes earlier"));
        }
    }

    fn include(&mut self) -> Parsed<Include> {
        let first = self.at;
        self.bump();
        let path = self.str("the file's name in quotes")?;
        Ok(Include { path, span: self.since(first) })
    }

    fn set(&mut self) -> Parsed<Set> {
        let first = self.at;
        self.bump();
        let name = self.name("the set's name")?;
        if self.peek() != Kind::Colon {
            return Err(self
                .expected("`:` and the set's type")
                .help(format!("write `set {} : ip …`", name.text))
                .done());
        }
        self.bump();
        let mut set = Set {
            name,
            types: self.types()?,
            elements: None,
            from: None,
            timeout: None,
            max: None,
            span: self.since(first),
        };
        // A set whose elements are wrong is still a set: statements that name it are right.
        let _ = self.set_clauses(&mut set);
        set.span = self.since(first);
        Ok(set)
    }

    fn set_clauses(&mut self, set: &mut Set) -> Parsed<()> {
        if self.peek() == Kind::OpenBrace {
            let span = self.here();
            self.report(Code::Expected, span, "expected `=` before the elements").help("write `= { … }`");
            set.elements = Some(self.elements()?);
        } else if self.take(Kind::Assign) {
            set.elements = Some(Vec::new());
            set.elements = Some(self.elements()?);
        }
        if self.take_word("from") {
            set.from = Some(self.str("the file's name in quotes")?);
        }
        if self.take_word("timeout") {
            set.timeout = Some(self.literal("a duration such as `10m`")?);
        }
        if self.take_word("max") {
            set.max = Some(self.literal("a number of elements such as `64k`")?);
        }
        Ok(())
    }

    fn types(&mut self) -> Parsed<Vec<TypeName>> {
        let first = self.at;
        if !self.take(Kind::OpenParen) {
            return Ok(vec![self.type_name()?]);
        }
        let mut types = vec![self.type_name()?];
        while self.take(Kind::Comma) {
            types.push(self.type_name()?);
        }
        self.close_paren(first)?;
        Ok(types)
    }

    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        let path = self.path("a type or a field's name")?;
        Ok(TypeName { path })
    }

    fn family(&mut self) -> Parsed<Family> {
        let first = self.at;
        self.bump();
        let name = self.name("the family's name")?;
        self.expect(Kind::Assign, "`=`")?;
        let mut members = vec![self.path("a protocol")?];
        while self.take(Kind::Comma) {
            members.push(self.path("a protocol")?);
        }
        Ok(Family { name, members, span: self.since(first) })
    }

    fn test(&mut self) -> Parsed<Test> {
        let first = self.at;
        self.bump();
        let name = self.str("the test's name in quotes")?;
        let cases = self.block(|p| p.test_case())?;
        Ok(Test { name, cases, span: self.since(first) })
    }
}
