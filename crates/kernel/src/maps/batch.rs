use super::{Entries, Map, Update};
use crate::KernelError;
use crate::error::ENOTSUPP;
use crate::sys::{self, Command};

/// Entries a call: enough to hide the call, small enough to stay in the cache.
const BATCH: usize = 4096;

impl Map {
    /// Hands every key and value to `take`, many a call to the kernel and without a copy each. Falls back to one by
    /// one where the map or the kernel has no batches (5.6).
    pub fn for_each(&self, mut take: impl FnMut(&[u8], &[u8])) -> Result<(), KernelError> {
        match self.walk_batch(Command::MapLookupBatch, &mut take) {
            // Said by the first call, before anything was handed over.
            Err(error) if no_batches(&error) => self.walk_singly(&mut take),
            answer => answer,
        }
    }

    /// All entries, many a call.
    pub fn lookup_batch(&self) -> Result<Entries, KernelError> {
        let mut entries = Entries::new();
        self.for_each(|key, value| entries.push((key.to_vec(), value.to_vec())))?;
        Ok(entries)
    }

    /// All entries, and deletes them: what came in between stays for the next time.
    pub fn take_batch(&self) -> Result<Entries, KernelError> {
        let mut entries = Entries::new();
        let mut take = |key: &[u8], value: &[u8]| entries.push((key.to_vec(), value.to_vec()));
        match self.walk_batch(Command::MapLookupAndDeleteBatch, &mut take) {
            Err(error) if no_batches(&error) => self.take_singly(),
            Err(error) => Err(error),
            Ok(()) => Ok(entries),
        }
    }

    /// Sets many entries. Falls back to one by one.
    pub fn update_batch<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: &[(K, V)],
    ) -> Result<(), KernelError> {
        for chunk in entries.chunks(BATCH) {
            let keys = self.join(chunk.iter().map(|(key, _)| key.as_ref()), self.info().key_size as usize);
            let values = self.join(chunk.iter().map(|(_, value)| value.as_ref()), self.value_room());
            match self.batch(Command::MapUpdateBatch, &keys, &values, chunk.len()) {
                Ok(()) => {}
                Err(error) if no_batches(&error) => {
                    for (key, value) in chunk {
                        self.update(key.as_ref(), value.as_ref(), Update::Any)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Deletes many keys; those that are not there are not an error. Falls back to one by one.
    pub fn delete_batch<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<(), KernelError> {
        for chunk in keys.chunks(BATCH) {
            let joined = self.join(chunk.iter().map(AsRef::as_ref), self.info().key_size as usize);
            // A missing key ends a batch with ENOENT after the ones before it: finish one by one.
            if self.batch(Command::MapDeleteBatch, &joined, &[], chunk.len()).is_err() {
                for key in chunk {
                    self.delete(key.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Whether the kernel has batches for this map.
    pub(crate) fn has_batches(&self) -> bool {
        !self.walk_batch(Command::MapLookupBatch, &mut |_, _| {}).is_err_and(|error| no_batches(&error))
    }

    fn batch(&self, command: Command, keys: &[u8], values: &[u8], count: usize) -> Result<(), KernelError> {
        let mut arguments = sys::Batch {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: count as u32,
            map_fd: self.raw_fd() as u32,
            ..sys::Batch::default()
        };
        // SAFETY: `join` made `count` keys, and values where the command reads them, of the map's sizes.
        let answer = unsafe { sys::bpf_with_pointers(command, &mut arguments) };
        answer.map(drop).map_err(|source| self.error("update map", source))
    }

    fn walk_batch(&self, command: Command, take: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), KernelError> {
        let (key_size, value_size) = (self.info().key_size as usize, self.value_room());
        // A hash map refuses a batch smaller than its fullest bucket (ENOSPC): then the room doubles.
        let mut room = BATCH.min(self.info().max_entries as usize).max(1);
        let (mut keys, mut values) = (vec![0u8; room * key_size], vec![0u8; room * value_size]);
        // The cursor is a bucket's number for hashes, a key for tries: give it the larger of both.
        let mut cursor = vec![0u8; key_size.max(8)];
        let mut next = cursor.clone();
        let mut first = true;
        loop {
            let mut arguments = sys::Batch {
                in_batch: if first { 0 } else { cursor.as_ptr() as u64 },
                out_batch: next.as_mut_ptr() as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: room as u32,
                map_fd: self.raw_fd() as u32,
                ..sys::Batch::default()
            };
            // SAFETY: keys and values have room for `count` of the map's sizes, the cursors for a bucket or a key.
            let answer = unsafe { sys::bpf_with_pointers(command, &mut arguments) };
            let errno = answer.as_ref().err().and_then(std::io::Error::raw_os_error);
            if errno == Some(libc::ENOSPC) {
                room *= 2;
                keys.resize(room * key_size, 0);
                values.resize(room * value_size, 0);
                continue;
            }
            let ended = errno == Some(libc::ENOENT);
            if let (Err(error), false) = (answer, ended) {
                return Err(self.error("read map", error));
            }
            let read = (arguments.count as usize).min(room);
            let pairs = keys.chunks(key_size).zip(values.chunks(value_size)).take(read);
            pairs.for_each(|(key, value)| take(key, value));
            if ended || read == 0 {
                return Ok(());
            }
            std::mem::swap(&mut cursor, &mut next);
            first = false;
        }
    }

    fn walk_singly(&self, take: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), KernelError> {
        for key in self.keys() {
            let key = key?;
            // It may have gone meanwhile.
            if let Some(value) = self.lookup(&key)? {
                take(&key, &value);
            }
        }
        Ok(())
    }

    fn take_singly(&self) -> Result<Entries, KernelError> {
        let mut entries = Entries::new();
        self.walk_singly(&mut |key, value| entries.push((key.to_vec(), value.to_vec())))?;
        for (key, _) in &entries {
            self.delete(key)?;
        }
        Ok(entries)
    }

    fn join<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, size: usize) -> Vec<u8> {
        let mut joined = Vec::new();
        for part in parts {
            assert_eq!(part.len(), size, "a key or value of `{}`", self.info().name);
            joined.extend_from_slice(part);
        }
        joined
    }
}

/// The map's kind or the kernel (before 5.6) does not know the command.
fn no_batches(error: &KernelError) -> bool {
    matches!(error.errno(), libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)
}
