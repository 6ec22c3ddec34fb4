//! Queues, and what became of messages.

use crate::command::Command;
use crate::webhook::Webhook;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many messages wait for a hook that is slow.
const QUEUE: usize = 64;
/// How long the end of the process waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// As JSON, without a line end.
    pub json: String,
    /// The same for a shell: names and values.
    pub variables: Vec<(&'static str, String)>,
}

/// Whom a hook tells.
pub(crate) trait Deliver: Send {
    /// Tells it, within some seconds; early if it is `over`. Why it could not be told, for people.
    fn deliver(&mut self, message: &Message, over: &AtomicBool) -> Result<(), String>;
}

/// What became of a hook's messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// `command 1`: addresses and commands may hold secrets, and this is for everybody.
    pub name: String,
    /// Messages that were told.
    pub sent: u64,
    /// Messages that were not, as the hook failed.
    pub failed: u64,
    /// Messages for which there was no room to wait.
    pub lost: u64,
}

/// All hooks; dropping them ends what is under way.
#[derive(Debug, Default)]
pub struct Hooks {
    hooks: Vec<Hook>,
    over: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Hook {
    tell: Option<SyncSender<Arc<Message>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Looks at hooks, from any thread and also when they are over.
#[derive(Clone, Debug, Default)]
pub struct Watch(Vec<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    name: String,
    /// For whoever wrote it.
    called: String,
    sent: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Hooks {
    /// A hook for each command, which a shell runs, and for each address of a webhook.
    ///
    /// # Errors
    /// When an address is none, or there can be no thread.
    pub fn start(commands: &[String], webhooks: &[String]) -> io::Result<Hooks> {
        let mut hooks = Hooks::default();
        for (number, command) in (1..).zip(commands) {
            let called = format!("command `{command}`");
            hooks.add(format!("command {number}"), called, Box::new(Command::new(command)))?;
        }
        for (number, url) in (1..).zip(webhooks) {
            let webhook = Webhook::new(url)?;
            hooks.add(
                format!("webhook {number}"),
                format!("webhook at `{}`", webhook.host()),
                Box::new(webhook),
            )?;
        }
        Ok(hooks)
    }

    fn add(&mut self, name: String, called: String, to: Box<dyn Deliver>) -> io::Result<()> {
        let (tell, hear) = sync_channel(QUEUE);
        let shared = Arc::new(Shared { name, called, ..Shared::default() });
        let (theirs, over) = (Arc::clone(&shared), Arc::clone(&self.over));
        let work = move || work(to, &hear, &theirs, &over);
        let thread = std::thread::Builder::new().name("weir-hook".into()).spawn(work)?;
        self.hooks.push(Hook { tell: Some(tell), thread: Some(thread), shared });
        Ok(())
    }

    /// Whether there is nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Tells all of them. Never waits.
    pub fn tell(&self, message: Message) {
        let message = Arc::new(message);
        for hook in &self.hooks {
            let is_told = hook.tell.as_ref().is_some_and(|tell| tell.try_send(Arc::clone(&message)).is_ok());
            if !is_told {
                hook.shared.lost.fetch_add(1, Relaxed);
            }
        }
    }

    /// What is to be said since the last call: of a hook that fails again and again, the first failure.
    pub fn troubles(&self) -> Vec<String> {
        self.hooks.iter().filter_map(|hook| hook.shared.trouble().take()).collect()
    }

    /// For others to look at.
    pub fn watch(&self) -> Watch {
        Watch(self.hooks.iter().map(|hook| Arc::clone(&hook.shared)).collect())
    }

    /// Tells what waits, but not for long; what is to be said in the end.
    pub fn finish(mut self) -> Vec<String> {
        self.end();
        self.troubles()
    }

    fn end(&mut self) {
        self.hooks.iter_mut().for_each(|hook| hook.tell = None);
        let start = Instant::now();
        let is_done = |hook: &Hook| hook.thread.as_ref().is_none_or(JoinHandle::is_finished);
        while !self.hooks.iter().all(is_done) && start.elapsed() < 2 * PATIENCE {
            if start.elapsed() >= PATIENCE {
                self.over.store(true, Relaxed);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.hooks.iter_mut().for_each(|hook| hook.thread = None);
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Watch {
    /// What became of each hook's messages.
    pub fn status(&self) -> Vec<Status> {
        let status = |shared: &Arc<Shared>| Status {
            name: shared.name.clone(),
            sent: shared.sent.load(Relaxed),
            failed: shared.failed.load(Relaxed),
            lost: shared.lost.load(Relaxed),
        };
        self.0.iter().map(status).collect()
    }
}

impl Shared {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(mut to: Box<dyn Deliver>, hear: &Receiver<Arc<Message>>, shared: &Shared, over: &AtomicBool) {
    let mut is_failing = false;
    for message in hear {
        let result =
            if over.load(Relaxed) { Err("it was too slow".into()) } else { to.deliver(&message, over) };
        match result {
            Ok(()) => {
                is_failing = false;
                shared.sent.fetch_add(1, Relaxed);
            }
            Err(why) => {
                shared.failed.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut is_failing, true) {
                    *shared.trouble() = Some(format!("{} failed: {why}", shared.called));
                }
            }
        }
    }
}
