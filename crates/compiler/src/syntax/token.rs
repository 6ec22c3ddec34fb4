//! The words and signs that the parser sees.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Word,
    /// A number, an address, a rate …: read by `literal::read` once the parser wants it.
    Constant,
    /// Bytes in quotes.
    Text,
    OpenBrace,
    CloseBrace,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    Comma,
    Colon,
    Dot,
    Range,
    Slash,
    Plus,
    Minus,
    Star,
    Ampersand,
    Assign,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Arrow,
    /// `&&`, `||` and `!` are not of the language: the parser names the words that are.
    AndAnd,
    OrOr,
    Bang,
    /// What the lexer has already refused.
    Bad,
    /// The end of the text and, as the parser sees it, of an item's line.
    End,
}

impl Kind {
    /// The bracket that closes this one.
    pub(super) fn closing(self) -> Option<Kind> {
        match self {
            Kind::OpenBrace => Some(Kind::CloseBrace),
            Kind::OpenParen => Some(Kind::CloseParen),
            Kind::OpenBracket => Some(Kind::CloseBracket),
            _ => None,
        }
    }
}

/// One token: 12 bytes, because a policy may list a million addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The first of its line.
    pub(super) fresh: bool,
    pub(super) start: u32,
    pub(super) end: u32,
}
