//! Memory for large frames, used again.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Smaller frames are left to the allocator.
const LARGE: usize = 128 << 10;

/// Frames of about the same length fit into one another's memory.
const STEP: usize = 64 << 10;

/// The most bytes that wait for the next frames.
const IDLE: usize = 16 << 20;

/// Memory of large frames that nobody holds any more, for the next ones; cheap to clone.
///
/// Allocators keep blocks of this size apart for each thread that takes and frees them, so that a
/// process would have half as much again as it uses.
#[derive(Debug, Clone, Default)]
pub(super) struct BufferPool {
    idle: Arc<Mutex<Idle>>,
}

#[derive(Debug, Default)]
struct Idle {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
}

/// A frame that is being read, or of which somebody holds a part.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Where the memory goes when it is free, while somebody may want it.
    idle: Weak<Mutex<Idle>>,
}

impl BufferPool {
    /// Returns room for a frame of this length.
    pub(super) fn take(&self, length: usize) -> Buffer {
        if length < LARGE {
            return Buffer {
                bytes: Vec::with_capacity(length),
                idle: Weak::new(),
            };
        }
        let length = length.next_multiple_of(STEP);
        let block = lock(&self.idle).take(length);
        Buffer {
            bytes: block.unwrap_or_else(|| Vec::with_capacity(length)),
            idle: Arc::downgrade(&self.idle),
        }
    }
}

impl Idle {
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        // Not much larger: who bounds what is held counts the frame, not the block.
        let fits = length..=length + length / 4;
        let fits = |block: &Vec<u8>| fits.contains(&block.capacity());
        let found = self.blocks.iter().position(fits);
        if self.blocks.is_empty() {
            return None;
        }
        // Where none fits, one gives way.
        let block = self.blocks.swap_remove(found.unwrap_or(0));
        self.bytes -= block.capacity();
        found.map(|_| block)
    }

    fn give(&mut self, mut block: Vec<u8>) {
        if self.bytes + block.capacity() <= IDLE {
            self.bytes += block.capacity();
            block.clear();
            self.blocks.push(block);
        }
    }
}

fn lock(idle: &Mutex<Idle>) -> MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Buffer {
    pub(super) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends reading; the memory is free again when nobody holds a part of it.
    pub(super) fn freeze(mut self) -> Bytes {
        match self.bytes.capacity() < LARGE {
            true => mem::take(&mut self.bytes).into(),
            false => Bytes::from_owner(self),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.upgrade() {
            lock(&idle).give(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &BufferPool, length: usize) -> Bytes {
        let mut buffer = pool.take(length);
        buffer.bytes().resize(length, 7);
        buffer.freeze()
    }

    fn idle(pool: &BufferPool) -> usize {
        let idle = lock(&pool.idle);
        let bytes = idle.blocks.iter().map(Vec::capacity).sum();
        assert_eq!(idle.bytes, bytes);
        bytes
    }

    #[test]
    fn memory_is_used_again_once_its_last_part_is_dropped() {
        let pool = BufferPool::default();
        let frame = filled(&pool, LARGE + 1);
        let (at, part) = (frame.as_ptr(), frame.slice(5..6));
        drop(frame);
        let other = filled(&pool, LARGE + 1);
        assert_ne!(other.as_ptr(), at, "a part of it is held");
        drop(part);
        let again = filled(&pool, LARGE + STEP);
        assert_eq!((again.as_ptr(), again.len()), (at, LARGE + STEP));
        assert!(again.iter().all(|byte| *byte == 7));
        assert_eq!(idle(&pool), 0);
    }

    #[test]
    fn any_length_fits_the_memory_of_its_like() {
        for length in (LARGE..LARGE * 4).step_by(1000) {
            let pool = BufferPool::default();
            drop(pool.take(length));
            let odd = idle(&pool) + 1;
            lock(&pool.idle).blocks.clear();
            lock(&pool.idle).bytes = 0;
            lock(&pool.idle).give(Vec::with_capacity(odd));
            assert_eq!(pool.take(length).bytes().capacity(), odd, "{length}");
        }
    }

    #[test]
    fn what_is_not_read_to_its_end_comes_back() {
        let pool = BufferPool::default();
        pool.take(LARGE).bytes().push(1);
        assert_eq!(idle(&pool), LARGE);
        assert!(pool.take(LARGE).bytes().is_empty());
    }

    #[test]
    fn one_that_is_too_small_or_much_too_large_gives_way() {
        for length in [LARGE * 8 + 1, LARGE * 6] {
            let pool = BufferPool::default();
            drop(filled(&pool, LARGE * 8));
            let frame = filled(&pool, length);
            assert_eq!(idle(&pool), 0);
            drop(frame);
            assert_eq!(idle(&pool), length.next_multiple_of(STEP));
        }
    }

    #[test]
    fn no_more_waits_than_allowed_and_nothing_small() {
        let pool = BufferPool::default();
        let frames: Vec<_> = (0..20).map(|_| filled(&pool, 1 << 20)).collect();
        drop((frames, filled(&pool, LARGE - 1)));
        assert_eq!(idle(&pool), IDLE);
        drop(filled(&BufferPool::default(), IDLE + 1));
    }

    #[test]
    fn frames_outlive_the_pool() {
        let pool = BufferPool::default();
        let frame = filled(&pool, LARGE);
        drop(pool);
        assert_eq!(frame.len(), LARGE);
    }
}
