//! What the open spans give to the lines inside them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::span::Id;

use crate::fields::Fields;
use crate::trace_ids::TraceIds;

/// Threads that open spans have a shard each, up to so many.
const SHARDS: usize = 64;

/// The most closed spans of a shard whose buffers are kept for the next.
const SPARE: usize = 256;

/// What a buffer keeps of a long span, in bytes.
const RETAINED: usize = 1024;

/// Where the registry's ids say which thread opened the span. This decides who shares a lock and
/// nothing else.
const THREAD_SHIFT: u32 = if usize::BITS == 64 { 38 } else { 22 };

/// The open spans that a logger sees.
///
/// The registry's extensions would allocate for each span. Here the buffers of a closed span serve the
/// next one of its thread. A span is added when it opens and removed when it closes, so that nothing
/// outlives what the registry keeps of it.
///
/// No user code runs while a lock is held.
#[derive(Debug)]
pub(crate) struct Spans(Box<[Shard]>);

/// The spans that one thread opened; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<u64, Box<Span>, BuildHasherDefault<Mix>>,
    #[expect(clippy::vec_box, reason = "boxes move between the two")]
    spare: Vec<Box<Span>>,
}

/// An open span.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) fields: Fields,
    /// The ids of the span itself, once they were looked for.
    pub(crate) ids: Option<Option<TraceIds>>,
    parent: Option<Id>,
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }

    /// Adds a span that opens.
    pub(crate) fn open(&self, id: &Id, parent: Option<Id>, fields: &Fields, ids: Option<TraceIds>) {
        let mut shard = self.shard(id);
        let mut span = shard.spare.pop().unwrap_or_else(|| Box::new(Span::new()));
        span.fields.copy_from(fields);
        span.ids = ids.map(Some);
        span.parent = parent;
        shard.open.insert(id.into_u64(), span);
    }

    /// Removes a span that closes.
    pub(crate) fn close(&self, id: &Id) {
        let mut shard = self.shard(id);
        let Some(mut span) = shard.open.remove(&id.into_u64()) else {
            return;
        };
        if shard.spare.len() < SPARE {
            span.fields.trim(RETAINED);
            shard.spare.push(span);
        }
    }

    /// Changes an open span.
    pub(crate) fn update(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        if let Some(span) = self.shard(id).open.get_mut(&id.into_u64()) {
            change(span);
        }
    }

    pub(crate) fn contains(&self, id: &Id) -> bool {
        self.shard(id).open.contains_key(&id.into_u64())
    }

    /// Visits a span and those around it, from the innermost out, until `visit` says that it is enough.
    pub(crate) fn visit(&self, innermost: &Id, mut visit: impl FnMut(&Id, &Span) -> bool) {
        let mut id = innermost.clone();
        let mut shard = self.shard(&id);
        while let Some(span) = shard.open.get(&id.into_u64()) {
            if !visit(&id, span) {
                return;
            }
            let Some(parent) = span.parent.clone() else {
                return;
            };
            if place(&parent) != place(&id) {
                // One lock at a time.
                drop(shard);
                shard = self.shard(&parent);
            }
            id = parent;
        }
    }

    fn shard(&self, id: &Id) -> MutexGuard<'_, Inner> {
        let Shard(shard) = &self.0[place(id)];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(id: &Id) -> usize {
    (id.into_u64() >> THREAD_SHIFT) as usize % SHARDS
}

impl Span {
    fn new() -> Self {
        Self {
            fields: Fields::roomy(),
            ids: None,
            parent: None,
        }
    }
}

/// Hashes ids: those of one thread differ in a few bits.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let product = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use tracing::dispatcher;
    use tracing_subscriber::Registry;

    use super::*;

    fn id(id: u64) -> Id {
        Id::from_u64(id)
    }

    fn names(spans: &Spans, innermost: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        spans.visit(&id(innermost), |id, _| {
            seen.push(id.into_u64());
            true
        });
        seen
    }

    #[test]
    fn spans_are_visited_across_shards_from_the_innermost_out() {
        let spans = Spans::new();
        let far = 1 << THREAD_SHIFT | 7;
        spans.open(&id(1), None, &Fields::new(), None);
        spans.open(&id(far), Some(id(1)), &Fields::new(), None);
        spans.open(&id(3), Some(id(far)), &Fields::new(), None);
        assert_eq!(names(&spans, 3), [3, far, 1]);
        spans.close(&id(3));
        assert!(names(&spans, 3).is_empty());
        assert!(spans.contains(&id(far)));
    }

    #[test]
    fn nothing_of_a_closed_span_is_in_the_next() {
        let spans = Spans::new();
        let mut fields = Fields::new();
        fields.push(|bytes| {
            bytes.extend_from_slice(b",\"a\":1");
            "a"
        });
        spans.open(&id(1), None, &fields, None);
        spans.open(&id(2), Some(id(1)), &fields, TraceIds::new(1, 1));
        spans.close(&id(2));
        spans.open(&id(2), None, &Fields::new(), None);
        assert_eq!(names(&spans, 2), [2]);
        spans.visit(&id(2), |_, span| {
            assert!(span.fields.as_bytes().is_empty() && !span.fields.contains("a"));
            assert_eq!(span.ids, None);
            true
        });
    }

    #[test]
    fn what_is_kept_of_closed_spans_is_bounded() {
        let spans = Spans::new();
        let mut long = Fields::new();
        long.push(|bytes| {
            bytes.resize(1024 * 1024, b'x');
            "long"
        });
        let many = 1..=2 * SPARE as u64;
        many.clone()
            .for_each(|n| spans.open(&id(n), None, &long, None));
        many.for_each(|n| spans.close(&id(n)));
        let shard = spans.shard(&id(1));
        assert!(shard.open.is_empty());
        assert_eq!(shard.spare.len(), SPARE);
        assert!(
            shard
                .spare
                .iter()
                .all(|span| span.fields.capacity() <= RETAINED)
        );
    }

    #[test]
    fn threads_do_not_share_a_lock() {
        let dispatch = tracing::Dispatch::new(Registry::default());
        let open = || dispatcher::with_default(&dispatch, || tracing::info_span!("span").id());
        let here = place(&open().unwrap());
        let there = std::thread::scope(|threads| {
            let thread = threads.spawn(|| place(&open().unwrap()));
            thread.join().unwrap()
        });
        assert_ne!(here, there);
    }
}
