//! Test cases and the packets in them.

use super::{Parsed, Parser, Reported};
use crate::diagnostic::Code;
use crate::syntax::ast::{Layer, Literal, LiteralValue, Name, Packet, Path, TestCase};
use crate::syntax::token::Kind;

impl Parser<'_> {
    pub(super) fn test_case(&mut self) -> Parsed<TestCase> {
        let first = self.at;
        let packet = self.packet()?;
        let times = self.times()?;
        self.expect(Kind::Arrow, "`=>` and the verdict")?;
        let verdict = if self.is_word("send") { self.name("`send`")? } else { self.verdict()? };
        let by = match self.take_word("by") {
            true => Some(self.deciding()?),
            false => None,
        };
        let leaves = if self.take_word("as") { Some(self.packet()?) } else { None };
        Ok(TestCase { packet, verdict, by, leaves, times, span: self.since(first) })
    }

    /// The name of a statement, or of what the checker puts before it: `web/back`, `web/echo`.
    fn deciding(&mut self) -> Parsed<Name> {
        let mut name = self.name("the deciding statement's name")?;
        if self.take(Kind::Slash) {
            let Some(part @ ("back" | "echo")) = self.word() else {
                return Err(self.unexpected("`back` or `echo`: a statement's way back is `NAME/back`"));
            };
            name.text.push('/');
            name.text.push_str(part);
            name.span = name.span.to(self.here());
            self.bump();
        }
        Ok(name)
    }

    /// `x1000`, also with a space.
    fn times(&mut self) -> Parsed<Option<u32>> {
        let Some(count) = self.word().and_then(|w| w.strip_prefix('x')) else {
            return Ok(None);
        };
        if count.is_empty() {
            self.bump();
            return self.small_number("how often the packet is sent").map(Some);
        }
        match count.parse() {
            Ok(count) => {
                self.bump();
                Ok(Some(count))
            }
            Err(_) => Err(self.unexpected("`=>` and the verdict")),
        }
    }

    pub(super) fn packet(&mut self) -> Parsed<Packet> {
        let first = self.at;
        let mut layers = vec![self.layer()?];
        while self.take(Kind::Slash) {
            layers.push(self.layer()?);
        }
        Ok(Packet { layers, span: self.since(first) })
    }

    fn layer(&mut self) -> Parsed<Layer> {
        let first = self.at;
        let name = self.path("a packet's layer such as `udp(udp.dstport=53)`")?;
        let (mut fields, mut bytes) = (Vec::new(), None);
        if self.peek() == Kind::OpenParen {
            let opened = self.at;
            self.bump();
            match self.sources.text(name.span) {
                "hex" => bytes = Some(self.hex_bytes()?),
                "payload" => bytes = Some(self.str("bytes in quotes")?.value),
                _ => fields = self.layer_fields()?,
            }
            self.close_paren(opened)?;
        }
        Ok(Layer { name, fields, bytes, span: self.since(first) })
    }

    fn layer_fields(&mut self) -> Parsed<Vec<(Path, Literal)>> {
        let mut fields = Vec::new();
        while self.peek() != Kind::CloseParen {
            fields.push(self.layer_field()?);
            if !self.take(Kind::Comma) {
                break;
            }
        }
        Ok(fields)
    }

    fn layer_field(&mut self) -> Parsed<(Path, Literal)> {
        let path = self.path("a field")?;
        if self.peek() == Kind::Equal {
            let span = self.here();
            return Err(self
                .report(Code::Expected, span, "a packet's field is set with `=`")
                .help("write `=` instead")
                .done());
        }
        self.expect(Kind::Assign, "`=` and the field's value")?;
        let value = self.literal("the field's value")?;
        if let LiteralValue::Prefix4(..) | LiteralValue::Prefix6(..) = value.value {
            let message = "a packet has one address, not a prefix";
            return Err(self.report(Code::BadLiteral, value.span, message).done());
        }
        Ok((path, value))
    }

    /// Hexadecimal digits in pairs; spaces, line ends and colons between them do not matter.
    fn hex_bytes(&mut self) -> Parsed<Vec<u8>> {
        let mut digits: Vec<u8> = Vec::new();
        while !matches!(self.peek(), Kind::CloseParen | Kind::End) {
            let text = self.text_of(self.raw());
            for digit in text.chars().filter(|&c| c != ':') {
                match digit.to_digit(16) {
                    Some(value) => digits.push(value as u8),
                    None => return Err(self.unexpected("hexadecimal digits or `)`")),
                }
            }
            self.bump();
        }
        match digits.len() % 2 {
            0 => Ok(digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()),
            _ => Err(self.odd_digits()),
        }
    }

    fn odd_digits(&mut self) -> Reported {
        let span = self.here();
        let message = "an odd number of hexadecimal digits";
        self.report(Code::BadLiteral, span, message).help("a byte has two digits").done()
    }
}
