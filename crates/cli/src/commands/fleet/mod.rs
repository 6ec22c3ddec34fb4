//! `weir fleet`: many machines, by etcd.

mod analyze;
mod edge;
mod edit;
mod publish;
mod show;

use crate::args::fleet::{Etcd, Fleet, FleetAction, FleetWish};
use crate::failure::{Exit, Failure, Outcome, failed};
use crate::printer::Printer;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;
use weir_fleet::etcd::{Credentials, Operation, Options, Store, Transaction};
use weir_fleet::{Error, keys};

/// So long a command waits for etcd.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(args: &Fleet, printer: &mut Printer) -> Outcome {
    match &args.action {
        FleetAction::Edge(args) => edge::run(args, printer),
        FleetAction::Analyze(args) => analyze::run(args, printer),
        FleetAction::Publish(args) => publish::run(args, printer),
        FleetAction::Show(args) => show::run(args, printer),
        FleetAction::Pin(args) => wish(args, keys::MITIGATIONS, "pin", printer),
        FleetAction::Edit(args) => edit::run(args, printer),
        FleetAction::Unpin(args) => wish(args, keys::MITIGATIONS, "unpin", printer),
        FleetAction::Forbid(args) => wish(args, keys::MITIGATIONS, "forbid", printer),
        FleetAction::Allow(args) => wish(args, keys::FORBIDDEN, "allow", printer),
    }
}

fn wish(args: &FleetWish, of: &str, word: &str, printer: &mut Printer) -> Outcome {
    let store = reached(&args.etcd)?;
    let key = keys::numbered("", args.id);
    if store.get(&format!("{of}{key}")).is_none() {
        let what = if word == "allow" { "forbade" } else { "has" };
        return Err(nobody(what, args.id));
    }
    let then = vec![Operation::Put(format!("{}{key}", keys::WISHES), word.as_bytes().to_vec())];
    store.transact(Transaction { when: Vec::new(), then }).map_err(refused)?;
    printer.say("the analyser that decides does it with its next turn");
    Ok(Exit::Fine)
}

fn nobody(what: &str, id: u64) -> Failure {
    failed(format!("the fleet {what} no mitigation {id}")).help("see `weir fleet show`")
}

/// A copy of etcd that is on its way.
fn open(args: &Etcd) -> Result<Store, Failure> {
    let user = match &args.user {
        None => None,
        Some(name) => {
            let password = std::env::var("WEIR_ETCD_PASSWORD").map_err(|_| {
                failed(format!("the password of `{name}` is missing"))
                    .help("put it into the environment, as `WEIR_ETCD_PASSWORD`")
            })?;
            Some(Credentials { name: name.clone(), password })
        }
    };
    let identity = args.certificate.clone().zip(args.key.clone());
    let options = Options {
        endpoints: args.endpoints.clone(),
        prefix: format!("{}/", args.prefix.trim_end_matches('/')),
        ca: args.ca.clone(),
        identity,
        user,
        ..Options::default()
    };
    Store::open(options).map_err(refused)
}

/// A copy of etcd that is there.
fn reached(args: &Etcd) -> Result<Store, Failure> {
    let store = open(args)?;
    store.reached(PATIENCE).map_err(refused)?;
    Ok(store)
}

fn refused(error: Error) -> Failure {
    failed(error.to_string())
}

/// A name that can be part of a key.
fn named(name: &str) -> Result<(), Failure> {
    match keys::is_name(name) {
        true => Ok(()),
        false => Err(failed(format!(
            "`{name}` is no name for a fleet: use up to 64 letters, digits, `-`, `_` and `.`"
        ))),
    }
}

fn say<T: Serialize + Display>(event: &T, json: bool, printer: &mut Printer) -> Result<(), Failure> {
    match json {
        true => printer.json(event),
        false => printer.line(event.to_string()),
    }
}
