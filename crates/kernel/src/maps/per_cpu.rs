use std::sync::LazyLock;

use super::{Map, Update};
use crate::KernelError;

/// How many CPUs the kernel keeps values for: the possible ones, which may be more than are online.
pub fn possible_cpus() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        count_cpus(text.trim()).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    });
    *COUNT
}

/// Counts what the kernel writes as `0-3,8`.
fn count_cpus(list: &str) -> Option<usize> {
    list.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1)
        })
        .sum()
}

impl Map {
    /// The values of `key`, one for each possible CPU.
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<Vec<Vec<u8>>>, KernelError> {
        Ok(self.lookup(key)?.map(|bytes| self.split_per_cpu(&bytes)))
    }

    /// Sets the values of `key`, one for each possible CPU.
    pub fn update_per_cpu(&self, key: &[u8], values: &[Vec<u8>], update: Update) -> Result<(), KernelError> {
        let size = self.info().value_size as usize;
        assert_eq!(values.len(), possible_cpus(), "a value for each possible CPU");
        let mut bytes = Vec::with_capacity(self.value_room());
        for value in values {
            assert_eq!(value.len(), size, "a value of `{}`", self.info().name);
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        self.update(key, &bytes, update)
    }

    /// Cuts what [`Map::lookup`] and [`Map::entries`] answer for a per-CPU map into one value for each CPU.
    pub fn split_per_cpu(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let size = self.info().value_size as usize;
        // The kernel rounds each CPU's value up to eight bytes (`round_up(value_size, 8)`).
        bytes.chunks(size.next_multiple_of(8)).map(|value| value[..size].to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(count_cpus("0"), Some(1));
        assert_eq!(count_cpus("0-3"), Some(4));
        assert_eq!(count_cpus("0-1,4,6-7"), Some(5));
        assert_eq!(count_cpus(""), None);
    }
}
