//! Protocol definitions.

use super::{Parsed, Parser, Reported};
use crate::diagnostic::Code;
use crate::syntax::ast::{
    Field, Literal, Name, Next, OptionKind, OptionLength, Options, Over, Path, Protocol, ProtocolEntry,
    Selector, Stack, Table,
};
use crate::syntax::token::Kind;

impl Parser<'_> {
    pub(super) fn protocol(&mut self) -> Parsed<Protocol> {
        let first = self.at;
        self.bump();
        let mut protocol = Protocol {
            name: self.path("the protocol's name")?,
            reference: None,
            root: None,
            transport: None,
            stack: None,
            entries: Vec::new(),
            span: self.since(first),
        };
        if self.peek() == Kind::Text {
            protocol.reference = Some(self.str("the document's name")?);
        }
        self.protocol_flags(&mut protocol)?;
        let entries = self.block(|p| p.protocol_entry())?;
        protocol.entries = entries.into_iter().flatten().collect();
        protocol.span = self.since(first);
        Ok(protocol)
    }

    fn protocol_flags(&mut self, protocol: &mut Protocol) -> Parsed<()> {
        loop {
            let span = self.here();
            match self.word() {
                Some("root") if protocol.root.is_none() => protocol.root = Some(span),
                Some("transport") if protocol.transport.is_none() => {
                    protocol.transport = Some(span);
                }
                Some("stack") if protocol.stack.is_none() => {
                    protocol.stack = Some(self.stack()?);
                    continue;
                }
                _ if self.peek() == Kind::OpenBrace => return Ok(()),
                _ => return Err(self.unexpected("`root`, `transport`, `stack` or `{`")),
            }
            self.bump();
        }
    }

    fn stack(&mut self) -> Parsed<Stack> {
        let first = self.at;
        self.bump();
        let group = match self.peek() {
            Kind::Word => Some(self.name("the shared count's name")?),
            _ => None,
        };
        let depth = self.small_number("how many of it may follow each other, a number")?;
        Ok(Stack { group, depth, span: self.since(first) })
    }

    /// Several, because `over` may name several places.
    fn protocol_entry(&mut self) -> Parsed<Vec<ProtocolEntry>> {
        let Some(word) = self.word() else {
            return Err(self.unexpected("a field, or `over`, `length`, `require`, `next` …"));
        };
        // Any word may be a field's name: what follows it decides.
        if matches!(self.nth(1), Kind::Colon | Kind::Dot) {
            return Ok(vec![ProtocolEntry::Field(self.protocol_field()?)]);
        }
        if self.nth(1) == Kind::Assign {
            let name = self.name("a name")?;
            self.bump();
            return Ok(vec![ProtocolEntry::Derived(name, self.expr()?)]);
        }
        let entry = match word {
            "over" => return self.overs(),
            "any" => self.any()?,
            "length" => {
                self.bump();
                ProtocolEntry::Length(self.expr()?)
            }
            "require" => {
                self.bump();
                ProtocolEntry::Require(self.expr()?)
            }
            "carries" => {
                self.bump();
                self.expect_word("when")?;
                ProtocolEntry::Carries(self.expr()?)
            }
            "next" => ProtocolEntry::Next(self.next()?),
            "options" => ProtocolEntry::Options(self.options()?),
            _ => ProtocolEntry::Field(self.protocol_field()?),
        };
        Ok(vec![entry])
    }

    fn overs(&mut self) -> Parsed<Vec<ProtocolEntry>> {
        let mut first = self.at;
        self.bump();
        let mut overs = Vec::new();
        loop {
            let space = self.path("a number space such as `ipproto`")?;
            let number = self.literal("a number")?;
            let inner = self.take_flag("inner");
            overs.push(ProtocolEntry::Over(Over { space, number, inner, span: self.since(first) }));
            if !self.take(Kind::Comma) {
                return Ok(overs);
            }
            first = self.at;
        }
    }

    /// Takes a word that is not the next field's name.
    fn take_flag(&mut self, word: &str) -> bool {
        !self.names_field() && self.take_word(word)
    }

    fn names_field(&self) -> bool {
        matches!(self.nth(1), Kind::Colon | Kind::Assign | Kind::Dot)
    }

    fn any(&mut self) -> Parsed<ProtocolEntry> {
        self.bump();
        let name = self.name("the name for either field")?;
        self.expect(Kind::Assign, "`=`")?;
        let mut fields: Vec<Name> = vec![self.name("a field")?];
        while self.take(Kind::Comma) {
            fields.push(self.name("a field")?);
        }
        Ok(ProtocolEntry::Any(name, fields))
    }

    fn protocol_field(&mut self) -> Parsed<Field> {
        let first = self.at;
        let name = self.path("a field's name")?;
        if self.peek() != Kind::Colon {
            return Err(self
                .expected("`:` and the field's type")
                .help("a field is written `NAME : TYPE`, such as `ttl : u8`")
                .done());
        }
        self.bump();
        let ty = self.type_name()?;
        let at = match self.take_flag("at") {
            true => Some(self.expr()?),
            false => None,
        };
        let when = match self.take_flag("when") {
            true => Some(self.expr()?),
            false => None,
        };
        let bits = match self.peek() {
            Kind::OpenBrace => self.fields()?,
            _ => Vec::new(),
        };
        Ok(Field { name, ty, at, when, bits, span: self.since(first) })
    }

    fn fields(&mut self) -> Parsed<Vec<Field>> {
        self.nested(|p| p.block(|p| p.protocol_field()))
    }

    fn next(&mut self) -> Parsed<Next> {
        let first = self.at;
        self.bump();
        let (selector, table) = match self.word() {
            Some("always") if self.nth(1) == Kind::Assign => {
                let always = self.here();
                self.bump();
                self.bump();
                (Selector::Always(always), Table::One(self.path("a protocol")?))
            }
            Some("peek") if self.nth(1) == Kind::Word && !self.next_is("in") => {
                (self.peek_selector()?, self.table()?)
            }
            _ => (Selector::Field(self.path("a field, `peek` or `always`")?), self.table()?),
        };
        let inner = self.take_flag("inner");
        let when = match self.take_flag("when") {
            true => Some(self.expr()?),
            false => None,
        };
        Ok(Next { selector, table, inner, when, span: self.since(first) })
    }

    fn next_is(&self, word: &str) -> bool {
        self.tokens.get(self.at + 1).is_some_and(|&t| self.text_of(t) == word)
    }

    fn peek_selector(&mut self) -> Parsed<Selector> {
        let first = self.at;
        self.bump();
        let bits = self.word().and_then(|w| w.strip_prefix('u')?.parse().ok());
        match bits {
            Some(bits) => {
                self.bump();
                Ok(Selector::Peek(bits, self.since(first)))
            }
            None => Err(self.unexpected("how many bits to look at, such as `u4`")),
        }
    }

    fn table(&mut self) -> Parsed<Table> {
        if self.take_word("in") {
            return Ok(Table::Space(self.path("a number space such as `ipproto`")?));
        }
        if self.peek() != Kind::OpenBrace {
            return Err(self.unexpected("`in` and a number space, or `{ NUMBER = PROTOCOL … }`"));
        }
        let first = self.at;
        let entries = self.block(|p| p.table_entry())?;
        Ok(Table::Entries(entries, self.since(first)))
    }

    fn table_entry(&mut self) -> Parsed<(Literal, Path)> {
        let number = self.literal("a number")?;
        self.expect(Kind::Assign, "`=` and a protocol")?;
        let protocol = self.path("a protocol")?;
        self.take(Kind::Comma);
        Ok((number, protocol))
    }

    fn options(&mut self) -> Parsed<Options> {
        let first = self.at;
        self.bump();
        self.expect_word("from")?;
        let from = self.small_number("the options' first byte, a number")?;
        let length = self.option_length()?;
        let kinds = self.block(|p| p.option_kind())?;
        Ok(Options { from, length, kinds, span: self.since(first) })
    }

    fn option_length(&mut self) -> Parsed<OptionLength> {
        if !self.take_word("length") {
            return Ok(OptionLength::Whole);
        }
        let length = match self.word() {
            Some("whole") => OptionLength::Whole,
            Some("value") => OptionLength::Value,
            _ => return Err(self.unexpected("`whole` or `value`")),
        };
        self.bump();
        Ok(length)
    }

    fn option_kind(&mut self) -> Parsed<OptionKind> {
        let first = self.at;
        if self.peek() != Kind::Constant {
            return Err(self.option_without_number());
        }
        let number = self.literal("the option's number")?;
        let name = self.name("the option's name")?;
        let fields = match self.peek() {
            Kind::OpenBrace => self.fields()?,
            _ => Vec::new(),
        };
        Ok(OptionKind { number, name, fields, span: self.since(first) })
    }

    fn option_without_number(&mut self) -> Reported {
        let found = self.here();
        let message = "an option begins with its number";
        match self.peek() {
            Kind::End => self.unexpected("`}`"),
            _ => self
                .report(Code::Expected, found, message)
                .help("an option is written `2 mss { val : u16 }`")
                .done(),
        }
    }
}
