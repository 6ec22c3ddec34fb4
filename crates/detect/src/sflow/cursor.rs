//! Reading words in network byte order, never past the end of what holds them.

use super::Malformed;
use super::number::Number;

type Result<T> = std::result::Result<T, Malformed>;

/// The rest of a datagram, or of one structure of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Bytes of the datagram before `rest`.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(datagram: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: datagram, at: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// One bounds check for as many words as stand together.
    #[inline]
    pub(super) fn words<const N: usize>(&mut self, what: &'static str) -> Result<[u32; N]> {
        let taken = self.bytes(4 * N as u64, what)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(taken.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Ok(words)
    }

    #[inline]
    pub(super) fn word(&mut self, what: &'static str) -> Result<u32> {
        let [word] = self.words(what)?;
        Ok(word)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let taken = self.bytes(N as u64, what)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(taken);
        Ok(bytes)
    }

    /// A structure: its number, its length, and as many bytes, by themselves.
    #[inline]
    pub(super) fn structure(&mut self, what: &'static str) -> Result<(Number, Cursor<'a>)> {
        let number = Number(self.word(what)?);
        let length = self.word(what)?;
        let at = self.at;
        let rest = self.opaque(length, what)?;
        Ok((number, Cursor { rest, at }))
    }

    /// Bytes behind a length of their own.
    #[inline]
    pub(super) fn counted(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = self.word(what)?;
        self.opaque(length, what)
    }

    /// So many bytes, and the zeros behind them up to a whole word. Some agents leave these out where nothing follows.
    #[inline]
    fn opaque(&mut self, length: u32, what: &'static str) -> Result<&'a [u8]> {
        let taken = self.bytes(u64::from(length), what)?;
        let padding = (length.wrapping_neg() % 4) as usize;
        self.bytes(padding.min(self.rest.len()) as u64, what)?;
        Ok(taken)
    }

    #[inline]
    fn bytes(&mut self, needs: u64, what: &'static str) -> Result<&'a [u8]> {
        let left = self.rest.len();
        let split = usize::try_from(needs).ok().and_then(|needs| self.rest.split_at_checked(needs));
        let Some((taken, rest)) = split else {
            return Err(Malformed::Short { what, offset: self.at, needs, left });
        };
        self.at += taken.len();
        self.rest = rest;
        Ok(taken)
    }
}
