//! Metrics as text.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;

/// A metric, and what tells its series apart.
pub(super) struct Metric {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    kind: Kind,
}

enum Kind {
    Counter,
    Gauge,
}

pub(super) const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
) -> Metric {
    Metric { name, help, labels, kind: Kind::Counter }
}

pub(super) const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Metric {
    Metric { name, help, labels, kind: Kind::Gauge }
}

/// A page in the making. Each is made anew, so that nothing of what is gone stays on it.
#[derive(Default)]
pub(super) struct Text {
    registry: Registry,
    families: BTreeMap<&'static str, Family>,
}

enum Family {
    Counter(IntCounterVec),
    Gauge(IntGaugeVec),
}

impl Text {
    /// Adds a series. Twice the same is one, with both.
    pub(super) fn put(&mut self, metric: &Metric, labels: &[&str], value: u64) {
        // Names and labels are constants, which a test goes through.
        let Some(family) = self.family(metric) else { return };
        match family {
            Family::Counter(family) => {
                let _ = family.get_metric_with_label_values(labels).map(|series| series.inc_by(value));
            }
            Family::Gauge(family) => {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                let _ = family.get_metric_with_label_values(labels).map(|series| series.add(value));
            }
        }
    }

    fn family(&mut self, metric: &Metric) -> Option<&Family> {
        if !self.families.contains_key(metric.name) {
            let family = Family::new(metric, &self.registry).ok()?;
            self.families.insert(metric.name, family);
        }
        self.families.get(metric.name)
    }

    pub(super) fn finish(self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Family {
    fn new(metric: &Metric, registry: &Registry) -> prometheus::Result<Family> {
        let options = Opts::new(metric.name, metric.help);
        Ok(match metric.kind {
            Kind::Counter => {
                let family = IntCounterVec::new(options, metric.labels)?;
                registry.register(Box::new(family.clone()))?;
                Family::Counter(family)
            }
            Kind::Gauge => {
                let family = IntGaugeVec::new(options, metric.labels)?;
                registry.register(Box::new(family.clone()))?;
                Family::Gauge(family)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_lines() {
        let packets = counter("packets_total", "Packets.", &["name"]);
        let state = gauge("state", "How it is.", &[]);
        let mut text = Text::default();
        text.put(&packets, &["a\"b"], 3);
        text.put(&packets, &["c"], u64::MAX);
        text.put(&packets, &[], 1);
        text.put(&state, &[], 1);
        let expected = "# HELP packets_total Packets.\n# TYPE packets_total counter\npackets_total{name=\"a\\\"b\"} 3\n\
                        packets_total{name=\"c\"} 18446744073709552000\n# HELP state How it is.\n# TYPE state gauge\nstate 1\n";
        assert_eq!(text.finish(), expected);
    }
}
