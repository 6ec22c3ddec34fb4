//! The table of what each statement did.

use super::{Cell, Paint, Table, verdict_paint};
use crate::judge::StatementRow;
use crate::units::grouped;

/// Statements with their counts; the column of limits only where there are any.
pub(crate) fn statement_table(rows: &[StatementRow]) -> Table {
    let limits = rows.iter().any(|row| row.over.is_some());
    let mut names = vec!["statement", "action", ">packets", ">bytes"];
    if limits {
        names.push(">over limit");
    }
    let mut table = Table::new(&names);
    for row in rows {
        let mut cells = vec![
            Cell::from(row.name.as_str()),
            Cell::from(action(row)).paint(action_paint(row)),
            Cell::right(grouped(row.packets)),
            Cell::right(grouped(row.bytes)),
        ];
        if limits {
            cells.push(Cell::right(row.over.map(grouped).unwrap_or_default()));
        }
        table.row(cells);
    }
    table
}

/// The action in words.
pub(crate) fn action(row: &StatementRow) -> String {
    if row.shadow { format!("shadow {}", row.action) } else { row.action.clone() }
}

fn action_paint(row: &StatementRow) -> Paint {
    if row.shadow { Paint::Dim } else { verdict_paint(&row.action) }
}
