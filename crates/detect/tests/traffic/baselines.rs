//! What is learnt, and what cannot be taught.

use weir_detect::traffic::{Config, Detector, Event, Learnt};
use weir_packet::random::SplitMix;

use crate::common::*;

const VICTIM: &str = "192.0.2.1";

/// Hours of which a bit more than five minutes are seen, sampled one in so many that three samples come in a second.
struct Days {
    detector: Detector,
    random: SplitMix,
    events: Vec<Event>,
}

impl Days {
    fn new(config: Config) -> Days {
        Days { detector: Detector::new(config), random: SplitMix::new(1), events: Vec::new() }
    }

    /// Some minutes of an hour at a rate that may change with the share of them that is over.
    fn hour(&mut self, hour: u32, victims: &[&str], rate: impl Fn(f64) -> f64) {
        for second in 0..320 {
            let from = f64::from(hour) * 3600.0 + f64::from(second);
            let rate = rate(f64::from(second) / 320.0);
            let one_in = (rate / 4.0).max(1.0) as u32;
            let victims = victims.iter().map(|victim| victim.parse().unwrap()).collect();
            let flow =
                Flow { victims, one_in, length: 100, ..Flow::to(VICTIM, rate).between(from, from + 1.0) };
            for taken in flow.samples(&mut self.random) {
                self.detector.observe(&taken.sample());
            }
            self.events.extend(self.detector.tick(seconds(from + 1.0)));
        }
    }

    fn usual(&self) -> f64 {
        self.detector.usual(&host(VICTIM)).map_or(0.0, |rate| rate.packets)
    }

    fn alerts(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Began(_))).count()
    }
}

fn learning(hours: f64) -> Config {
    Config { learn: seconds(hours * 3600.0), ..Config::default() }
}

/// A service that is used to 100,000 packets a second.
fn busy() -> Days {
    let mut days = Days::new(learning(24.0));
    for hour in 0..26 {
        days.hour(hour, &[VICTIM], |_| 100e3);
    }
    assert_eq!(days.alerts(), 0);
    assert_eq!(days.detector.learns_for(), None);
    assert!((90e3..200e3).contains(&days.usual()), "{}", days.usual());
    days
}

#[test]
fn what_is_usual_lifts_the_limit() {
    let mut days = busy();
    days.hour(26, &[VICTIM], |_| 500e3);
    assert_eq!(days.alerts(), 0, "a swing of five is no attack");
    days.hour(27, &[VICTIM], |_| 1500e3);
    // The service's and its prefix's, which knows the same and is explained by it.
    let Some(Event::Began(alert)) = days.events.first() else { panic!("{:?}", days.events) };
    assert_eq!((alert.victim.clone(), days.alerts()), (host(VICTIM), 1));
    assert!(alert.usual.is_some_and(|usual| usual.packets > 90e3), "{alert:?}");
}

#[test]
fn nothing_of_an_alert_is_learnt() {
    let mut days = Days::new(Config::default());
    for hour in 0..48 {
        days.hour(hour, &[VICTIM], |_| 300e3);
    }
    assert!(days.usual() < 20e3 / 6.0 * 1.25 * 1.25 + 1.0, "{}", days.usual());
    assert!(days.alerts() > 0);
}

/// One percent more a minute: before it is above six times what a day may add, there is an alert.
#[test]
fn an_attack_that_grows_by_a_percent_a_minute_is_found() {
    let mut days = busy();
    let mut found = None;
    for hour in 26..60 {
        let start = 100e3 * 1.01f64.powi((hour as i32 - 26) * 60);
        days.hour(hour, &[VICTIM], |share| start * 1.01f64.powf(share * 60.0));
        if days.alerts() > 0 {
            found = Some(start * 1.01f64.powi(60));
            break;
        }
    }
    let rate = found.expect("an alert");
    assert!(rate < 6.0 * 200e3 * 1.25 * 2.0, "not before {rate}");
}

/// One percent more an hour, for weeks: still, its days are believed later than they come.
#[test]
fn an_attack_that_grows_by_a_percent_an_hour_is_found() {
    let mut days = busy();
    let found = (26..26 + 24 * 21).find(|hour| {
        let rate = 100e3 * 1.01f64.powi(*hour as i32 - 26);
        days.hour(*hour, &[VICTIM], |_| rate);
        days.alerts() > 0
    });
    let hour = found.expect("an alert within three weeks");
    assert!(hour < 26 + 24 * 14, "only after {} days", hour / 24);
}

#[test]
fn a_restart_keeps_what_was_learnt() {
    let days = busy();
    let text = serde_json::to_string(&days.detector.learnt()).unwrap();
    let learnt: Learnt = serde_json::from_str(&text).unwrap();
    assert_eq!(learnt, days.detector.learnt());
    let mut again = Days::new(Config::default());
    // The host and its prefix.
    assert_eq!(again.detector.recall(learnt), 2);
    again.hour(27, &[VICTIM], |_| 300e3);
    assert_eq!(again.alerts(), 0);
    assert!(again.usual() > 90e3);
}

#[test]
fn what_is_broken_is_not_recalled() {
    let text = serde_json::to_string(&busy().detector.learnt()).unwrap();
    for (from, to) in [
        ("\"hours\":[", "\"hours\":[1.0,"),
        ("\"days\":[", "\"days\":[1e39,"),
        ("\"ceiling\":", "\"ceiling\":1e3"),
    ] {
        let Ok(learnt) = serde_json::from_str::<Learnt>(&text.replace(from, to)) else { continue };
        let mut detector = Detector::new(Config::default());
        let taken = detector.recall(learnt);
        assert!(taken == 0 || from.contains("ceiling"), "{from}");
    }
}

#[test]
fn a_person_can_say_that_it_is_usual() {
    let mut days = Days::new(Config::default());
    days.hour(0, &[VICTIM], |_| 100e3);
    let id = days.detector.alerts().next().expect("an alert").id;
    assert!(days.detector.accept(id) && !days.detector.accept(id));
    for hour in 1..30 {
        days.hour(hour, &[VICTIM], |_| 150e3);
    }
    assert_eq!(days.alerts(), 1);
}

#[test]
fn hours_without_samples_are_not_learnt_and_raise_nothing() {
    let mut days = busy();
    let usual = days.usual();
    days.hour(24 * 9 + 3, &[VICTIM], |_| 200e3);
    assert_eq!(days.alerts(), 0);
    assert_eq!(days.usual(), usual, "nothing was seen in between");
}

#[test]
fn capacities_count_whatever_is_usual() {
    let capacity = Some(weir_detect::traffic::Rate { packets: 400e3, bits: 1e12 });
    let mut days = Days::new(Config { capacity, ..learning(24.0) });
    days.hour(0, &[VICTIM], |_| 100e3);
    assert_eq!(days.alerts(), 0);
    days.hour(1, &[VICTIM], |_| 900e3);
    assert_eq!(days.alerts(), 1, "even while everything is learnt");
}

#[test]
fn those_without_a_baseline_of_their_own_share_one() {
    let victims = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.3.1", "192.0.4.1", "192.0.5.1"];
    let mut days = Days::new(Config { baselines: 2, ..learning(24.0) });
    for hour in 0..25 {
        days.hour(hour, &victims, |_| 600e3);
    }
    for victim in victims {
        let usual = days.detector.usual(&host(victim)).unwrap_or_default().packets;
        assert!((60e3..400e3).contains(&usual), "{victim}: {usual}");
    }
    assert!(days.detector.usual(&host("10.0.0.1")).is_some());
}
