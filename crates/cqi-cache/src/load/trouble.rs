use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cqi_errors::Error;
use tokio::time::Instant;
use tracing::warn;

use crate::Key;

/// The least time between two lines about the same trouble.
const APART: Duration = Duration::from_secs(10);

/// Log lines about what callers are spared; a few of them, so that an outage does not fill the log.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    unreachable: Seldom,
    not_kept: Seldom,
    too_large: Seldom,
    stale: Seldom,
    early: Seldom,
}

impl Trouble {
    pub(super) fn unreachable(&self, error: &Error) {
        if let Some(held_back) = self.unreachable.line() {
            warn!(error = %format_args!("{error:#}"), held_back, "the cache cannot be read, so values are loaded");
        }
    }

    pub(super) fn not_kept(&self, error: &Error) {
        if let Some(held_back) = self.not_kept.line() {
            warn!(error = %format_args!("{error:#}"), held_back, "a loaded value is not kept");
        }
    }

    pub(super) fn too_large(&self, key: &Key, size: u64, limit: u64) {
        if let Some(held_back) = self.too_large.line() {
            warn!(%key, size, limit, held_back, "a loaded value is larger than cache.max_value_size, so it is not kept");
        }
    }

    pub(super) fn stale(&self, key: &Key, error: &Error) {
        if let Some(held_back) = self.stale.line() {
            warn!(%key, error = %format_args!("{error:#}"), held_back, "the loader failed, so an expired value is served");
        }
    }

    pub(super) fn early(&self, key: &Key, error: &Error) {
        if let Some(held_back) = self.early.line() {
            warn!(%key, error = %format_args!("{error:#}"), held_back, "a value could not be loaded again before it expires");
        }
    }
}

/// Lets a line through now and then, and counts those between.
#[derive(Debug, Default)]
struct Seldom {
    last: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Returns how many were held back since the last line, or `None` to hold this one back too.
    fn line(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, held_back) = &mut *last;
        if at.is_some_and(|at| now.duration_since(at) < APART) {
            *held_back += 1;
            return None;
        }
        *at = Some(now);
        Some(std::mem::take(held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_every_ten_seconds_counts_those_between() {
        let seldom = Seldom::default();
        assert_eq!(seldom.line(), Some(0));
        assert_eq!(seldom.line(), None);
        assert_eq!(seldom.line(), None);
        tokio::time::advance(APART).await;
        assert_eq!(seldom.line(), Some(2));
        assert_eq!(seldom.line(), None);
    }
}
