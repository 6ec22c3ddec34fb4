//! What is known of attacks, as JSON. Times are seconds since 1970, and milliseconds since the first packet.

use crate::protection::Story;
use serde::Serialize;
use weir_journal::{Attack, Logged, Mitigation, Step};

#[derive(Serialize)]
pub(super) struct Answer<'a> {
    attacks: Vec<Told<'a>>,
    mitigations: &'a [Mitigation],
}

#[derive(Serialize)]
struct Told<'a> {
    id: u64,
    victim: &'a str,
    addresses: &'a [String],
    packets_per_second: u64,
    bits_per_second: u64,
    sources: u64,
    began: f64,
    ended: Option<f64>,
    timeline: Vec<At>,
}

#[derive(Serialize)]
struct At {
    what: Step,
    at: f64,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mitigation: Option<u64>,
}

/// An event that was kept.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    at: f64,
    #[serde(flatten)]
    event: &'a serde_json::Value,
}

impl Answer<'_> {
    pub(super) fn of(story: &Story) -> Answer<'_> {
        Answer { attacks: story.attacks.iter().map(told).collect(), mitigations: &story.mitigations }
    }
}

impl Line<'_> {
    pub(super) fn of(logged: &Logged) -> Line<'_> {
        Line { at: seconds(logged.at_ns), event: &logged.event }
    }
}

fn told(attack: &Attack) -> Told<'_> {
    let timeline = attack.timeline.iter().map(|moment| At {
        what: moment.step,
        at: seconds(moment.at_ns),
        ms: since(attack, moment.at_ns),
        mitigation: moment.mitigation,
    });
    Told {
        id: attack.id,
        victim: &attack.victim,
        addresses: &attack.addresses,
        packets_per_second: attack.packets_per_second,
        bits_per_second: attack.bits_per_second,
        sources: attack.sources,
        began: seconds(attack.first_ns),
        ended: attack.ended_ns.map(seconds),
        timeline: timeline.collect(),
    }
}

/// Milliseconds since the attack's first packet.
pub(super) fn since(attack: &Attack, at_ns: u64) -> f64 {
    let us = at_ns.saturating_sub(attack.first_ns) / 1000;
    us as f64 / 1e3
}

fn seconds(ns: u64) -> f64 {
    (ns / 1000) as f64 / 1e6
}
