//! The analysis as JSON.

use super::analysis::{Analysis, News, Row};
use serde::Serialize;
use std::time::Duration;
use weir_detect::mine::{Answer, Destinations, Findings, Left, Proof, Statement};
use weir_detect::traffic::{Alert, Estimate, Event, Rate};
use weir_fleet::listener::Listener;

/// A line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Line {
    Began(AlertLine),
    Grew(AlertLine),
    Ended(AlertLine),
    Statements(FoundLine),
    Summary(SummaryLine),
}

#[derive(Serialize)]
pub(super) struct AlertLine {
    time: f64,
    id: u64,
    victim: String,
    addresses: Vec<String>,
    since: f64,
    packets_per_second: EstimateRow,
    bits_per_second: EstimateRow,
    window: f64,
    samples: u32,
    sources: u64,
    dropped: f64,
    limit: RateRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<RateRow>,
}

#[derive(Serialize)]
struct EstimateRow {
    value: f64,
    error: f64,
    low: f64,
}

#[derive(Serialize)]
struct RateRow {
    packets: f64,
    bits: f64,
}

#[derive(Serialize)]
pub(super) struct FoundLine {
    time: f64,
    id: u64,
    victim: String,
    attack_samples: usize,
    good_samples: usize,
    covered: f64,
    collateral: f64,
    collateral_high: f64,
    statements: Vec<StatementRow>,
    left: Vec<LeftRow>,
}

#[derive(Serialize)]
struct StatementRow {
    name: String,
    verb: String,
    condition: String,
    cause: String,
    covered: f64,
    collateral: f64,
    collateral_high: f64,
    proof: &'static str,
    text: String,
}

#[derive(Serialize)]
struct LeftRow {
    cause: &'static str,
    share: f64,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SummaryLine {
    seconds: f64,
    samples: u64,
    unread: u64,
    forgotten_bytes: u64,
    top: Vec<TopRow>,
    alerts: Vec<AlertRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sflow: Option<SflowRow>,
}

#[derive(Serialize)]
struct TopRow {
    destination: String,
    packets: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct AlertRow {
    id: u64,
    victim: String,
    addresses: Vec<String>,
    since: f64,
    until: Option<f64>,
    packets_per_second: EstimateRow,
    bits_per_second: EstimateRow,
    sources: u64,
    statements: Vec<String>,
}

#[derive(Serialize)]
struct SflowRow {
    datagrams: u64,
    malformed: u64,
    lost: u64,
    others: u64,
    flows: u64,
    discarded: u64,
    counters: u64,
    unknown: u64,
    frameless: u64,
}

/// How an answer is called, in JSON and to people.
pub(super) fn answer(answer: &Answer) -> (&'static str, &'static str) {
    match answer {
        Answer::Limit(_) => ("limit", "a limit for each source"),
        Answer::SynCookies => {
            ("syn_cookies", "SYN cookies, by `answer … syncookie` on the host that they go to")
        }
        Answer::Usual => ("usual", "no more of it than usual"),
        Answer::Alert => ("alert", "nothing parts it from good traffic: someone has to look"),
    }
}

impl Line {
    pub(super) fn of(news: &News) -> Line {
        match news {
            News::Event(now, event) => {
                let line = AlertLine::of(*now, event.alert());
                match event {
                    Event::Began(_) => Line::Began(line),
                    Event::Grew(_) => Line::Grew(line),
                    Event::Ended(_) => Line::Ended(line),
                }
            }
            News::Found(now, id, findings, victim) => {
                Line::Statements(FoundLine::of(*now, *id, findings, victim.to_string()))
            }
        }
    }
}

/// Those of an alert's victim.
pub(super) fn addresses(alert: &Alert) -> Vec<String> {
    Destinations::of(alert).prefixes().iter().map(ToString::to_string).collect()
}

impl AlertLine {
    fn of(now: Duration, alert: &Alert) -> AlertLine {
        AlertLine {
            time: now.as_secs_f64(),
            id: alert.id,
            victim: alert.victim.to_string(),
            addresses: addresses(alert),
            since: alert.since.as_secs_f64(),
            packets_per_second: alert.packets_per_second.into(),
            bits_per_second: alert.bits_per_second.into(),
            window: alert.window.as_secs_f64(),
            samples: alert.samples,
            sources: alert.sources,
            dropped: alert.dropped,
            limit: alert.limit.into(),
            usual: alert.usual.map(RateRow::from),
        }
    }
}

impl FoundLine {
    fn of(now: Duration, id: u64, findings: &Findings, victim: String) -> FoundLine {
        FoundLine {
            time: now.as_secs_f64(),
            id,
            victim,
            attack_samples: findings.attack_samples,
            good_samples: findings.good_samples,
            covered: findings.covered,
            collateral: findings.collateral.share,
            collateral_high: findings.collateral.high,
            statements: findings.statements.iter().map(StatementRow::of).collect(),
            left: findings.left.iter().map(LeftRow::of).collect(),
        }
    }
}

impl StatementRow {
    fn of(statement: &Statement) -> StatementRow {
        StatementRow {
            name: statement.name.clone(),
            verb: statement.verb.to_string(),
            condition: statement.condition.clone(),
            cause: statement.cause.to_string(),
            covered: statement.covered,
            collateral: statement.collateral.share,
            collateral_high: statement.collateral.high,
            proof: match statement.proof {
                Proof::Shown => "shown",
                Proof::Thin => "thin",
            },
            text: statement.text(false),
        }
    }
}

impl LeftRow {
    fn of(left: &Left) -> LeftRow {
        let text = left.statement.as_ref().map(|statement| statement.text(false));
        LeftRow { cause: left.cause, share: left.share, answer: answer(&left.answer).0, text }
    }
}

impl SummaryLine {
    pub(super) fn of(analysis: &Analysis, listener: Option<&Listener>, most: usize) -> SummaryLine {
        let (samples, unread) = analysis.samples();
        let seconds = analysis.times().map_or(0.0, |(first, last)| last.saturating_sub(first).as_secs_f64());
        let top = analysis.totals().top(most).into_iter().map(|(to, total)| TopRow {
            destination: to.to_string(),
            packets: total.packets,
            bytes: total.bytes,
        });
        SummaryLine {
            seconds,
            samples,
            unread,
            forgotten_bytes: analysis.totals().forgotten(),
            top: top.collect(),
            alerts: analysis.rows().iter().map(AlertRow::of).collect(),
            sflow: listener.map(SflowRow::of),
        }
    }
}

impl AlertRow {
    fn of(row: &Row) -> AlertRow {
        let alert = &row.alert;
        AlertRow {
            id: alert.id,
            victim: alert.victim.to_string(),
            addresses: addresses(alert),
            since: alert.since.as_secs_f64(),
            until: row.until.map(|until| until.as_secs_f64()),
            packets_per_second: alert.packets_per_second.into(),
            bits_per_second: alert.bits_per_second.into(),
            sources: alert.sources,
            statements: row.statements.clone(),
        }
    }
}

impl SflowRow {
    fn of(listener: &Listener) -> SflowRow {
        let tally = &listener.tally;
        SflowRow {
            datagrams: tally.datagrams,
            malformed: tally.malformed,
            lost: listener.lost,
            others: listener.strange,
            flows: tally.flows,
            discarded: tally.discarded,
            counters: tally.counters,
            unknown: tally.unknown,
            frameless: tally.frameless,
        }
    }
}

impl From<Estimate> for EstimateRow {
    fn from(Estimate { value, error, low }: Estimate) -> EstimateRow {
        EstimateRow { value, error, low }
    }
}

impl From<Rate> for RateRow {
    fn from(Rate { packets, bits }: Rate) -> RateRow {
        RateRow { packets, bits }
    }
}
