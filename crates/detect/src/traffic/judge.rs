//! When traffic is too much.

use super::config::{Config, Limit};
use super::entry::Horizons;
use super::estimate::{Estimate, lower};
use super::window::{HORIZONS, Sums};

/// The shortest horizon that is above a limit by all that is asked for.
pub(super) fn above(sums: &Horizons, limit: &Limit, config: &Config) -> Option<usize> {
    (0..HORIZONS.len()).find(|level| is_above(&sums[*level], *level, limit, config))
}

/// Whether one horizon is: enough samples, and the lower bound of either rate.
pub(super) fn is_above(sums: &Sums, level: usize, limit: &Limit, config: &Config) -> bool {
    sums.samples >= config.samples && exceeds(sums, level, 1.0, limit, config.sigmas)
}

/// Whether an alert goes on: half of what it took to begin, in any horizon.
pub(super) fn holds(sums: &Horizons, limit: &Limit, config: &Config) -> bool {
    (0..HORIZONS.len()).any(|level| exceeds(&sums[level], level, 0.5, limit, config.sigmas))
}

fn exceeds(sums: &Sums, level: usize, share: f64, limit: &Limit, sigmas: f64) -> bool {
    let seconds = HORIZONS[level].as_secs_f64() * share;
    let (packets, bits) = (limit.packets() * seconds, limit.bits() * seconds);
    // Sums that are not above themselves have no bound that is.
    sums.packets as f64 > packets && lower(sums.packets as f64, sums.packets_variance(), sigmas) > packets
        || sums.bits() > bits && lower(sums.bits(), sums.bits_variance(), sigmas) > bits
}

/// Packets and bits a second.
pub(super) fn estimates(sums: &Sums, level: usize, sigmas: f64) -> (Estimate, Estimate) {
    let seconds = HORIZONS[level].as_secs_f64();
    (
        Estimate::over(seconds, sums.packets as f64, sums.packets_variance(), sigmas),
        Estimate::over(seconds, sums.bits(), sums.bits_variance(), sigmas),
    )
}

/// The horizon that says most of now: the shortest with enough samples, else the longest.
pub(super) fn freshest(sums: &Horizons, samples: u32) -> usize {
    sums.iter().position(|sums| sums.samples >= samples).unwrap_or(HORIZONS.len() - 1)
}
