//! The thread that reads samples, and hands them to collectors and to the protection: a ring has one reader.

use crate::export;
use crate::failure::Failure;
use crate::metrics::Collectors;
use crate::protection::Protection;
use crate::stop::Stop;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir_dataplane::Samples;
use weir_dataplane::export::Exporter;
use weir_detect::defence::Event;

/// How long one wait for samples may take: so often the protection is turned.
const WAIT: Duration = Duration::from_millis(20);
/// How often is told how it is with collectors.
const TELL: Duration = Duration::from_millis(500);
/// After something that went wrong.
const PAUSE: Duration = Duration::from_millis(100);

/// A thread of its own, so that no screen makes samples late. Dropping it ends it, and leaves the policy as it is.
pub(crate) struct Sampling {
    stop: Stop,
    thread: Option<JoinHandle<Vec<String>>>,
    heard: Receiver<Heard>,
    collectors: Collectors,
}

/// What the thread says.
pub(crate) enum Heard {
    /// The protection saw or did something.
    Event(Event),
    /// The protection ended, and this is why.
    Trouble(String),
    /// What goes wrong beside it.
    Told(String),
}

impl Sampling {
    /// Of an instance's samples.
    pub(crate) fn start(
        samples: Samples,
        exporter: Option<Exporter>,
        protection: Option<Protection>,
    ) -> Result<Sampling, Failure> {
        let (stop, (tell, heard)) = (Stop::never_asked(), channel());
        let collectors = Collectors::default();
        let told = Arc::clone(&collectors);
        let takers = Takers { exporter, protection, asked: stop.clone(), tell, told };
        let thread = std::thread::Builder::new()
            .name("weir-samples".into())
            .spawn(move || takers.work(samples).unwrap_or_default())?;
        Ok(Sampling { stop, thread: Some(thread), heard, collectors })
    }

    /// How it is with collectors.
    pub(crate) fn collectors(&self) -> Collectors {
        Arc::clone(&self.collectors)
    }

    /// What was said since the last look.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }

    /// Sends the rest, and says what became of all.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        self.stop.ask();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.end();
    }
}

/// Who gets samples.
struct Takers {
    exporter: Option<Exporter>,
    protection: Option<Protection>,
    asked: Stop,
    tell: Sender<Heard>,
    told: Collectors,
}

impl Takers {
    /// What is to be said in the end; nothing if nobody listens any more.
    fn work(mut self, mut samples: Samples) -> Option<Vec<String>> {
        let (mut trouble, mut told) = (None, Instant::now());
        loop {
            // Looked at before the last read, so that what was sampled until then is sent.
            let is_over = self.asked.asked();
            let wait = if is_over { Duration::ZERO } else { WAIT };
            let Takers { exporter, protection, .. } = &mut self;
            let read = samples.read(wait, &mut |sample| {
                exporter.iter_mut().for_each(|exporter| exporter.sample(sample));
                protection.iter_mut().for_each(|protection| protection.observe(sample));
            });
            // One that stays is told once.
            let error = read.err().map(|error| format!("samples are not read: {error}"));
            if let Some(error) = error.as_ref().filter(|error| trouble.as_ref() != Some(*error)) {
                self.tell.send(Heard::Told(error.clone())).ok()?;
            }
            if error.is_some() {
                self.asked.sleep(PAUSE);
            }
            trouble = error;
            self.protect()?;
            if let Some(exporter) = self.exporter.as_ref().filter(|_| told.elapsed() >= TELL) {
                told = Instant::now();
                *self.told.lock().unwrap_or_else(PoisonError::into_inner) = exporter.status();
            }
            for line in self.exporter.as_mut().map(export::turn).unwrap_or_default() {
                self.tell.send(Heard::Told(line)).ok()?;
            }
            if is_over {
                let kept = self.protection.take().map(Protection::finish).unwrap_or_default();
                return Some(self.exporter.iter_mut().flat_map(export::finish).chain(kept).collect());
            }
        }
    }

    fn protect(&mut self) -> Option<()> {
        match self.protection.as_mut().map(Protection::turn) {
            None => {}
            Some(Ok(events)) => {
                for event in events {
                    self.tell.send(Heard::Event(event)).ok()?;
                }
            }
            Some(Err(error)) => {
                for line in self.protection.take().map(Protection::finish).unwrap_or_default() {
                    self.tell.send(Heard::Told(line)).ok()?;
                }
                self.tell.send(Heard::Trouble(format!("the protection ended: {error}"))).ok()?;
            }
        }
        for line in self.protection.iter().flat_map(Protection::troubles) {
            self.tell.send(Heard::Told(line)).ok()?;
        }
        Some(())
    }
}
