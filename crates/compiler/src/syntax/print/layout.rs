//! Rows → lines: columns, breaks and comments.

/// Where lines are broken, if they can be.
const WIDTH: usize = 100;
const INDENT: usize = 4;

/// A cell wider than this does not push the others' column away.
const WIDEST_CELL: usize = 80;

/// Rows of one kind that follow each other share their columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Statement,
    Set,
    Family,
    Field,
    Derived,
    Entry,
    Option,
    Backend,
    Clause,
    Case,
    None,
}

/// One unit of the text: columns, then pieces between which a long line is broken.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) table: Table,
    pub(super) indent: usize,
    pub(super) cells: Vec<String>,
    pub(super) tail: Vec<String>,
    /// Lines that stay as they are, after the first.
    pub(super) verbatim: Vec<String>,
    /// The comment after it.
    pub(super) comment: Option<String>,
    pub(super) blank_before: bool,
}

impl Row {
    pub(super) fn new(table: Table, indent: usize, cells: Vec<String>, tail: Vec<String>) -> Row {
        Row { table, indent, cells, tail, verbatim: Vec::new(), comment: None, blank_before: false }
    }

    pub(super) fn plain(indent: usize, text: impl Into<String>) -> Row {
        Row::new(Table::None, indent, Vec::new(), vec![text.into()])
    }

    fn is_comment(&self) -> bool {
        self.table == Table::None && self.tail.first().is_some_and(|t| t.starts_with('#'))
    }
}

/// Whether a unit fits on a line of its own, columns left aside.
pub(super) fn fits(indent: usize, pieces: &[String]) -> bool {
    indent * INDENT + pieces.iter().map(|p| width(p) + 1).sum::<usize>() <= WIDTH + 1
}

pub(super) fn text(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let (group, after) = rest.split_at(group_length(rest));
        let columns = columns(group);
        for row in group {
            set_row(row, &columns, &mut lines);
        }
        rest = after;
    }
    align_comments(&mut lines);
    let mut text = String::new();
    for line in lines {
        text.push_str(line.text.trim_end());
        text.push('\n');
    }
    text
}

/// How many rows share their columns; comments between them do not part them.
fn group_length(rows: &[Row]) -> usize {
    let Some(head) = rows.iter().position(|r| !r.is_comment()) else {
        return rows.len();
    };
    if rows[1..=head].iter().any(|r| r.blank_before) {
        return 1;
    }
    let (table, indent) = (rows[head].table, rows[head].indent);
    let parted = |row: &Row| {
        let other = row.table != table || row.indent != indent;
        row.blank_before || (other && !row.is_comment())
    };
    let more = rows[head + 1..].iter().position(parted);
    more.map_or(rows.len(), |n| head + 1 + n)
}

fn columns(group: &[Row]) -> Vec<usize> {
    let mut columns = Vec::new();
    for row in group.iter().filter(|r| !r.is_comment()) {
        let padded = match row.tail.is_empty() {
            true => row.cells.len().saturating_sub(1),
            false => row.cells.len(),
        };
        for (i, cell) in row.cells[..padded].iter().enumerate() {
            if columns.len() <= i {
                columns.push(0);
            }
            let width = width(cell);
            if width <= WIDEST_CELL {
                columns[i] = columns[i].max(width);
            }
        }
    }
    columns
}

struct Line {
    text: String,
    comment: Option<String>,
}

fn set_row(row: &Row, columns: &[usize], lines: &mut Vec<Line>) {
    if row.blank_before {
        lines.push(Line { text: String::new(), comment: None });
    }
    let mut text = " ".repeat(row.indent * INDENT);
    for (i, cell) in row.cells.iter().enumerate() {
        let column = columns.get(i).copied().unwrap_or(0);
        if column == 0 && cell.is_empty() {
            continue;
        }
        let padding = column.saturating_sub(width(cell));
        text.push_str(cell);
        text.push_str(&" ".repeat(padding + 1));
    }
    // What goes on stands under what it goes on from, unless that is far to the right.
    let hanging = match width(&text) {
        column if column <= 32 && !row.cells.is_empty() => column,
        _ if row.table == Table::None && !row.verbatim.is_empty() => row.indent * INDENT,
        _ if row.cells.is_empty() => row.indent * INDENT,
        _ => (row.indent + 2) * INDENT,
    };
    let texts = fill(text, &row.tail, hanging);
    lines.extend(texts.into_iter().map(|text| Line { text, comment: None }));
    lines.extend(row.verbatim.iter().map(|text| Line { text: text.clone(), comment: None }));
    if let Some(last) = lines.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        last.comment.clone_from(&row.comment);
    }
}

fn fill(first: String, pieces: &[String], hanging: usize) -> Vec<String> {
    let mut lines = vec![first];
    let (mut length, mut started) = (width(&lines[0]), false);
    for piece in pieces {
        let more = width(piece) + usize::from(started);
        if started && length + more > WIDTH {
            lines.push(" ".repeat(hanging));
            (length, started) = (hanging, false);
        }
        let Some(line) = lines.last_mut() else { break };
        if started {
            line.push(' ');
            length += 1;
        }
        line.push_str(piece);
        length += width(piece);
        started = true;
    }
    lines
}

/// Comments on lines that follow each other stand in a column.
fn align_comments(lines: &mut [Line]) {
    for run in lines.chunk_by_mut(|a, b| a.comment.is_some() && b.comment.is_some()) {
        let column = run.iter().map(|l| width(&l.text)).max().unwrap_or(0) + 2;
        for line in run {
            if let Some(comment) = line.comment.take() {
                let padding = column - width(&line.text);
                line.text.push_str(&" ".repeat(padding));
                line.text.push_str(&comment);
            }
        }
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}
