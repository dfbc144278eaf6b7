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
    next: OnceLock<Box<Self>>,
}

/// The size of the first page.
const FIRST: usize = 16;
/// How many slots of a page a key may take.
const WAY: usize = 8;

impl<T> Table<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            first: Page::new(FIRST),
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
                .get_or_init(|| Box::new(Page::new(page.slots.len() * 2)));
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
    fn new(size: usize) -> Self {
        Self {
            slots: iter::repeat_with(OnceLock::new).take(size).collect(),
            next: OnceLock::new(),
        }
    }

    /// Returns the slots of this page that a key may take, in their order.
    fn way(&self, hash: u64) -> impl Iterator<Item = &OnceLock<(u64, T)>> {
        let mask = self.slots.len() - 1;
        // The sizes are powers of two: the lowest bits decide, more of them in each page.
        let start = usize::try_from(hash & u64::from(u32::MAX)).unwrap_or_default();
        (0..WAY).map(move |step| &self.slots[(start + step) & mask])
    }
}

impl<T: fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
