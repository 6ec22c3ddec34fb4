//! A plan in words.

/// One packet class for people.
#[derive(Clone, Debug)]
pub struct ClassSummary {
    /// The names of its headers.
    pub headers: Vec<String>,
    /// How many statements can match in it.
    pub statements: usize,
}

/// One set for people.
#[derive(Clone, Debug)]
pub struct SetSummary {
    /// Its name.
    pub name: String,
}
