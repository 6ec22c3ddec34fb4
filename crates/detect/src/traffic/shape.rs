//! What is usual at each hour of a week, in one unit.

use serde::{Deserialize, Serialize};

const DAYS: usize = 7;
const HOURS: usize = 24;
const WEEK: usize = DAYS * HOURS;

/// Nothing is known.
const UNKNOWN: f32 = -1.0;

/// The peaks of the last week's hours, and of its days.
///
/// What is usual at an hour is the median of that hour over the days; the same hour a week ago may halve or double it, so
/// that weekends are known and one bad day is not believed. The hours before and after count as well, as days do not
/// begin on the stroke. No peak of a day counts for more than `1 + growth` times the median of the days before it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Shape {
    hours: Vec<f32>,
    days: Vec<f32>,
    day: u64,
    /// More than this is not learnt today.
    ceiling: f32,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { hours: vec![UNKNOWN; WEEK], days: vec![UNKNOWN; DAYS], day: 0, ceiling: 0.0 }
    }
}

impl Shape {
    /// What is usual in an hour, counted from the start of some day; none if nothing is known at all.
    pub(super) fn usual(&self, hour: u64) -> Option<f32> {
        let around = [hour + WEEK as u64 - 1, hour, hour + 1];
        let near = around.into_iter().filter_map(|hour| self.at(hour)).reduce(f32::max);
        near.or_else(|| Some(self.largest()).filter(|largest| *largest >= 0.0))
    }

    /// The largest peak that is known; negative if there is none.
    pub(super) fn largest(&self) -> f32 {
        self.hours.iter().copied().fold(UNKNOWN, f32::max)
    }

    /// Learns the peak of an hour; `base` is what may always be learnt.
    pub(super) fn learn(&mut self, hour: u64, peak: f32, base: f32, growth: f32) {
        self.turn(hour, base, growth);
        self.keep(hour, peak.min(self.ceiling));
    }

    /// Learns it whatever it is.
    pub(super) fn accept(&mut self, hour: u64, peak: f32) {
        self.turn(hour, 0.0, 0.0);
        self.ceiling = self.ceiling.max(peak);
        self.keep(hour, peak);
    }

    /// From now on this is usual, at any hour.
    pub(super) fn raise(&mut self, peak: f32) {
        for known in self.hours.iter_mut().chain(&mut self.days) {
            *known = known.max(peak);
        }
        self.ceiling = self.ceiling.max(peak);
    }

    /// Whether it can be one: what was kept may come from a file.
    pub(super) fn is_sound(&self) -> bool {
        let are_rates = |rates: &[f32]| rates.iter().all(|rate| rate.is_finite());
        self.hours.len() == WEEK
            && self.days.len() == DAYS
            && are_rates(&self.hours)
            && are_rates(&self.days)
            && self.ceiling.is_finite()
    }

    fn at(&self, hour: u64) -> Option<f32> {
        let (own, of_day) = (hour as usize % WEEK, hour as usize % HOURS);
        let usual = median((0..DAYS).map(|day| self.hours[day * HOURS + of_day]))?;
        let own = if self.hours[own] < 0.0 { usual } else { self.hours[own] };
        Some(own.clamp(usual / 2.0, usual * 2.0))
    }

    fn turn(&mut self, hour: u64, base: f32, growth: f32) {
        let day = hour / HOURS as u64;
        if day == self.day && self.ceiling > 0.0 {
            return;
        }
        self.day = day;
        let usual = median(self.days.iter().copied()).unwrap_or(0.0);
        self.ceiling = usual.max(base) * (1.0 + growth);
        self.days[day as usize % DAYS] = UNKNOWN;
    }

    fn keep(&mut self, hour: u64, peak: f32) {
        self.hours[hour as usize % WEEK] = peak;
        let of_day = &mut self.days[(hour / HOURS as u64) as usize % DAYS];
        *of_day = of_day.max(peak);
    }
}

/// Of those that are known; the lower one of two.
fn median(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (mut known, mut count) = ([0.0; DAYS], 0);
    for value in values.filter(|value| *value >= 0.0).take(DAYS) {
        known[count] = value;
        count += 1;
    }
    let known = &mut known[..count];
    known.sort_unstable_by(f32::total_cmp);
    known.get(count.checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_week_has_days_and_nights_and_a_weekend() {
        let mut shape = Shape::default();
        for hour in 0..WEEK as u64 {
            let (day, of_day) = (hour / 24, hour % 24);
            let peak = if of_day < 8 { 10.0 } else { 100.0 };
            shape.accept(hour, if day >= 5 { peak / 2.0 } else { peak });
        }
        let next = WEEK as u64;
        assert_eq!(shape.usual(next + 3), Some(10.0), "a night");
        assert_eq!(shape.usual(next + 7), Some(100.0), "before the day begins");
        assert_eq!(shape.usual(next + 5 * 24 + 12), Some(50.0), "a weekend");
    }

    #[test]
    fn one_bad_day_is_not_believed() {
        let mut shape = Shape::default();
        for hour in 0..WEEK as u64 {
            shape.accept(hour, if hour / 24 == 2 { 10_000.0 } else { 100.0 });
        }
        assert_eq!(shape.usual(WEEK as u64 + 12), Some(100.0));
        assert_eq!(shape.usual(WEEK as u64 + 2 * 24 + 12), Some(200.0));
    }

    #[test]
    fn what_is_unknown_is_the_largest_that_is_known() {
        let mut shape = Shape::default();
        assert_eq!(shape.usual(5), None);
        shape.accept(5, 7.0);
        assert_eq!(shape.usual(17), Some(7.0));
    }

    proptest! {
        /// Whoever sends what, at whatever hours: a day adds a quarter at the very most.
        #[test]
        fn nobody_trains_it_faster_than_a_quarter_a_day(
            peaks in proptest::collection::vec(0f32..1e9, 1..400),
        ) {
            let mut shape = Shape::default();
            for (hour, peak) in peaks.into_iter().enumerate() {
                shape.learn(hour as u64, peak, 100.0, 0.25);
                let most = 100.0 * 1.25f32.powi(hour as i32 / 24 + 1);
                prop_assert!(shape.largest() <= most * 1.0001);
            }
        }
    }
}
