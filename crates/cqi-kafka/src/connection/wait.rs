use std::time::Duration;

use tokio::time::Instant;

/// How long a request may take, from its beginning to its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) began: Instant,
    pub(super) timeout: Duration,
    pub(super) deadline: Instant,
}

/// What an endless wait is taken for: 30 years.
const ENDLESS: Duration = Duration::from_secs(86_400 * 365 * 30);

impl Wait {
    pub(super) fn new(timeout: Duration) -> Self {
        let began = Instant::now();
        Self {
            began,
            timeout,
            deadline: began + timeout.min(ENDLESS),
        }
    }
}
