//! What is logged while spans are lost.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tracing::dispatcher::{self, WeakDispatch};
use tracing::{info, warn};

/// The least time between two lines on the same outage.
const BETWEEN_LINES: Duration = Duration::from_secs(60);

/// The subscriber that a layer of traces is part of, once it is; weak, since that owns the layer.
pub(crate) type Subscriber = Arc<OnceLock<WeakDispatch>>;

/// Tells of lost spans, rarely: once when it begins, then at most once a minute, and when it is over.
#[derive(Debug)]
pub(crate) struct Outage {
    endpoint: String,
    subscriber: Subscriber,
    /// The spans that were lost when a line last said so.
    told: u64,
    /// The spans whose cause is known, and that of the last of them.
    known: u64,
    cause: String,
    last: Option<Instant>,
    /// Whether a line told of a batch that was not accepted, and none since of one that was.
    failing: bool,
}

impl Outage {
    pub(crate) fn new(endpoint: &str, subscriber: Subscriber) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            subscriber,
            told: 0,
            known: 0,
            cause: String::new(),
            last: None,
            failing: false,
        }
    }

    /// Notes that a batch was not accepted.
    pub(crate) fn goes_on(&mut self, cause: &str, dropped: u64) {
        self.learn(cause, dropped);
        self.failing |= self.warn(dropped);
    }

    /// Notes that a batch was accepted; it is told where the outage was.
    pub(crate) fn is_over(&mut self, dropped: u64) {
        if std::mem::take(&mut self.failing) {
            self.told = dropped;
            let endpoint = &self.endpoint;
            self.log(|| {
                info!(target: "cqi_trace", endpoint, dropped, "spans are exported again");
            });
        }
    }

    /// Notes how many spans were lost so far for whatever reason, such as a full queue.
    pub(crate) fn tell_lost(&mut self, dropped: u64) {
        if dropped != self.known {
            self.learn("the queue was full: see tracing.queue_size", dropped);
        }
        self.warn(dropped);
    }

    fn learn(&mut self, cause: &str, dropped: u64) {
        cause.clone_into(&mut self.cause);
        self.known = dropped;
    }

    /// Says whether it was time for a line.
    fn warn(&mut self, dropped: u64) -> bool {
        let now = Instant::now();
        let lately = |last| now.saturating_duration_since(last) < BETWEEN_LINES;
        if dropped == self.told || self.last.is_some_and(lately) {
            return false;
        }
        self.told = dropped;
        self.last = Some(now);
        let (endpoint, error) = (&self.endpoint, &self.cause);
        self.log(|| warn!(target: "cqi_trace", endpoint, dropped, error, "spans are lost"));
        true
    }

    /// Logs where the layer of traces is, if anywhere: that is not the default of this thread unless it
    /// is the process's.
    fn log(&self, line: impl FnOnce()) {
        if let Some(dispatch) = self.subscriber.get().and_then(WeakDispatch::upgrade) {
            dispatcher::with_default(&dispatch, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use cqi_log::testing::{Capture, capture};
    use tokio::time::advance;

    use super::*;

    fn outage(logs: &Capture) -> Outage {
        let subscriber = Subscriber::default();
        subscriber.set(logs.dispatch().downgrade()).unwrap();
        Outage::new("http://collector", subscriber)
    }

    fn told(logs: &Capture) -> Vec<u64> {
        let lines = logs.lines();
        logs.clear();
        lines
            .iter()
            .map(|line| line["dropped"].as_u64().unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_goes_on_is_told_each_minute() {
        let logs = capture();
        let mut outage = outage(&logs);
        outage.tell_lost(0);
        assert!(told(&logs).is_empty());
        for second in 1..=150 {
            outage.goes_on("gone", second);
            outage.tell_lost(second);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told(&logs), [1, 61, 121]);
        advance(BETWEEN_LINES).await;
        outage.tell_lost(121);
        assert!(told(&logs).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_and_goes_is_not_told_each_time() {
        let logs = capture();
        let mut outage = outage(&logs);
        for second in 1..=59 {
            outage.goes_on("gone", second);
            outage.is_over(second);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(told(&logs), [1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_line_names_the_cause_that_it_is_about() {
        let logs = capture();
        let mut outage = outage(&logs);
        outage.goes_on("gone", 1);
        advance(BETWEEN_LINES / 2).await;
        outage.goes_on("refused", 2);
        outage.is_over(2);
        outage.goes_on("refused", 3);
        advance(BETWEEN_LINES).await;
        outage.tell_lost(3);
        advance(BETWEEN_LINES).await;
        outage.tell_lost(4);
        let lines = logs.lines();
        let causes: Vec<_> = lines
            .iter()
            .filter_map(|line| line["error"].as_str())
            .collect();
        let full = "the queue was full: see tracing.queue_size";
        assert_eq!(causes, ["gone", "refused", full]);
    }

    #[test]
    fn without_a_subscriber_nothing_happens() {
        let mut outage = Outage::new("http://collector", Subscriber::default());
        outage.goes_on("gone", 1);
        outage.is_over(1);
    }
}
