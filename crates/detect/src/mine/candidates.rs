//! Conditions worth trying: what many of an attack's samples have in common, field by field.

use super::condition::Test;
use super::feature::{Feature, Kind};
use super::search::{Scene, State};
use super::table::Bits;

/// A condition, and the samples that it holds for among those that the search starts with.
pub(super) struct Candidate {
    pub(super) feature: Feature,
    pub(super) test: Test,
    pub(super) covered: Bits,
    pub(super) hit: Bits,
}

/// Values with a share of the attack below this are not looked at one by one.
const NOTABLE: f64 = 0.05;
/// How many values are looked at one by one, and how many a list may have.
const FEW: usize = 8;
/// What lists and ranges leave out at most, tried in turn: mistakes of the sampling, and other traffic of the victim.
const TAILS: [f64; 3] = [0.0, 0.005, 0.05];

/// All conditions that keep a notable part of the attack, and either lower the harm or narrow what the rule says
/// already.
pub(super) fn candidates(scene: &Scene, start: &State) -> Vec<Candidate> {
    let mut found = Vec::new();
    let whole = scene.attack.weight(&start.covered);
    let hit_by_start = start.hit.count();
    for &feature in Feature::ALL {
        let narrows = start.rule.tests.contains_key(&feature);
        if (hit_by_start == 0 && !narrows) || !is_open(feature, start) {
            continue;
        }
        let mut tests = tests(scene, start, feature);
        tests.sort();
        tests.dedup();
        for test in tests {
            let covered = scene.attack.test(&start.covered, feature, &test);
            if scene.attack.weight(&covered) < whole * NOTABLE {
                continue;
            }
            let hit = scene.good.test(&start.hit, feature, &test);
            if narrows || hit.count() < hit_by_start {
                found.push(Candidate { feature, test, covered, hit });
            }
        }
    }
    found
}

/// Whether conditions on the feature say something with this rule. That an option is not there does only of packets
/// that are TCP anyway; the protocol's number does not behind a condition on its header.
pub(super) fn is_open(feature: Feature, start: &State) -> bool {
    let tests = &start.rule.tests;
    match (feature, feature.kind()) {
        (Feature::Transport, _) => false,
        (Feature::Proto4 | Feature::Proto6, _) => {
            tests.keys().all(|other| other.transport().is_none() && *other != Feature::Transport)
        }
        (_, Kind::Option) => tests.contains_key(&Feature::TcpFlags),
        _ => true,
    }
}

/// Conditions on a feature that hold for many of the attack's samples.
pub(super) fn tests(scene: &Scene, start: &State, feature: Feature) -> Vec<Test> {
    let values = scene.attack.values(&start.covered, feature);
    let there: f64 = values.iter().map(|value| value.1).sum();
    let whole = scene.attack.weight(&start.covered);
    if there < whole * NOTABLE {
        return Vec::new();
    }
    match feature.kind() {
        Kind::Source4 | Kind::Source6 => prefixes(&values, feature, whole),
        kind => {
            let mut tests = heavy(&values, whole);
            if !matches!(kind, Kind::Bytes(_) | Kind::Flag | Kind::Option) {
                tests.extend(lists(&values, there));
            }
            if kind == Kind::Number {
                tests.extend(ranges(&values, there, feature));
                tests.extend(cuts(scene, start, &values, feature));
            }
            tests
        }
    }
}

/// The heaviest values, alone.
fn heavy(values: &[(u64, f64)], whole: f64) -> Vec<Test> {
    let notable = by_weight(values).into_iter().filter(|value| value.1 >= whole * NOTABLE);
    notable.take(FEW).map(|value| Test::exactly(value.0)).collect()
}

/// The shortest lists of values that hold nearly all.
fn lists(values: &[(u64, f64)], there: f64) -> Vec<Test> {
    let heaviest = by_weight(values);
    let list = |tail: f64| {
        let mut sum = 0.0;
        let needed = heaviest.iter().take_while(|value| {
            let goes_on = sum < there * (1.0 - tail);
            sum += value.1;
            goes_on
        });
        let list: Vec<u64> = needed.map(|value| value.0).collect();
        (list.len() > 1 && list.len() <= FEW).then(|| Test::one_of(list))
    };
    TAILS.into_iter().filter_map(list).collect()
}

fn by_weight(values: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut values = values.to_vec();
    values.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    values
}

/// Ranges that hold nearly all: from, to, and between.
fn ranges(values: &[(u64, f64)], there: f64, feature: Feature) -> Vec<Test> {
    let range = |tail: f64| {
        let low = quantile(values.iter(), there * tail)?;
        let high = quantile(values.iter().rev(), there * tail)?;
        (low <= high)
            .then(|| [Test::between(low, high), Test::between(low, feature.max()), Test::between(0, high)])
    };
    TAILS.into_iter().filter_map(range).flatten().collect()
}

/// The first value with more than `before` in front of it or itself.
fn quantile<'a>(values: impl Iterator<Item = &'a (u64, f64)>, before: f64) -> Option<u64> {
    let mut sum = 0.0;
    for value in values {
        sum += value.1;
        if sum > before {
            return Some(value.0);
        }
    }
    None
}

/// Where one cut parts the attack best from good traffic: the largest difference of their cumulative shares (the
/// statistic of Kolmogorov and Smirnov), from below and from above.
fn cuts(scene: &Scene, start: &State, attack: &[(u64, f64)], feature: Feature) -> Vec<Test> {
    let good = scene.good.values(&start.hit, feature);
    let total = |values: &[(u64, f64)]| values.iter().map(|value| value.1).sum::<f64>();
    let (all_attack, all_good) = (total(attack), total(&good));
    if all_good == 0.0 {
        return Vec::new();
    }
    let (mut below_attack, mut below_good, mut next) = (0.0, 0.0, 0);
    let (mut from, mut to) = ((0.0, 0), (0.0, 0));
    for &(value, weight) in attack {
        while next < good.len() && good[next].0 < value {
            below_good += good[next].1 / all_good;
            next += 1;
        }
        if below_good - below_attack > from.0 {
            from = (below_good - below_attack, value);
        }
        below_attack += weight / all_attack;
        let same = good.get(next).filter(|same| same.0 == value).map_or(0.0, |same| same.1 / all_good);
        if below_attack - below_good - same > to.0 {
            to = (below_attack - below_good - same, value);
        }
    }
    let from = (from.0 > 0.0).then(|| Test::between(from.1, feature.max()));
    let to = (to.0 > 0.0).then(|| Test::between(0, to.1));
    from.into_iter().chain(to).collect()
}

/// Prefixes from which much comes: single ones, and short lists of one length that hold nearly all. The sources of a
/// spoofed attack have none.
fn prefixes(values: &[(u64, f64)], feature: Feature, whole: f64) -> Vec<Test> {
    let (bits, lengths): (u32, &[u32]) = match feature.kind() {
        Kind::Source4 => (32, &[8, 16, 24, 32]),
        _ => (64, &[32, 48, 64]),
    };
    let of_length = |length: u32| {
        let host = u64::MAX.checked_shr(64 - (bits - length)).unwrap_or(0);
        let mut networks: Vec<(u64, f64)> = Vec::new();
        for &(value, weight) in values {
            match networks.last_mut().filter(|last| last.0 == value & !host) {
                Some(last) => last.1 += weight,
                None => networks.push((value & !host, weight)),
            }
        }
        let widened = move |test: Test| match test {
            Test::In(ranges) => Test::In(ranges.into_iter().map(|range| (range.0, range.1 | host)).collect()),
            masked => masked,
        };
        let mut tests = heavy(&networks, whole);
        tests.extend(lists(&networks, whole));
        tests.into_iter().map(widened)
    };
    lengths.iter().flat_map(|&length| of_length(length)).collect()
}
