use std::sync::Arc;
use std::time::Duration;

use crate::assignor::Assignor;

/// How a member behaves in its group; the names in brackets are the Java client's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The group (`group.id`).
    pub group: Arc<str>,
    /// Makes the member static: a restart within the session timeout moves nothing
    /// (`group.instance.id`). None by default.
    pub instance_id: Option<Arc<str>>,
    /// Where it runs, told to the leader (`client.rack`). None by default.
    pub rack: Option<Arc<str>>,
    /// What it can do, the preferred first (`partition.assignment.strategy`); cooperative only if
    /// all are. Cooperative-sticky by default.
    pub assignors: Vec<Assignor>,
    /// Without a heartbeat for this long the member is dead (`session.timeout.ms`). 45 s.
    ///
    /// A heartbeat without an answer for half of that, or for `request_timeout`, is given up, and
    /// the coordinator looked for again.
    pub session_timeout: Duration,
    /// Between heartbeats, at most a third of the session timeout (`heartbeat.interval.ms`). 3 s.
    pub heartbeat_interval: Duration,
    /// The longest that the caller may take between polls and to give partitions back; then the
    /// member leaves (`max.poll.interval.ms`, the protocol's rebalance timeout). 5 min.
    pub max_poll_interval: Duration,
    /// For requests that the broker answers at once (`request.timeout.ms`). 30 s.
    pub request_timeout: Duration,
    /// The first pause after a failure; doubles, within 20 % (`retry.backoff.ms`). 100 ms.
    pub backoff: Duration,
    /// The longest pause (`retry.backoff.max.ms`). 1 s.
    pub max_backoff: Duration,
}

impl Settings {
    /// The defaults of the Java client, except for the assignor.
    pub fn new(group: impl Into<Arc<str>>) -> Self {
        Self {
            group: group.into(),
            instance_id: None,
            rack: None,
            assignors: vec![Assignor::CooperativeSticky],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            request_timeout: Duration::from_secs(30),
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }
}
