//! Aligned tables.

use super::Paint;

/// Text in a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
    right: bool,
}

impl Cell {
    /// A number, or whatever is aligned to the right.
    pub(crate) fn right(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), paint: Paint::Plain, right: true }
    }

    /// The same in a colour.
    pub(crate) fn paint(self, paint: Paint) -> Cell {
        Cell { paint, ..self }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell { text: text.into(), paint: Paint::Plain, right: false }
    }
}

/// Rows of cells under a heading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    heading: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With a heading; a name that starts with `>` is aligned to the right.
    pub(crate) fn new(names: &[&str]) -> Table {
        let cell = |name: &&str| match name.strip_prefix('>') {
            Some(name) => Cell::right(name).paint(Paint::Bold),
            None => Cell::from(*name).paint(Paint::Bold),
        };
        Table { heading: names.iter().map(cell).collect(), rows: Vec::new() }
    }

    /// Without a heading.
    pub(crate) fn plain() -> Table {
        Table::default()
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// All of it, a line a row, without spaces at the ends of lines.
    pub(crate) fn render(&self, coloured: bool) -> String {
        let rows = || [&self.heading].into_iter().chain(&self.rows).filter(|row| !row.is_empty());
        let columns = rows().map(Vec::len).max().unwrap_or(0);
        let width = |column| {
            rows().filter_map(|row| row.get(column)).map(|cell: &Cell| cell.text.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in rows() {
            text.push_str(&line(row, &widths, coloured));
            text.push('\n');
        }
        text
    }
}

fn line(row: &[Cell], widths: &[usize], coloured: bool) -> String {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (column, (cell, width)) in row[..last].iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.text.chars().count());
        let text = cell.paint.apply(&cell.text, coloured);
        let gap = if column == 0 { "" } else { "  " };
        match (cell.right, column + 1 == last) {
            (true, _) => line.extend([gap, &padding, &text]),
            (false, true) => line.extend([gap, &text]),
            (false, false) => line.extend([gap, &text, &padding]),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_clean() {
        let mut table = Table::new(&["name", ">packets", "note"]);
        table.row(vec!["a".into(), Cell::right("12"), "".into()]);
        table.row(vec!["longer".into(), Cell::right("1,234"), "x".into()]);
        assert_eq!(table.render(false), "name    packets  note\na            12\nlonger    1,234  x\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let mut table = Table::plain();
        table.row(vec![Cell::from("no").paint(Paint::Red), "x".into()]);
        table.row(vec!["yes".into(), "y".into()]);
        assert_eq!(table.render(true), "\x1b[1;31mno\x1b[0m   x\nyes  y\n");
    }
}
