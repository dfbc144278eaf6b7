use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// The bytes that may wait for the caller or be on their way.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// Whether somebody was refused, and is to be told when bytes come back.
    wanted: AtomicBool,
    work: watch::Sender<()>,
}

/// What one broker's answers use of the budget.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicUsize);

/// Bytes of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    bytes: usize,
    budget: Arc<Budget>,
    share: Arc<Share>,
}

impl Share {
    pub(super) fn used(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Budget {
    pub(super) fn new(limit: usize, work: watch::Sender<()>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            work,
        })
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Ordering::SeqCst))
    }

    /// Has the workers woken when bytes come back; what is left is to be looked at afterwards.
    pub(super) fn wake_on_return(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Whether somebody was refused since bytes came back last.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Takes bytes whether they are left or not.
    pub(super) fn lease(self: &Arc<Self>, share: &Arc<Share>, bytes: usize) -> Lease {
        let mut lease = Lease {
            bytes: 0,
            budget: Arc::clone(self),
            share: Arc::clone(share),
        };
        lease.resize(bytes);
        lease
    }
}

impl Lease {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Holds as much as came, instead of as much as was asked for.
    pub(super) fn resize(&mut self, bytes: usize) {
        let (used, share) = (&self.budget.used, &self.share.0);
        if bytes >= self.bytes {
            used.fetch_add(bytes - self.bytes, Ordering::SeqCst);
            share.fetch_add(bytes - self.bytes, Ordering::SeqCst);
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::SeqCst);
            share.fetch_sub(self.bytes - bytes, Ordering::SeqCst);
            if self.budget.wanted.swap(false, Ordering::SeqCst) {
                self.budget.work.send_replace(());
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_wake_who_was_refused() {
        let (work, mut seen) = watch::channel(());
        let (budget, share) = (Budget::new(10, work), Arc::new(Share::default()));
        let mut lease = budget.lease(&share, 8);
        assert_eq!((budget.left(), share.used()), (2, 8));
        lease.resize(3);
        assert_eq!((budget.left(), share.used()), (7, 3));
        assert!(!seen.has_changed().unwrap(), "nobody was refused");
        lease.resize(12);
        assert_eq!(budget.left(), 0, "more came than was asked for");
        budget.wake_on_return();
        drop(lease);
        assert_eq!((budget.left(), share.used()), (10, 0));
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        drop(budget.lease(&share, 1));
        assert!(!seen.has_changed().unwrap());
    }
}
