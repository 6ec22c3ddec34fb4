//! Samples as a capture.

use weir_detect::defence::Evidence;
use weir_detect::sample::{Fate, Sample};
use weir_packet::capture::{Frame, LinkType, PcapngWriter, WriteError};

/// So many samples of either kind, the newest: more do not tell more.
const SAMPLES: usize = 500;

/// The samples as pcapng, by their time: an interface for each kind, and what each sample is as its comment.
pub(crate) fn pcapng(evidence: &Evidence, epoch_ns: u64) -> Result<Vec<u8>, WriteError> {
    let mut writer = PcapngWriter::new(Vec::new())?;
    let attack = writer.interface("attack", LinkType::Ethernet)?;
    let good = writer.interface("good", LinkType::Ethernet)?;
    let attacks = evidence.attack().rev().take(SAMPLES).map(|sample| (attack, "attack", sample));
    let goods = evidence.good().rev().take(SAMPLES).map(|sample| (good, "good", sample));
    let mut all: Vec<_> = attacks.chain(goods).collect();
    all.sort_by_key(|(.., sample)| sample.time);
    for (interface, kind, sample) in all {
        writer.frame(interface, &frame(kind, &sample, epoch_ns))?;
    }
    writer.finish()
}

fn frame(kind: &str, sample: &Sample<'_>, epoch_ns: u64) -> Frame {
    let became = match sample.fate {
        Fate::Passed => "passed",
        Fate::Dropped => "dropped",
    };
    let time = u64::try_from(sample.time.as_nanos()).unwrap_or(u64::MAX).saturating_add(epoch_ns);
    Frame {
        original_len: sample.frame_len,
        comment: Some(format!("{kind}, {became}, 1 in {}", sample.one_in)),
        ..Frame::ethernet(time, sample.header.to_vec())
    }
}
