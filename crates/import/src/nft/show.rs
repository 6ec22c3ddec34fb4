//! A rule's JSON as text, so that its author finds it again.

use serde_json::Value;

/// `tcp dport 22 accept`
pub(super) fn rule(statements: &[Value]) -> String {
    statements.iter().map(statement).collect::<Vec<_>>().join(" ")
}

fn statement(statement: &Value) -> String {
    let Some((verb, about)) = super::single(statement) else { return statement.to_string() };
    match verb {
        "match" => comparison(about),
        "counter" | "accept" | "drop" | "return" | "continue" | "notrack" => verb.to_owned(),
        "jump" | "goto" => format!("{verb} {}", value(&about["target"])),
        "vmap" => format!("{} vmap {}", value(&about["key"]), value(&about["data"])),
        "log" => "log".into(),
        "reject" => "reject".into(),
        "limit" => limit(about),
        "set" | "meter" => {
            let key = about.get("elem").or_else(|| about.get("key")).unwrap_or(&Value::Null);
            let statements = about.get("stmt").map(|stmt| match stmt {
                Value::Array(many) => rule(many),
                one => rule(std::slice::from_ref(one)),
            });
            let op = about.get("op").and_then(Value::as_str).unwrap_or(verb);
            let set = about.get("set").or_else(|| about.get("name")).unwrap_or(&Value::Null);
            format!("{op} {} {{ {} {} }}", value(set), value(key), statements.unwrap_or_default())
        }
        _ => format!("{verb} {}", value(about)),
    }
}

fn comparison(about: &Value) -> String {
    let op = match about["op"].as_str() {
        Some("==" | "in") | None => String::new(),
        Some(op) => format!("{op} "),
    };
    format!("{} {op}{}", value(&about["left"]), value(&about["right"]))
}

fn limit(about: &Value) -> String {
    let over = if about["inv"].as_bool() == Some(true) { "over " } else { "" };
    let unit = about["rate_unit"].as_str().filter(|unit| *unit != "packets");
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    format!("limit rate {over}{}{unit}/{}", value(&about["rate"]), value(&about["per"]))
}

fn value(json: &Value) -> String {
    match json {
        Value::String(text) => text.clone(),
        Value::Array(many) => joined(many, ","),
        Value::Object(object) => match object.iter().next() {
            Some((key, inner)) => keyed(key, inner, json),
            None => "{}".into(),
        },
        other => other.to_string(),
    }
}

fn keyed(key: &str, inner: &Value, whole: &Value) -> String {
    match (key, inner) {
        ("set", Value::Array(many)) => format!("{{ {} }}", joined(many, ", ")),
        ("concat", Value::Array(many)) => joined(many, " . "),
        ("range", Value::Array(many)) => joined(many, "-"),
        ("&" | "|" | "^" | "<<" | ">>", Value::Array(many)) => {
            format!("({})", joined(many, &format!(" {key} ")))
        }
        ("prefix", _) => format!("{}/{}", value(&inner["addr"]), value(&inner["len"])),
        ("elem", _) => value(&inner["val"]),
        ("meta" | "ct" | "rt", _) => format!("{key} {}", value(&inner["key"])),
        ("fib", _) => format!("fib {}", value(&inner["result"])),
        ("exthdr" | "tcp option", _) => {
            let field = inner.get("field").map_or_else(|| "exists".to_owned(), value);
            format!("{key} {} {field}", value(&inner["name"]))
        }
        ("payload", _) if inner.get("base").is_some() => {
            format!("@{},{},{}", value(&inner["base"]), value(&inner["offset"]), value(&inner["len"]))
        }
        ("payload", _) => format!("{} {}", value(&inner["protocol"]), value(&inner["field"])),
        ("accept" | "drop" | "return" | "continue", Value::Null) => key.to_owned(),
        _ => whole.to_string(),
    }
}

/// What is very long is cut: the handle says which rule it is.
fn joined(many: &[Value], between: &str) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = many.iter().take(SHOWN).map(value).collect();
    if many.len() > SHOWN {
        shown.push("…".into());
    }
    if many.iter().all(Value::is_array) && between == ", " {
        shown = many
            .iter()
            .take(SHOWN)
            .map(|pair| format!("{} : {}", value(&pair[0]), value(&pair[1])))
            .collect();
    }
    shown.join(between)
}
