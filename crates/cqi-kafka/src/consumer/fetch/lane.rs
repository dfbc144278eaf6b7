use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::Error;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::plan::{self, Ask, Plan};
use super::session::{Session, Turn};
use crate::TopicPartition;
use crate::client::{Link, Pauses};
use crate::code;
use crate::wire::FetchAnswer;

/// How long the side lane's requests wait: what becomes due meanwhile waits no longer. The main lane
/// takes along what is at its end.
const SIDE_WAIT: Duration = Duration::from_millis(50);

/// Answers at once and with nothing that are taken for chance.
const BARREN: u32 = 2;

/// An answer of less, in bytes, comes from the end of the log: what counts is how soon the caller has
/// it, before when the next is asked for.
const SMALL: usize = 16 << 10;

/// One of the two connections to a leader, with one request at a time.
///
/// A broker answers a connection's requests in order, and what it was asked for cannot be changed
/// while it waits for records. So one connection waits for all partitions, where they are many in a
/// session; the other takes those that become due meanwhile. Where more is behind than an answer
/// holds, each takes its part.
#[derive(Debug)]
pub(super) struct Lane {
    shared: Arc<Shared>,
    link: Link,
    node: i32,
    lane: plan::Lane,
    max_wait: Duration,
    session: Session,
    pauses: Pauses,
    barren: u32,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, node: i32, lane: plan::Lane) -> Self {
        let wait = shared.settings.max_wait;
        Self {
            link: shared.client.link(node),
            node,
            lane,
            max_wait: match lane {
                plan::Lane::Main => wait,
                plan::Lane::Side => wait.min(SIDE_WAIT),
            },
            session: Session::default(),
            pauses: shared.client.retry_pauses(),
            barren: 0,
            shared,
        }
    }

    /// Fetches for as long as it is polled.
    pub(super) async fn run(mut self) {
        let mut work = self.shared.work.subscribe();
        loop {
            work.mark_unchanged();
            let ask = self
                .shared
                .plan()
                .ask(self.node, self.lane, self.shared.now());
            match ask {
                Ok(ask) => self.fetch(ask).await,
                Err(Some(due)) => {
                    let due = sleep_until(self.shared.started + due);
                    tokio::select! {
                        _ = work.changed() => {}
                        () = due => {}
                    }
                }
                // Its sender is in `shared`.
                Err(None) => drop(work.changed().await),
            }
        }
    }

    async fn fetch(&mut self, ask: Ask) {
        let turn = match self.lane {
            plan::Lane::Main => self.session.turn(&ask.wants),
            plan::Lane::Side => Turn::alone(&ask.wants),
        };
        let request = self.request(&ask, turn);
        let timeout = self.shared.client.request_timeout() + self.max_wait;
        if ask.beside {
            self.shared.work.send_replace(());
        }
        let asked = Instant::now();
        match self.link.send(&request, timeout).await {
            Ok(answer) => self.answered(ask, answer, asked).await,
            Err(error) => {
                tracing::debug!(node = self.node, %error, "a fetch got no answer");
                self.session.broke();
                let trouble = (!error.kind().is_retryable()).then_some(error);
                self.failed(ask, trouble).await;
            }
        }
    }

    async fn answered(&mut self, ask: Ask, answer: FetchAnswer, asked: Instant) {
        self.session.answered(answer.error_code, answer.session_id);
        if answer.error_code != 0 {
            let code = code::name(answer.error_code);
            tracing::debug!(node = self.node, %code, "a fetch session starts anew");
            let trouble = (!is_session(answer.error_code)).then(|| {
                let broker = self.shared.client.describe(self.node);
                code::refused("Fetch", answer.error_code, broker)
            });
            return self
                .failed(ask, trouble.filter(|error| !error.kind().is_retryable()))
                .await;
        }
        let is_small = plan::size(&answer.responses) < SMALL;
        let changes = {
            let mut plan = self.shared.plan();
            let changes = plan.answered(ask, answer.responses, self.shared.now());
            self.wake_others(&plan);
            changes
        };
        if changes.ready {
            self.shared.ready.notify_one();
        }
        if changes.lookups {
            self.shared.control.send_replace(());
        }
        if changes.moved {
            self.shared.client.refresh();
        }
        if changes.ready && is_small {
            // On this worker the caller runs first, instead of on another that has to be woken. When it
            // works long, the next answer is no small one, and is not waited for so.
            yield_now().await;
        }
        // A broker is to wait until there is something; one that does not is not asked in a loop.
        let is_barren = changes == plan::Changes::default() && asked.elapsed() < self.max_wait / 2;
        if !is_barren {
            self.barren = 0;
            self.pauses.reset();
        } else if self.barren < BARREN {
            self.barren += 1;
        } else {
            sleep(self.pauses.next()).await;
        }
    }

    async fn failed(&mut self, ask: Ask, trouble: Option<Error>) {
        let told = trouble.is_some();
        {
            let mut plan = self.shared.plan();
            plan.failed(ask, trouble);
            self.wake_others(&plan);
        }
        if told {
            self.shared.ready.notify_one();
        }
        sleep(self.pauses.next()).await;
    }

    fn wake_others(&self, plan: &Plan) {
        if plan.wakes(self.node, self.lane) {
            self.shared.work.send_replace(());
        }
    }

    fn request(&self, ask: &Ask, turn: Turn) -> FetchRequest {
        let settings = &self.shared.settings;
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut at = BTreeMap::new();
        for want in turn.changed {
            let partition = FetchPartition::default()
                .with_partition(want.partition.partition())
                .with_current_leader_epoch(want.leader_epoch)
                .with_fetch_offset(want.offset)
                .with_last_fetched_epoch(want.last_epoch)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(settings.partition_max_bytes);
            let index = *at
                .entry(Arc::clone(want.partition.topic()))
                .or_insert_with(|| {
                    let topic = topic_name(&want.partition);
                    topics.push(FetchTopic::default().with_topic(topic));
                    topics.len() - 1
                });
            topics[index].partitions.push(partition);
        }
        let forgotten = turn.forgotten.iter().map(|partition| {
            ForgottenTopic::default()
                .with_topic(topic_name(partition))
                .with_partitions(vec![partition.partition()])
        });
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(ask.min_bytes)
            .with_max_bytes(ask.max_bytes)
            .with_isolation_level(settings.isolation.level())
            .with_session_id(turn.id)
            .with_session_epoch(turn.epoch)
            .with_topics(topics)
            .with_forgotten_topics_data(forgotten.collect())
    }
}

fn topic_name(partition: &TopicPartition) -> TopicName {
    TopicName(StrBytes::from_string(partition.topic().to_string()))
}

/// Whether the broker lost the session, as it may at any time.
const fn is_session(code: i16) -> bool {
    matches!(code, 70 | 71)
}
