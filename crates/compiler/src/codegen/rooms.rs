//! The data section of all tables, and the room that each has in it.
//!
//! | bytes | |
//! |---|---|
//! | 0–7 | where the space in use begins, counted from the first one |
//! | 8–15 | bytes of a space |
//! | 16–19 | spaces: 2, or 1 where the tables are too large to stand there twice |
//! | 20–23 | how many images |
//! | 24–… | for each image its [`Room`], [`ROOM`] bytes |
//! | … | the spaces, at a multiple of 64 |
//!
//! All numbers are in the machine's order. A space holds the images of each table one behind the other (one, or three
//! where rows count: `counting.rs`), each in its room, so that a program need only know where the space begins. It reads
//! that once for a packet: user space writes other images into the space that is not in use and then stores where it
//! begins, and every packet is judged by the tables before or by those after.

use crate::table::Image;
use crate::table::image::LINE;

/// The section.
pub const SECTION: &str = ".data.tables";

/// Images that stand in a section twice have so many bytes at most, all together.
const MOST_TWICE: usize = 32 << 20;

/// Levels beyond those that an image has.
const SPARE_LEVELS: u32 = 2;

/// Lists may grow to this.
const LEAST_ROWS: u32 = 8;

/// A table has at most so many trees, with the one that may be added.
const SLOTS: usize = 20;

/// Bytes of a room in the head: four `u32` and a byte a slot.
const ROOM: usize = 16 + SLOTS;

/// What a program takes for granted of a table's image.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Room {
    /// Bytes, with those behind the last list that the program may touch.
    pub bytes: u32,
    /// Trees.
    pub trees: u32,
    /// Inner nodes on the longest way.
    pub levels: u32,
    /// Rows of the longest list.
    pub rows: u32,
    /// By tree, the words that the program asks for in its rows, a bit each.
    words: [u8; SLOTS],
}

/// What the head of a section says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Where the space in use begins, from the first one.
    pub now: u64,
    /// Bytes of a space.
    pub space: u64,
    /// How many spaces there are.
    pub spaces: u32,
    /// By image.
    pub rooms: Vec<Room>,
}

/// Bytes before the rooms.
const FIXED: usize = 24;

impl Room {
    /// For an image and what may be added to it; nothing to spare if it has to be `tight`.
    pub(super) fn around(image: &Image, tight: bool) -> Room {
        let rows = image.most_rows.max(LEAST_ROWS);
        let spare = if tight { 0 } else { image.bytes.len() / 4 + 4096 };
        let bytes = (image.bytes.len() + spare) as u32 + Self::behind(rows, image);
        let mut words = [0; SLOTS];
        words.iter_mut().zip(&image.trees).for_each(|(words, layout)| *words = layout.asked());
        let (trees, levels) = (image.trees.len() as u32, image.levels + SPARE_LEVELS);
        Room { bytes: bytes.next_multiple_of(LINE), trees, levels, rows, words }
    }

    /// By tree, the words that the program asks for, a bit each.
    pub(super) fn slots(&self) -> &[u8] {
        &self.words[..self.trees as usize]
    }

    /// Whether the image can stand there. It was made for the same slots.
    pub(super) fn holds(&self, image: &Image) -> bool {
        image.bytes.len() as u32 + Self::behind(self.rows, image) <= self.bytes
            && image.trees.len() as u32 == self.trees
            && image.levels <= self.levels
            && image.most_rows <= self.rows
    }

    /// The longest list fits behind every place that the program takes for one.
    fn behind(rows: u32, image: &Image) -> u32 {
        rows * image.trees.iter().map(|layout| layout.bytes).max().unwrap_or(0)
    }
}

impl Head {
    /// For tables with these rooms.
    pub(super) fn new(rooms: Vec<Room>) -> Head {
        let space: u64 = rooms.iter().map(|room| u64::from(room.bytes)).sum();
        let spaces = if space as usize <= MOST_TWICE { 2 } else { 1 };
        Head { now: 0, space, spaces, rooms }
    }

    /// Whether images of so many bytes stand there once only.
    pub(super) fn once(bytes: usize) -> bool {
        bytes > MOST_TWICE
    }

    /// Reads the head of a section; nothing if it is none.
    pub fn read(section: &[u8]) -> Option<Head> {
        let word = |at: usize| Some(u32::from_ne_bytes(section.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(section.get(at..at + 8)?.try_into().ok()?));
        let room = |nth: u32| {
            let at = FIXED + ROOM * nth as usize;
            let [bytes, trees] = [word(at)?, word(at + 4)?];
            let words = section.get(at + 16..at + ROOM)?.try_into().ok()?;
            let room = Room { bytes, trees, levels: word(at + 8)?, rows: word(at + 12)?, words };
            (trees as usize <= SLOTS).then_some(room)
        };
        let rooms: Option<Vec<Room>> = (0..word(20)?).map(room).collect();
        Some(Head { now: long(0)?, space: long(8)?, spaces: word(16)?, rooms: rooms? })
    }

    /// Where the first space begins.
    pub fn first(&self) -> usize {
        (FIXED + ROOM * self.rooms.len()).next_multiple_of(LINE as usize)
    }

    /// Bytes of the whole section.
    pub(super) fn bytes(&self) -> usize {
        self.first() + self.space as usize * self.spaces as usize
    }

    /// The section with all spaces empty.
    pub(super) fn section(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend(self.now.to_ne_bytes());
        bytes.extend(self.space.to_ne_bytes());
        bytes.extend(self.spaces.to_ne_bytes());
        bytes.extend((self.rooms.len() as u32).to_ne_bytes());
        for room in &self.rooms {
            [room.bytes, room.trees, room.levels, room.rows]
                .iter()
                .for_each(|word| bytes.extend(word.to_ne_bytes()));
            bytes.extend(room.words);
        }
        bytes.resize(self.bytes(), 0);
        bytes
    }
}
