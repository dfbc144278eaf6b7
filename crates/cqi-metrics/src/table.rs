use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;

/// A hash table that only grows, up to a limit, and hands out references without locks.
///
/// Entries are written once, and neither move nor leave. A key lies in the first slot on its way
/// that was free when it came: the slots of the first page that its hash points at, then those of
/// the second, which is twice as large, and so on. So a free slot ends a search, and two threads
/// that add one key meet at one slot.
pub(crate) struct Table<T> {
    first: Page<T>,
    len: AtomicUsize,
    limit: usize,
    hasher: RandomState,
}

struct Page<T> {
    slots: Box<[OnceLock<(u64, T)>]>,
    /// How many of them a key may take.
    way: usize,
    next: OnceLock<Box<Self>>,
}

/// The size of the first page.
const FIRST: usize = 16;
/// How many slots a key may take of a page that is not the last.
const WAY: usize = 8;

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            first: Page::new(FIRST, limit),
            len: AtomicUsize::new(0),
            limit,
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Finds an entry.
    pub(crate) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let mut page = &self.first;
        loop {
            for slot in page.way(hash) {
                let (of, entry) = slot.get()?;
                if *of == hash && is(entry) {
                    return Some(entry);
                }
            }
            page = page.next.get()?;
        }
    }

    /// Adds an entry, unless one like it has come in between; `None` where the table is full.
    pub(crate) fn insert(&self, hash: u64, entry: T, is: impl Fn(&T) -> bool) -> Option<&T> {
        let reserve = |len| (len < self.limit).then_some(len + 1);
        self.len.fetch_update(Relaxed, Relaxed, reserve).ok()?;
        let mut new = (hash, entry);
        let mut page = &self.first;
        loop {
            for slot in page.way(hash) {
                match slot.set(new) {
                    Ok(()) => return slot.get().map(|(_, entry)| entry),
                    Err(rejected) => new = rejected,
                }
                if let Some((of, entry)) = slot.get()
                    && *of == hash
                    && is(entry)
                {
                    self.len.fetch_sub(1, Relaxed);
                    return Some(entry);
                }
            }
            page = page
                .next
                .get_or_init(|| Box::new(Page::new(page.slots.len() * 2, self.limit)));
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len.load(Relaxed) >= self.limit
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let pages = iter::successors(Some(&self.first), |page| {
            page.next.get().map(|next| &**next)
        });
        pages
            .flat_map(|page| &page.slots)
            .filter_map(|slot| slot.get())
            .map(|(_, entry)| entry)
    }
}

impl<T> Page<T> {
    fn new(size: usize, limit: usize) -> Self {
        // However alike the hashes are, no more pages are needed.
        let is_last = size > limit;
        Self {
            slots: iter::repeat_with(OnceLock::new).take(size).collect(),
            way: if is_last { size } else { WAY },
            next: OnceLock::new(),
        }
    }

    /// Returns the slots of this page that a key may take, in their order.
    fn way(&self, hash: u64) -> impl Iterator<Item = &OnceLock<(u64, T)>> {
        let mask = self.slots.len() - 1;
        // The sizes are powers of two: the lowest bits decide, more of them in each page.
        let start = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        (0..self.way).map(move |step| &self.slots[(start + step) & mask])
    }
}

impl<T: fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn pages<T>(table: &Table<T>) -> usize {
        iter::successors(Some(&table.first), |page| {
            page.next.get().map(|next| &**next)
        })
        .count()
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_in_bounded_room() {
        let table = Table::new(1_000);
        for key in 0..1_100 {
            let inserted = table.insert(7, key, |other| *other == key);
            assert_eq!(inserted.is_some(), key < 1_000, "{key}");
        }
        for key in 0..1_100 {
            let found = table.get(7, |other| *other == key);
            assert_eq!(found, Some(&key).filter(|key| **key < 1_000));
        }
        // 16, 32 and so on to 1,024.
        assert_eq!(pages(&table), 7);
        assert_eq!(table.iter().count(), 1_000);
    }

    #[test]
    fn threads_that_add_one_key_get_one_entry() {
        const KEYS: u64 = 2_000;
        let table = Table::new(10_000);
        let all = thread::scope(|scope| {
            let add = |thread: usize| {
                let table = &table;
                move || -> Vec<usize> {
                    let add = |key| {
                        let entry = table.insert(table.hash(key), (key, thread), |of| of.0 == key);
                        std::ptr::from_ref(entry.unwrap()).addr()
                    };
                    (0..KEYS).map(add).collect()
                }
            };
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(add(thread))).collect();
            let ends = threads.into_iter().map(|thread| thread.join().unwrap());
            ends.collect::<Vec<_>>()
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(table.iter().count() as u64, KEYS);
        assert_eq!(table.len.load(Relaxed) as u64, KEYS);
    }
}
