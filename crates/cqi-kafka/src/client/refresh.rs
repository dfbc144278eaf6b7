use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::pauses::Pauses;

/// What was wished for since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) refreshes: u64,
    /// Of topics to those followed.
    pub(super) additions: u64,
}

/// Asks the brokers who leads what, whenever there is a reason to.
#[derive(Debug)]
pub(super) struct Refresher {
    shared: Arc<Shared>,
    wishes: watch::Receiver<Wishes>,
    /// Those that the last question came after.
    served: Wishes,
    /// The last answer is known to change soon, or there was none.
    unsettled: bool,
    pauses: Pauses,
    /// When a question is asked for which there is a reason.
    earliest: Instant,
    /// When one is asked without a reason.
    due: Instant,
}

impl Refresher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        let settings = &shared.settings;
        let mut pauses = Pauses::new(settings.retry_backoff, settings.retry_backoff_max);
        Self {
            wishes: shared.wishes.subscribe(),
            served: Wishes::default(),
            unsettled: false,
            earliest: now + pauses.next(),
            due: now + settings.metadata_max_age,
            pauses,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.wait().await;
            let wishes = *self.wishes.borrow_and_update();
            let outcome = self
                .shared
                .learn(self.shared.settings.request_timeout)
                .await;
            self.served = wishes;
            self.note(outcome);
        }
    }

    /// Waits until there is a question to ask.
    async fn wait(&mut self) {
        self.wait_for_reason().await;
        if self.earliest + self.pauses.longest() < Instant::now() {
            self.pauses.reset();
        }
    }

    async fn wait_for_reason(&mut self) {
        loop {
            let wishes = *self.wishes.borrow_and_update();
            if wishes.additions != self.served.additions {
                return;
            }
            let reason = self.unsettled || wishes.refreshes != self.served.refreshes;
            let at = match reason {
                true => self.earliest.min(self.due),
                false => self.due,
            };
            tokio::select! {
                () = sleep_until(at) => return,
                // The sender is in `shared`.
                _ = self.wishes.changed() => {}
            }
        }
    }

    /// Decides when to ask again. Pauses grow while nothing new is heard.
    fn note(&mut self, outcome: Result<Learnt>) {
        let now = Instant::now();
        self.due = now + self.shared.settings.metadata_max_age;
        match outcome {
            Ok(learnt) => {
                if self.shared.trouble_slot().take().is_some() {
                    tracing::info!("the brokers answer again");
                }
                self.unsettled = learnt.unsettled;
                if learnt.news {
                    self.pauses.reset();
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                let before = self.shared.trouble_slot().replace(error.as_str().into());
                if before.is_none() {
                    tracing::warn!(
                        error,
                        "no broker answers: what is known of the cluster goes out of date"
                    );
                }
                self.unsettled = true;
            }
        }
        self.earliest = now + self.pauses.next();
    }
}

/// What an answer brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learnt {
    pub(super) news: bool,
    pub(super) unsettled: bool,
}

impl Shared {
    /// Asks for the followed topics and publishes what is known now.
    pub(super) async fn learn(&self, timeout: Duration) -> Result<Learnt> {
        // In this order: what was added before the count was read is among the topics.
        let additions = self.wishes.borrow().additions;
        let followed = self.followed.topics();
        let request = request(followed.iter().map(|topic| &**topic));
        let deadline = Instant::now() + timeout;
        let before = Arc::clone(&self.cluster.borrow());
        let after = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.ask(&self.control, &request, left).await?;
            if let Some(after) = before.after(&answer, &followed, additions) {
                break after;
            }
            if left <= self.settings.retry_backoff_max {
                let text = "the broker that answered knows of no brokers yet; it may be starting";
                return Err(Error::temporary(text));
            }
            sleep(self.settings.retry_backoff_max).await;
        };
        let learnt = Learnt {
            news: !after.says_the_same_as(&before),
            unsettled: after.is_unsettled(),
        };
        if learnt.news {
            tracing::debug!(
                brokers = after.brokers.len(),
                topics = after.topics.len(),
                "the cluster changed"
            );
        }
        let known = after.brokers.values().chain(&self.bootstrap).collect();
        self.control.keep(&known);
        self.health.keep(&known);
        self.cluster.send_replace(Arc::new(after));
        Ok(learnt)
    }
}

/// A question about these topics, and about the brokers.
pub(super) fn request<'t>(topics: impl Iterator<Item = &'t str>) -> MetadataRequest {
    let topics = topics.map(|topic| {
        let name = TopicName(StrBytes::from_string(topic.to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    });
    MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false)
}
