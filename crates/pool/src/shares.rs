//! How many slots each weight gets.

/// The apportionment of `size` slots by weight, with largest remainders; of equal remainders the earlier weight gets the
/// slot. A weight above zero gets one slot at least if there are enough for all of them: whose quota is less than one has one,
/// and the others share what is left. Without any weight above zero all shares are zero, else their sum is `size`.
pub(crate) fn shares(weights: &[u32], size: u32) -> Vec<u32> {
    let mut shares = vec![0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).filter(|nth| weights[*nth] > 0).collect();
    let mut left = u64::from(size);
    if open.len() as u64 <= left {
        loop {
            let total = total(weights, &open);
            let small = |nth: &usize| u64::from(weights[*nth]) * left < total;
            let (light, others): (Vec<usize>, Vec<usize>) = open.iter().partition(|nth| small(nth));
            if light.is_empty() {
                break;
            }
            light.iter().for_each(|nth| shares[*nth] = 1);
            left -= light.len() as u64;
            open = others;
        }
    }
    apportion(weights, open, left, &mut shares);
    shares
}

fn total(weights: &[u32], of: &[usize]) -> u64 {
    of.iter().map(|nth| u64::from(weights[*nth])).sum()
}

/// Largest remainders (Hamilton's method) among some of the weights.
fn apportion(weights: &[u32], mut open: Vec<usize>, slots: u64, shares: &mut [u32]) {
    let total = total(weights, &open);
    if total == 0 {
        return;
    }
    let quota = |nth: usize| u64::from(weights[nth]) * slots;
    let mut given = 0;
    for nth in &open {
        shares[*nth] = (quota(*nth) / total) as u32;
        given += u64::from(shares[*nth]);
    }
    open.sort_by_key(|nth| std::cmp::Reverse(quota(*nth) % total));
    open.iter().take((slots - given) as usize).for_each(|nth| shares[*nth] += 1);
}

#[cfg(test)]
mod tests {
    use super::shares;
    use proptest::prelude::*;

    #[test]
    fn exact_by_hand() {
        assert_eq!(shares(&[1, 1], 7), [4, 3]);
        assert_eq!(shares(&[1, 2, 3], 7), [1, 2, 4]);
        assert_eq!(shares(&[3, 2, 1], 7), [4, 2, 1]);
        assert_eq!(shares(&[5, 0, 5], 3), [2, 0, 1]);
    }

    #[test]
    fn nothing_for_nobody() {
        assert_eq!(shares(&[], 7), []);
        assert_eq!(shares(&[0, 0], 7), [0, 0]);
    }

    /// Without the least of one, largest remainders would give both light ones nothing.
    #[test]
    fn a_light_weight_has_a_slot() {
        assert_eq!(shares(&[1, 1_000_000, 1], 7), [1, 5, 1]);
        assert_eq!(shares(&[1, u32::MAX], 2), [1, 1]);
    }

    /// Two have quotas below one only when the lightest ones have got their slots.
    #[test]
    fn what_is_left_is_shared_again() {
        assert_eq!(shares(&[1, 10, 89], 4), [1, 1, 2]);
        assert_eq!(shares(&[1, 1, 1, 24, 73], 5), [1, 1, 1, 1, 1]);
    }

    #[test]
    fn more_weights_than_slots() {
        assert_eq!(shares(&[1, 3, 1, 2], 3), [1, 1, 0, 1]);
    }

    proptest! {
        /// Quota: among those that get more than the least, no share is a whole slot off what its weight says of them.
        #[test]
        fn no_share_is_a_slot_off(
            weights in prop::collection::vec(prop_oneof![0..4_u32, 0..1000_u32, any::<u32>()], 1..40),
            size in 1..5000_u32,
        ) {
            let shares = shares(&weights, size);
            let weighty: Vec<usize> = (0..weights.len()).filter(|nth| weights[*nth] > 0).collect();
            let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
            prop_assert_eq!(sum, if weighty.is_empty() { 0 } else { u64::from(size) });
            for (weight, share) in weights.iter().zip(&shares) {
                prop_assert!(*weight > 0 || *share == 0);
            }
            if weighty.len() > size as usize {
                return Ok(());
            }
            prop_assert!(weighty.iter().all(|nth| shares[*nth] >= 1));
            let heavy: Vec<usize> = weighty.into_iter().filter(|nth| shares[*nth] > 1).collect();
            let slots: u128 = heavy.iter().map(|nth| u128::from(shares[*nth])).sum();
            let total: u128 = heavy.iter().map(|nth| u128::from(weights[*nth])).sum();
            for nth in heavy {
                let (share, quota) = (u128::from(shares[nth]) * total, u128::from(weights[nth]) * slots);
                prop_assert!(share.abs_diff(quota) < 2 * total, "{weights:?} {shares:?}");
            }
        }
    }
}
