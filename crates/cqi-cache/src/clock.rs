use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: what processes on several hosts can compare.
#[allow(
    clippy::disallowed_methods,
    reason = "other processes read when a value expires"
)]
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
