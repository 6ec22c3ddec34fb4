//! `limit rate …`, and the same in a dynamic set.

use crate::rule::{Limit, rate};
use serde_json::Value;

/// What the kernel takes where a rule says nothing.
const BURST: u64 = 5;

/// A bucket for all, or one for each key.
pub(super) fn limit(about: &Value, per: Vec<String>, max: Option<u64>) -> Result<Limit, String> {
    let text = |key: &str| about.get(key).and_then(Value::as_str);
    if text("rate_unit").is_some_and(|unit| unit != "packets") {
        return Err("its rate counts bytes of IP, Weir those of frames".into());
    }
    let amount = about.get("rate").and_then(Value::as_u64).ok_or("a named limit, which rules share")?;
    let unit = text("per").unwrap_or("second");
    let rate = rate(amount, unit)
        .ok_or_else(|| format!("the rate {amount}/{unit} is no whole number of packets an hour"))?;
    let burst = about.get("burst").and_then(Value::as_u64).filter(|burst| *burst > 0).unwrap_or(BURST);
    Ok(Limit { above: about.get("inv").and_then(Value::as_bool) == Some(true), rate, burst, per, max })
}
