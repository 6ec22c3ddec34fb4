//! `demo`: on a network where that is possible, by the interpreter everywhere.

use crate::common::{Place, privileged};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

fn attacks(json: &Value) -> Vec<f64> {
    let phases = json["phases"].as_array().expect("phases");
    phases.iter().filter_map(|phase| phase["attack"]["dropped_percent"].as_f64()).collect()
}

#[test]
fn the_interpreter_holds_the_attack_back() {
    let place = Place::new();
    let json = place.weir(&["demo", "--interpreter", "--json", "--for", "2s"]).exits(0).json();
    assert_eq!((json["engine"].as_str(), json["ok"].as_bool()), (Some("interpreter"), Some(true)));
    assert!(attacks(&json).iter().all(|dropped| *dropped > 99.0), "{json}");
}

#[test]
fn the_kernel_holds_the_attack_back() {
    if !privileged("the_kernel_holds_the_attack_back") {
        return;
    }
    let place = Place::new();
    let answer = place.weir(&["demo", "--json", "--for", "8s"]);
    let json = answer.json();
    assert_eq!(json["engine"], "kernel", "{}", answer.err);
    assert!(attacks(&json).iter().all(|dropped| *dropped > 97.0), "{json}");
    assert_eq!(attacks(&json).len(), 3);
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    if !privileged("a_signal_ends_it_and_nothing_is_left") {
        return;
    }
    let place = Place::new();
    let mut command = place.command(&["demo"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    let json = place.weir(&["status", "--json"]).exits(0).json();
    let instances = json["instances"].as_array().unwrap();
    let name = format!("demo-{pid}");
    assert!(instances.iter().all(|instance| instance["instance"] != name.as_str()), "{json}");
}
