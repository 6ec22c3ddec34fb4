//! The table of what each statement did.

use super::{Cell, Paint, Table, verdict_paint};
use crate::judge::StatementRow;
use crate::units::grouped;
use weir_dataplane::counters::{CookieCounters, UnsentCounters};

/// Statements with their counts; the column of limits only where there are any.
pub(crate) fn statement_table(rows: &[StatementRow]) -> Table {
    let limits = rows.iter().any(|row| row.over.is_some());
    let mut names = vec!["statement", "action", ">packets", ">bytes"];
    if limits {
        names.push(">over limit");
    }
    let balances = rows.iter().any(|row| row.unsent.is_some());
    if balances {
        names.push(">not sent");
    }
    let cookies = rows.iter().any(|row| row.cookies.is_some());
    if cookies {
        names.push(">SYN cookies");
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
        if balances {
            cells.push(row.unsent.map(unsent).unwrap_or_default());
        }
        if cookies {
            cells.push(row.cookies.map(done).unwrap_or_default());
        }
        table.row(cells);
    }
    table
}

/// What was done with segments.
fn done(counters: CookieCounters) -> Cell {
    let CookieCounters { answered, valid, invalid } = counters;
    let [answered, valid, invalid] = [answered, valid, invalid].map(grouped);
    Cell::right(format!("{answered} answered, {valid} valid, {invalid} invalid"))
}

/// How many packets were not sent, and why, as far as any were not.
fn unsent(counters: UnsentCounters) -> Cell {
    let UnsentCounters { nobody, damaged, long, unreachable, full } = counters;
    let causes = [
        (nobody, "no backend"),
        (damaged, "damaged"),
        (long, "too long"),
        (unreachable, "unreachable"),
        (full, "no free port"),
    ];
    let told = causes.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, why)| format!("{} {why}", grouped(*count))).collect();
    Cell::right(if told.is_empty() { "0".to_owned() } else { told.join(", ") })
}

/// The action in words.
pub(crate) fn action(row: &StatementRow) -> String {
    if row.shadow { format!("shadow {}", row.action) } else { row.action.clone() }
}

fn action_paint(row: &StatementRow) -> Paint {
    if row.shadow { Paint::Dim } else { verdict_paint(&row.action) }
}
