use std::sync::Weak;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Pool;
use crate::pool::Inner;

/// Closes what is idle or old, and keeps `min_connections` open, until the pool is gone.
pub(crate) async fn reap(pool: Weak<Inner>, period: Duration) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade().map(Pool::from_inner) else {
            return;
        };
        pool.reap();
        if let Err(error) = pool.fill().await {
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot keep the least connections open"
            );
        }
    }
}

/// Returns how often to look: often enough to be late by a tenth at most.
pub(crate) fn period(idle_timeout: Duration, max_lifetime: Duration) -> Duration {
    (idle_timeout.min(max_lifetime) / 10).clamp(Duration::from_millis(10), Duration::from_secs(30))
}

impl Pool {
    fn reap(&self) {
        let (config, now) = (self.config(), Instant::now());
        let mut size = self.status().size;
        let least = config.min_connections as usize;
        let reaped = self.sessions().retain(|session, _| {
            let unused = now.saturating_duration_since(session.used) >= config.idle_timeout;
            let keep = now < session.expires && !(unused && size > least);
            size -= usize::from(!keep);
            keep
        });
        drop(reaped);
    }
}
