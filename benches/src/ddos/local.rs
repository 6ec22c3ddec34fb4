//! An edge that defends itself.

use super::{Edge, Log, Round, Worker, traffic};
use crate::Failure;
use std::time::Duration;
use weir_dataplane::Source;
use weir_dataplane::protect::{Options, Protector};
use weir_lab::Lab;
use weir_lab::traffic::Attack;

pub(super) fn play(lab: &Lab, source: &Source, attack: &Attack) -> Result<Round, Failure> {
    let edge = Edge::load(lab, source)?;
    let mut protector = Protector::start(edge.0.clone(), Options::default())?;
    let mut samples = edge.0.samples()?;
    let log = Log::default();
    let theirs = log.clone();
    let _worker = Worker::start(move || {
        let read = samples.read(Duration::from_millis(10), &mut |sample| protector.observe(sample));
        // What fails is a round without a drop.
        let events = read.and_then(|_| protector.turn()).unwrap_or_default();
        events.into_iter().for_each(|event| theirs.add(event.time_ns, event.what));
    });
    traffic(lab, attack, &log)
}
