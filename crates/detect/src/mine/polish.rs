//! A rule that was found, made ready for packets that no sample has shown.

use super::candidates::{is_open, tests};
use super::condition::{Rule, Test};
use super::feature::{Feature, Kind};
use super::search::{Scene, State};

/// What a condition may lose of the attack to count as lossless.
const LOSS: f64 = 0.001;
/// Conditions up to this cost may be added without evidence: those that are of the attack's making.
const MEANINGFUL: f64 = 10.0;

/// Takes conditions away that do not earn their place: `all` is all samples, `unseen` those that the search has not
/// seen. One goes if the description of all samples is shorter without it, or if it spares nothing unseen; never if
/// more than `most` would be harmed. Conditions of `base` stay.
pub(super) fn prune(all: &Scene, unseen: &Scene, base: &Rule, rule: Rule, most: f64) -> Rule {
    let mut rule = rule;
    let own = |rule: &Rule| -> Vec<Feature> {
        let mut own: Vec<_> =
            rule.tests.keys().copied().filter(|key| !base.tests.contains_key(key)).collect();
        own.sort_by(|a, b| b.cost().total_cmp(&a.cost()).then(a.cmp(b)));
        own
    };
    for feature in own(&rule) {
        let (with, without) = (all.state(rule.clone()), all.state(rule.without(feature)));
        let hit = |rule: &Rule| unseen.good.rule(&unseen.spared, rule);
        let spares_nothing = hit(&rule) == hit(&without.rule)
            && all.leaves_everyday(&rule) == all.leaves_everyday(&without.rule);
        let goes = without.bits <= with.bits || spares_nothing;
        if goes && all.share(&without.hit) <= most {
            rule = without.rule;
        }
    }
    rule
}

/// Moves the ends of ranges away from the attack's samples, half-way to the next good one that the rule would harm,
/// and to the roundest number there: the shortest packet of an attack is seldom among few samples. An end behind
/// which there is nothing good goes; so does a condition without ends.
pub(super) fn round(all: &Scene, base: &Rule, rule: Rule) -> Rule {
    let ranges: Vec<_> = rule
        .tests
        .iter()
        .filter_map(|(&feature, test)| {
            let Test::In(ranges) = test else { return None };
            let &[(low, high)] = ranges.as_slice() else { return None };
            let free = feature.kind() == Kind::Number && low < high && !base.tests.contains_key(&feature);
            free.then_some((feature, low, high))
        })
        .collect();
    let mut rule = rule;
    for (feature, low, high) in ranges {
        let other = rule.without(feature);
        let good = all.good.rule(&all.spared, &other);
        let values = all.good.values(&good, feature);
        let below = values.iter().rev().map(|value| value.0).find(|&value| value < low);
        let above = values.iter().map(|value| value.0).find(|&value| value > high);
        let everyday =
            all.everyday.filter(|_| feature == Feature::IpLen).map(u64::from).filter(|&most| most < low);
        let low = match (below.max(everyday), low) {
            (_, 0) | (None, _) => 0,
            (Some(below), low) => roundest(below + 1 + (low - below - 1) / 2, low),
        };
        let high = match above {
            _ if high >= feature.max() => feature.max(),
            None => feature.max(),
            Some(above) => roundest(high, high + (above - high - 1) / 2),
        };
        let shown = good.without(&all.good.test(&good, feature, &Test::between(0, feature.max())));
        rule = match (low, high) {
            (0, high) if high >= feature.max() && shown.count() == 0 => other,
            _ => {
                rule.tests.insert(feature, Test::between(low, high));
                rule
            }
        };
    }
    rule
}

/// The number between two with the most zeros at its end; the lowest of these.
fn roundest(low: u64, high: u64) -> u64 {
    let mut best = low;
    let mut unit = 10;
    while let Some(number) = low.checked_next_multiple_of(unit).filter(|&number| number <= high) {
        best = number;
        unit *= 10;
    }
    best
}

/// Adds to a rule what all of the attack has in common, so many conditions at most: for when there are too few good
/// samples to say what the rule would harm. Whatever is not of the attack should get through then. Conditions that
/// the new ones make needless go.
pub(super) fn sharpen(all: &Scene, base: &Rule, rule: Rule, most: usize) -> Rule {
    let earlier: Vec<_> =
        rule.tests.keys().filter(|feature| !base.tests.contains_key(feature)).copied().collect();
    let mut state = all.state(rule);
    for _ in 0..most {
        let Some(next) = sharper(all, &state) else { break };
        state = next;
    }
    let needless = |state: State, feature: Feature| {
        let without = all.state(state.rule.without(feature));
        let is_needless = without.hit == state.hit && all.leaves_everyday(&without.rule);
        if is_needless { without } else { state }
    };
    earlier.into_iter().fold(state, needless).rule
}

/// The condition that fits is the one with the shortest description if all good samples of the transport were of this
/// kind: few have it, whatever they are.
fn sharper(all: &Scene, state: &State) -> Option<State> {
    let kept = all.attack.weight(&state.covered) * (1.0 - LOSS);
    let fits = |feature: &&Feature| feature.cost() <= MEANINGFUL && !state.rule.tests.contains_key(feature);
    let tells = |feature: &&Feature| {
        !matches!(feature.kind(), Kind::Option | Kind::Flag) && is_open(**feature, state)
    };
    let transport = state.rule.tests.get(&Feature::Transport);
    let kin =
        transport.map_or(all.spared.clone(), |test| all.good.test(&all.spared, Feature::Transport, test));
    let mut best: Option<(f64, State)> = None;
    for &feature in Feature::ALL.iter().filter(fits).filter(tells) {
        for test in tests(all, state, feature) {
            let alike = all.good.test(&kin, feature, &test);
            let few = all.good.weight(&alike) <= all.good.weight(&kin) / 4.0;
            let rule = state.rule.with(feature, &test).filter(|_| few && is_narrow(feature, &test));
            let Some(rule) = rule else { continue };
            let next = all.state(rule);
            let bits = next.rule.cost() + all.harm(&alike);
            let is_better = best.as_ref().is_none_or(|best| bits < best.0);
            if is_better && all.attack.weight(&next.covered) >= kept {
                best = Some((bits, next));
            }
        }
    }
    best.map(|best| best.1)
}

/// Whether few packets can be so: single values but zero, which most headers are full of, short
/// lists, and ranges of a thousandth of what there is.
fn is_narrow(feature: Feature, test: &Test) -> bool {
    match test {
        Test::In(ranges) => {
            !test.holds(0) && ranges.iter().all(|range| range.1 - range.0 <= feature.max() >> 10)
        }
        Test::Masked { .. } => false,
    }
}

/// One rule instead of two that ask for the same fields: it allows each field what either allows, so it can hold for
/// more than both.
pub(super) fn join(a: &Rule, b: &Rule) -> Option<Rule> {
    if !a.tests.keys().eq(b.tests.keys()) {
        return None;
    }
    let tests = a.tests.iter().map(|(feature, test)| Some((*feature, test.or(&b.tests[feature])?)));
    let joined = Rule { tests: tests.collect::<Option<_>>()? };
    (joined.cost() < a.cost() + b.cost()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roundest_number_is_taken() {
        assert_eq!(roundest(387, 482), 400);
        assert_eq!(roundest(41, 44), 41);
        assert_eq!(roundest(541, 1012), 1000);
        assert_eq!(roundest(7, 7), 7);
    }

    #[test]
    fn rules_of_the_same_fields_join() {
        let of = |flags: u64, port: u64| Rule {
            tests: [(Feature::TcpFlags, Test::exactly(flags)), (Feature::TcpSrcport, Test::exactly(port))]
                .into(),
        };
        let joined = join(&of(0x12, 80), &of(0x04, 80)).unwrap();
        assert_eq!(joined.write().join(" and "), "tcp.srcport == 80 and tcp.flags in { 0x04, 0x12 }");
        assert_eq!(join(&of(0x12, 80), &Rule::default()), None);
    }
}
