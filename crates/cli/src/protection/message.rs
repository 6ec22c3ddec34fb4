//! An event, as hooks hear of it.

use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use weir_detect::defence::Event;
use weir_telemetry::Message;

/// What becomes a variable under which name.
const VARIABLES: [(&str, &str); 9] = [
    ("instance", "WEIR_INSTANCE"),
    ("at", "WEIR_AT"),
    ("event", "WEIR_EVENT"),
    ("alert", "WEIR_ATTACK"),
    ("victim", "WEIR_VICTIM"),
    ("addresses", "WEIR_ADDRESSES"),
    ("id", "WEIR_MITIGATION"),
    ("name", "WEIR_STATEMENT"),
    ("why", "WEIR_WHY"),
];

#[derive(Serialize)]
struct Told<'a> {
    instance: &'a str,
    /// Seconds since 1970.
    at: f64,
    text: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// `epoch` is what is added to the event's clock to get the time of day.
pub(super) fn of(instance: &str, event: &Event, epoch: Duration) -> Message {
    let at = epoch + Duration::from_nanos(event.time_ns);
    let at = at.as_micros() as f64 / 1e6;
    let told = Told { instance, at, text: event.to_string(), event };
    let json = serde_json::to_value(told).unwrap_or_default();
    let variable = |(key, name): (&str, &'static str)| match json.get(key)? {
        Value::String(text) => Some((name, text.clone())),
        Value::Array(all) => Some((name, all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))),
        other => Some((name, other.to_string())),
    };
    let variables = VARIABLES.into_iter().filter_map(variable).collect();
    Message { json: json.to_string(), variables }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_detect::defence::{Named, What};

    #[test]
    fn an_attack_on_a_service_tells_its_name_and_addresses() {
        let addresses = ["192.0.2.1", "2001:db8::/64"].map(str::to_owned).to_vec();
        let event =
            Event { time_ns: 0, what: What::AttackEnded { alert: 1, victim: "web".into(), addresses } };
        let message = of("run-1", &event, Duration::ZERO);
        for variable in [("WEIR_VICTIM", "web"), ("WEIR_ADDRESSES", "192.0.2.1 2001:db8::/64")] {
            assert!(
                message.variables.contains(&(variable.0, variable.1.to_owned())),
                "{:?}",
                message.variables
            );
        }
        assert!(message.json.contains(r#""addresses":["192.0.2.1","2001:db8::/64"]"#), "{}", message.json);
    }

    #[test]
    fn an_event_is_json_and_variables() {
        let what = What::Drops(Named { id: 3, name: "mitigation_3_ntp_amplification".into() });
        let event = Event { time_ns: 500_000_000, what };
        let message = of("run-1", &event, Duration::from_secs(1_700_000_000));
        let json: Value = serde_json::from_str(&message.json).unwrap();
        assert_eq!((json["event"].as_str(), json["at"].as_f64()), (Some("drops"), Some(1_700_000_000.5)));
        assert_eq!(json["text"], "`mitigation_3_ntp_amplification` drops");
        let variables: Vec<(&str, &str)> =
            message.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let expected = [
            ("WEIR_INSTANCE", "run-1"),
            ("WEIR_AT", "1700000000.5"),
            ("WEIR_EVENT", "drops"),
            ("WEIR_MITIGATION", "3"),
            ("WEIR_STATEMENT", "mitigation_3_ntp_amplification"),
        ];
        assert_eq!(variables, expected);
    }
}
