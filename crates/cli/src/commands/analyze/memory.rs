//! The samples that statements are found by: those of the last moments, and fewer of the time before.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;
use weir_detect::mine::Destinations;
use weir_detect::sample::{Fate, Sample};
use weir_packet::random::SplitMix;

/// Samples of the last moments: an attack of 100,000 samples a second is told of in a fifth of what this takes to go round.
const RECENT: usize = 1 << 14;
/// Where more come in a second and there is no room left, one in so many is kept, so that moments do not get shorter.
const A_SECOND: f64 = 50_000.0;
/// Samples of the time before. Each new one takes the place of another at random, so that they reach far back.
const CALM: usize = 1 << 14;
/// Of so many samples one is kept at least.
const MOST: u32 = 1000;
/// What of a frame is kept: what the miner looks at.
const HEADER: usize = 128;

/// A sample that is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    time: Duration,
    header: [u8; HEADER],
    /// How much of it there is.
    header_len: usize,
    frame_len: u32,
    one_in: u32,
    fate: Fate,
    to: IpAddr,
    pub(super) known: Known,
}

/// What is known of a sample that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// That there was no alert about whom it went to.
    Quiet,
    /// That there was one.
    Suspect,
    /// That it is good, whenever it was taken.
    Good,
}

impl Kept {
    /// Of a sample to a destination.
    pub(super) fn of(sample: &Sample<'_>, to: IpAddr, known: Known) -> Kept {
        let header_len = sample.header.len().min(HEADER);
        let mut header = [0; HEADER];
        header[..header_len].copy_from_slice(&sample.header[..header_len]);
        let Sample { time, frame_len, one_in, fate, .. } = *sample;
        Kept { time, header, header_len, frame_len, one_in, fate, to, known }
    }

    /// As the miner takes it.
    pub(super) fn sample(&self) -> Sample<'_> {
        let Kept { time, frame_len, one_in, fate, .. } = *self;
        let header = &self.header[..self.header_len];
        Sample { time, header, frame_len, one_in, fate, statement: None }
    }
}

/// Keeps samples, as many as there is room for: some 6 MiB.
///
/// They stand one behind the other as they came, and are moved once: each new one would else wait for memory at random.
#[derive(Debug)]
pub(super) struct Memory {
    recent: VecDeque<Kept>,
    calm: Vec<Kept>,
    random: SplitMix,
    /// Samples since the pace was set; of the next ones, one in so many is kept, after so many that are not.
    came: u32,
    one_in: u32,
    skip: u32,
}

impl Memory {
    /// An empty one; the seed chooses what is forgotten.
    pub(super) fn new(seed: u64) -> Memory {
        let (recent, calm, random) = (VecDeque::new(), Vec::new(), SplitMix::new(seed));
        Memory { recent, calm, random, came: 0, one_in: 1, skip: 0 }
    }

    /// A sample comes: whether it is one to be kept.
    pub(super) fn takes(&mut self) -> bool {
        self.came = self.came.saturating_add(1);
        if self.recent.len() < RECENT {
            return true;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.one_in > 1 {
            // Drawn anew each time: what agents do in turns must not hide behind turns of ours.
            self.skip = (self.random.bits() % u64::from(2 * self.one_in - 1)) as u32;
        }
        true
    }

    /// So much time went by since this was called last.
    pub(super) fn pace(&mut self, time: Duration) {
        let times = f64::from(std::mem::take(&mut self.came)) / (A_SECOND * time.as_secs_f64());
        // Few samples in a time of almost nothing are no pace.
        self.one_in = if times.is_finite() { (times.ceil() as u32).clamp(1, MOST) } else { 1 };
        self.skip = self.skip.min(2 * self.one_in - 2);
    }

    /// Keeps one more.
    pub(super) fn keep(&mut self, kept: Kept) {
        if self.recent.len() == RECENT
            && let Some(old) = self.recent.pop_front()
            && old.known != Known::Suspect
        {
            self.calmly(old);
        }
        self.recent.push_back(kept);
    }

    /// Keeps one that is known to be good.
    pub(super) fn calmly(&mut self, kept: Kept) {
        if self.calm.len() < CALM {
            return self.calm.push(kept);
        }
        let place = (self.random.bits() % CALM as u64) as usize;
        self.calm[place] = kept;
    }

    /// An alert about a victim has begun with samples of this time: those that went to it since, which are good traffic
    /// of nobody from now on.
    pub(super) fn suspect(&mut self, victim: &Destinations, since: Duration) -> Vec<Kept> {
        let ours = self.recent.iter_mut().filter(|kept| kept.time >= since && victim.contains(kept.to));
        let marked = ours.map(|kept| {
            kept.known = Known::Suspect;
            kept.clone()
        });
        marked.collect()
    }

    /// Good samples: those that went to a victim until a time, and those of others; the latest `most` of each.
    pub(super) fn good(
        &self,
        victim: &Destinations,
        until: Duration,
        most: usize,
    ) -> (Vec<Sample<'_>>, Vec<Sample<'_>>) {
        let all = self.recent.iter().rev().chain(&self.calm).filter(|kept| kept.known != Known::Suspect);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for kept in all {
            let is_own = victim.contains(kept.to);
            let side = if is_own { &mut own } else { &mut others };
            if side.len() < most && (!is_own || kept.known == Known::Good || kept.time <= until) {
                side.push(kept.sample());
            }
        }
        (own, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(second: u64, to: u8) -> Kept {
        let time = Duration::from_secs(second);
        let sample = Sample {
            time,
            header: &[0; 200],
            frame_len: 200,
            one_in: 1,
            fate: Fate::Passed,
            statement: None,
        };
        Kept::of(&sample, IpAddr::from([192, 0, 2, to]), Known::Quiet)
    }

    fn host(last: u8) -> Destinations {
        weir_detect::mine::Prefix::host(IpAddr::from([192, 0, 2, last])).into()
    }

    #[test]
    fn what_an_alert_is_about_is_no_good_traffic() {
        let mut memory = Memory::new(1);
        (0..10).for_each(|second| memory.keep(kept(second, 1)));
        memory.keep(kept(5, 2));
        let suspects = memory.suspect(&host(1), Duration::from_secs(7));
        assert_eq!(suspects.iter().map(|kept| kept.time.as_secs()).collect::<Vec<_>>(), [7, 8, 9]);
        let (own, others) = memory.good(&host(1), Duration::MAX, 100);
        assert_eq!((own.len(), others.len()), (7, 1));
        assert_eq!(memory.good(&host(1), Duration::MAX, 3).0.len(), 3);
        assert_eq!(memory.good(&host(1), Duration::from_secs(2), 100).0.len(), 3);
        memory.calmly(Kept { known: Known::Good, ..kept(99, 1) });
        assert_eq!(memory.good(&host(1), Duration::from_secs(2), 100).0.len(), 4, "whenever it was taken");
    }

    #[test]
    fn a_flood_does_not_wash_away_what_was_before() {
        let mut memory = Memory::new(1);
        (0..1000).for_each(|second| memory.keep(kept(second, 1)));
        memory.keep(kept(1000, 2));
        memory.suspect(&host(2), Duration::ZERO);
        let flood = Kept { known: Known::Suspect, ..kept(1001, 2) };
        (0..10 * RECENT).for_each(|_| memory.keep(flood.clone()));
        assert_eq!((memory.recent.len(), memory.good(&host(1), Duration::MAX, 5000).0.len()), (RECENT, 1000));
        assert!(memory.good(&host(2), Duration::MAX, 5000).0.is_empty());
    }

    #[test]
    fn however_many_come_the_last_moments_are_kept() {
        let mut memory = Memory::new(1);
        for _ in 0..RECENT {
            memory.pace(Duration::from_nanos(1));
            assert!(memory.takes(), "there is room");
            memory.keep(kept(0, 1));
        }
        memory.pace(Duration::from_secs(1));
        let mut kept_of = |a_second: u32| {
            let kept = (0..50).map(|_| {
                let kept = (0..a_second / 50).filter(|_| memory.takes()).count();
                memory.pace(Duration::from_millis(20));
                kept
            });
            kept.skip(1).sum::<usize>()
        };
        assert_eq!([kept_of(1000), kept_of(50_000)], [980, 49_000], "all of them");
        for a_second in [120_000, 1_000_000, 20_000_000] {
            let kept = kept_of(a_second);
            assert!((35_000..52_000).contains(&kept), "{kept} of {a_second}");
        }
        kept_of(0);
        assert_eq!(kept_of(1000), 980, "all of them again");
    }

    #[test]
    fn there_is_an_end_to_it() {
        let mut memory = Memory::new(1);
        (0..3 * (RECENT + CALM) as u64).for_each(|second| memory.keep(kept(second, 1)));
        assert_eq!((memory.recent.len(), memory.calm.len()), (RECENT, CALM));
        assert!(memory.recent.iter().all(|kept| kept.sample().header.len() == HEADER));
    }
}
