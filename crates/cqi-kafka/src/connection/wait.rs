use std::time::Duration;

use tokio::time::Instant;

/// How long a request may take, from its beginning to its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) began: Instant,
    /// For messages: in whole milliseconds, where a caller gave what it had left.
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
}

/// What an endless wait is taken for: 30 years.
const ENDLESS: Duration = Duration::from_secs(86_400 * 365 * 30);

impl Wait {
    pub(super) fn new(timeout: Duration) -> Self {
        let began = Instant::now();
        let timeout = timeout.min(ENDLESS);
        let spoken = timeout.as_micros().div_ceil(1000);
        Self {
            began,
            timeout: Duration::from_millis(spoken.try_into().unwrap_or(u64::MAX)),
            deadline: began + timeout,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.deadline <= Instant::now()
    }
}
