//! The live view on a terminal.

use super::Rates;
use super::rates::{HISTORY, Rate, sparkline};
use crate::failure::{Failure, failed, words};
use crate::stop::Stop;
use crate::units::{grouped, short};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};
use std::time::{Duration, Instant};

/// How often keys and signals are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal that is ours; dropping it, and also a panic, gives it back as it was.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn open() -> Result<Screen, Failure> {
        let terminal = ratatui::try_init()
            .map_err(|error| failed(format!("cannot use the terminal: {}", words(&error))))?;
        Ok(Screen { terminal })
    }

    /// Shows rates until a time after `start`, or until somebody stops it: `q`, Escape, Ctrl-C or a signal.
    pub(crate) fn show_until(
        &mut self,
        title: &str,
        rates: &Rates,
        start: Instant,
        end: Duration,
        stop: &Stop,
    ) -> Result<(), Failure> {
        self.terminal.draw(|frame| draw(frame, title, rates))?;
        while !stop.asked() {
            let left = end.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            if !event::poll(left.min(LOOK))? {
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => stop.ask(),
                        // In raw mode the terminal makes no signal of it.
                        KeyCode::Char('c') if control => stop.ask(),
                        _ => {}
                    }
                }
                Event::Resize(..) => {
                    self.terminal.draw(|frame| draw(frame, title, rates))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn draw(frame: &mut Frame<'_>, title: &str, rates: &Rates) {
    let statements = rates.now().len() as u16 + 2;
    // With an empty line behind them.
    let height = |lines: &[String]| lines.len() as u16 + u16::from(!lines.is_empty());
    let parts =
        [2, statements, height(rates.attacks()), height(rates.pools())].map(Constraint::Length).into_iter();
    let parts: Vec<Constraint> = parts.chain([Constraint::Min(0), Constraint::Length(1)]).collect();
    let [head, table, attacks, pools, events, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(Line::from(title).bold()), head);
    frame.render_widget(statement_table(rates), table);
    let lines: Vec<Line<'_>> =
        rates.attacks().iter().map(|attack| Line::from(attack.as_str()).red()).collect();
    frame.render_widget(Paragraph::new(lines), attacks);
    let lines: Vec<Line<'_>> = rates.pools().iter().map(|pool| Line::from(pool.as_str())).collect();
    frame.render_widget(Paragraph::new(lines), pools);
    frame.render_widget(event_list(rates, events.height), events);
    frame.render_widget(Paragraph::new("q or Ctrl-C ends this").dim(), foot);
}

fn statement_table(rates: &Rates) -> Table<'static> {
    let heading = ["statement", "action", "packets/s", "bits/s", "packets", "over", "the last looks"];
    let cells = heading.iter().enumerate().map(|(column, name)| match column {
        2..=5 => right((*name).to_owned()),
        _ => Cell::from(*name),
    });
    let rows = rates.now().iter().map(|rate| row(rate, rates));
    let widths = [
        Constraint::Min(12),
        Constraint::Length(12),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(15),
        Constraint::Length(15),
        Constraint::Length(HISTORY as u16),
    ];
    Table::new(rows, widths)
        .header(Row::new(cells).style(Style::new().add_modifier(Modifier::BOLD)))
        .column_spacing(1)
}

fn row(rate: &Rate, rates: &Rates) -> Row<'static> {
    let colour = match (rate.action.as_str(), rate.shadow) {
        (_, true) => Color::DarkGray,
        ("drop", _) => Color::Red,
        ("limit", _) => Color::Yellow,
        ("pass", _) => Color::Green,
        ("balance", _) => Color::Cyan,
        _ => Color::Reset,
    };
    let shadow = if rate.shadow { "shadow " } else { "" };
    Row::new([
        Cell::from(rate.name.clone()),
        Cell::from(format!("{shadow}{}", rate.action)).style(Style::new().fg(colour)),
        right(short(rate.packets_per_s)),
        right(short(rate.bits_per_s)),
        right(grouped(rate.packets)),
        right(rate.over.map(grouped).unwrap_or_default()),
        Cell::from(sparkline(rates.history(&rate.name))).style(Style::new().fg(colour)),
    ])
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn event_list(rates: &Rates, height: u16) -> Paragraph<'static> {
    let room = usize::from(height.saturating_sub(1));
    let newest: Vec<_> = rates.events().rev().take(room).collect();
    let lines =
        newest.into_iter().rev().map(|(at, text)| Line::from(format!("{:>6.0} s  {text}", at.as_secs_f64())));
    Paragraph::new(lines.collect::<Vec<_>>()).block(Block::new().borders(Borders::TOP).title("events"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[test]
    fn attacks_and_pools_stand_below_the_statements() {
        let mut rates = Rates::default();
        rates.set_attacks(vec!["attack 3 on 192.0.2.3".into(), "attack 4 on 192.0.2.4".into()]);
        rates.set_pools(vec!["pool web: 2 of 2 up".into()]);
        let mut terminal = Terminal::new(TestBackend::new(60, 16)).unwrap();
        terminal.draw(|frame| draw(frame, "weir: edge.weir", &rates)).unwrap();
        let cells = terminal.backend().buffer().content();
        let lines: Vec<String> = cells
            .chunks(60)
            .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
            .collect();
        let at =
            |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{lines:?}"));
        let first = at("attack 3 on 192.0.2.3");
        assert_eq!((at("attack 4 on 192.0.2.4"), at("pool web: 2 of 2 up")), (first + 1, first + 3));
    }
}
