//! `weir fleet edit`.

use super::{nobody, reached, refused};
use crate::args::fleet::FleetEdit;
use crate::editing::Typed;
use crate::failure::{Exit, Outcome, failed};
use crate::printer::Printer;
use std::time::{Duration, Instant};
use weir_fleet::analyser::Answer;
use weir_fleet::etcd::{Operation, Store, Transaction};
use weir_fleet::keys;

/// So long the analyser that decides has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(args: &FleetEdit, printer: &mut Printer) -> Outcome {
    let store = reached(&args.etcd)?;
    let key = keys::numbered("", args.id);
    let present = store.get(&format!("{}{key}", keys::MITIGATIONS)).ok_or_else(|| nobody("has", args.id))?;
    let Some(typed) = Typed::get(args.statement.as_deref(), &present.text())? else {
        printer.say("nothing is changed");
        return Ok(Exit::Fine);
    };
    let wish = Operation::Put(format!("{}{key}", keys::WISHES), format!("edit {}", typed.text).into_bytes());
    let Some(answer) = ask(&store, format!("{}{key}", keys::ANSWERS), wish)? else {
        return Err(match store.get(keys::LEADER) {
            None => failed("no analyser decides")
                .help("the next one that does will do it; `weir fleet show` says so"),
            Some(_) => failed("the analyser that decides does not answer").help("see `weir fleet show`"),
        });
    };
    typed.answered(answer.refused.as_deref(), &answer.warnings, printer)?;
    printer.say(format!("mitigation {} is edited; `weir fleet show` says which edges run it", args.id));
    Ok(Exit::Fine)
}

/// Leaves the wish and takes the answer; nothing if there is none.
fn ask(store: &Store, answers: String, wish: Operation) -> Result<Option<Answer>, crate::failure::Failure> {
    let before = store.get(&answers).map_or(0, |entry| entry.changed);
    let then = vec![Operation::Delete(answers.clone()), wish];
    store.transact(Transaction { when: Vec::new(), then }).map_err(refused)?;
    let (start, mut seen) = (Instant::now(), store.change());
    while start.elapsed() < PATIENCE {
        if let Some(entry) = store.get(&answers).filter(|entry| entry.changed > before) {
            let then = vec![Operation::Delete(answers)];
            // It goes by itself, too.
            let _ = store.transact(Transaction { when: Vec::new(), then });
            return Ok(serde_json::from_slice(&entry.value).ok());
        }
        seen = store.wait(seen, PATIENCE.saturating_sub(start.elapsed()));
    }
    Ok(None)
}
